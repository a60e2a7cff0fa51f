//! Bad networks, bad clients and nothing to do, on a clock of their own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;

use std::time::Duration;

use conclave_sfu::{DropReason, SfuEvent};
use simulation::{ClientConfig, Direction, World, network::Loss, participant};

const SECOND: Duration = Duration::from_secs(1);

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
    assert_eq!(world.shards[0].population().participants, 1);
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
    assert_eq!(world.shards[0].population().rooms, 0);
}

#[test]
fn whose_path_was_broken_begins_anew_at_once() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let viewer = world.join("r", ClientConfig::viewer());
    world.settle();
    world.run(10 * SECOND);
    let asked = world.clients[publisher].key_frame_requests.len();
    world.run(20 * SECOND);
    let still = world.clients[publisher].key_frame_requests.len();
    assert_eq!(still, asked, "nothing was broken");

    let light = world.now + 3 * SECOND;
    world.network.darken(viewer, light);
    world.run(3 * SECOND);
    world.run(SECOND / 2);
    let mut video = world.clients[viewer].video();
    let first_key = video.find(|r| r.at >= light && r.stamp.is_key);
    assert!(first_key.is_some(), "the picture waits for a key frame");
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
        let before = world.shards[0].counters().dropped(reason);
        world.inject(source, &contents);
        let after = world.shards[0].counters().dropped(reason);
        assert_eq!(after, before + 1, "{reason:?} {contents:?}");
    }
    // Who was taken out and did not hear of it goes on with its checks.
    let former = world.join("r", ClientConfig::viewer());
    world.settle();
    world.network.down[former].weather.loss = Loss::Random(1.0);
    world.shards[0].remove(world.now, participant(former));
    world.run(5 * SECOND);
    assert!(world.shards[0].counters().dropped(DropReason::UnknownUser) > 0);
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
    let counters = world.shards[0].counters();
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
    world.network.up[publisher].weather.loss = Loss::Random(0.05);
    world.network.down[viewer].weather.loss = Loss::Random(0.05);
    world.run(5 * SECOND);
    world.network.up[publisher].weather.loss = Loss::None;
    world.network.down[viewer].weather.loss = Loss::None;
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
    let counters = world.shards[0].counters();
    assert!(counters.resends_in > 5, "{counters:?}");
    assert!(counters.resends_out > 5, "{counters:?}");
    assert!(counters.nacks_in > 5, "{counters:?}");
    assert!(counters.nacks_out > 5, "{counters:?}");
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
    world.network.narrow(narrow, Direction::Down, Some(350_000));
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

    world.network.narrow(narrow, Direction::Down, None);
    world.run(30 * SECOND);
    world.clients[narrow].forget();
    world.run(2 * SECOND);
    let recovered = mean_layer(&world, narrow);
    assert!(recovered > 1.9, "recovered only to {recovered}");
}

#[test]
fn packets_that_overtake_each_other_hold_up_no_switch() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let viewer = world.join("r", ClientConfig::viewer());
    world.settle();
    world.network.up[publisher].weather.reordered = 0.6;
    let mut slowest = Duration::ZERO;
    for height in [720, 90, 360, 90, 720, 360, 720, 90] {
        let now = world.now;
        world.clients[viewer].wish(now, &[(participant(publisher), height)]);
        let layer = [90, 360, 720].iter().position(|h| *h == height).unwrap();
        let waited = world.run_until("the layer that was wished for", |world| {
            let last = world.clients[viewer].video().last();
            last.is_some_and(|r| usize::from(r.stamp.layer) == layer)
        });
        slowest = slowest.max(waited);
        world.run(SECOND);
    }
    assert!(slowest < SECOND, "{slowest:?}");
    // Nothing twice, and no layer without its key frame.
    let slot = world.clients[viewer].camera_slot_of(participant(publisher));
    let mut received = world.clients[viewer].in_slot(&slot.unwrap()).to_vec();
    received.sort_by_key(|r| r.sequence);
    for pair in received.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        assert_ne!(a.sequence, b.sequence);
        let begins = b.stamp.is_key && b.stamp.part == 0;
        assert!(begins || a.stamp.layer == b.stamp.layer, "{a:?} then {b:?}");
    }
}

#[test]
fn who_goes_on_from_another_address_is_followed() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let viewer = world.join("r", ClientConfig::viewer());
    world.settle();
    world.run(3 * SECOND);
    for moves in [viewer, publisher, viewer] {
        world.rebind(moves);
        world.clients[viewer].forget();
        // Until the next check, which clients send every few seconds.
        world.run_until("video again", |world| {
            world.clients[viewer].video().next().is_some()
        });
        world.clients[viewer].forget();
        world.run(3 * SECOND);
        assert!(world.clients[viewer].video().count() > 150);
        assert!(world.clients[viewer].sounds().count() > 130);
    }
    assert_eq!(world.shards[0].counters().path_changes, 3);
    let lost = |event: &&SfuEvent| matches!(event, SfuEvent::Lost { .. });
    assert_eq!(world.events.iter().find(lost), None);
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
    let sent = world.sent_down;
    world.run(10 * SECOND);
    let sent = (world.sent_down - sent) / 30;
    assert!(
        sent <= 3,
        "{sent} datagrams a second to someone who is sent nothing"
    );
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
