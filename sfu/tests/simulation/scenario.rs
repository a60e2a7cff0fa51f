//! A random call on a random network, drawn from a seed: people come, go, look elsewhere
//! and turn things off, while the network does its worst. In the end it is calm.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use conclave_protocol::signal::Source;
use fastrand::Rng;
use str0m::crypto::CryptoProvider;

use super::{
    ClientConfig, Direction, World,
    network::{Loss, Weather},
    oracle::Oracle,
    people::{People, Person},
};

const TROUBLE: Duration = Duration::from_secs(18);
/// After so long a calm everything has recovered.
const CALM: Duration = Duration::from_secs(8);
/// What is then looked at.
const JUDGED: Duration = Duration::from_secs(2);

/// A client whose address changes is found again with its next check.
const CHECKS: Duration = Duration::from_secs(3);

const STEP: Duration = Duration::from_millis(50);
const MOST_PEOPLE: usize = 14;
const MOST_IN_ROOM: usize = 8;

/// What a scenario came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) world: World,
    pub(crate) seen: BTreeMap<usize, BTreeSet<usize>>,
    pub(crate) longest_gap: Duration,
}

/// What happened, told when a scenario fails.
struct Story(Vec<String>);

impl Drop for Story {
    fn drop(&mut self) {
        if thread::panicking() {
            for line in &self.0 {
                eprintln!("{line}");
            }
        }
    }
}

struct Scenario {
    world: World,
    people: People,
    oracle: Oracle,
    random: Rng,
    rooms: usize,
    /// When a link's trouble ends.
    ends: Vec<(Instant, usize, Direction)>,
    story: Story,
}

/// Plays the scenario of a seed. What people do does not depend on the number of shards.
pub(crate) fn play(seed: u64, shards: u8, crypto: CryptoProvider) -> Outcome {
    let mut random = Rng::with_seed(seed);
    let rooms = random.usize(1..=3);
    let mut scenario = Scenario {
        world: World::seeded(seed, shards, crypto),
        people: People::default(),
        oracle: Oracle::default(),
        random,
        rooms,
        ends: vec![],
        story: Story(vec![]),
    };
    for room in 0..rooms {
        for _ in 0..scenario.random.usize(2..=4) {
            scenario.join(room);
        }
    }
    let begin = scenario.world.now;
    while scenario.world.now < begin + TROUBLE {
        if scenario.random.f64() < 0.08 {
            scenario.something_happens();
        }
        scenario.go_on();
    }
    scenario.calm_down();
    let calm = scenario.world.now;
    while scenario.world.now < calm + CALM + JUDGED {
        scenario.go_on();
    }
    let Scenario {
        mut world,
        people,
        oracle,
        ..
    } = scenario;
    let seen = oracle.conclude(&mut world, &people, calm + CALM);
    Outcome {
        world,
        seen,
        longest_gap: oracle.longest_gap,
    }
}

impl Scenario {
    fn tell(&mut self, what: String) {
        let at = self.world.now - self.world.start;
        self.story.0.push(format!("{at:>12?} {what}"));
    }

    fn go_on(&mut self) {
        let now = self.world.now;
        let (over, still): (Vec<_>, Vec<_>) = self.ends.iter().partition(|(at, ..)| *at <= now);
        self.ends = still;
        for (_, who, direction) in over {
            self.world.network.link(who, direction).weather = Weather::default();
            self.world.network.narrow(who, direction, None);
        }
        self.people.speak(&mut self.world);
        self.world.run(STEP);
        self.people.hear(&self.world.events);
        self.oracle.look(&self.world, &self.people);
    }

    fn calm_down(&mut self) {
        self.tell("calm".into());
        for who in 0..self.people.0.len() {
            self.world.network.darken(who, self.world.now);
            for direction in [Direction::Up, Direction::Down] {
                self.world.network.link(who, direction).weather = Weather::default();
                self.world.network.narrow(who, direction, None);
            }
        }
        self.ends.clear();
    }

    /// Someone who is there.
    fn someone(&mut self) -> Option<usize> {
        let present: Vec<usize> = self.people.present().map(|(index, _)| index).collect();
        self.random.choice(present)
    }

    fn something_happens(&mut self) {
        let what = self.random.u32(0..100);
        if what < 14 {
            let room = self.random.usize(0..self.rooms);
            self.join(room);
            return;
        }
        let Some(who) = self.someone() else { return };
        match what {
            14..20 => self.leave(who),
            20..23 => self.vanish(who),
            23..30 => self.come_again(who),
            30..42 => self.wish(who),
            42..50 => self.toggle(who, Source::Camera),
            50..56 => self.toggle(who, Source::Microphone),
            56..64 => self.toggle_layer(who),
            64..84 => self.bad_weather(who),
            84..90 => self.narrow(who),
            90..94 => self.go_dark(who),
            94..97 => self.go_elsewhere(who),
            _ => self.ask_for_key_frame(who),
        }
    }

    fn join(&mut self, room: usize) {
        let in_room = self.people.present().filter(|(_, p)| p.room == room);
        if in_room.count() >= MOST_IN_ROOM || self.people.0.len() >= MOST_PEOPLE {
            return;
        }
        let config = ClientConfig {
            publishes: self.random.f64() < 0.65,
            simulcast: self.random.f64() < 0.8,
            ..ClientConfig::default()
        };
        let few_slots = self.random.f64() < 0.25;
        let camera_slots = if few_slots {
            self.random.usize(1..=3)
        } else {
            9
        };
        let config = ClientConfig {
            camera_slots,
            ..config
        };
        let who = self.people.0.len();
        self.tell(format!("{who} joins {room}: {config:?}"));
        self.people
            .0
            .push(Person::new(room, config.clone(), self.world.now));
        self.world.join(&format!("room-{room}"), config);
        if few_slots {
            self.wish(who);
        }
    }

    fn leave(&mut self, who: usize) {
        self.tell(format!("{who} leaves"));
        self.people.0[who].is_gone = true;
        self.world.leave(who);
    }

    fn vanish(&mut self, who: usize) {
        self.tell(format!("{who} vanishes"));
        self.people.0[who].is_gone = true;
        self.people.0[who].vanished = true;
        self.world.clients[who].is_gone = true;
    }

    fn come_again(&mut self, who: usize) {
        self.tell(format!("{who} comes again"));
        self.oracle.comes_again(&self.world, who);
        let person = &mut self.people.0[who];
        person.comes_again(self.world.now);
        let room = format!("room-{}", person.room);
        let config = person.config.clone();
        self.world.replace(who, &room, &config);
    }

    fn wish(&mut self, who: usize) {
        let room = self.people.0[who].room;
        let mut others: Vec<usize> = self
            .people
            .present()
            .filter(|(other, person)| *other != who && person.room == room)
            .map(|(other, _)| other)
            .collect();
        self.random.shuffle(&mut others);
        others.truncate(self.random.usize(0..=others.len()));
        let heights = [90, 180, 360, 720];
        let wishes: Vec<_> = others
            .into_iter()
            .map(|other| (other, heights[self.random.usize(0..heights.len())]))
            .collect();
        self.tell(format!("{who} wants to see {wishes:?}"));
        self.people.0[who].wish(wishes, self.world.now);
    }

    fn toggle(&mut self, who: usize, source: Source) {
        if self.people.0[who].config.publishes {
            self.tell(format!("{who} toggles its {source:?}"));
            self.people.0[who].toggle(source, self.world.now);
        }
    }

    /// A layer falls asleep or wakes, but one is always awake.
    fn toggle_layer(&mut self, who: usize) {
        let layer = self.random.usize(0..3);
        let on = &mut self.world.clients[who].layers_on;
        on[layer] ^= true;
        if on.iter().all(|on| !on) || !self.people.0[who].config.simulcast {
            on[layer] ^= true;
            return;
        }
        self.people.0[who].disturb(self.world.now);
        self.tell(format!("{who} toggles its layer {layer}"));
    }

    fn direction(&mut self) -> Direction {
        if self.random.bool() {
            Direction::Up
        } else {
            Direction::Down
        }
    }

    fn bad_weather(&mut self, who: usize) {
        let direction = self.direction();
        let loss = match self.random.u8(0..3) {
            0 => Loss::None,
            1 => Loss::Random(self.random.f64() * 0.1),
            _ => Loss::Bursts {
                begin: self.random.f64() * 0.02,
                end: 0.2 + self.random.f64() * 0.6,
            },
        };
        let weather = Weather {
            delay: Duration::from_millis(self.random.u64(2..80)),
            jitter: Duration::from_millis(self.random.u64(0..30)),
            loss,
            reordered: self.random.f64() * 0.03,
            repeated: self.random.f64() * 0.02,
        };
        self.tell(format!("{who} {direction:?}: {weather:?}"));
        self.world.network.link(who, direction).weather = weather;
        self.ends_later(who, direction);
    }

    /// Enough for the lowest layers of everyone, or for all layers of its own.
    fn narrow(&mut self, who: usize) {
        let direction = self.direction();
        let rate = self.random.u64(1_200_000..3_000_000);
        self.tell(format!("{who} {direction:?}: {rate} bit/s"));
        self.world.network.narrow(who, direction, Some(rate));
        self.ends_later(who, direction);
    }

    fn ends_later(&mut self, who: usize, direction: Direction) {
        let lasts = Duration::from_millis(self.random.u64(500..6_000));
        self.ends.push((self.world.now + lasts, who, direction));
    }

    fn go_dark(&mut self, who: usize) {
        let lasts = Duration::from_millis(self.random.u64(100..3_000));
        self.tell(format!("{who} is dark for {lasts:?}"));
        let until = self.world.now + lasts;
        self.world.network.darken(who, until);
        self.people.0[who].disturb(until);
    }

    fn go_elsewhere(&mut self, who: usize) {
        self.tell(format!("{who} has another address"));
        self.world.rebind(who);
        let until = self.world.now + CHECKS;
        self.people.0[who].disturb(until);
    }

    /// As a decoder that lost its way.
    fn ask_for_key_frame(&mut self, who: usize) {
        let mut slots: Vec<String> = self.world.clients[who].received.keys().cloned().collect();
        slots.sort_unstable();
        if let Some(slot) = self.random.choice(slots) {
            let now = self.world.now;
            self.world.clients[who].request_key_frame(now, &slot);
        }
    }
}
