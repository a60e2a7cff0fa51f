//! Lines break; whoever is quick enough comes back, and neither side notices more than a pause.

#![allow(clippy::expect_used)]

mod rig;

use std::{num::NonZeroU32, time::Duration};

use conclave_protocol::{
    Epoch, PROTOCOL_VERSION,
    session::{Position, SessionToken},
    signal::{ClientMessage, ErrorCode, ServerMessage},
};
use conclave_signalling::{Limits, Rate, Server, ServerConfig};
use rig::{line::Staying, *};

fn address(server: &Server) -> String {
    server.http_address().to_string()
}

fn chat(text: &str) -> ClientMessage {
    ClientMessage::Send {
        message: sealed(text),
    }
}

/// Alice, who has founded a group, and Bob, who is in it, both with places that are kept.
async fn two(address: &str) -> (Staying, Staying) {
    let mut alice = Staying::join(address, "garden").await;
    let group_info = sealed("g0");
    alice.say(ClientMessage::CreateGroup { group_info }).await;
    until(&mut alice, |it| {
        matches!(it, ServerMessage::GroupCreated {})
    })
    .await;
    let mut bob = Staying::join(address, "garden").await;
    bob.say(ClientMessage::Commit {
        epoch: Epoch::FIRST,
        commit: sealed("bob"),
        group_info: Some(sealed("g1")),
        admission: None,
        rules: None,
    })
    .await;
    for one in [&mut alice, &mut bob] {
        until(one, |it| matches!(it, ServerMessage::Committed { .. })).await;
    }
    (alice, bob)
}

/// Hears everything up to the first that is wanted, and gives what came before.
async fn until(
    client: &mut Staying,
    wanted: impl Fn(&ServerMessage) -> bool,
) -> Vec<ServerMessage> {
    let mut before = Vec::new();
    loop {
        let heard = tokio::time::timeout(Duration::from_secs(10), client.hear());
        let message = heard.await.expect("in time").expect("the place is kept");
        if wanted(&message) {
            return before;
        }
        before.push(message);
    }
}

fn is_chat(message: &ServerMessage, text: &str) -> bool {
    matches!(message, ServerMessage::Delivered { message, .. } if *message == sealed(text))
}

#[tokio::test]
async fn who_comes_back_hears_what_was_missed_once_and_is_heard_once() {
    let server = start();
    let (mut alice, mut bob) = two(&address(&server)).await;
    bob.break_off();
    until(&mut alice, |it| {
        matches!(it, ServerMessage::ParticipantAway { .. })
    })
    .await;
    alice.say(chat("one")).await;
    alice.say(chat("two")).await;
    until(&mut alice, |it| is_chat(it, "two")).await;
    // Said into a line that is gone.
    bob.say(chat("three")).await;
    let missed = until(&mut bob, |it| is_chat(it, "three")).await;
    let chats: Vec<_> = missed
        .iter()
        .filter(|it| matches!(it, ServerMessage::Delivered { .. }))
        .collect();
    assert_eq!(chats.len(), 2, "{missed:?}");
    assert!(is_chat(chats[0], "one") && is_chat(chats[1], "two"));
    let meanwhile = until(&mut alice, |it| is_chat(it, "three")).await;
    assert!(
        meanwhile
            .iter()
            .any(|it| matches!(it, ServerMessage::ParticipantBack { .. })),
        "{meanwhile:?}"
    );
    assert_eq!(bob.has_media, Some(false), "there never was any");
    server.shutdown().await;
}

#[tokio::test]
async fn a_message_that_is_said_again_is_heard_once() {
    let server = start();
    let (mut alice, mut bob) = two(&address(&server)).await;
    for _ in 0..20 {
        alice.say(chat("x")).await;
        // The server may have heard it or not.
        alice.break_off();
        alice.come_back().await.expect("the place is kept");
    }
    alice.say(chat("end")).await;
    let heard = until(&mut bob, |it| is_chat(it, "end")).await;
    let count = heard.iter().filter(|it| is_chat(it, "x")).count();
    assert_eq!(count, 20);
    server.shutdown().await;
}

#[tokio::test]
async fn who_does_not_come_back_in_time_has_left() {
    let limits = Limits {
        away: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = start_with(limits);
    let (mut alice, mut bob) = two(&address(&server)).await;
    bob.break_off();
    until(&mut alice, |it| {
        matches!(it, ServerMessage::ParticipantLeft { participant } if *participant == bob.participant)
    })
    .await;
    bob.come_back().await.expect_err("too late");
    server.shutdown().await;
}

#[tokio::test]
async fn a_line_that_a_proxy_closes_is_a_broken_line() {
    let server = start();
    let (mut alice, mut bob) = two(&address(&server)).await;
    bob.go_away().await;
    until(&mut alice, |it| {
        matches!(it, ServerMessage::ParticipantAway { participant } if *participant == bob.participant)
    })
    .await;
    bob.come_back().await.expect("the place is kept");
    server.shutdown().await;
}

#[tokio::test]
async fn who_closes_the_page_is_not_waited_for_as_long() {
    let limits = Limits {
        going_away: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = start_with(limits);
    let (mut alice, mut bob) = two(&address(&server)).await;
    bob.go_away().await;
    until(&mut alice, |it| {
        matches!(it, ServerMessage::ParticipantLeft { participant } if *participant == bob.participant)
    })
    .await;
    server.shutdown().await;
}

#[tokio::test]
async fn who_says_a_lot_at_once_is_slowed_down_and_all_of_it_is_heard() {
    let rate = |number| NonZeroU32::new(number).expect("not zero");
    let server = start_with(Limits {
        messages: Rate {
            per_second: rate(200),
            burst: rate(50),
        },
        ..Limits::default()
    });
    let (mut alice, mut bob) = two(&address(&server)).await;
    bob.break_off();
    until(&mut alice, |it| {
        matches!(it, ServerMessage::ParticipantAway { .. })
    })
    .await;
    // As after a long break, when everything is said at once.
    for number in 1..=300 {
        bob.say(chat(&number.to_string())).await;
    }
    bob.come_back().await.expect("the place is kept");
    for number in 1..=300 {
        let before = until(&mut alice, |it| is_chat(it, &number.to_string())).await;
        let is_chat = |it: &ServerMessage| matches!(it, ServerMessage::Delivered { .. });
        assert!(!before.iter().any(is_chat), "{before:?} before {number}");
    }
    let slowed = metric(&server, "conclave_rate_limited_total", "messages").await;
    assert!(slowed >= 100.0, "{slowed}");
    server.shutdown().await;
}

#[tokio::test]
async fn who_leaves_on_purpose_is_not_waited_for() {
    let server = start();
    let (mut alice, mut bob) = two(&address(&server)).await;
    bob.say(ClientMessage::Leave {}).await;
    let before = until(&mut alice, |it| {
        matches!(it, ServerMessage::ParticipantLeft { .. })
    })
    .await;
    assert!(
        !before
            .iter()
            .any(|it| matches!(it, ServerMessage::ParticipantAway { .. })),
        "{before:?}"
    );
    bob.come_back().await.expect_err("left");
    server.shutdown().await;
}

#[tokio::test]
async fn nobody_comes_back_with_a_token_or_a_past_that_is_not_theirs() {
    let server = start();
    let (mut alice, bob) = two(&address(&server)).await;
    for (token, seen) in [
        (SessionToken::new([9; 32]), Position::START),
        // Of a room that has told more than this one: another server's, or one that lost its
        // disk.
        (bob.token.clone(), Position::new(1 << 40)),
    ] {
        let mut stranger = Client::connect(&server).await;
        let version = PROTOCOL_VERSION;
        let resume = ClientMessage::Resume {
            version,
            token,
            seen,
        };
        stranger.say(&resume).await;
        let (code, _) = stranger.hear_error().await;
        assert_eq!(code, ErrorCode::SessionLost);
    }
    // With the right token, who claims too much loses the place: something is wrong there.
    until(&mut alice, |it| {
        matches!(it, ServerMessage::ParticipantLeft { .. })
    })
    .await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_newer_line_ends_the_older_one() {
    let server = start();
    let (_alice, mut bob) = two(&address(&server)).await;
    let mut old = Client::connect(&server).await;
    let resume = |seen| ClientMessage::Resume {
        version: PROTOCOL_VERSION,
        token: bob.token.clone(),
        seen,
    };
    old.say(&resume(bob.seen)).await;
    assert!(matches!(old.hear().await, ServerMessage::Resumed { .. }));
    bob.break_off();
    bob.come_back().await.expect("kept");
    let (last, _) = old.hear_to_the_end().await;
    assert!(
        matches!(
            last.last(),
            Some(ServerMessage::Error {
                code: ErrorCode::Replaced,
                ..
            })
        ),
        "{last:?}"
    );
    // The end of the old line is not taken for the end of the new one.
    bob.say(chat("still here")).await;
    until(&mut bob, |it| is_chat(it, "still here")).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_room_goes_on_after_a_restart_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = ServerConfig {
        data_dir: Some(folder.path().to_owned()),
        ..loopback_config()
    };
    let server = Server::start(config.clone()).expect("a server");
    let listen = server.http_address();
    let (mut alice, mut bob) = two(&address(&server)).await;
    alice.say(chat("before")).await;
    until(&mut alice, |it| is_chat(it, "before")).await;
    server.shutdown().await;
    let server = Server::start(ServerConfig { listen, ..config }).expect("it starts again");
    alice.come_back().await.expect("the place is kept");
    alice.say(chat("after")).await;
    let missed = until(&mut bob, |it| is_chat(it, "after")).await;
    let chats = missed.iter().filter(|it| is_chat(it, "before"));
    assert_eq!(chats.count(), 1, "{missed:?}");
    // The group is the one that it was, too.
    bob.say(ClientMessage::Commit {
        epoch: Epoch::new(1),
        commit: sealed("next"),
        group_info: None,
        admission: None,
        rules: None,
    })
    .await;
    until(
        &mut alice,
        |it| matches!(it, ServerMessage::Committed { epoch, .. } if *epoch == Epoch::new(2)),
    )
    .await;
    server.shutdown().await;
}

#[tokio::test]
async fn an_empty_room_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = ServerConfig {
        data_dir: Some(folder.path().to_owned()),
        ..loopback_config()
    };
    let server = Server::start(config.clone()).expect("a server");
    let (mut alice, mut bob) = two(&address(&server)).await;
    for one in [&mut alice, &mut bob] {
        one.say(ClientMessage::Leave {}).await;
    }
    metric_becomes(&server, "conclave_rooms", "", 0.0).await;
    server.shutdown().await;
    let server = Server::start(config).expect("a server");
    assert_eq!(metric(&server, "conclave_rooms", "").await, 0.0);
    server.shutdown().await;
}
