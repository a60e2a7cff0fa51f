//! Clients and strangers that mean harm: what they can make the SFU do is bounded and
//! counted, and the others do not notice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;

use std::{net::SocketAddr, time::Duration};

use conclave_protocol::control::{ControlRequest, PixelSize, VideoWish};
use conclave_protocol::signal::Source;
use conclave_sfu::{ConnectError, DropReason, Offer, SfuEvent};
use simulation::{Client, ClientConfig, World, media::assert_seamless, participant};
use str0m::crypto::from_feature_flags;

const SECOND: Duration = Duration::from_secs(1);

/// A call of a publisher and a bystander in which media flows.
fn call() -> (World, usize, usize) {
    let mut world = World::new();
    let publisher = world.join("r", ClientConfig::default());
    let bystander = world.join("r", ClientConfig::viewer());
    world.settle();
    world.run(2 * SECOND);
    (world, publisher, bystander)
}

/// The bystander got all of the publisher's video until now, and nobody was lost.
fn assert_unharmed(world: &mut World, publisher: usize, bystander: usize) {
    world.clients[bystander].forget();
    world.run(2 * SECOND);
    let slot = world.clients[bystander].camera_slot_of(participant(publisher));
    let received = world.clients[bystander].in_slot(&slot.unwrap());
    // 20 frames a second of three packets.
    assert!(received.len() >= 114, "{} packets", received.len());
    assert_seamless(received);
    let lost = |event: &&SfuEvent| matches!(event, SfuEvent::Lost { .. });
    assert_eq!(world.events.iter().find(lost), None);
}

fn stranger(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([203, 0, high, low], 4000))
}

/// A binding request (RFC 8489 §5) that claims to know someone, and proves nothing.
fn binding_request(ufrag: &str, number: u16) -> Vec<u8> {
    let name = format!("{ufrag}:them");
    let padded = name.len().next_multiple_of(4);
    // PRIORITY and MESSAGE-INTEGRITY, which has to be there to be wrong.
    let mut rest = vec![0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff];
    rest.extend([0x00, 0x08, 0x00, 0x14]);
    rest.extend([0x55; 20]);
    let mut message = vec![0x00, 0x01];
    message.extend(((4 + padded + rest.len()) as u16).to_be_bytes());
    message.extend([0x21, 0x12, 0xa4, 0x42]);
    message.extend([0; 10]);
    message.extend(number.to_be_bytes());
    message.extend([0x00, 0x06]);
    message.extend((name.len() as u16).to_be_bytes());
    message.extend(name.bytes());
    message.resize(20 + 4 + padded, 0);
    message.extend(rest);
    message
}

const RTP: [u8; 40] = {
    let mut packet = [0x55; 40];
    (packet[0], packet[1]) = (0x80, 96);
    packet
};

#[test]
fn a_flood_of_stun_from_strangers_leaves_no_trace() {
    let (mut world, publisher, bystander) = call();
    let before = world.shards[0].counters().dropped(DropReason::UnknownUser);
    // The world fails when anything is sent to a stranger.
    for number in 0..5_000 {
        let request = binding_request(&format!("u{number}"), number);
        world.inject(stranger(number), &request);
    }
    let counted = world.shards[0].counters().dropped(DropReason::UnknownUser) - before;
    assert_eq!(counted, 5_000);
    let before = world.shards[0]
        .counters()
        .dropped(DropReason::UnknownSource);
    for number in 0..5_000 {
        world.inject(stranger(number), &RTP);
    }
    let counted = world.shards[0]
        .counters()
        .dropped(DropReason::UnknownSource)
        - before;
    assert_eq!(counted, 5_000, "none of the addresses was learnt");
    assert_eq!(world.shards[0].population().participants, 2);
    assert_unharmed(&mut world, publisher, bystander);
}

#[test]
fn a_name_without_its_password_opens_no_door() {
    let (mut world, publisher, bystander) = call();
    let refused = world.shards[0].counters().dropped(DropReason::Refused);
    assert_eq!(refused, 0, "who has the password is answered");
    let (_, offer) = Client::new(9, &ClientConfig::viewer(), &from_feature_flags(), world.now);
    let mut negotiated = world.negotiator().negotiate(&offer, world.now).unwrap();
    let answer = negotiated.take_answer().sdp;
    let ufrag = answer
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .unwrap();
    let room = "r".parse().unwrap();
    world.shards[0].admit(world.now, room, participant(9), negotiated);
    let before = world.shards[0].counters().dropped(DropReason::Refused);
    for number in 0..1_000 {
        world.inject(stranger(number), &binding_request(ufrag, number));
    }
    let counted = world.shards[0].counters().dropped(DropReason::Refused) - before;
    assert_eq!(counted, 1_000);
    let before = world.shards[0]
        .counters()
        .dropped(DropReason::UnknownSource);
    for number in 0..1_000 {
        world.inject(stranger(number), &RTP);
    }
    let counted = world.shards[0]
        .counters()
        .dropped(DropReason::UnknownSource)
        - before;
    assert_eq!(counted, 1_000, "none of the addresses was learnt");
    assert_unharmed(&mut world, publisher, bystander);
}

/// Lets a client send for a while and writes down what it sends.
fn overhear(world: &mut World, client: usize, time: Duration) -> Vec<Vec<u8>> {
    let end = world.now + time;
    let mut overheard = vec![];
    while world.now < end {
        let due = world.clients[client].due();
        world.run(due.saturating_duration_since(world.now + Duration::from_micros(1)));
        world.now = world.now.max(due);
        let now = world.now;
        world.clients[client].advance(now);
        overheard.extend(world.clients[client].outbox.iter().cloned());
    }
    overheard
}

#[test]
fn replayed_packets_are_not_forwarded_twice() {
    let (mut world, publisher, bystander) = call();
    let overheard = overhear(&mut world, publisher, SECOND);
    world.run(SECOND / 10);
    world.clients[publisher].camera_on = false;
    world.clients[publisher].microphone_on = false;
    world.run(SECOND);
    let is_rtp = |packet: &&Vec<u8>| {
        (128..=191).contains(&packet[0]) && !(64..=95).contains(&(packet[1] & 0x7f))
    };
    let rtp: Vec<_> = overheard.iter().filter(is_rtp).collect();
    // 20 frames of nine packets in three layers, and 50 packets of sound.
    assert!(rtp.len() > 200, "{}", rtp.len());

    let counters = world.shards[0].counters().clone();
    let (own, other) = (world.clients[publisher].address, stranger(1));
    for packet in &rtp {
        world.inject(own, packet);
        world.inject(other, packet);
    }
    world.run(SECOND / 10);
    let after = world.shards[0].counters().clone();
    assert_eq!(after.received, counters.received);
    assert_eq!(after.forwarded, counters.forwarded);
    let dropped = |reason| after.dropped(reason) - counters.dropped(reason);
    let resent = after.resends_in - counters.resends_in;
    assert_eq!(dropped(DropReason::Unusable) + resent, rtp.len() as u64);
    assert_eq!(dropped(DropReason::UnknownSource), rtp.len() as u64);

    // Feedback and handshakes do no harm either.
    for packet in overheard.iter().filter(|p| !is_rtp(p)) {
        world.inject(own, packet);
    }
    world.clients[publisher].camera_on = true;
    world.clients[publisher].microphone_on = true;
    world.run(SECOND);
    assert_unharmed(&mut world, publisher, bystander);
}

#[test]
fn a_subscriber_that_never_gives_feedback_has_no_queue() {
    let (mut world, publisher, bystander) = call();
    let mute = world.join("r", ClientConfig::viewer());
    world.settle();
    world.clients[mute].silences_feedback = true;
    world.run(60 * SECOND);
    for viewer in [bystander, mute] {
        world.clients[viewer].forget();
    }
    world.run(2 * SECOND);
    let newest = |world: &World, viewer: usize| {
        let frames = world.clients[viewer].video().map(|r| r.stamp.frame);
        frames.max().unwrap()
    };
    assert_eq!(
        newest(&world, mute),
        newest(&world, bystander),
        "what it gets is not old"
    );
    let count = world.clients[mute].video().count();
    assert!(count <= 126, "{count} packets in two seconds");
    assert_unharmed(&mut world, publisher, bystander);
}

#[test]
fn many_subscribers_that_flood_with_key_frame_requests_share_a_few() {
    let (mut world, publisher, bystander) = call();
    let flooders: Vec<usize> = (0..4)
        .map(|_| world.join("r", ClientConfig::viewer()))
        .collect();
    world.settle();
    world.run(SECOND);
    world.clients[publisher].key_frame_requests.clear();
    let before = world.shards[0].counters().clone();
    for _ in 0..1_000 {
        for &flooder in &flooders {
            let now = world.now;
            let slot = world.clients[flooder].camera_slot_of(participant(publisher));
            world.clients[flooder].request_key_frame(now, &slot.unwrap());
        }
        world.run(Duration::from_millis(1));
    }
    let after = world.shards[0].counters().clone();
    let asked = after.key_frames_asked - before.key_frames_asked;
    let requested = after.key_frames_requested - before.key_frames_requested;
    assert!(asked > 1_000, "{asked}");
    // In a little more than a second of one layer, two a second.
    let requests = world.clients[publisher].key_frame_requests.len();
    assert!((1..=4).contains(&requests), "{requests}");
    assert!(requested <= 4, "{requested}");
    assert_unharmed(&mut world, publisher, bystander);
}

#[test]
fn a_flood_on_the_control_channel_is_refused_and_changes_little() {
    let (mut world, publisher, bystander) = call();
    let flooder = world.join("r", ClientConfig::viewer());
    world.settle();
    world.run(SECOND);
    let wish = |height| VideoWish {
        participant: participant(publisher),
        source: Source::Camera,
        size: PixelSize { width: 1, height },
        pinned: false,
    };
    let wishes = |videos| serde_json::to_vec(&ControlRequest::Wishes { videos }).unwrap();
    let before = world.shards[0].counters().clone();
    for turn in 0..2_000u16 {
        let message = match turn % 4 {
            0 => wishes(vec![wish(90)]),
            1 => wishes(vec![wish(720)]),
            2 => wishes(vec![wish(turn); 400]),
            _ => vec![b'['; 20_000],
        };
        let now = world.now;
        world.clients[flooder].say(now, &message);
        world.run(Duration::from_millis(1));
    }
    world.run(3 * SECOND);
    let after = world.shards[0].counters().clone();
    // Of what is allowed, a burst of 40 and then 20 a second, not all switches a layer.
    let switches = |c: &conclave_sfu::Counters| c.layer_upgrades + c.layer_downgrades;
    let switched = switches(&after) - switches(&before);
    assert!(switched <= 80, "{switched}");
    let refused = after.dropped(DropReason::BadRequest) - before.dropped(DropReason::BadRequest);
    assert!(refused > 100, "{refused}");
    assert_eq!(world.shards[0].population().participants, 3);
    let refusals = &world.clients[flooder].refusals;
    assert!(refusals.iter().any(|r| r.contains("slow down")));
    assert_unharmed(&mut world, publisher, bystander);
}

#[test]
fn huge_control_messages_are_refused() {
    let (mut world, publisher, bystander) = call();
    let sources = vec![Source::Microphone; 4_000];
    let wish = VideoWish {
        participant: participant(publisher),
        source: Source::Camera,
        size: PixelSize {
            width: 1,
            height: 1,
        },
        pinned: false,
    };
    let videos = vec![wish; 500];
    for request in [
        ControlRequest::Publishing { sources },
        ControlRequest::Wishes { videos },
    ] {
        let now = world.now;
        world.clients[bystander].ask(now, &request);
        world.run(SECOND);
    }
    let refusals = &world.clients[bystander].refusals;
    assert_eq!(refusals.len(), 2, "{refusals:?}");
    assert_unharmed(&mut world, publisher, bystander);
}

fn refusal(world: &World, sdp: String) -> ConnectError {
    let offer = Offer {
        sdp,
        tracks: vec![],
        slots: vec![],
    };
    let result = world.negotiator().negotiate(&offer, world.now);
    result.map(|_| ()).expect_err("the offer should be refused")
}

#[test]
fn offers_of_thousands_are_refused_before_they_are_read() {
    let (mut world, publisher, bystander) = call();
    let (_, good) = Client::new(
        0,
        &ClientConfig::default(),
        &from_feature_flags(),
        world.now,
    );

    let sections = good.sdp.clone() + &"m=video 9 UDP/TLS/RTP/SAVPF 96\r\n".repeat(5_000);
    assert!(matches!(
        refusal(&world, sections),
        ConnectError::TooManySections { .. }
    ));
    let long = good.sdp.clone() + &"a=x\r\n".repeat(100_000);
    assert!(matches!(
        refusal(&world, long),
        ConnectError::TooLarge { .. }
    ));
    let candidates: String = (0..3_000)
        .map(|number: u16| {
            let address = stranger(number);
            format!(
                "a=candidate:{number} 1 udp 1 {} {} typ host\r\n",
                address.ip(),
                address.port()
            )
        })
        .collect();
    let at = good.sdp.find("m=").unwrap();
    let section_end = good.sdp[at..].find("a=").unwrap() + at;
    let mut sdp = good.sdp.clone();
    sdp.insert_str(section_end, &candidates);
    assert!(matches!(
        refusal(&world, sdp),
        ConnectError::TooManyCandidates { .. }
    ));
    assert_unharmed(&mut world, publisher, bystander);
}

#[test]
fn who_connects_and_sends_nothing_is_left_alone() {
    let (mut world, publisher, bystander) = call();
    let publishing = |sources: &[Source]| ControlRequest::Publishing {
        sources: sources.to_vec(),
    };
    world.clients[publisher].camera_on = false;
    world.clients[publisher].microphone_on = false;
    let now = world.now;
    world.clients[publisher].ask(now, &publishing(&[]));
    for _ in 0..5 {
        let idle = world.join("r", ClientConfig::default());
        world.clients[idle].camera_on = false;
        world.clients[idle].microphone_on = false;
    }
    world.settle();
    world.run(10 * SECOND);
    world.wakeups = 0;
    world.run(60 * SECOND);
    let each_second = world.wakeups / 60 / 7;
    assert!(each_second <= 4, "{each_second}");
    world.clients[publisher].camera_on = true;
    let now = world.now;
    world.clients[publisher].ask(now, &publishing(&[Source::Camera]));
    world.run(SECOND);
    assert_unharmed(&mut world, publisher, bystander);
}
