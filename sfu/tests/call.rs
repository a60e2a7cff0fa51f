//! Whole calls through a shard, with real WebRTC clients, on a clock of their own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;

use std::time::Duration;

use conclave_protocol::{control::ControlRequest, signal::Source};
use conclave_sfu::{DropReason, SfuEvent, SrtpProfile};
use simulation::{ClientConfig, World, client::assert_seamless, participant};

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
            if received[0].picture.is_some() {
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
        assert_eq!(client.publications.len(), 4);
        assert_eq!(sources.iter().sum::<usize>(), if index < 2 { 2 } else { 4 });
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
    let counters = world.shard.counters();
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
    let counters = world.shard.counters();
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
fn leaving_clears_the_slot() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let other = world.join("r", ClientConfig::default());
    let viewer = world.join("r", ClientConfig::viewer());
    world.settle();
    world.run(SECOND);
    assert_eq!(world.clients[viewer].slots.len(), 4);
    let kept = world.clients[viewer].camera_slot_of(participant(other));

    world.leave(publisher);
    world.run(SECOND);
    let viewer = &world.clients[viewer];
    assert_eq!(viewer.slots.len(), 2);
    assert!(
        viewer
            .slots
            .iter()
            .all(|s| s.participant == participant(other))
    );
    assert_eq!(viewer.camera_slot_of(participant(other)), kept);
    let named: Vec<_> = viewer.publications.iter().map(|p| p.participant).collect();
    assert_eq!(named, [participant(other)]);
}

#[test]
fn a_client_that_closes_or_falls_silent_is_lost() {
    let mut world = World::new();
    let closes = world.join("r", ClientConfig::viewer());
    let silent = world.join("r", ClientConfig::viewer());
    world.join("r", ClientConfig::viewer());
    world.settle();
    let now = world.now;
    world.clients[closes].rtc.close().unwrap();
    world.clients[closes].advance(now);
    world.clients[silent].is_gone = true;
    world.run(25 * SECOND);
    let lost: Vec<_> = world
        .events
        .iter()
        .filter_map(|e| match e {
            SfuEvent::Lost {
                participant,
                reason,
            } => Some((*participant, *reason)),
            SfuEvent::Connected { .. } => None,
        })
        .collect();
    assert_eq!(
        lost,
        [
            (participant(closes), conclave_sfu::LostReason::Closed),
            (participant(silent), conclave_sfu::LostReason::Silent),
        ]
    );
    assert_eq!(world.shard.population().participants, 1);
}

#[test]
fn a_connection_that_never_comes_about_is_given_up() {
    let mut world = World::new();
    let silent = world.join("r", ClientConfig::viewer());
    world.clients[silent].is_gone = true;
    world.run(31 * SECOND);
    let expected = SfuEvent::Lost {
        participant: participant(silent),
        reason: conclave_sfu::LostReason::NeverConnected,
    };
    assert_eq!(world.events, [expected]);
    assert_eq!(world.shard.population().rooms, 0);
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
fn a_source_that_is_turned_off_frees_its_slot() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let viewer = world.join("r", ClientConfig::viewer());
    world.settle();
    world.run(SECOND);
    assert_eq!(world.clients[viewer].slots.len(), 2);

    let publishing = |sources: &[Source]| ControlRequest::Publishing {
        sources: sources.to_vec(),
    };
    let now = world.now;
    world.clients[publisher].ask(now, &publishing(&[Source::Microphone]));
    world.clients[publisher].camera_on = false;
    world.run(SECOND);
    let filled: Vec<_> = world.clients[viewer]
        .slots
        .iter()
        .map(|s| s.source)
        .collect();
    assert_eq!(filled, [Source::Microphone]);

    let now = world.now;
    world.clients[publisher].ask(now, &publishing(&[Source::Microphone, Source::Camera]));
    world.clients[publisher].camera_on = true;
    world.clients[viewer].forget();
    world.run(SECOND);
    assert!(world.clients[viewer].video().count() > 30);
    let slot = world.clients[viewer].camera_slot_of(participant(publisher));
    assert_seamless(world.clients[viewer].in_slot(&slot.unwrap()));

    let now = world.now;
    world.clients[publisher].ask(now, &publishing(&[Source::Screen]));
    world.run(SECOND);
    assert_eq!(world.clients[publisher].refusals.len(), 1);
    assert_eq!(world.clients[viewer].slots.len(), 2, "it had no effect");
}

#[test]
fn slots_go_to_the_wished_and_stay_where_they_are() {
    let mut world = World::new();
    for _ in 0..5 {
        world.join("r", ClientConfig::default());
    }
    let viewer = world.join(
        "r",
        ClientConfig {
            camera_slots: 2,
            ..ClientConfig::viewer()
        },
    );
    world.settle();
    world.run(SECOND);
    let seen = |world: &World| -> Vec<_> {
        (0..5)
            .map(|p| world.clients[viewer].camera_slot_of(participant(p)))
            .collect()
    };
    let first = seen(&world);
    assert!(first[0].is_some() && first[1].is_some() && first[2].is_none());

    let now = world.now;
    let wishes = [4, 1, 3].map(|p| (participant(p), 180));
    world.clients[viewer].wish(now, &wishes);
    world.run(SECOND);
    let second = seen(&world);
    assert_eq!(second[1], first[1], "who stays wanted does not move");
    assert_eq!(second[4], first[0]);
    assert!(second[0].is_none() && second[2].is_none() && second[3].is_none());
    assert_seamless(world.clients[viewer].in_slot(&second[4].clone().unwrap()));
}

#[test]
fn the_loudest_take_the_audio_slots() {
    let mut world = World::new();
    for index in 0..6 {
        world.join(
            "r",
            ClientConfig {
                level: -70 - index,
                ..ClientConfig::default()
            },
        );
    }
    let listener = world.join(
        "r",
        ClientConfig {
            audio_slots: 2,
            ..ClientConfig::viewer()
        },
    );
    world.settle();
    world.run(SECOND);
    assert!(world.clients[listener].speakers.is_empty());
    world.clients[4].level = -20;
    world.clients[5].level = -35;
    world.run(2 * SECOND);
    world.clients[listener].forget();
    world.run(SECOND);
    let mut heard: Vec<u8> = world.clients[listener]
        .sounds()
        .map(|r| r.stamp.sender)
        .collect();
    heard.sort_unstable();
    heard.dedup();
    assert_eq!(heard, [4, 5]);
    assert_eq!(
        world.clients[listener].speakers,
        [participant(4), participant(5)]
    );
}

#[test]
fn garbage_is_counted_and_harms_nobody() {
    let mut world = World::new();
    world.join("r", ClientConfig::default());
    let viewer = world.join("r", ClientConfig::viewer());
    world.settle();
    let stranger = "203.0.113.9:999".parse().unwrap();
    let member = world.clients[0].address;
    let rtp = |length| {
        let mut packet = vec![0x80, 96, 0, 1];
        packet.resize(length, 0x55);
        packet
    };
    for (source, contents, reason) in [
        (stranger, vec![], DropReason::Malformed),
        (stranger, vec![255; 100], DropReason::Malformed),
        (stranger, vec![1; 40], DropReason::Malformed),
        (stranger, rtp(200), DropReason::UnknownSource),
        (stranger, vec![22; 60], DropReason::UnknownSource),
        (member, rtp(200), DropReason::Unusable),
        (member, rtp(13), DropReason::Unusable),
        (member, rtp(9_000), DropReason::TooLong),
    ] {
        let before = world.shard.counters().dropped(reason);
        world.inject(source, &contents);
        let after = world.shard.counters().dropped(reason);
        assert_eq!(after, before + 1, "{reason:?} {contents:?}");
    }
    // Who was taken out and did not hear of it goes on with its checks.
    let former = world.join("r", ClientConfig::viewer());
    world.settle();
    world.paths[former].loss_down = 1_000;
    world.shard.remove(world.now, participant(former));
    world.run(5 * SECOND);
    assert!(world.shard.counters().dropped(DropReason::UnknownUser) > 0);
    world.clients[former].is_gone = true;
    // Every first byte, many lengths, from a member's own address.
    for first in 0..=255u8 {
        for length in [1, 2, 3, 12, 19, 20, 21, 64, 500, 1_500] {
            let mut contents = vec![first; length];
            for (i, byte) in contents.iter_mut().enumerate().skip(1) {
                *byte = (i as u8).wrapping_mul(first | 1).wrapping_add(first);
            }
            world.inject(member, &contents);
        }
    }
    world.clients[viewer].forget();
    world.run(2 * SECOND);
    assert!(world.clients[viewer].video().count() > 100);
    assert!(
        !world
            .events
            .iter()
            .any(|e| matches!(e, SfuEvent::Lost { .. }))
    );
}

#[test]
fn a_flood_of_key_frame_requests_stays_with_the_sfu() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let viewer = world.join("r", ClientConfig::viewer());
    world.settle();
    world.run(2 * SECOND);
    let slot = world.clients[viewer]
        .camera_slot_of(participant(publisher))
        .unwrap();
    world.clients[publisher].key_frame_requests.clear();
    for _ in 0..1000 {
        let now = world.now;
        world.clients[viewer].request_key_frame(now, &slot);
        world.run(Duration::from_millis(5));
    }
    let requests = world.clients[publisher].key_frame_requests.len();
    assert!((5..=11).contains(&requests), "{requests} in five seconds");
    let counters = world.shard.counters();
    assert!(counters.key_frames_asked > 900, "{counters:?}");
    assert!(counters.key_frames_suppressed > 900, "{counters:?}");
}

#[test]
fn losses_on_both_sides_are_repaired() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let viewer = world.join("r", ClientConfig::viewer());
    world.settle();
    world.run(SECOND);
    world.paths[publisher].loss_up = 50;
    world.paths[viewer].loss_down = 50;
    world.run(5 * SECOND);
    world.paths[publisher].loss_up = 0;
    world.paths[viewer].loss_down = 0;
    world.run(SECOND);
    let slot = world.clients[viewer]
        .camera_slot_of(participant(publisher))
        .unwrap();
    let received = world.clients[viewer].in_slot(&slot);
    let (least, most) = received.iter().fold((u64::MAX, 0), |(least, most), r| {
        (least.min(r.sequence), most.max(r.sequence))
    });
    let missing = (most - least + 1) as usize - received.len();
    assert!(received.len() > 350);
    assert_eq!(missing, 0, "of {}", received.len());
    let counters = world.shard.counters();
    assert!(counters.resends_in > 5, "{counters:?}");
    assert!(counters.resends_out > 5, "{counters:?}");
    assert!(counters.nacks_in > 5, "{counters:?}");
    assert!(counters.nacks_out > 5, "{counters:?}");
}

#[test]
fn a_codec_that_the_subscriber_does_not_know_is_not_forwarded() {
    let mut world = World::new();
    world.join("r", ClientConfig::default());
    let viewer = world.join(
        "r",
        ClientConfig {
            codec: str0m::format::Codec::Vp9,
            ..ClientConfig::viewer()
        },
    );
    world.settle();
    world.run(SECOND);
    assert_eq!(world.clients[viewer].video().count(), 0);
    assert!(world.clients[viewer].sounds().count() > 30);
    assert!(world.shard.counters().dropped(DropReason::UnknownCodec) > 0);
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
    assert_eq!(world.shard.population().participants, 2);
}

#[test]
fn a_narrow_path_gets_a_lower_layer_and_a_wide_one_the_best() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let narrow = world.join("r", ClientConfig::viewer());
    let wide = world.join("r", ClientConfig::viewer());
    world.settle();
    let now = world.now;
    for viewer in [narrow, wide] {
        world.clients[viewer].wish(now, &[(participant(publisher), 720)]);
    }
    world.run(3 * SECOND);
    world.paths[narrow].capacity = Some(350_000);
    world.run(20 * SECOND);
    for viewer in [narrow, wide] {
        world.clients[viewer].forget();
    }
    world.run(5 * SECOND);
    let mean_layer = |world: &World, viewer: usize| {
        let layers: Vec<f64> = world.clients[viewer]
            .video()
            .map(|r| f64::from(r.stamp.layer))
            .collect();
        layers.iter().sum::<f64>() / layers.len() as f64
    };
    assert!(
        mean_layer(&world, narrow) < 1.2,
        "{}",
        mean_layer(&world, narrow)
    );
    assert!(
        mean_layer(&world, wide) > 1.9,
        "{}",
        mean_layer(&world, wide)
    );

    world.paths[narrow].capacity = None;
    world.run(30 * SECOND);
    world.clients[narrow].forget();
    world.run(2 * SECOND);
    let recovered = mean_layer(&world, narrow);
    assert!(recovered > 1.9, "recovered only to {recovered}");
}

#[test]
fn an_idle_call_is_left_alone() {
    let mut world = World::new();
    for _ in 0..3 {
        world.join("r", ClientConfig::viewer());
    }
    world.settle();
    world.run(5 * SECOND);
    world.wakeups = 0;
    world.run(10 * SECOND);
    let each_second = world.wakeups / 30;
    assert!(each_second <= 3, "{each_second}");

    let publisher = world.join("r", ClientConfig::default());
    world.settle();
    world.run(5 * SECOND);
    world.wakeups = 0;
    world.run(10 * SECOND);
    let each_second = world.wakeups / 10;
    println!("{each_second} wakeups a second for {publisher} viewers");
    assert!(each_second < 300, "{each_second}");
}
