//! Several media threads, on real sockets: each client's packets may come to any of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;
mod sockets;

use std::{num::NonZeroU8, time::Duration};

use conclave_protocol::RoomId;
use conclave_sfu::{Sfu, SfuConfig, SfuEvent};
use prometheus::Registry;
use simulation::{ClientConfig, client::Received, participant};
use sockets::{Caller, LOCALHOST, config, join, metric, run_until};
use str0m::net::Protocol;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

fn threads(count: u8) -> SfuConfig {
    SfuConfig {
        media_threads: NonZeroU8::new(count),
        ..config(Some(LOCALHOST))
    }
}

/// Has got video and sound from so many others.
fn sees(caller: &Caller, others: &[usize]) -> bool {
    let client = &caller.client;
    others.iter().all(|other| {
        let from = |r: &&Received| usize::from(r.stamp.sender) == *other;
        client.video().filter(from).count() > 40 && client.sounds().filter(from).count() > 40
    })
}

fn others(of: usize, all: usize) -> Vec<usize> {
    (0..all).filter(|other| *other != of).collect()
}

#[tokio::test]
async fn a_room_that_is_on_three_threads_is_one_room() {
    let registry = Registry::new();
    // Nobody shares a thread.
    let (sfu, mut events) = Sfu::start_with_spill(&threads(3), &registry, 1).unwrap();
    let room: RoomId = "r".parse().unwrap();
    let over_tcp = ClientConfig {
        transport: Protocol::Tcp,
        ..ClientConfig::default()
    };
    let mut peers = vec![
        join(&sfu, &room, 0, ClientConfig::default()).await,
        join(&sfu, &room, 1, ClientConfig::default()).await,
        join(&sfu, &room, 2, over_tcp).await,
    ];
    run_until(&mut peers, "everyone sees and hears the others", |peers| {
        peers
            .iter()
            .enumerate()
            .all(|(index, peer)| sees(peer, &others(index, 3)))
    })
    .await;
    assert_eq!(metric(&registry, "conclave_participants"), 3.0);
    for worker in 0..3 {
        let busy = format!(r#"conclave_worker_busy_seconds_total{{worker="{worker}"}}"#);
        assert!(metric(&registry, &busy) > 0.0);
        let depth = format!(r#"conclave_worker_queue_depth{{worker="{worker}"}}"#);
        assert!(metric(&registry, &depth) >= 0.0);
    }
    let lost = r#"conclave_packets_dropped_total{reason="busy_worker"}"#;
    assert_eq!(metric(&registry, lost), 0.0);
    while let Ok(event) = events.try_recv() {
        assert!(matches!(event, SfuEvent::Connected { .. }), "{event:?}");
    }

    sfu.disconnect(participant(1));
    run_until(&mut peers, "who leaves is told", |peers| {
        peers[1].client.ended
    })
    .await;
    run_until(&mut peers, "the others are told", |peers| {
        let gone = participant(1);
        [0, 2].iter().all(|i| {
            let told = &peers[*i].client.slots;
            told.iter().all(|slot| slot.participant != gone)
        })
    })
    .await;

    timeout(PATIENCE, sfu.shutdown()).await.unwrap();
    run_until(&mut peers, "everyone is told of the end", |peers| {
        peers.iter().all(|peer| peer.client.ended)
    })
    .await;
    assert_eq!(metric(&registry, "conclave_participants"), 0.0);
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn small_rooms_are_spread_over_the_threads() {
    let registry = Registry::new();
    let (sfu, _events) = Sfu::start(&threads(2), &registry).unwrap();
    let rooms: [RoomId; 2] = ["a", "b"].map(|name| name.parse().unwrap());
    let mut peers = vec![];
    // Many sockets: whatever the system does with them, some come to the wrong thread.
    for index in 0..8 {
        let config = ClientConfig {
            publishes: index < 2,
            ..ClientConfig::default()
        };
        peers.push(join(&sfu, &rooms[index % 2], index, config).await);
    }
    run_until(&mut peers, "all see their own room", |peers| {
        (2..8).all(|index| sees(&peers[index], &[index % 2]))
    })
    .await;
    assert_eq!(metric(&registry, "conclave_media_rooms"), 2.0);
    timeout(PATIENCE, sfu.shutdown()).await.unwrap();
}

#[tokio::test]
async fn who_goes_to_another_room_leaves_the_one_before() {
    let registry = Registry::new();
    let (sfu, _events) = Sfu::start(&threads(2), &registry).unwrap();
    let rooms: [RoomId; 2] = ["a", "b"].map(|name| name.parse().unwrap());
    let mut stays = join(&sfu, &rooms[0], 0, ClientConfig::viewer()).await;
    let goes = join(&sfu, &rooms[0], 1, ClientConfig::viewer()).await;
    let came = join(&sfu, &rooms[1], 1, ClientConfig::viewer()).await;
    run_until(std::slice::from_mut(&mut stays), "it has left", |_| {
        let count = |name| metric(&registry, name);
        count("conclave_media_rooms") == 2.0 && count("conclave_participants") == 2.0
    })
    .await;
    drop((goes, came));
}

#[tokio::test]
async fn an_offer_that_is_refused_takes_no_place() {
    let (sfu, _events) = Sfu::start(&threads(2), &Registry::new()).unwrap();
    let now = std::time::Instant::now();
    let (_, mut offer) = simulation::Client::new(0, &ClientConfig::viewer(), now);
    offer.sdp = "nonsense".into();
    let rooms: [RoomId; 2] = ["a", "b"].map(|name| name.parse().unwrap());
    let refused = sfu.connect(rooms[0].clone(), participant(0), offer).await;
    assert!(refused.is_err());
    let mut first = join(&sfu, &rooms[1], 1, ClientConfig::viewer()).await;
    assert!(first.client.checked_user().starts_with("00"));
    let mut second = join(&sfu, &rooms[0], 2, ClientConfig::viewer()).await;
    assert!(second.client.checked_user().starts_with("01"));
}
