//! Whole calls through a shard, with real WebRTC clients, on a clock of their own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;

use std::time::Duration;

use conclave_sfu::{SfuEvent, SrtpProfile};
use simulation::{ClientConfig, World, media::assert_seamless, participant};

const SECOND: Duration = Duration::from_secs(1);

fn connected(world: &World) -> usize {
    world
        .events
        .iter()
        .filter(|e| matches!(e, SfuEvent::Connected { .. }))
        .count()
}

#[test]
fn everyone_sees_and_hears_everyone_else() {
    let mut world = World::new();
    for _ in 0..2 {
        world.join("r", ClientConfig::default());
    }
    for _ in 0..3 {
        world.join("r", ClientConfig::viewer());
    }
    world.settle();
    assert_eq!(connected(&world), 5);
    world.run(3 * SECOND);

    for (index, client) in world.clients.iter().enumerate() {
        for sender in 0..2 {
            let video = client.video().filter(|r| r.stamp.sender == sender as u8);
            let sounds = client.sounds().filter(|r| r.stamp.sender == sender as u8);
            let (video, sounds) = (video.count(), sounds.count());
            if sender == index {
                assert_eq!((video, sounds), (0, 0), "own media came back");
            } else {
                // 20 frames a second in three packets each, 50 packets of audio.
                assert!(video > 150 && sounds > 130, "{index}: {video}, {sounds}");
            }
        }
        for received in client.received.values() {
            assert_seamless(received);
            if received[0].is_video {
                assert!(received[0].stamp.is_key && received[0].stamp.part == 0);
            } else {
                assert_eq!(received[0].level, Some(-30));
            }
        }
        let sources: Vec<_> = client
            .publications
            .iter()
            .map(|p| p.sources.len())
            .collect();
        assert_eq!(sources, if index < 2 { vec![2] } else { vec![2, 2] });
    }
    let delivered: usize = world
        .clients
        .iter()
        .flat_map(|c| c.received.values())
        .map(Vec::len)
        .sum();
    world.clients.iter_mut().for_each(|c| {
        c.camera_on = false;
        c.microphone_on = false;
    });
    world.run(SECOND / 10);
    let arrived: usize = world
        .clients
        .iter()
        .flat_map(|c| c.received.values())
        .map(Vec::len)
        .sum();
    let counters = world.shards[0].counters();
    let forwarded = counters.forwarded.audio.packets + counters.forwarded.video.packets;
    assert!(arrived >= delivered);
    assert_eq!(
        forwarded, arrived as u64,
        "each forwarded packet is counted once"
    );
    let aead = counters.handshakes(SrtpProfile::AeadAes256Gcm)
        + counters.handshakes(SrtpProfile::AeadAes128Gcm);
    assert_eq!(aead, 5);
}

#[test]
fn a_late_joiner_gets_a_key_frame_and_the_publisher_one_request() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    world.join("r", ClientConfig::viewer());
    world.settle();
    world.run(3 * SECOND);
    world.clients[publisher].key_frame_requests.clear();

    let late = [
        world.join("r", ClientConfig::viewer()),
        world.join("r", ClientConfig::viewer()),
    ];
    world.settle();
    for index in late {
        let waited = world.run_until("video for the newcomer", |world| {
            world.clients[index].video().next().is_some()
        });
        assert!(waited < SECOND / 3, "{waited:?}");
        let first = world.clients[index].video().next().unwrap();
        assert!(first.stamp.is_key && first.stamp.part == 0);
    }
    world.run(SECOND);
    let requests = &world.clients[publisher].key_frame_requests;
    assert_eq!(requests.len(), 1, "{requests:?}");
}

#[test]
fn who_comes_right_after_a_key_frame_gets_that_one() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let first = world.join("r", ClientConfig::viewer());
    world.settle();
    world.run(3 * SECOND);
    // The first leaves nothing behind that would serve the second by chance.
    world.clients[first].forget();
    let slot = world.clients[first].camera_slot_of(participant(publisher));
    let now = world.now;
    world.clients[first].request_key_frame(now, &slot.unwrap());
    world.run_until("a new key frame", |world| {
        world.clients[first].video().any(|r| r.stamp.is_key)
    });
    world.clients[publisher].key_frame_requests.clear();
    let kept = world.shards[0].counters().key_frames_kept;

    let second = world.join("r", ClientConfig::viewer());
    world.settle();
    let waited = world.run_until("video for the second", |world| {
        world.clients[second].video().next().is_some()
    });
    assert!(waited < SECOND / 10, "{waited:?}");
    let begun = world.clients[second].video().next().unwrap();
    assert!(begun.stamp.is_key && begun.stamp.part == 0, "{begun:?}");
    world.run(SECOND);
    let slot = world.clients[second].camera_slot_of(participant(publisher));
    assert_seamless(world.clients[second].in_slot(&slot.unwrap()));
    let requests = &world.clients[publisher].key_frame_requests;
    assert!(requests.is_empty(), "{requests:?}");
    assert_eq!(world.shards[0].counters().key_frames_kept, kept + 1);
}

#[test]
fn the_tile_decides_the_layer_and_the_stream_has_no_seam() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let viewer = world.join("r", ClientConfig::viewer());
    world.settle();
    let layer_after = |world: &mut World, height| {
        let now = world.now;
        world.clients[viewer].wish(now, &[(participant(publisher), height)]);
        world.run(2 * SECOND);
        world.clients[viewer].video().last().unwrap().stamp.layer
    };
    assert_eq!(layer_after(&mut world, 90), 0);
    assert_eq!(layer_after(&mut world, 720), 2);
    assert_eq!(layer_after(&mut world, 360), 1);
    assert_eq!(layer_after(&mut world, 90), 0);

    let slot = world.clients[viewer]
        .camera_slot_of(participant(publisher))
        .unwrap();
    assert_seamless(world.clients[viewer].in_slot(&slot));
    let counters = world.shards[0].counters();
    assert!(counters.layer_upgrades >= 1, "{counters:?}");
    assert!(counters.layer_downgrades >= 2, "{counters:?}");
}

#[test]
fn a_layer_that_falls_asleep_is_replaced() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let viewer = world.join("r", ClientConfig::viewer());
    world.settle();
    let now = world.now;
    world.clients[viewer].wish(now, &[(participant(publisher), 720)]);
    world.run(2 * SECOND);
    world.clients[publisher].layers_on = [true, true, false];
    world.run(2 * SECOND);
    world.clients[viewer].forget();
    world.run(SECOND);
    let layers: Vec<u8> = world.clients[viewer]
        .video()
        .map(|r| r.stamp.layer)
        .collect();
    assert!(
        layers.len() > 50 && layers.iter().all(|l| *l == 1),
        "{layers:?}"
    );
}

#[test]
fn rooms_do_not_leak_into_each_other() {
    let mut world = World::new();
    for index in 0..6 {
        let room = if index % 2 == 0 { "even" } else { "odd" };
        world.join(room, ClientConfig::default());
    }
    world.settle();
    world.run(2 * SECOND);
    for (index, client) in world.clients.iter().enumerate() {
        let senders: Vec<_> = client
            .received
            .values()
            .flatten()
            .map(|r| usize::from(r.stamp.sender))
            .collect();
        assert!(senders.len() > 300);
        assert!(senders.iter().all(|s| s % 2 == index % 2 && *s != index));
        assert_eq!(client.publications.len(), 2);
        assert!(client.speakers.len() <= 3);
    }
}

#[test]
fn a_second_connection_replaces_the_first() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let viewer = world.join("r", ClientConfig::viewer());
    world.settle();
    world.run(SECOND);
    world.replace(publisher, "r", &ClientConfig::default());
    world.clients[viewer].forget();
    world.run(3 * SECOND);
    assert!(world.clients[viewer].video().count() > 60);
    assert!(
        !world
            .events
            .iter()
            .any(|e| matches!(e, SfuEvent::Lost { .. }))
    );
    assert_eq!(world.shards[0].population().participants, 2);
}
