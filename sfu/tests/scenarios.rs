//! Random calls on random networks, each told by its seed. `make sim-sweep` looks for seeds
//! that fail; those in `simulation/seeds.txt` gate every test run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "simulation/seeded.rs"]
mod seeded;
mod simulation;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ops::RangeInclusive,
    process::Command,
};

use libtest_mimic::{Failed, Trial};
use simulation::scenario;

/// Set to a seed, has this binary play it and print the digest of its trace.
const DIGEST_OF: &str = "CONCLAVE_DIGEST_OF";

/// Set to `first..last`, has this binary play those seeds instead of the committed ones.
const SEEDS: &str = "CONCLAVE_SEEDS";

/// So many of the committed seeds are played again, in this process and in another.
const REPEATED: usize = 2;

fn main() {
    if let Ok(seed) = env::var(DIGEST_OF) {
        println!("{:016x}", digest(seed.parse().unwrap()).unwrap());
        return;
    }
    let mut trials = vec![];
    if let Ok(range) = env::var(SEEDS) {
        trials.extend(seeds_between(&range).map(scenario_of));
    } else {
        let seeds = committed_seeds();
        trials.extend(
            seeds.iter().take(REPEATED).map(|&seed| {
                Trial::test(format!("seed_{seed}_is_one_run"), move || is_one_run(seed))
            }),
        );
        trials.extend(seeds.into_iter().map(scenario_of));
    }
    seeded::run_all(trials);
}

fn committed_seeds() -> Vec<u64> {
    include_str!("simulation/seeds.txt")
        .lines()
        .filter_map(|line| line.split('#').next()?.split_whitespace().next())
        .map(|seed| seed.parse().unwrap())
        .collect()
}

fn seeds_between(range: &str) -> RangeInclusive<u64> {
    let (first, last) = range.split_once("..").expect("CONCLAVE_SEEDS=first..last");
    first.parse().unwrap()..=last.parse().unwrap()
}

fn scenario_of(seed: u64) -> Trial {
    Trial::test(format!("seed_{seed}"), move || {
        let one = everyone_is_served(seed, 1)?;
        let three = everyone_is_served(seed, 3)?;
        if one == three {
            Ok(())
        } else {
            Err(format!("with one shard they see {one:?}, with three {three:?}").into())
        }
    })
}

fn everyone_is_served(seed: u64, shards: u8) -> Result<BTreeMap<usize, BTreeSet<usize>>, Failed> {
    let played = seeded::run(seed, move || {
        let outcome = scenario::play(seed, shards, seeded::crypto());
        (outcome.seen, outcome.longest_gap)
    });
    let (seen, longest_gap) = played.map_err(|said| {
        format!(
            "seed {seed} with {shards} shards: {said}\n\
             replay: {SEEDS}={seed}..{seed} cargo test -p conclave-sfu --test scenarios"
        )
    })?;
    if env::var_os(SEEDS).is_some() {
        println!("longest gap {longest_gap:?}");
    }
    Ok(seen)
}

fn digest(seed: u64) -> Result<u64, String> {
    seeded::run(seed, move || {
        scenario::play(seed, 3, seeded::crypto())
            .world
            .trace
            .digest()
    })
}

fn is_one_run(seed: u64) -> Result<(), Failed> {
    let trace = || {
        seeded::run(seed, move || {
            scenario::play(seed, 3, seeded::crypto()).world.trace
        })
    };
    let (first, second) = (trace()?, trace()?);
    if let Some((one, other)) = first.divergence(&second) {
        return Err(format!("{one:?} in one run, {other:?} in the other").into());
    }
    let elsewhere = Command::new(env::current_exe()?)
        .env(DIGEST_OF, seed.to_string())
        .output()?;
    let elsewhere = String::from_utf8(elsewhere.stdout)?;
    let here = format!("{:016x}", first.digest());
    if elsewhere.trim() == here {
        Ok(())
    } else {
        Err(format!("{here} in this process, {elsewhere} in another").into())
    }
}
