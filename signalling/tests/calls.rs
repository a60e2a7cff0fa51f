//! People come, found groups, move them on and leave, over real sockets.

#![allow(clippy::expect_used)]

mod rig;

use conclave_protocol::{
    Epoch,
    signal::{
        ClientMessage, ErrorCode, GroupDoor, OfferedTrack, RuleChange, ServerMessage, Source,
    },
};
use rig::*;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

#[tokio::test]
async fn two_come_into_one_room_and_hear_of_each_other() {
    let server = start();
    let (mut alice, alice_id) = founder(&server, "garden").await;
    let (mut bob, bob_id, others, group) = Client::join(&server, "garden").await;
    assert_eq!(others, [alice_id]);
    let group = group.expect("Alice's group");
    assert_eq!(group.epoch, Epoch::FIRST);
    assert_eq!(group.group_info, sealed("g0"));
    assert_ne!(alice_id, bob_id);
    match alice.hear().await {
        ServerMessage::ParticipantJoined { participant } => assert_eq!(participant, bob_id),
        other => panic!("{other:?}"),
    }
    bob.say(&ClientMessage::Leave {}).await;
    assert_eq!(
        bob.hear_to_the_end().await.1,
        Some(CloseCode::Normal),
        "leaving is answered by a close"
    );
    match alice.hear().await {
        ServerMessage::ParticipantLeft { participant } => assert_eq!(participant, bob_id),
        other => panic!("{other:?}"),
    }
    server.shutdown().await;
}

#[tokio::test]
async fn rooms_do_not_hear_each_other() {
    let server = start();
    let (mut alice, _) = founder(&server, "garden").await;
    let (mut bob, _) = founder(&server, "cellar").await;
    alice.chat("hi").await;
    assert!(matches!(
        alice.hear().await,
        ServerMessage::Delivered { .. }
    ));
    bob.hears_nothing().await;
    server.shutdown().await;
}

#[tokio::test]
async fn of_many_who_found_at_once_one_wins_and_the_others_see_its_group() {
    let server = start();
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client::join(&server, "garden").await);
    }
    // Each of them asks for the founding before any reads an answer.
    for (client, id, ..) in &mut clients {
        client.found(&id.to_string()).await;
    }
    let mut founders = Vec::new();
    let mut seen = Vec::new();
    for (client, id, ..) in &mut clients {
        loop {
            match client.hear().await {
                ServerMessage::ParticipantJoined { .. } => {}
                ServerMessage::GroupCreated {} => break founders.push(sealed(&id.to_string())),
                ServerMessage::Stale {
                    group: Some(GroupDoor::Commit { group }),
                    ..
                } => break seen.push(group.group_info),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(founders.len(), 1);
    assert_eq!(seen.len(), 7);
    assert!(seen.iter().all(|info| *info == founders[0]));
    server.shutdown().await;
}

#[tokio::test]
async fn of_two_commits_to_one_epoch_the_first_is_taken_and_the_other_is_stale() {
    let server = start();
    let (mut alice, _) = founder(&server, "garden").await;
    let (mut bob, bob_id, ..) = Client::join(&server, "garden").await;
    alice.hear().await;
    bob.commit(0, "bob").await;
    let committed = bob.hear().await;
    let ServerMessage::Committed { author, epoch, .. } = committed else {
        panic!("{committed:?}");
    };
    assert_eq!((author, epoch), (bob_id, Epoch::new(1)));
    // Alice has not seen it yet.
    alice.commit(0, "alice").await;
    assert!(matches!(
        alice.hear().await,
        ServerMessage::Committed { .. }
    ));
    match alice.hear().await {
        ServerMessage::Stale { epoch, group } => {
            assert_eq!(epoch, Epoch::new(1));
            assert_eq!(group, None, "a member needs no door");
        }
        other => panic!("{other:?}"),
    }
    // On the new state it is taken.
    alice.commit(1, "alice").await;
    assert!(matches!(
        alice.hear().await,
        ServerMessage::Committed { epoch, .. } if epoch == Epoch::new(2)
    ));
    server.shutdown().await;
}

#[tokio::test]
async fn an_epoch_is_complete_for_all_at_once() {
    let server = start();
    let (mut alice, _) = founder(&server, "garden").await;
    let (mut bob, _) = second_member(&server, "garden", &mut alice).await;
    alice.commit(1, "next").await;
    assert!(matches!(
        alice.hear().await,
        ServerMessage::Committed { .. }
    ));
    assert!(matches!(bob.hear().await, ServerMessage::Committed { .. }));
    alice.hears_nothing().await;
    bob.reached(2).await;
    for client in [&mut alice, &mut bob] {
        assert!(matches!(
            client.hear().await,
            ServerMessage::EpochComplete { epoch } if epoch == Epoch::new(2)
        ));
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_refused_commit_is_annulled_and_its_author_shown_out() {
    let server = start();
    let (mut alice, _) = founder(&server, "garden").await;
    let (mut mallory, mallory_id, ..) = Client::join(&server, "garden").await;
    mallory.commit(0, "forged").await;
    alice.hear().await;
    let committed = alice.hear().await;
    let ServerMessage::Committed { sequence, .. } = committed else {
        panic!("{committed:?}");
    };
    alice.refuse(sequence).await;
    match alice.hear().await {
        ServerMessage::CommitAnnulled { author, epoch } => {
            assert_eq!((author, epoch), (mallory_id, Epoch::FIRST));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        alice.hear().await,
        ServerMessage::ParticipantLeft { participant } if participant == mallory_id
    ));
    let (last, close) = mallory.hear_to_the_end().await;
    assert!(matches!(
        last.last(),
        Some(ServerMessage::Error {
            code: ErrorCode::CommitRefused,
            ..
        })
    ));
    assert_eq!(close, Some(CloseCode::Policy));
    // The group is where it was.
    let (_bob, _, _, group) = Client::join(&server, "garden").await;
    let group = group.expect("a group");
    assert_eq!(
        (group.epoch, group.group_info),
        (Epoch::FIRST, sealed("g0"))
    );
    server.shutdown().await;
}

#[tokio::test]
async fn a_stranger_is_turned_away_and_those_inside_are_told() {
    let server = start();
    let (mut alice, _) = founder(&server, "garden").await;
    for _ in 0..5 {
        let mut stranger = Client::connect(&server).await;
        let join = join_as(conclave_protocol::PROTOCOL_VERSION, "garden", OTHER_LINK);
        stranger.say(&join).await;
        let (said, close) = stranger.hear_to_the_end().await;
        assert!(matches!(
            said[..],
            [ServerMessage::Error {
                code: ErrorCode::WrongSecret,
                ..
            }]
        ));
        assert_eq!(close, Some(CloseCode::Policy));
    }
    assert!(matches!(
        alice.hear().await,
        ServerMessage::StrangerRefused {}
    ));
    // Only once, however often someone knocks.
    alice.hears_nothing().await;
    server.shutdown().await;
}

#[tokio::test]
async fn those_who_wait_found_anew_when_the_members_are_gone() {
    let server = start();
    let (alice, _) = founder(&server, "garden").await;
    let (mut bob, ..) = Client::join(&server, "garden").await;
    drop(alice);
    assert!(matches!(
        bob.hear().await,
        ServerMessage::ParticipantLeft { .. }
    ));
    assert!(matches!(bob.hear().await, ServerMessage::GroupLost {}));
    bob.commit(0, "to the lost group").await;
    bob.hears_nothing().await;
    bob.found("bob's").await;
    assert!(matches!(bob.hear().await, ServerMessage::GroupCreated {}));
    server.shutdown().await;
}

#[tokio::test]
async fn a_room_is_dropped_with_its_last_participant() {
    let server = start();
    let (alice, _) = founder(&server, "garden").await;
    let (bob, ..) = Client::join(&server, "garden").await;
    metric_becomes(&server, "conclave_rooms", "", 1.0).await;
    drop(alice);
    drop(bob);
    metric_becomes(&server, "conclave_rooms", "", 0.0).await;
    metric_becomes(&server, "conclave_websocket_connections", "", 0.0).await;
    // Nothing is left of it: another link opens the same name, and there is no group.
    let mut carol = Client::connect(&server).await;
    let join = join_as(conclave_protocol::PROTOCOL_VERSION, "garden", OTHER_LINK);
    carol.say(&join).await;
    assert!(matches!(
        carol.hear().await,
        ServerMessage::Joined { group: None, .. }
    ));
    server.shutdown().await;
}

#[tokio::test]
async fn rooms_opened_and_left_in_haste_leave_nothing_behind() {
    let server = start();
    let churn = (0..16).map(|_| async {
        for _ in 0..25 {
            // All in the same room, so that coming and dropping meet.
            let (client, ..) = Client::join(&server, "revolving-door").await;
            drop(client);
        }
    });
    futures_util::future::join_all(churn).await;
    assert_eq!(
        metric(&server, "conclave_joins_total", "\"ok\"").await,
        400.0
    );
    metric_becomes(&server, "conclave_rooms", "", 0.0).await;
    metric_becomes(&server, "conclave_websocket_connections", "", 0.0).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_full_room_and_a_full_server_say_so() {
    let server = start_with(conclave_signalling::Limits {
        rooms: 1,
        participants_per_room: conclave_signalling::RoomSize::new(1).expect("is a size"),
        ..Default::default()
    });
    let (_alice, _) = founder(&server, "garden").await;
    for (room, expected, remedy) in [
        (
            "garden",
            ErrorCode::RoomFull,
            "takes 1 participants, and all are here. Try again when",
        ),
        ("cellar", ErrorCode::ServerFull, "try again later"),
    ] {
        let mut late = Client::connect(&server).await;
        let join = join_as(conclave_protocol::PROTOCOL_VERSION, room, LINK);
        late.say(&join).await;
        let (said, close) = late.hear_to_the_end().await;
        assert!(
            matches!(
                &said[..],
                [ServerMessage::Error { code, detail }]
                    if *code == expected && detail.contains(remedy)
            ),
            "{said:?}"
        );
        assert_eq!(close, Some(CloseCode::Again));
    }
    server.shutdown().await;
}

#[tokio::test]
async fn an_offer_that_makes_no_sense_is_refused_with_the_reason() {
    let server = start();
    let (mut alice, _) = founder(&server, "garden").await;
    alice
        .say(&ClientMessage::Offer {
            sdp: "v=0\r\nnot much of an offer".into(),
            tracks: vec![OfferedTrack {
                mid: "0".parse().expect("a mid"),
                source: Source::Microphone,
            }],
            slots: Vec::new(),
        })
        .await;
    let (code, detail) = alice.hear_error().await;
    assert_eq!(code, ErrorCode::UnacceptableOffer, "{detail}");
    // Ten at once are enough, each would be work for the media side.
    let text = "{\"type\":\"offer\",\"sdp\":\"\",\"tracks\":[],\"slots\":[]}";
    for _ in 0..30 {
        alice.say_text(text).await;
    }
    let mut codes = Vec::new();
    while codes.last() != Some(&ErrorCode::TooFast) {
        codes.push(alice.hear_error().await.0);
    }
    assert!((9..25).contains(&(codes.len() - 1)), "{codes:?}");
    // And the call goes on.
    alice.chat("hi").await;
    assert!(matches!(
        alice.hear().await,
        ServerMessage::Delivered { .. }
    ));
    server.shutdown().await;
}

/// The next error that this client is told, whatever else comes before.
async fn next_error(client: &mut Client) -> ErrorCode {
    loop {
        if let ServerMessage::Error { code, .. } = client.hear().await {
            return code;
        }
    }
}

#[tokio::test]
async fn who_waits_before_a_guarded_door_exchanges_no_media() {
    let server = start();
    let (mut alice, _) = founder(&server, "garden").await;
    let guard = |epoch, guarded| ClientMessage::Commit {
        epoch: Epoch::new(epoch),
        commit: sealed("door"),
        group_info: Some(sealed("state")),
        admission: None,
        rules: Some(RuleChange {
            guarded,
            removed: None,
            lock: None,
        }),
    };
    let (mut early, ..) = Client::join(&server, "garden").await;
    alice.hear().await;
    let offer = r#"{"type":"offer","sdp":"","tracks":[],"slots":[]}"#;
    // It makes no sense, but it was looked at.
    early.say_text(offer).await;
    assert_eq!(early.hear_error().await.0, ErrorCode::UnacceptableOffer);

    alice.say(&guard(0, true)).await;
    alice.hear().await;
    early.hear().await;
    let (mut late, ..) = Client::join(&server, "garden").await;
    for outside in [&mut early, &mut late] {
        outside.say_text(offer).await;
        assert_eq!(next_error(outside).await, ErrorCode::OutOfOrder);
    }
    // Who is inside goes on, and an open door lets everybody.
    alice.say_text(offer).await;
    assert_eq!(next_error(&mut alice).await, ErrorCode::UnacceptableOffer);
    alice.say(&guard(1, false)).await;
    while !matches!(late.hear().await, ServerMessage::Committed { .. }) {}
    late.say_text(offer).await;
    assert_eq!(next_error(&mut late).await, ErrorCode::UnacceptableOffer);
    server.shutdown().await;
}

#[tokio::test]
async fn shutting_down_tells_everyone_and_closes() {
    let server = start();
    let (mut alice, _) = founder(&server, "garden").await;
    let started = std::time::Instant::now();
    server.shutdown().await;
    let (said, close) = alice.hear_to_the_end().await;
    assert!(matches!(
        said[..],
        [ServerMessage::Error {
            code: ErrorCode::ShuttingDown,
            ..
        }]
    ));
    assert_eq!(close, Some(CloseCode::Restart));
    assert!(started.elapsed().as_secs() < 4, "{:?}", started.elapsed());
}
