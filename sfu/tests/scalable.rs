//! Layers within one stream, and videos for which there is no room, on a clock of their own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;

use std::time::Duration;

use conclave_protocol::signal::Source;
use simulation::{
    ClientConfig, Direction, World,
    client::Received,
    dependency::{L1T3, L3T3, L3T3_KEY, S3T3},
    media::assert_seamless,
    network::Loss,
    participant,
    scalable::{Layering, assert_decodable, assert_marked, layers},
};
use str0m::crypto::from_feature_flags;

const SECOND: Duration = Duration::from_secs(1);

const SPATIAL: [Layering; 4] = [
    Layering::Vp9,
    Layering::Av1(L3T3),
    Layering::Av1(L3T3_KEY),
    Layering::Av1(S3T3),
];

fn config(layering: Layering) -> ClientConfig {
    ClientConfig {
        simulcast: false,
        layering: Some(layering),
        codec: layering.codec(),
        ..ClientConfig::default()
    }
}

fn viewer(layering: Layering) -> ClientConfig {
    ClientConfig {
        publishes: false,
        ..config(layering)
    }
}

/// All video that a client got in its one slot with video.
fn video(world: &World, client: usize) -> Vec<Received> {
    let slots = &world.clients[client].camera_slot_mids;
    let mut filled = slots
        .iter()
        .map(|slot| world.clients[client].in_slot(slot))
        .filter(|received| !received.is_empty());
    let received = filled.next().map_or(vec![], <[Received]>::to_vec);
    assert!(filled.next().is_none());
    received
}

/// What came in the last moments: the layers that are there at all.
fn lately(world: &World, client: usize) -> Vec<(u8, u8)> {
    let since = world.now - SECOND;
    let mut seen: Vec<_> = video(world, client)
        .iter()
        .filter(|r| r.at >= since)
        .map(|r| layers(r.stamp))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    seen
}

fn wish(world: &mut World, client: usize, publisher: usize, height: u16) {
    let now = world.now;
    world.clients[client].wish(now, &[(participant(publisher), height)]);
}

#[test]
fn each_subscriber_gets_the_size_that_its_tile_needs() {
    for layering in SPATIAL {
        let mut world = World::new();
        let publisher = world.join("r", config(layering));
        let narrow = world.join("r", viewer(layering));
        let middle = world.join("r", viewer(layering));
        let wide = world.join("r", viewer(layering));
        world.settle();
        let tiles = [(narrow, 180), (middle, 360), (wide, 720)];
        for (client, height) in tiles {
            wish(&mut world, client, publisher, height);
        }
        world.run(6 * SECOND);
        for (size, (client, _)) in tiles.into_iter().enumerate() {
            let seen = lately(&world, client);
            let top = seen.last().unwrap();
            assert_eq!(usize::from(top.0), size, "{layering:?}: {seen:?}");
            assert_eq!(top.1, 2, "all of the motion");
            // Where sizes build on each other they come together, else alone.
            let together = matches!(layering, Layering::Vp9) || layering == Layering::Av1(L3T3);
            let sizes = if together { size + 1 } else { 1 };
            assert_eq!(seen.len(), 3 * sizes, "{layering:?}: {seen:?}");
            assert_decodable(layering, &video(&world, client));
        }
        let steady = world.now - SECOND;
        if layering == Layering::Av1(L3T3) {
            let told = |client| {
                let received = video(&world, client).into_iter();
                let descriptors = received.filter(|r| r.at >= steady).map(|r| r.dependency);
                let tells = descriptors.map(|d| d.unwrap().get(3).is_some_and(|b| b & 0x40 != 0));
                tells.collect::<Vec<_>>()
            };
            assert!(
                told(narrow).iter().all(|told| *told),
                "which targets it gets"
            );
            assert!(told(wide).iter().all(|told| !*told), "it gets them all");
        }
        for (client, _) in tiles {
            let mut received = video(&world, client);
            received.retain(|r| r.at >= steady);
            let first = received[0].stamp.frame;
            received.retain(|r| r.stamp.frame != first);
            assert_marked(&received);
        }
    }
}

#[test]
fn a_tile_that_grows_and_shrinks_is_followed_without_a_seam() {
    for layering in SPATIAL {
        let mut world = World::new();
        let publisher = world.join("r", config(layering));
        let client = world.join("r", viewer(layering));
        world.settle();
        for (height, size) in [(180, 0), (720, 2), (360, 1), (720, 2), (180, 0)] {
            wish(&mut world, client, publisher, height);
            world.run(2 * SECOND);
            let seen = lately(&world, client);
            assert_eq!(seen.last().unwrap().0, size, "{layering:?}: {seen:?}");
        }
        assert_decodable(layering, &video(&world, client));
        assert!(world.shards[0].counters().layer_upgrades >= 2);
        assert!(world.shards[0].counters().layer_downgrades >= 2);
    }
}

#[test]
fn a_narrow_path_costs_a_camera_its_size_and_a_screen_its_motion() {
    let layering = Layering::Av1(L3T3);
    for source in [Source::Camera, Source::Screen] {
        let of = |config: ClientConfig| ClientConfig {
            video: source,
            ..config
        };
        let mut world = World::new();
        world.join("r", of(config(layering)));
        let client = world.join("r", of(viewer(layering)));
        world.network.narrow(client, Direction::Down, Some(400_000));
        world.settle();
        world.run(20 * SECOND);
        let seen = lately(&world, client);
        let top = *seen.last().unwrap();
        if source == Source::Camera {
            assert!(top.0 < 2 && top.1 == 2, "{seen:?}");
        } else {
            assert!(top.0 == 2 && top.1 < 2, "{seen:?}");
        }
    }
}

#[test]
fn temporal_layers_are_left_out_without_a_trace() {
    for layering in [Layering::Vp8, Layering::Av1(L1T3)] {
        let mut world = World::new();
        world.join("r", config(layering));
        let client = world.join("r", viewer(layering));
        world.settle();
        world.run(3 * SECOND);
        assert_eq!(lately(&world, client), [(0, 0), (0, 1), (0, 2)]);
        world.network.narrow(client, Direction::Down, Some(70_000));
        world.run(10 * SECOND);
        let seen = lately(&world, client);
        assert!(seen.len() < 3 && seen.contains(&(0, 0)), "{seen:?}");
        world.clients[client].forget();
        world.run(3 * SECOND);
        let received = video(&world, client);
        // The path loses packets too. What follows on each other must not show what was
        // left out between.
        let adjacent = received
            .windows(2)
            .filter(|p| p[1].sequence == p[0].sequence + 1);
        let mut pictures = 0;
        for pair in adjacent {
            let (a, b) = (&pair[0], &pair[1]);
            let step = b.picture.unwrap().wrapping_sub(a.picture.unwrap());
            let is_new = a.stamp.frame != b.stamp.frame;
            pictures += u32::from(b.stamp.frame > a.stamp.frame + 1);
            if layering == Layering::Vp8 {
                assert_eq!(step & 0x7fff, u16::from(is_new), "{a:?} then {b:?}");
            }
        }
        assert!(pictures > 5, "pictures were left out");
        let seen = lately(&world, client);
        assert!(seen.len() < 3, "{seen:?}");
        world.network.narrow(client, Direction::Down, None);
        world.run(20 * SECOND);
        assert_eq!(lately(&world, client), [(0, 0), (0, 1), (0, 2)]);
    }
}

#[test]
fn a_lost_packet_of_a_layer_that_is_left_out_leaves_no_hole() {
    let layering = Layering::Vp9;
    let mut world = World::new();
    let publisher = world.join("r", config(layering));
    let client = world.join("r", viewer(layering));
    world.settle();
    wish(&mut world, client, publisher, 180);
    world.network.up[publisher].weather.loss = Loss::Random(0.03);
    world.run(20 * SECOND);
    world.network.up[publisher].weather.loss = Loss::None;
    world.run(2 * SECOND);
    let received = video(&world, client);
    let slot = world.clients[publisher + 1].camera_slot_of(participant(publisher));
    let fillers = &world.clients[client].fillers;
    assert!(fillers.len() > 10, "{fillers:?}");
    let mut numbers: Vec<u64> = received.iter().map(|r| r.sequence).collect();
    for (in_slot, number) in fillers {
        assert_eq!(Some(in_slot), slot.as_ref());
        numbers.push(*number);
    }
    numbers.sort_unstable();
    let first = numbers[0];
    let expected: Vec<u64> = (first..first + numbers.len() as u64).collect();
    assert_eq!(numbers, expected);
    assert!(
        lately(&world, client)
            .iter()
            .all(|(spatial, _)| *spatial == 0)
    );
}

#[test]
fn what_does_not_fit_is_paused_and_comes_back() {
    let mut world = World::new();
    let first = world.join("r", ClientConfig::default());
    let second = world.join("r", ClientConfig::default());
    let client = world.join("r", ClientConfig::viewer());
    world.settle();
    let now = world.now;
    let wishes = [second, first].map(|p| (participant(p), 180));
    world.clients[client].wish(now, &wishes);
    world.run(3 * SECOND);
    let paused = |world: &World| -> Vec<usize> {
        let slots = world.clients[client].slots.iter();
        let paused = slots.filter(|slot| slot.paused);
        [first, second]
            .into_iter()
            .filter(|p| paused.clone().any(|s| s.participant == participant(*p)))
            .collect()
    };
    assert!(paused(&world).is_empty());

    // Room for one of 72 kbit/s, and for the sounds.
    world.network.narrow(client, Direction::Down, Some(170_000));
    world.run_until("a pause", |world| paused(world) == [first]);
    world.run(SECOND);
    world.clients[client].forget();
    world.run(2 * SECOND);
    let seen = |world: &World, p: usize| {
        let video = world.clients[client].video();
        video.filter(|r| usize::from(r.stamp.sender) == p).count()
    };
    // Of 120 each, less the tries to resume that did not last.
    assert!(seen(&world, first) <= 15, "{}", seen(&world, first));
    assert!(seen(&world, second) > 60);
    assert!(world.clients[client].sounds().count() > 150, "sounds go on");

    world.network.narrow(client, Direction::Down, None);
    world.run_until("all is back", |world| paused(world).is_empty());
    world.run(SECOND);
    assert!(seen(&world, first) > 20);
    let slot = world.clients[client].camera_slot_of(participant(first));
    let resumed = world.clients[client].in_slot(&slot.unwrap());
    let begins = |r: &Received| r.stamp.is_key && r.stamp.part == 0;
    let before = resumed.iter().position(begins).unwrap();
    assert!(before <= 15, "{before}");
    assert_seamless(&resumed[before..]);
}

#[test]
fn the_dependency_descriptor_is_negotiated_for_video_only() {
    let world = World::new();
    let config = config(Layering::Av1(L3T3));
    let (_, offer) = simulation::Client::new(0, &config, &from_feature_flags(), world.now);
    let mut negotiated = world.negotiator().negotiate(&offer, world.now).unwrap();
    let answer = negotiated.take_answer().sdp;
    let sections: Vec<&str> = answer.split("\r\nm=").skip(1).collect();
    let mut videos = 0;
    for section in sections {
        let has_it = section.contains("dependency-descriptor");
        assert_eq!(has_it, section.starts_with("video"), "{section}");
        videos += usize::from(has_it);
    }
    assert_eq!(videos, 10);
}
