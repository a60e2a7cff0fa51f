//! The whole SFU with its socket and thread, over UDP on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use conclave_protocol::{ParticipantId, RoomId};
use conclave_sfu::{ConnectError, Sfu, SfuConfig, SfuEvent};
use simulation::{Client, ClientConfig, participant};
use str0m::crypto::from_feature_flags;
use tokio::{net::UdpSocket, time::timeout};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn config(listen: IpAddr) -> SfuConfig {
    SfuConfig {
        listen,
        media_port: 0,
        public_addresses: vec![],
    }
}

/// A client on a socket of its own.
async fn join(sfu: &Sfu, room: &RoomId, index: usize, config: ClientConfig) -> (UdpSocket, Client) {
    let socket = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let server = SocketAddr::new(LOCALHOST, sfu.media_address().port());
    let (mut client, offer) = Client::at(
        address,
        server,
        index,
        &config,
        &from_feature_flags(),
        Instant::now(),
    );
    let answer = sfu
        .connect(room.clone(), participant(index), offer)
        .await
        .unwrap();
    client.accept(&answer.sdp);
    (socket, client)
}

/// Lets the clients and the SFU talk for a while.
async fn run(peers: &mut [(UdpSocket, Client)], time: Duration) {
    let end = Instant::now() + time;
    let mut buffer = vec![0; 2_000];
    while Instant::now() < end {
        for (socket, client) in peers.iter_mut() {
            while let Ok((length, source)) = socket.try_recv_from(&mut buffer) {
                client.receive(Instant::now(), source, &buffer[..length]);
            }
            if client.due() <= Instant::now() {
                client.advance(Instant::now());
            }
            while let Some(contents) = client.outbox.pop_front() {
                socket.send_to(&contents, client.server).await.unwrap();
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn metric(registry: &prometheus::Registry, line: &str) -> f64 {
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    let found = text.lines().find_map(|l| l.strip_prefix(line));
    found
        .unwrap_or_else(|| panic!("no {line} in\n{text}"))
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_call_over_real_sockets() {
    let registry = prometheus::Registry::new();
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let (sfu, mut events) = Sfu::start(config(everywhere), &registry).unwrap();
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

    for (_, viewer) in &peers[1..] {
        assert!(viewer.video().count() > 60, "{}", viewer.video().count());
        assert!(viewer.sounds().count() > 60);
        assert!(viewer.video().all(|r| r.stamp.sender == 0));
    }
    let arrived: usize = peers
        .iter()
        .flat_map(|(_, c)| c.received.values())
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
    assert!(peers[2].1.ended, "the client was told");
    assert_eq!(metric(&registry, "conclave_participants"), 2.0);

    timeout(Duration::from_secs(5), sfu.shutdown())
        .await
        .unwrap();
    run(&mut peers[..2], Duration::from_millis(200)).await;
    assert!(peers[0].1.ended && peers[1].1.ended);
}

#[tokio::test]
async fn after_the_shutdown_nobody_gets_in() {
    let registry = prometheus::Registry::new();
    let (sfu, _events) = Sfu::start(config(LOCALHOST), &registry).unwrap();
    let other = sfu.clone();
    timeout(Duration::from_secs(5), sfu.shutdown())
        .await
        .unwrap();
    let (_, offer) = Client::new(
        0,
        &ClientConfig::viewer(),
        &from_feature_flags(),
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
async fn a_port_that_is_taken_is_named() {
    let taken = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let registry = prometheus::Registry::new();
    let config = SfuConfig {
        media_port: port,
        ..config(LOCALHOST)
    };
    let error = Sfu::start(config, &registry).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}
