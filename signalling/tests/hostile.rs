//! Clients that break the rules: they harm themselves and nobody else.

#![allow(clippy::expect_used)]

mod rig;

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use conclave_protocol::{
    PROTOCOL_VERSION,
    signal::{ClientMessage, ErrorCode, ServerMessage},
};
use conclave_signalling::{Limits, Rate};
use futures_util::SinkExt;
use rig::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};

#[tokio::test]
async fn nonsense_is_answered_and_leaves_the_others_and_oneself_in_peace() {
    let server = start();
    let (mut alice, _) = founder(&server, "garden").await;
    let (mut mallory, _) = second_member(&server, "garden", &mut alice).await;
    let deep = "[".repeat(100_000);
    for nonsense in [
        "",
        "{",
        "null",
        "{\"type\":\"rule_the_world\"}",
        "{\"type\":\"send\",\"message\":\"not base64url!\"}",
        "{\"type\":\"leave\",\"because\":\"unknown fields are refused\"}",
        "{\"type\":\"offer\",\"sdp\":\"\",\"tracks\":[{\"mid\":\"0\",\"source\":\"camera\",\"x\":1}],\"slots\":[]}",
        &deep,
    ] {
        mallory.say_text(nonsense).await;
        let (code, _) = mallory.hear_error().await;
        assert_eq!(code, ErrorCode::Malformed, "{nonsense:.40}");
    }
    mallory.send(Message::binary(vec![1, 2, 3])).await;
    let (code, detail) = mallory.hear_error().await;
    assert_eq!(code, ErrorCode::Malformed);
    assert!(detail.contains("9 of 10"), "{detail}");
    alice.hears_nothing().await;
    mallory.chat("still here").await;
    for client in [&mut alice, &mut mallory] {
        assert!(matches!(
            client.hear().await,
            ServerMessage::Delivered { .. }
        ));
    }
    // The tenth closes the connection, as was said.
    mallory.say_text("{").await;
    let (said, close) = mallory.hear_to_the_end().await;
    assert!(matches!(
        said[..],
        [ServerMessage::Error {
            code: ErrorCode::Malformed,
            ..
        }]
    ));
    assert_eq!(close, Some(CloseCode::Policy));
    assert!(matches!(
        alice.hear().await,
        ServerMessage::ParticipantLeft { .. }
    ));
    server.shutdown().await;
}

#[tokio::test]
async fn nothing_comes_before_join_and_join_comes_once() {
    let server = start();
    let mut client = Client::connect(&server).await;
    client.chat("hello?").await;
    assert_eq!(client.hear_error().await.0, ErrorCode::OutOfOrder);
    let join = join_as(PROTOCOL_VERSION, "garden", LINK);
    client.say(&join).await;
    assert!(matches!(client.hear().await, ServerMessage::Joined { .. }));
    client.say(&join).await;
    assert_eq!(client.hear_error().await.0, ErrorCode::OutOfOrder);
    server.shutdown().await;
}

#[tokio::test]
async fn another_version_is_told_to_reload_even_if_its_join_looks_different() {
    let server = start();
    let ours = serde_json::to_string(&join_as(PROTOCOL_VERSION + 1, "garden", LINK)).expect("JSON");
    let theirs = "{\"type\":\"join\",\"version\":99,\"room_name\":\"garden\",\"token\":{}}";
    for join in [ours.as_str(), theirs] {
        let mut client = Client::connect(&server).await;
        client.say_text(join).await;
        let (said, _) = client.hear_to_the_end().await;
        assert!(
            matches!(
                said[..],
                [ServerMessage::Error {
                    code: ErrorCode::UnsupportedVersion,
                    ..
                }]
            ),
            "{said:?}"
        );
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_closes_its_senders_connection_only() {
    let server = start();
    let (mut alice, _) = founder(&server, "garden").await;
    let (mut mallory, _) = second_member(&server, "garden", &mut alice).await;
    mallory
        .try_send(Message::text("x".repeat((4 << 20) + 1)))
        .await;
    let (said, close) = mallory.hear_to_the_end().await;
    assert!(
        matches!(
            said[..],
            [ServerMessage::Error {
                code: ErrorCode::TooLarge,
                ..
            }]
        ),
        "{said:?}"
    );
    assert_eq!(close, Some(CloseCode::Size));
    assert!(matches!(
        alice.hear().await,
        ServerMessage::ParticipantLeft { .. }
    ));
    // As long as allowed is allowed: 3/4 of the JSON's length are bytes.
    alice.chat(&"x".repeat(3_100_000)).await;
    assert!(matches!(
        alice.hear().await,
        ServerMessage::Delivered { .. }
    ));
    server.shutdown().await;
}

#[tokio::test]
async fn who_is_shown_out_while_still_talking_is_not_cut_off() {
    let server = start();
    let mut stream = TcpStream::connect(server.http_address())
        .await
        .expect("the server listens");
    let upgrade = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.expect("sent");
    // A masked text frame of 6 MiB (RFC 6455 §5.2), of which a third is sent.
    let length: u64 = 6 << 20;
    let mut head = vec![0x81, 0xff];
    head.extend(length.to_be_bytes());
    head.extend([0; 4]);
    stream.write_all(&head).await.expect("sent");
    let third = vec![b'x'; 2 << 20];
    stream.write_all(&third).await.expect("sent");
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("too_large") {
        let mut part = [0; 4096];
        let read = timeout(Duration::from_secs(5), stream.read(&mut part)).await;
        let read = read.expect("in time").expect("no reset");
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend(&part[..read]);
    }
    // A reset now would take the words back on systems that drop unread data then.
    for _ in 0..2 {
        stream
            .write_all(&third)
            .await
            .expect("the server still reads");
        sleep(Duration::from_millis(50)).await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_flood_is_held_back_and_the_others_go_on() {
    let server = start();
    let (mut alice, _) = founder(&server, "garden").await;
    let (mut mallory, _) = second_member(&server, "garden", &mut alice).await;
    let text = serde_json::to_string(&ClientMessage::Send {
        message: sealed("spam"),
    })
    .expect("JSON");
    let started = Instant::now();
    for _ in 0..1_500 {
        assert!(mallory.try_send(Message::text(text.as_str())).await);
    }
    // What Alice says does not have to wait for the rest of it.
    alice.chat("I was here first").await;
    let mut spam = 0;
    let mut is_heard = false;
    while spam < 300 || !is_heard {
        match alice.hear().await {
            ServerMessage::Delivered { message, .. } if message == sealed("spam") => spam += 1,
            ServerMessage::Delivered { .. } => is_heard = true,
            other => panic!("{other:?}"),
        }
        // The burst of 200, and what comes in at 50 a second meanwhile.
        let most = 201.0 + started.elapsed().as_secs_f64() * 50.0;
        assert!(f64::from(spam) <= most, "{spam} of {most}");
    }
    let limited = metric(&server, "conclave_rate_limited_total", "messages").await;
    assert!(limited >= 50.0, "{limited}");
    drop(mallory);
    server.shutdown().await;
}

#[tokio::test]
async fn who_sends_a_lot_is_slowed_down_and_loses_nothing() {
    let rate = |bytes| NonZeroU32::new(bytes).expect("not zero");
    let server = start_with(Limits {
        bytes: Rate {
            per_second: rate(100_000),
            burst: rate(200_000),
        },
        ..Limits::default()
    });
    let (mut alice, _) = founder(&server, "garden").await;
    let started = Instant::now();
    // 100 kB each in base64. The fourth is read once the first three are level with the rate:
    // a second after the burst is used up.
    for _ in 0..4 {
        alice.chat(&"x".repeat(75_000)).await;
    }
    for _ in 0..4 {
        assert!(matches!(
            alice.hear().await,
            ServerMessage::Delivered { .. }
        ));
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
    server.shutdown().await;
}

#[tokio::test]
async fn who_does_not_read_is_shown_out_and_the_others_go_on() {
    let server = start_with(Limits {
        queued_bytes: 1 << 20,
        bytes: Rate {
            per_second: NonZeroU32::MAX,
            burst: NonZeroU32::MAX,
        },
        ..Limits::default()
    });
    let (mut alice, _) = founder(&server, "garden").await;
    // Joins, and never reads again. A small receive buffer fills early.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a buffer size");
    let stream = socket
        .connect(server.http_address())
        .await
        .expect("the server listens");
    let url = format!("ws://{}/ws", server.http_address());
    let (mut sloth, _) = client_async(url, stream).await.expect("an upgrade");
    let join = join_as(PROTOCOL_VERSION, "garden", LINK);
    let join = serde_json::to_string(&join).expect("JSON");
    sloth.send(Message::text(join)).await.expect("sent");
    assert!(matches!(
        alice.hear().await,
        ServerMessage::ParticipantJoined { .. }
    ));
    let load = "x".repeat(500_000);
    let started = Instant::now();
    let mut delivered = 0;
    loop {
        alice.chat(&load).await;
        match alice.hear().await {
            ServerMessage::Delivered { .. } => delivered += 1,
            ServerMessage::ParticipantLeft { .. } => break,
            other => panic!("{other:?}"),
        }
        assert!(delivered < 100, "the sloth is never shown out");
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "shown out by the queue, not by silence: {:?}",
        started.elapsed()
    );
    assert!(matches!(
        alice.hear().await,
        ServerMessage::Delivered { .. }
    ));
    metric_becomes(&server, "conclave_disconnects_total", "too_slow", 1.0).await;
    metric_becomes(&server, "conclave_websocket_connections", "", 1.0).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_dead_peer_is_noticed() {
    let server = start_with(Limits {
        ping_every: Duration::from_millis(300),
        silence: Duration::from_millis(1500),
        ..Limits::default()
    });
    let (mut alice, _) = founder(&server, "garden").await;
    // Holds its socket open and answers no ping.
    let (dead, dead_id, ..) = Client::join(&server, "garden").await;
    assert!(matches!(
        alice.hear().await,
        ServerMessage::ParticipantJoined { .. }
    ));
    let started = Instant::now();
    match alice.hear().await {
        ServerMessage::ParticipantLeft { participant } => assert_eq!(participant, dead_id),
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed() < Duration::from_secs(5));
    // Alice has answered the pings while she listened, and stays.
    alice.chat("alone again").await;
    assert!(matches!(
        alice.hear().await,
        ServerMessage::Delivered { .. }
    ));
    assert_eq!(
        metric(&server, "conclave_disconnects_total", "silent").await,
        1.0
    );
    drop(dead);
    server.shutdown().await;
}

#[tokio::test]
async fn who_never_joins_is_shown_out() {
    let server = start_with(Limits {
        join_within: Duration::from_millis(200),
        ..Limits::default()
    });
    let mut idle = Client::connect(&server).await;
    let (said, close) = idle.hear_to_the_end().await;
    assert!(matches!(
        said[..],
        [ServerMessage::Error {
            code: ErrorCode::OutOfOrder,
            ..
        }]
    ));
    assert_eq!(close, Some(CloseCode::Policy));
    server.shutdown().await;
}

#[tokio::test]
async fn too_many_joins_of_one_room_are_refused_and_others_unharmed() {
    let one = NonZeroU32::MIN;
    let server = start_with(Limits {
        joins_per_room: Rate {
            per_second: one,
            burst: one.saturating_add(1),
        },
        ..Limits::default()
    });
    let _inside = [
        Client::join(&server, "garden").await,
        Client::join(&server, "garden").await,
    ];
    let mut third = Client::connect(&server).await;
    third.say(&join_as(PROTOCOL_VERSION, "garden", LINK)).await;
    assert_eq!(third.hear_error().await.0, ErrorCode::RoomBusy);
    let _elsewhere = Client::join(&server, "roof").await;
    let limited = metric(&server, "conclave_rate_limited_total", "room_joins").await;
    assert_eq!(limited, 1.0);
    sleep(Duration::from_millis(1100)).await;
    let _later = Client::join(&server, "garden").await;
    server.shutdown().await;
}

#[tokio::test]
async fn too_many_joins_from_one_address_are_refused() {
    let one = NonZeroU32::MIN;
    let server = start_with(Limits {
        joins_per_address: Rate {
            per_second: one,
            burst: one.saturating_add(1),
        },
        ..Limits::default()
    });
    let _first = Client::connect(&server).await;
    let _second = Client::connect(&server).await;
    let stream = TcpStream::connect(server.http_address())
        .await
        .expect("the server listens");
    let url = format!("ws://{}/ws", server.http_address());
    let refused = client_async(url, stream).await.expect_err("no third");
    assert!(refused.to_string().contains("429"), "{refused}");
    assert_eq!(
        metric(&server, "conclave_rate_limited_total", "joins").await,
        1.0
    );
    server.shutdown().await;
}
