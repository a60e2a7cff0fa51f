//! Random calls on random networks, each told by its seed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "simulation/seeded.rs"]
mod seeded;
mod simulation;

use std::{env, process::Command, time::Duration};

use libtest_mimic::Trial;
use simulation::{
    ClientConfig, World,
    network::{Loss, Weather},
    trace::Trace,
};

fn call(seed: u64) -> Trace {
    let mut world = World::seeded(seed, 3, seeded::crypto());
    for index in 0..5 {
        let config = if index < 3 {
            ClientConfig::default()
        } else {
            ClientConfig::viewer()
        };
        let who = world.join("r", config);
        world.network.down[who].weather = Weather {
            jitter: Duration::from_millis(5),
            loss: Loss::Random(0.03),
            reordered: 0.01,
            ..Weather::default()
        };
        world.network.up[who].weather = Weather {
            jitter: Duration::from_millis(5),
            loss: Loss::Random(0.03),
            reordered: 0.01,
            ..Weather::default()
        };
    }
    world.run(Duration::from_secs(10));
    world.trace
}

fn main() {
    if let Ok(seed) = env::var("TRACE") {
        let seed = seed.parse().unwrap();
        println!(
            "{}",
            seeded::run(seed, move || call(seed)).unwrap().digest()
        );
        return;
    }
    let mut trials = vec![];
    for seed in 1..=3 {
        trials.push(Trial::test(format!("seed_{seed}_is_one_run"), move || {
            let first = seeded::run(seed, move || call(seed)).unwrap();
            let second = seeded::run(seed, move || call(seed)).unwrap();
            println!("{} {} {}", seed, first.sent.len(), first.digest());
            assert_eq!(first.divergence(&second), None);
            let out = Command::new(env::current_exe().unwrap())
                .env("TRACE", seed.to_string())
                .output()
                .unwrap();
            assert_eq!(
                String::from_utf8(out.stdout).unwrap().trim(),
                first.digest().to_string()
            );
            Ok(())
        }));
    }
    seeded::run_all(trials);
}
