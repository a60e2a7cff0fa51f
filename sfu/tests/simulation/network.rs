//! What lies between a client and the SFU: for each direction a link that delays, loses,
//! reorders and repeats, and bottlenecks with a rate and a queue, which links may share.
//! All chance comes from one seeded generator.

use std::time::{Duration, Instant};

use fastrand::Rng;

/// How packets are lost. Probabilities are parts of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Loss {
    None,
    Random(f64),
    /// Gilbert and Elliott's chain: in its bad state every packet is lost. It goes bad
    /// before a packet with the first probability and good again with the second.
    Bursts {
        begin: f64,
        end: f64,
    },
}

/// What a link does to packets besides holding them up at a bottleneck.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Weather {
    pub(crate) delay: Duration,
    /// Up to so much is added to the delay of each packet. Order is kept.
    pub(crate) jitter: Duration,
    pub(crate) loss: Loss,
    /// The part of the packets that is held back by `delay` once more and so overtaken.
    pub(crate) reordered: f64,
    /// The part of the packets that arrives twice.
    pub(crate) repeated: f64,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: Loss::None,
            reordered: 0.0,
            repeated: 0.0,
        }
    }
}

/// One direction of the path between a client and the SFU.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    pub(crate) weather: Weather,
    /// The bottleneck on the way, by its place in [`Network::bottlenecks`].
    pub(crate) bottleneck: Option<usize>,
    /// Nothing comes through before this time.
    pub(crate) dark_until: Option<Instant>,
    in_burst: bool,
    last_arrival: Option<Instant>,
}

/// A place where packets queue up for their turn; what finds the queue full is lost.
#[derive(Debug, Clone)]
pub(crate) struct Bottleneck {
    /// Bits a second.
    pub(crate) rate: u64,
    /// The longest that a packet may wait.
    pub(crate) queue: Duration,
    free: Option<Instant>,
    /// How long each packet waited that came through, and when it came.
    pub(crate) waits: Vec<(Instant, Duration)>,
    pub(crate) overflows: u64,
}

impl Bottleneck {
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            rate,
            queue: Duration::from_millis(250),
            free: None,
            waits: vec![],
            overflows: 0,
        }
    }

    /// When a packet has left.
    fn pass(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let begins = self.free.map_or(now, |free| free.max(now));
        let wait = begins - now;
        if wait > self.queue {
            self.overflows += 1;
            return None;
        }
        self.waits.push((now, wait));
        let leaves = begins + Duration::from_nanos(bytes as u64 * 8 * 1_000_000_000 / self.rate);
        self.free = Some(leaves);
        Some(leaves)
    }

    /// How long those waited that came from `since` on, shortest first.
    pub(crate) fn waits_since(&self, since: Instant) -> Vec<Duration> {
        let mut waits: Vec<_> = self
            .waits
            .iter()
            .filter(|(at, _)| *at >= since)
            .map(|(_, wait)| *wait)
            .collect();
        waits.sort_unstable();
        waits
    }
}

/// All links, by client, and the bottlenecks.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) up: Vec<Link>,
    pub(crate) down: Vec<Link>,
    pub(crate) bottlenecks: Vec<Bottleneck>,
    random: Rng,
}

/// From or to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            up: vec![],
            down: vec![],
            bottlenecks: vec![],
            random: Rng::with_seed(seed),
        }
    }

    /// The path of one more client, fast and faultless.
    pub(crate) fn add_path(&mut self) {
        self.up.push(Link::default());
        self.down.push(Link::default());
    }

    pub(crate) fn link(&mut self, client: usize, direction: Direction) -> &mut Link {
        match direction {
            Direction::Up => &mut self.up[client],
            Direction::Down => &mut self.down[client],
        }
    }

    /// Puts a bottleneck of its own into a link, or takes away what is there.
    pub(crate) fn narrow(&mut self, client: usize, direction: Direction, rate: Option<u64>) {
        let place = rate.map(|rate| {
            self.bottlenecks.push(Bottleneck::new(rate));
            self.bottlenecks.len() - 1
        });
        self.link(client, direction).bottleneck = place;
    }

    /// Nothing comes through in either direction until then.
    pub(crate) fn darken(&mut self, client: usize, until: Instant) {
        self.up[client].dark_until = Some(until);
        self.down[client].dark_until = Some(until);
    }

    /// When a packet that is sent now arrives: never, once or twice.
    pub(crate) fn carry(
        &mut self,
        now: Instant,
        client: usize,
        direction: Direction,
        bytes: usize,
    ) -> Vec<Instant> {
        let link = match direction {
            Direction::Up => &mut self.up[client],
            Direction::Down => &mut self.down[client],
        };
        if link.dark_until.is_some_and(|until| now < until) || link.loses(&mut self.random) {
            return vec![];
        }
        let left = match link.bottleneck {
            None => Some(now),
            Some(place) => self.bottlenecks[place].pass(now, bytes),
        };
        left.map_or_else(Vec::new, |left| link.arrivals(left, &mut self.random))
    }
}

impl Link {
    fn loses(&mut self, random: &mut Rng) -> bool {
        match self.weather.loss {
            Loss::None => false,
            Loss::Random(part) => random.f64() < part,
            Loss::Bursts { begin, end } => {
                let change = if self.in_burst { end } else { begin };
                self.in_burst ^= random.f64() < change;
                self.in_burst
            }
        }
    }

    fn arrivals(&mut self, left: Instant, random: &mut Rng) -> Vec<Instant> {
        let weather = self.weather;
        let usual = left + weather.delay + weather.jitter.mul_f64(random.f64());
        if random.f64() < weather.reordered {
            return vec![usual + weather.delay];
        }
        let arrives = self.last_arrival.map_or(usual, |last| last.max(usual));
        self.last_arrival = Some(arrives);
        if random.f64() < weather.repeated {
            vec![arrives, arrives + weather.delay.mul_f64(random.f64())]
        } else {
            vec![arrives]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: usize = 100_000;

    /// Sends many packets of 1,000 bytes, one a millisecond, and tells when each arrived.
    fn send(weather: Weather) -> (Instant, Vec<Vec<Instant>>) {
        let mut network = Network::new(7);
        network.add_path();
        network.down[0].weather = weather;
        let start = Instant::now();
        let arrivals = (0..PACKETS as u64)
            .map(|ms| {
                let now = start + Duration::from_millis(ms);
                network.carry(now, 0, Direction::Down, 1_000)
            })
            .collect();
        (start, arrivals)
    }

    fn part_of(arrivals: &[Vec<Instant>], count: impl Fn(&Vec<Instant>) -> bool) -> f64 {
        arrivals.iter().filter(|a| count(a)).count() as f64 / arrivals.len() as f64
    }

    #[test]
    fn a_faultless_link_only_delays() {
        let (start, arrivals) = send(Weather::default());
        for (ms, arrived) in arrivals.iter().enumerate() {
            let expected = start + Duration::from_millis(ms as u64 + 10);
            assert_eq!(arrived, &[expected]);
        }
    }

    #[test]
    fn two_percent_of_loss_are_two_percent() {
        let loss = Loss::Random(0.02);
        let (_, arrivals) = send(Weather {
            loss,
            ..Weather::default()
        });
        let lost = part_of(&arrivals, Vec::is_empty);
        assert!((0.019..0.021).contains(&lost), "{lost}");
    }

    #[test]
    fn bursts_are_as_long_and_as_frequent_as_the_chain_says() {
        let loss = Loss::Bursts {
            begin: 0.01,
            end: 0.25,
        };
        let (_, arrivals) = send(Weather {
            loss,
            ..Weather::default()
        });
        let lost = part_of(&arrivals, Vec::is_empty);
        let expected = 0.01 / (0.01 + 0.25);
        assert!((lost - expected).abs() < 0.004, "{lost}");
        let bursts = arrivals
            .windows(2)
            .filter(|pair| !pair[0].is_empty() && pair[1].is_empty())
            .count();
        let length = lost * PACKETS as f64 / bursts as f64;
        assert!((3.7..4.3).contains(&length), "{length}");
    }

    #[test]
    fn jitter_delays_without_overtaking() {
        let jitter = Duration::from_millis(20);
        let (start, arrivals) = send(Weather {
            jitter,
            ..Weather::default()
        });
        let arrivals: Vec<_> = arrivals.concat();
        assert_eq!(arrivals.len(), PACKETS);
        assert!(arrivals.is_sorted());
        let delays = arrivals
            .iter()
            .enumerate()
            .map(|(ms, at)| *at - (start + Duration::from_millis(ms as u64)));
        let (least, most) = (delays.clone().min().unwrap(), delays.max().unwrap());
        assert!(least >= Duration::from_millis(10), "{least:?}");
        assert!(most > Duration::from_millis(29), "{most:?}");
        assert!(most <= Duration::from_millis(30), "{most:?}");
    }

    #[test]
    fn some_are_overtaken_and_some_come_twice() {
        let (_, arrivals) = send(Weather {
            reordered: 0.05,
            repeated: 0.03,
            ..Weather::default()
        });
        let twice = part_of(&arrivals, |a| a.len() == 2);
        assert!((0.026..0.031).contains(&twice), "{twice}");
        let firsts: Vec<_> = arrivals.iter().map(|a| a[0]).collect();
        let overtaken = firsts.windows(2).filter(|pair| pair[1] < pair[0]).count();
        let part = overtaken as f64 / PACKETS as f64;
        assert!((0.045..0.051).contains(&part), "{part}");
    }

    #[test]
    fn a_bottleneck_holds_its_rate_and_its_queue_is_bounded() {
        let mut network = Network::new(7);
        network.add_path();
        network.narrow(0, Direction::Up, Some(4_000_000));
        let start = Instant::now();
        // Twice what it carries, for two seconds.
        let arrived: Vec<_> = (0..2_000)
            .flat_map(|ms| {
                let now = start + Duration::from_millis(ms);
                network.carry(now, 0, Direction::Up, 1_000)
            })
            .collect();
        let rate = (arrived.len() - 1) as f64 * 8_000.0
            / (arrived[arrived.len() - 1] - arrived[0]).as_secs_f64();
        assert!((3_990_000.0..4_010_000.0).contains(&rate), "{rate}");
        let bottleneck = &network.bottlenecks[0];
        let waits = bottleneck.waits_since(start + Duration::from_secs(1));
        assert!(waits[0] > Duration::from_millis(245), "{waits:?}");
        assert!(*waits.last().unwrap() <= bottleneck.queue);
        assert_eq!(bottleneck.overflows + arrived.len() as u64, 2_000);
    }

    #[test]
    fn links_that_share_a_bottleneck_share_its_rate() {
        let mut network = Network::new(7);
        network.add_path();
        network.add_path();
        network.narrow(0, Direction::Down, Some(8_000_000));
        network.down[1].bottleneck = network.down[0].bottleneck;
        let start = Instant::now();
        let first = network.carry(start, 0, Direction::Down, 1_000);
        let second = network.carry(start, 1, Direction::Down, 1_000);
        assert_eq!(second[0] - first[0], Duration::from_millis(1));
    }

    #[test]
    fn nothing_comes_through_the_dark() {
        let mut network = Network::new(7);
        network.add_path();
        let start = Instant::now();
        let until = start + Duration::from_secs(1);
        network.darken(0, until);
        for direction in [Direction::Up, Direction::Down] {
            assert!(network.carry(start, 0, direction, 100).is_empty());
            assert_eq!(network.carry(until, 0, direction, 100).len(), 1);
        }
    }
}
