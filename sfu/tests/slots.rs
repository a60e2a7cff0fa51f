//! Who is in whose slot, on a clock of their own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;

use std::time::Duration;

use conclave_protocol::{control::ControlRequest, signal::Source};
use conclave_sfu::DropReason;
use simulation::{ClientConfig, World, media::assert_seamless, participant};

const SECOND: Duration = Duration::from_secs(1);

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
fn who_asks_whether_packets_get_through_again_is_answered_and_gets_key_frames() {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let asking = world.join("r", ClientConfig::viewer());
    let other = world.join("r", ClientConfig::viewer());
    world.settle();
    world.run(3 * SECOND);
    let asked = world.clients[publisher].key_frame_requests.len();
    let now = world.now;
    world.clients[asking].ask(now, &ControlRequest::Probe {});
    world.run(SECOND);
    assert_eq!(world.clients[publisher].key_frame_requests.len(), asked + 1);
    let video = world.clients[asking].video();
    assert!(video.filter(|r| r.at > now).any(|r| r.stamp.is_key));
    assert_eq!(world.clients[asking].answered_probes, 1);
    assert_eq!(world.clients[other].answered_probes, 0);
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
    assert!(world.shards[0].counters().dropped(DropReason::UnknownCodec) > 0);
}
