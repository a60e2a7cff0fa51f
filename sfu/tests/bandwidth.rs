//! What the estimate of each subscriber's bandwidth, as it is shipped, makes of narrow
//! networks. Each test is one seeded run on the virtual clock, so its figures never change
//! but with the code.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "simulation/seeded.rs"]
mod seeded;
mod simulation;

use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use simulation::{ClientConfig, Direction, World, participant, sending::Frames};

const SECOND: Duration = Duration::from_secs(1);

/// A broad network is one that no call of these tests fills.
const BROAD: u64 = 8_000_000;

fn main() {
    let trials = [
        (
            "the_best_layer_is_back_soon_after_the_bandwidth_is",
            the_best_layer_is_back_soon_after_the_bandwidth_is as fn(),
        ),
        (
            "no_queue_is_left_standing",
            no_queue_is_left_standing as fn(),
        ),
        (
            "two_behind_one_bottleneck_share_it",
            two_behind_one_bottleneck_share_it as fn(),
        ),
        ("sound_is_never_starved", sound_is_never_starved as fn()),
    ];
    seeded::run_all(
        trials
            .into_iter()
            .map(|(name, test)| {
                Trial::test(name, move || seeded::run(1, test).map_err(Failed::from))
            })
            .collect(),
    );
}

fn world() -> World {
    World::seeded(1, 1, seeded::crypto())
}

fn publisher() -> ClientConfig {
    ClientConfig {
        frames: Frames::HD,
        camera_slots: 0,
        audio_slots: 0,
        ..ClientConfig::default()
    }
}

/// Everyone wants to see all publishers as large as they get.
fn wish_for_all(world: &mut World, viewers: &[usize], publishers: &[usize]) {
    let wishes: Vec<_> = publishers.iter().map(|p| (participant(*p), 720)).collect();
    for viewer in viewers {
        let now = world.now;
        world.clients[*viewer].wish(now, &wishes);
    }
}

/// Bits a second of video payload that came to someone since then.
fn video_rate(world: &World, viewer: usize, since: Instant) -> f64 {
    let came = world.clients[viewer].video().filter(|r| r.at >= since);
    let bytes: usize = came.map(|r| r.bytes).sum();
    bytes as f64 * 8.0 / (world.now - since).as_secs_f64()
}

fn the_best_layer_is_back_soon_after_the_bandwidth_is() {
    let mut world = world();
    let publishing = world.join("r", publisher());
    let viewer = world.join("r", ClientConfig::viewer());
    world.settle();
    wish_for_all(&mut world, &[viewer], &[publishing]);
    world.network.narrow(viewer, Direction::Down, Some(BROAD));
    world.run(15 * SECOND);
    let best = Frames::HD.rate(2);
    let before = video_rate(&world, viewer, world.now - 2 * SECOND);
    assert!(before > 0.9 * best, "{before}");

    world.network.narrow(viewer, Direction::Down, Some(700_000));
    world.run(20 * SECOND);
    let meanwhile = video_rate(&world, viewer, world.now - 10 * SECOND);
    println!("meanwhile {meanwhile}");
    world.network.narrow(viewer, Direction::Down, Some(BROAD));
    let waited = world.run_until("the best layer is back", |world| {
        video_rate(world, viewer, world.now - SECOND) > 0.9 * best
    });
    println!("back after {waited:?}");
}

fn no_queue_is_left_standing() {
    for rate in [400_000, 700_000, 1_000_000, 1_800_000, 3_000_000] {
        let mut world = world();
        let publishing = [world.join("r", publisher()), world.join("r", publisher())];
        let viewer = world.join("r", ClientConfig::viewer());
        world.settle();
        wish_for_all(&mut world, &[viewer], &publishing);
        world.network.narrow(viewer, Direction::Down, Some(rate));
        world.run(20 * SECOND);
        let since = world.now;
        world.run(20 * SECOND);
        let waits = world.network.bottlenecks[0].waits_since(since);
        let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
        println!(
            "{rate}: p50 {:?} p95 {:?} max {:?} overflows {} video {}",
            at(0.5),
            at(0.95),
            at(1.0),
            world.network.bottlenecks[0].overflows,
            video_rate(&world, viewer, since)
        );
    }
}

fn two_behind_one_bottleneck_share_it() {
    for rate in [1_500_000, 3_000_000, 4_500_000] {
        let mut world = world();
        let publishing: Vec<usize> = (0..3).map(|_| world.join("r", publisher())).collect();
        let viewers = [
            world.join("r", ClientConfig::viewer()),
            world.join("r", ClientConfig::viewer()),
        ];
        world.settle();
        wish_for_all(&mut world, &viewers, &publishing);
        world
            .network
            .narrow(viewers[0], Direction::Down, Some(rate));
        world.network.down[viewers[1]].bottleneck = world.network.down[viewers[0]].bottleneck;
        world.run(30 * SECOND);
        let since = world.now;
        world.run(30 * SECOND);
        let rates = viewers.map(|viewer| video_rate(&world, viewer, since));
        let sum: f64 = rates.iter().sum();
        let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
        println!(
            "{rate}: {rates:?} jain {}",
            sum * sum / (rates.len() as f64 * squares)
        );
    }
}

fn sound_is_never_starved() {
    for rate in [250_000, 400_000, 800_000] {
        let mut world = world();
        let publishing = world.join("r", publisher());
        let viewer = world.join("r", ClientConfig::viewer());
        world.settle();
        wish_for_all(&mut world, &[viewer], &[publishing]);
        world.network.narrow(viewer, Direction::Down, Some(BROAD));
        world.run(10 * SECOND);
        world.network.narrow(viewer, Direction::Down, Some(rate));
        let narrowed = world.now;
        world.run(5 * SECOND);
        let settled = world.now;
        world.run(20 * SECOND);
        let heard = |since: Instant, until: Instant| {
            let sounds = world.clients[viewer].sounds();
            let heard = sounds.filter(|r| r.at >= since && r.at < until).count();
            1.0 - heard as f64 / ((until - since).as_secs_f64() * 50.0)
        };
        println!(
            "{rate}: lost {} then {}",
            heard(narrowed, settled),
            heard(settled, world.now)
        );
    }
}
