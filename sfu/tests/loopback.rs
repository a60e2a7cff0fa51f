//! The whole SFU with its socket and thread, over UDP on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;
mod sockets;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use conclave_protocol::{ParticipantId, RoomId};
use conclave_sfu::{ConnectError, Sfu, SfuEvent};
use simulation::{Client, ClientConfig, participant};
use sockets::{LOCALHOST, config, join, join_at, metric, run, run_until};
use tokio::{
    net::{TcpListener, UdpSocket},
    time::timeout,
};

#[tokio::test]
async fn a_call_over_real_sockets() {
    let registry = prometheus::Registry::new();
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let (sfu, mut events) = Sfu::start(&config(Some(everywhere)), &registry).unwrap();
    let room: RoomId = "r".parse().unwrap();
    let mut peers = vec![
        join(&sfu, &room, 0, ClientConfig::default()).await,
        join(&sfu, &room, 1, ClientConfig::viewer()).await,
        join(&sfu, &room, 2, ClientConfig::viewer()).await,
    ];
    run(&mut peers, Duration::from_secs(4)).await;

    let mut connected: Vec<ParticipantId> = vec![];
    while let Ok(event) = events.try_recv() {
        match event {
            SfuEvent::Connected { participant } => connected.push(participant),
            SfuEvent::Lost { .. } => panic!("{event:?}"),
        }
    }
    connected.sort_unstable();
    assert_eq!(connected, [0, 1, 2].map(participant));

    for viewer in peers[1..].iter().map(|peer| &peer.client) {
        assert!(viewer.video().count() > 60, "{}", viewer.video().count());
        assert!(viewer.sounds().count() > 60);
        assert!(viewer.video().all(|r| r.stamp.sender == 0));
    }
    let arrived: usize = peers
        .iter()
        .flat_map(|peer| peer.client.received.values())
        .map(Vec::len)
        .sum();
    let out = |kind| {
        metric(
            &registry,
            &format!(r#"conclave_packets_total{{direction="out",kind="{kind}",peer="client"}}"#),
        )
    };
    let forwarded = out("audio") + out("video");
    let difference = forwarded - arrived as f64;
    assert!((0.0..=10.0).contains(&difference), "{forwarded} {arrived}");
    assert_eq!(metric(&registry, "conclave_participants"), 3.0);
    assert_eq!(metric(&registry, "conclave_media_rooms"), 1.0);
    assert_eq!(
        metric(
            &registry,
            r#"conclave_ice_connections_total{result="connected",transport="udp"}"#
        ),
        3.0
    );
    assert!(
        metric(
            &registry,
            r#"conclave_worker_cpu_seconds_total{worker="0"}"#
        ) > 0.0
    );
    let busy = metric(
        &registry,
        r#"conclave_worker_busy_seconds_total{worker="0"}"#,
    );
    assert!(busy < 2.0, "the media thread does not spin: {busy} s of 4");
    assert!(metric(&registry, "conclave_forward_latency_seconds_count") > 100.0);

    sfu.disconnect(participant(2));
    run(&mut peers, Duration::from_millis(500)).await;
    assert!(peers[2].client.ended, "the client was told");
    assert_eq!(metric(&registry, "conclave_participants"), 2.0);

    timeout(Duration::from_secs(5), sfu.shutdown())
        .await
        .unwrap();
    run(&mut peers[..2], Duration::from_millis(200)).await;
    assert!(peers[0].client.ended && peers[1].client.ended);
}

#[tokio::test]
async fn after_the_shutdown_nobody_gets_in() {
    let registry = prometheus::Registry::new();
    let (sfu, _events) = Sfu::start(&config(Some(LOCALHOST)), &registry).unwrap();
    let other = sfu.clone();
    timeout(Duration::from_secs(5), sfu.shutdown())
        .await
        .unwrap();
    let (_, offer) = Client::new(
        0,
        &ClientConfig::viewer(),
        &str0m::crypto::from_feature_flags(),
        Instant::now(),
    );
    let refused = other
        .connect("r".parse().unwrap(), participant(0), offer)
        .await;
    assert_eq!(refused, Err(ConnectError::ShuttingDown));
    other.disconnect(participant(0));
    timeout(Duration::from_secs(5), other.shutdown())
        .await
        .unwrap();
}

#[tokio::test]
async fn who_leaves_while_an_offer_is_looked_at_is_not_let_in() {
    let registry = prometheus::Registry::new();
    let (sfu, mut events) = Sfu::start(&config(Some(LOCALHOST)), &registry).unwrap();
    let (_, offer) = Client::new(
        0,
        &ClientConfig::viewer(),
        &str0m::crypto::from_feature_flags(),
        Instant::now(),
    );
    let connecting = sfu.connect("r".parse().unwrap(), participant(0), offer);
    let mut connecting = std::pin::pin!(connecting);
    // It is looked at from the first time that its outcome is asked for.
    tokio::select! {
        biased;
        answered = connecting.as_mut() => panic!("{answered:?}"),
        () = std::future::ready(()) => {}
    }
    sfu.disconnect(participant(0));
    assert_eq!(connecting.await, Err(ConnectError::Left));

    // By then the place is free again: somebody who comes now is the only one.
    let mut peers = vec![join(&sfu, &"r".parse().unwrap(), 1, ClientConfig::default()).await];
    run(&mut peers, Duration::from_secs(1)).await;
    let connected = events.try_recv().unwrap();
    let expected = participant(1);
    assert!(
        matches!(connected, SfuEvent::Connected { participant } if participant == expected),
        "{connected:?}"
    );
    assert_eq!(metric(&registry, "conclave_participants"), 1.0);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let registry = prometheus::Registry::new();
    let udp = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let tcp = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    for (transport, taken) in [
        ("UDP", udp.local_addr().unwrap()),
        ("TCP", tcp.local_addr().unwrap()),
    ] {
        let mut config = config(Some(LOCALHOST));
        config.media_port = taken.port();
        let error = Sfu::start(&config, &registry).map(|_| ()).unwrap_err();
        let expected = format!("{transport} {taken}");
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

#[tokio::test]
async fn a_port_that_another_server_has_is_not_shared_with_it() {
    let (first, _events) =
        Sfu::start(&config(Some(LOCALHOST)), &prometheus::Registry::new()).unwrap();
    let mut config = config(Some(LOCALHOST));
    config.media_port = first.media_address().port();
    let second = Sfu::start(&config, &prometheus::Registry::new());
    assert!(second.is_err());
}

#[tokio::test]
async fn one_socket_serves_ipv4_and_ipv6() {
    let registry = prometheus::Registry::new();
    let (sfu, _events) = Sfu::start(&config(None), &registry).unwrap();
    let room: RoomId = "r".parse().unwrap();
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let mut peers = vec![
        join(&sfu, &room, 0, ClientConfig::default()).await,
        join_at(&sfu, &room, 1, &ClientConfig::default(), v6).await,
    ];
    run_until(&mut peers, "both see each other", |peers| {
        peers.iter().all(|peer| peer.client.video().count() > 20)
    })
    .await;
    sfu.shutdown().await;
}
