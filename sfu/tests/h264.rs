//! Whole calls in H.264, whose key frames are told by NAL units and whose frames are not numbered.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;

use std::time::{Duration, Instant};

use conclave_sfu::DropReason;
use simulation::{Client, ClientConfig, World, media::assert_seamless, participant};
use str0m::{crypto::from_feature_flags, format::Codec};

const SECOND: Duration = Duration::from_secs(1);

fn publisher() -> ClientConfig {
    ClientConfig {
        codec: Codec::H264,
        ..ClientConfig::default()
    }
}

fn viewer() -> ClientConfig {
    ClientConfig {
        publishes: false,
        ..publisher()
    }
}

#[test]
fn the_tile_decides_the_layer_and_the_stream_has_no_seam() {
    let mut world = World::new();
    let sender = world.join("r", publisher());
    let watching = world.join("r", viewer());
    world.settle();
    let mut sizes = vec![];
    for height in [90, 720, 360, 90, 720] {
        let now = world.now;
        world.clients[watching].wish(now, &[(participant(sender), height)]);
        world.run(2 * SECOND);
        sizes.push(world.clients[watching].video().last().unwrap().stamp.layer);
    }
    assert_eq!(sizes, [0, 2, 1, 0, 2]);

    let slot = world.clients[watching].camera_slot_of(participant(sender));
    let received = world.clients[watching].in_slot(&slot.unwrap());
    assert!(received[0].stamp.is_key && received[0].stamp.part == 0);
    // Among other things: another layer begins with the first packet of a key frame.
    assert_seamless(received);
    let counters = world.shards[0].counters();
    assert!(counters.layer_upgrades >= 2, "{counters:?}");
    assert!(counters.layer_downgrades >= 2, "{counters:?}");
}

#[test]
fn a_slot_goes_from_one_sender_to_another_at_a_key_frame() {
    let mut world = World::new();
    let senders = [world.join("r", publisher()), world.join("r", publisher())];
    let watching = world.join(
        "r",
        ClientConfig {
            camera_slots: 1,
            ..viewer()
        },
    );
    world.settle();
    for turn in 0..4 {
        let now = world.now;
        let wanted = participant(senders[turn % 2]);
        world.clients[watching].wish(now, &[(wanted, 360)]);
        world.run(SECOND);
        let last = world.clients[watching].video().last().unwrap();
        assert_eq!(usize::from(last.stamp.sender), senders[turn % 2]);
    }
    let slot = world.clients[watching].camera_slot_mids[0].clone();
    assert_seamless(world.clients[watching].in_slot(&slot));
}

#[test]
fn a_late_joiner_gets_a_key_frame_and_the_publisher_one_request() {
    let mut world = World::new();
    let sender = world.join("r", publisher());
    world.join("r", viewer());
    world.settle();
    world.run(3 * SECOND);
    world.clients[sender].key_frame_requests.clear();
    let late = [world.join("r", viewer()), world.join("r", viewer())];
    world.settle();
    for index in late {
        world.run_until("video for the newcomer", |world| {
            world.clients[index].video().next().is_some()
        });
        let first = world.clients[index].video().next().unwrap();
        assert!(first.stamp.is_key && first.stamp.part == 0);
    }
    world.run(SECOND);
    let requests = &world.clients[sender].key_frame_requests;
    assert_eq!(requests.len(), 1, "{requests:?}");
}

#[test]
fn who_does_not_know_it_hears_the_sender_and_sees_others() {
    let mut world = World::new();
    let sender = world.join("r", publisher());
    let other = world.join("r", ClientConfig::default());
    let watching = world.join("r", ClientConfig::viewer());
    world.settle();
    world.run(SECOND);
    let client = &world.clients[watching];
    assert!(client.video().all(|r| usize::from(r.stamp.sender) == other));
    assert!(client.video().count() > 30);
    let sounds = client.sounds();
    assert!(
        sounds
            .filter(|r| usize::from(r.stamp.sender) == sender)
            .count()
            > 30
    );
    assert!(world.shards[0].counters().dropped(DropReason::UnknownCodec) > 0);
}

/// As a browser offers it: in several profiles and packetization modes, last in line.
#[test]
fn it_is_taken_in_one_profile_and_moves_nothing_ahead_of_it() {
    let (_, mut offer) = Client::new(
        0,
        &ClientConfig::default(),
        &from_feature_flags(),
        Instant::now(),
    );
    let more = [
        (100, "VP9", "profile-id=0"),
        (
            102,
            "H264",
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
        ),
        (
            103,
            "H264",
            "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f",
        ),
        (
            104,
            "H264",
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        ),
        (
            105,
            "H264",
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f",
        ),
    ];
    let mut sdp = String::new();
    let mut in_video = false;
    for line in offer.sdp.lines() {
        in_video = line.starts_with("m=video") || in_video && !line.starts_with("m=");
        sdp.push_str(line);
        if line.starts_with("m=video") {
            for (number, ..) in more {
                sdp.push_str(&format!(" {number}"));
            }
        }
        sdp.push_str("\r\n");
        if in_video && line.starts_with("a=rtpmap") && line.contains(" VP8/") {
            for (number, name, format) in more {
                sdp.push_str(&format!(
                    "a=rtpmap:{number} {name}/90000\r\na=fmtp:{number} {format}\r\n"
                ));
            }
        }
    }
    offer.sdp = sdp;
    let world = World::new();
    let mut negotiated = world.negotiator().negotiate(&offer, world.now).unwrap();
    let answer = negotiated.take_answer().sdp;
    let section = answer
        .split("m=")
        .find(|it| it.starts_with("video"))
        .unwrap();
    let numbers: Vec<&str> = section.lines().next().unwrap().split(' ').skip(3).collect();
    let names: Vec<&str> = numbers
        .iter()
        .filter_map(|number| {
            let start = format!("a=rtpmap:{number} ");
            section.lines().find_map(|line| line.strip_prefix(&start))
        })
        .filter(|name| !name.starts_with("rtx"))
        .collect();
    assert_eq!(names, ["VP8/90000", "VP9/90000", "H264/90000"]);
    assert_eq!(numbers.last(), Some(&"104"));
}
