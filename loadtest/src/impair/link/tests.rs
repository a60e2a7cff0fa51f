use proptest::prelude::*;

use super::*;

const EVERY: Duration = Duration::from_millis(1);

/// Something that arrived: its number, and when, since the start.
type Arrival = (u32, Duration);

struct Rig {
    link: Link<u32>,
    start: Instant,
    arrived: Vec<Arrival>,
}

impl Rig {
    fn new(spec: &str, seed: u64) -> Self {
        let start = Instant::now();
        let mut link = Link::new(spec.parse().unwrap(), seed);
        link.begin_window(start);
        Self {
            link,
            start,
            arrived: Vec::new(),
        }
    }

    /// Lets time pass, as a driver would: from one arrival to the next.
    fn pass(&mut self, until: Duration) {
        while let Some(at) = self
            .link
            .poll_timeout()
            .filter(|at| *at - self.start <= until)
        {
            while let Some(number) = self.link.poll(at) {
                self.arrived.push((number, at - self.start));
            }
        }
    }

    fn push(&mut self, at: Duration, number: u32, len: usize) {
        self.pass(at);
        self.link.push(self.start + at, number, len);
    }

    /// So many packets of a size, evenly spaced, until all have arrived.
    fn play(spec: &str, seed: u64, count: u32, every: Duration, len: usize) -> Self {
        let mut rig = Self::new(spec, seed);
        for number in 0..count {
            rig.push(every * number, number, len);
        }
        rig.pass(Duration::MAX);
        rig
    }

    fn numbers(&self) -> Vec<u32> {
        self.arrived.iter().map(|(number, _)| *number).collect()
    }
}

#[test]
fn a_clean_link_gives_everything_at_once_and_in_order() {
    let rig = Rig::play("none", 1, 1_000, EVERY, 100);
    assert_eq!(rig.numbers(), (0..1_000).collect::<Vec<_>>());
    assert!(
        rig.arrived
            .iter()
            .all(|(number, at)| *at == EVERY * *number)
    );
    assert_eq!(rig.link.poll_timeout(), None);
}

#[test]
fn loss_is_what_was_asked_for_and_each_packet_has_its_own_fate() {
    for seed in 0..4 {
        let count = 100_000;
        let rig = Rig::play("loss=2%", seed, count, EVERY, 100);
        // 2,000 are expected; the standard deviation is 44.
        let lost = rig.link.counts().lost;
        assert!(lost.abs_diff(2_000) < 4 * 44, "{lost}");
        let arrived = rig.numbers();
        assert_eq!(arrived.len() as u64 + lost, u64::from(count));
        // Of those after a lost one as many are lost as of all.
        let runs = runs_of_loss(&arrived, count);
        let mean = lost as f64 / runs as f64;
        assert!((mean - 1.0 / 0.98).abs() < 0.02, "{mean}");
    }
}

/// How many times the path began to lose packets.
fn runs_of_loss(arrived: &[u32], count: u32) -> usize {
    let mut lost = vec![true; count as usize];
    arrived
        .iter()
        .for_each(|number| lost[*number as usize] = false);
    let begins = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    begins + usize::from(lost[0])
}

#[test]
fn bursts_have_the_asked_length_and_lose_no_more_in_all() {
    for (spec, share, burst) in [
        ("loss=2%,burst=4", 0.02, 4.0),
        ("loss=10%,burst=20", 0.1, 20.0),
        ("loss=5%,burst=1", 0.05, 1.0),
        ("loss=50%,burst=1", 0.5, 1.0),
    ] {
        let (mut lost, mut runs, mut count) = (0, 0, 0);
        for seed in 0..10 {
            let rig = Rig::play(spec, seed, 100_000, EVERY, 100);
            lost += rig.link.counts().lost;
            runs += runs_of_loss(&rig.numbers(), 100_000);
            count += 100_000;
        }
        let measured = lost as f64 / f64::from(count);
        let mean = lost as f64 / runs as f64;
        assert!((measured / share - 1.0).abs() < 0.05, "{spec}: {measured}");
        assert!((mean / burst - 1.0).abs() < 0.05, "{spec}: {mean}");
    }
}

#[test]
fn all_is_lost_when_all_is_to_be() {
    let rig = Rig::play("loss=100%", 1, 1_000, EVERY, 100);
    assert!(rig.arrived.is_empty());
    assert_eq!(rig.link.counts().lost, 1_000);
}

#[test]
fn delay_is_added_to_every_packet() {
    let rig = Rig::play("delay=50ms", 1, 100, EVERY, 100);
    let delay = Duration::from_millis(50);
    assert!(
        rig.arrived
            .iter()
            .all(|(number, at)| *at == EVERY * *number + delay)
    );
    assert_eq!(rig.link.counts().time_under_way, delay * 100);
}

#[test]
fn jitter_is_spread_evenly_around_the_delay() {
    let rig = Rig::play("delay=50ms,jitter=10ms", 3, 100_000, EVERY, 100);
    let mut delays: Vec<_> = rig
        .arrived
        .iter()
        .map(|(number, at)| (*at - EVERY * *number).as_secs_f64() * 1e3)
        .collect();
    delays.sort_by(f64::total_cmp);
    assert!(delays[0] >= 40.0 && delays[99_999] <= 60.0);
    for (quantile, expected) in [(0.1, 42.0), (0.5, 50.0), (0.9, 58.0)] {
        let delay = delays[(quantile * 100_000.0) as usize];
        assert!((delay - expected).abs() < 0.2, "{quantile}: {delay}");
    }
}

#[test]
fn who_is_held_back_is_overtaken() {
    let rig = Rig::play("reorder=1%,behind=20ms", 5, 100_000, EVERY, 100);
    let reordered = rig.link.counts().reordered;
    assert!(reordered.abs_diff(1_000) < 4 * 32, "{reordered}");
    // As a receiver counts it: with a number below one that was seen already.
    let mut most = 0;
    let overtaken = rig.arrived.iter().filter(|(number, at)| {
        let late = *number < most;
        most = most.max(*number);
        let delay = if late {
            Duration::from_millis(20)
        } else {
            Duration::ZERO
        };
        // The last ones may be held back with nobody left to overtake them.
        assert!(*at == EVERY * *number + delay || *number > 99_970);
        late
    });
    assert_eq!(overtaken.count() as u64, reordered);
}

#[test]
fn some_arrive_twice() {
    let rig = Rig::play("duplicate=0.5%", 5, 100_000, EVERY, 100);
    let copies = rig.link.counts().duplicated;
    assert!(copies.abs_diff(500) < 4 * 23, "{copies}");
    let twice = rig.arrived.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    assert_eq!(twice.count() as u64, copies);
}

#[test]
fn no_more_passes_than_the_rate_and_nothing_waits_longer_than_the_queue() {
    // Packets of 1,000 bytes on the wire, one in a millisecond: 8 Mbit/s into 2.
    let rig = Rig::play("rate=2mbit,queue=100ms", 1, 10_000, EVERY, 1_000);
    let counts = rig.link.counts();
    let serialisation = Duration::from_millis(4);
    let (_, last) = *rig.arrived.last().unwrap();
    let bits = 8_000.0 * counts.delivered as f64;
    let rate = bits / last.as_secs_f64();
    assert!((rate / 2e6 - 1.0).abs() < 0.001, "{rate}");
    let longest = rig
        .arrived
        .iter()
        .map(|(number, at)| *at - EVERY * *number)
        .max()
        .unwrap();
    let bound = Duration::from_millis(100);
    assert!(longest <= bound + serialisation, "{longest:?}");
    assert!(longest > bound, "the queue was never full: {longest:?}");
    assert_eq!(counts.queue_dropped + counts.delivered, 10_000);
    let order = rig.numbers();
    assert!(order.is_sorted(), "a queue keeps the order");
}

#[test]
fn a_rate_that_suffices_adds_only_the_time_to_send() {
    let rig = Rig::play("rate=16mbit", 1, 1_000, EVERY, 1_000);
    let sending = Duration::from_micros(500);
    assert!(
        rig.arrived
            .iter()
            .all(|(number, at)| *at == EVERY * *number + sending)
    );
    assert_eq!(rig.link.counts().queue_dropped, 0);
}

#[test]
fn nothing_passes_in_a_blackout() {
    let rig = Rig::play("blackout=100ms@200ms,every=500ms", 1, 1_000, EVERY, 100);
    let dark = |number: &u32| (200..300).contains(&(number % 500));
    let expected: Vec<_> = (0..1_000).filter(|number| !dark(number)).collect();
    assert_eq!(rig.numbers(), expected);
    assert_eq!(rig.link.counts().blacked_out, 200);
}

#[test]
fn blackouts_wait_for_the_window() {
    let start = Instant::now();
    let mut link = Link::new("blackout=1h@0s".parse().unwrap(), 1);
    link.push(start, 0, 4);
    assert!(link.poll(start).is_some());
    link.begin_window(start);
    link.push(start, 1, 4);
    assert_eq!(link.poll(start), None);
}

#[test]
fn what_has_not_arrived_yet_is_not_given() {
    let start = Instant::now();
    let mut link = Link::new("delay=50ms".parse().unwrap(), 1);
    link.push(start, 0, 4);
    let arrives = start + Duration::from_millis(50);
    assert_eq!(link.poll_timeout(), Some(arrives));
    assert_eq!(link.poll(arrives - Duration::from_nanos(1)), None);
    assert_eq!(link.poll(arrives), Some(0));
}

#[test]
fn what_is_under_way_to_an_address_is_lost_with_it() {
    let mut rig = Rig::play("delay=50ms", 1, 10, EVERY, 100);
    rig.push(Duration::from_secs(1), 10, 100);
    rig.link.sever();
    rig.pass(Duration::MAX);
    assert_eq!(rig.numbers(), (0..10).collect::<Vec<_>>());
    assert_eq!(rig.link.counts().lost, 1);
}

#[test]
fn the_length_on_the_wire_counts_the_headers() {
    assert_eq!(wire_len(([127, 0, 0, 1], 9).into(), 100), 128);
    assert_eq!(wire_len(([0; 8], 9).into(), 100), 148);
}

#[test]
fn a_seed_is_a_run() {
    let spec = "loss=5%,burst=3,delay=20ms,jitter=15ms,duplicate=3%,reorder=4%";
    let play = |seed| Rig::play(spec, seed, 2_000, EVERY, 100).arrived;
    assert_eq!(play(7), play(7));
    assert_ne!(play(7), play(8));
}

#[test]
fn which_packets_are_lost_does_not_depend_on_what_else_is_asked_for() {
    let alone = Rig::play("loss=5%,burst=3", 7, 2_000, EVERY, 100);
    let more = "loss=5%,burst=3,delay=20ms,jitter=15ms,duplicate=3%,reorder=4%";
    let mut among = Rig::play(more, 7, 2_000, EVERY, 100).numbers();
    among.sort_unstable();
    among.dedup();
    assert_eq!(among, alone.numbers());
}

fn spec() -> impl Strategy<Value = String> {
    let part = |text: &'static [&'static str]| proptest::sample::select(text);
    (
        part(&["loss=0%", "loss=3%", "loss=40%,burst=5", "loss=100%"]),
        part(&["delay=0s", "delay=30ms", "delay=30ms,jitter=30ms"]),
        part(&["duplicate=0%", "duplicate=100%"]),
        part(&["reorder=0%", "reorder=30%"]),
        part(&[
            "rate=1gbit",
            "rate=100kbit,queue=50ms",
            "rate=1bit,queue=0s",
        ]),
        part(&["blackout=5ms@100h", "blackout=50ms@20ms,every=70ms"]),
    )
        .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].join(","))
}

proptest! {
    #[test]
    fn every_packet_is_accounted_for(
        spec in spec(),
        seed: u64,
        packets in proptest::collection::vec((0..30_u64, 4..1_500_usize), 0..200),
    ) {
        let mut rig = Rig::new(&spec, seed);
        let mut at = Duration::ZERO;
        for (number, (after, len)) in packets.iter().enumerate() {
            at += Duration::from_millis(*after);
            rig.push(at, number as u32, *len);
        }
        let counts = rig.link.counts();
        let under_way = rig.link.under_way.len() as u64;
        let gone = counts.lost + counts.blacked_out + counts.queue_dropped;
        prop_assert_eq!(counts.offered, packets.len() as u64);
        prop_assert_eq!(counts.offered + counts.duplicated, counts.delivered + gone + under_way);
        prop_assert_eq!(counts.delivered, rig.arrived.len() as u64);
        rig.pass(Duration::MAX);
        prop_assert_eq!(rig.link.poll_timeout(), None);
        prop_assert!(rig.arrived.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        if !spec.contains("jitter") && !spec.contains("reorder=3") {
            prop_assert!(rig.numbers().is_sorted());
        }
    }
}
