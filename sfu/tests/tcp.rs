//! Clients that UDP does not reach: ICE over TCP (RFC 6544), on real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;
mod sockets;

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use conclave_protocol::RoomId;
use conclave_sfu::Sfu;
use prometheus::Registry;
use simulation::{ClientConfig, participant};
use sockets::{LOCALHOST, Line, config, framed, join, join_at, metric, run_until};
use str0m::net::Protocol;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

/// Long enough for whatever the server does of its own accord.
const PATIENCE: Duration = Duration::from_secs(20);

fn over_tcp(config: &ClientConfig) -> ClientConfig {
    ClientConfig {
        transport: Protocol::Tcp,
        ..config.clone()
    }
}

fn connected(registry: &Registry, transport: &str) -> f64 {
    let name = "conclave_ice_connections_total";
    let labels = format!(r#"{name}{{result="connected",transport="{transport}"}}"#);
    metric(registry, &labels)
}

fn ended(registry: &Registry, reason: &str) -> f64 {
    let name = "conclave_tcp_connections_ended_total";
    metric(registry, &format!(r#"{name}{{reason="{reason}"}}"#))
}

#[tokio::test]
async fn one_comes_over_udp_and_two_over_tcp_and_all_see_and_hear_each_other() {
    let registry = Registry::new();
    let (sfu, _events) = Sfu::start(&config(None), &registry).unwrap();
    let room: RoomId = "r".parse().unwrap();
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let tcp = over_tcp(&ClientConfig::default());
    let mut peers = vec![
        join(&sfu, &room, 0, ClientConfig::default()).await,
        join_at(&sfu, &room, 1, &tcp, LOCALHOST).await,
        join_at(&sfu, &room, 2, &tcp, v6).await,
    ];
    run_until(&mut peers, "everyone sees and hears the others", |peers| {
        peers.iter().all(|peer| {
            let client = &peer.client;
            (0..3).filter(|other| *other != client.index).all(|other| {
                let from = |r: &&simulation::client::Received| usize::from(r.stamp.sender) == other;
                client.video().filter(from).count() > 40
                    && client.sounds().filter(from).count() > 40
            })
        })
    })
    .await;
    assert_eq!(connected(&registry, "udp"), 1.0);
    assert_eq!(connected(&registry, "tcp"), 2.0);
    assert_eq!(metric(&registry, "conclave_tcp_connections"), 2.0);

    sfu.disconnect(participant(1));
    run_until(&mut peers, "the client is told", |peers| {
        peers[1].client.ended
    })
    .await;
    timeout(PATIENCE, peers[1].line.is_closed()).await.unwrap();
    run_until(&mut peers[..1], "its end is counted", |_| {
        ended(&registry, "released") == 1.0
    })
    .await;

    timeout(PATIENCE, sfu.shutdown()).await.unwrap();
    let mut third = peers.pop().unwrap();
    run_until(
        std::slice::from_mut(&mut third),
        "the client is told",
        |third| third[0].client.ended,
    )
    .await;
    timeout(PATIENCE, third.line.is_closed()).await.unwrap();
    assert_eq!(metric(&registry, "conclave_tcp_connections"), 0.0);
}

/// What the server does with a connection that says this.
async fn answer_to(words: &[u8]) -> Registry {
    let registry = Registry::new();
    let (sfu, _events) = Sfu::start(&config(Some(LOCALHOST)), &registry).unwrap();
    let mut stream = TcpStream::connect(sfu.media_address()).await.unwrap();
    stream.write_all(words).await.unwrap();
    let mut line = Line::Tcp {
        stream,
        read: vec![],
    };
    timeout(PATIENCE, line.is_closed()).await.unwrap();
    sfu.shutdown().await;
    registry
}

#[tokio::test]
async fn who_says_nothing_is_shown_out() {
    assert_eq!(ended(&answer_to(b"").await, "silent"), 1.0);
}

#[tokio::test]
async fn who_says_something_other_than_a_check_is_shown_out() {
    let datagram = framed(&[22; 100]);
    assert_eq!(ended(&answer_to(&datagram).await, "not_a_check"), 1.0);
    let trickle = [0; 4_000];
    assert_eq!(ended(&answer_to(&trickle).await, "not_a_check"), 1.0);
    let request = b"GET / HTTP/1.1\r\n\r\n";
    assert_eq!(ended(&answer_to(request).await, "too_long"), 1.0);
}

/// An ICE check for a user, which needs not be one of the server's.
fn check(username: &str) -> Vec<u8> {
    use str0m::ice::{StunMessage, TransId};
    let message = StunMessage::binding_request(username, TransId::new(), true, 7, 1, false);
    let mut buffer = vec![0; 500];
    let hmac = |key: &[u8], payloads: &[&[u8]]| hmac_sha1(key, payloads);
    let length = message.to_bytes(Some(b"guess"), &mut buffer, hmac).unwrap();
    buffer.truncate(length);
    buffer
}

/// Wrong, as that of someone who does not know the password.
fn hmac_sha1(_key: &[u8], _payloads: &[&[u8]]) -> [u8; 20] {
    [0; 20]
}

#[tokio::test]
async fn a_check_for_someone_unknown_or_with_a_wrong_password_is_not_answered() {
    for name in ["nobody:here", "00nobody:here", "ffnobody:here"] {
        let stranger = framed(&check(name));
        assert_eq!(ended(&answer_to(&stranger).await, "unanswered"), 1.0);
    }

    let registry = Registry::new();
    let (sfu, _events) = Sfu::start(&config(Some(LOCALHOST)), &registry).unwrap();
    let room: RoomId = "r".parse().unwrap();
    let mut ada = join(&sfu, &room, 0, over_tcp(&ClientConfig::viewer())).await;
    run_until(std::slice::from_mut(&mut ada), "Ada is in", |ada| {
        ada[0].client.is_ready()
    })
    .await;
    let username = ada.client.checked_user();
    let mut stream = TcpStream::connect(sfu.media_address()).await.unwrap();
    stream.write_all(&framed(&check(&username))).await.unwrap();
    let mut line = Line::Tcp {
        stream,
        read: vec![],
    };
    timeout(PATIENCE, line.is_closed()).await.unwrap();
    run_until(std::slice::from_mut(&mut ada), "it is counted", |_| {
        ended(&registry, "unanswered") == 1.0
    })
    .await;
    assert_eq!(metric(&registry, "conclave_tcp_connections"), 1.0);
}

#[tokio::test]
async fn a_member_that_sends_frames_longer_than_datagrams_is_cut_off() {
    let registry = Registry::new();
    let (sfu, _events) = Sfu::start(&config(Some(LOCALHOST)), &registry).unwrap();
    let room: RoomId = "r".parse().unwrap();
    let mut ada = join(&sfu, &room, 0, over_tcp(&ClientConfig::viewer())).await;
    run_until(std::slice::from_mut(&mut ada), "Ada is in", |ada| {
        ada[0].client.is_ready()
    })
    .await;
    let Line::Tcp { stream, .. } = &mut ada.line else {
        panic!("not over TCP");
    };
    stream.write_all(&framed(&[22; 1_501])).await.unwrap();
    timeout(PATIENCE, ada.line.is_closed()).await.unwrap();
    run_until(&mut [], "it is counted", |_| {
        ended(&registry, "too_long") == 1.0
    })
    .await;
}

#[tokio::test]
async fn the_answer_ranks_udp_before_tcp_and_ipv6_before_ipv4() {
    let public = ["192.0.2.7", "2001:db8::7", "198.51.100.7"].map(|ip| ip.parse().unwrap());
    let mut config = config(None);
    config.public_addresses = public.to_vec();
    let (sfu, _events) = Sfu::start(&config, &Registry::new()).unwrap();
    let port = sfu.media_address().port();
    let (_, offer) = simulation::Client::new(0, &ClientConfig::viewer(), std::time::Instant::now());
    let answer = sfu
        .connect("r".parse().unwrap(), participant(0), offer)
        .await
        .unwrap();
    let mut candidates: Vec<(u32, String)> = answer
        .sdp
        .lines()
        .filter_map(|line| {
            let fields: Vec<_> = line.strip_prefix("a=candidate:")?.split(' ').collect();
            let [
                _,
                "1",
                transport,
                priority,
                ip,
                at,
                "typ",
                "host",
                rest @ ..,
            ] = &fields[..]
            else {
                panic!("{line}");
            };
            assert_eq!(at.parse(), Ok(port));
            assert_eq!(
                rest.starts_with(&["tcptype", "passive"]),
                *transport == "tcp"
            );
            let address = SocketAddr::new(ip.parse().unwrap(), port).ip();
            Some((priority.parse().unwrap(), format!("{transport} {address}")))
        })
        .collect();
    candidates.sort_unstable();
    candidates.dedup();
    let ranked: Vec<_> = candidates.into_iter().rev().map(|(_, c)| c).collect();
    let expected = [
        "udp 2001:db8::7",
        "udp 192.0.2.7",
        "udp 198.51.100.7",
        "tcp 2001:db8::7",
        "tcp 192.0.2.7",
        "tcp 198.51.100.7",
    ];
    assert_eq!(ranked, expected);
}
