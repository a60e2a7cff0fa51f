use super::*;

const MS: Duration = Duration::from_millis(1);

/// A bottleneck with a queue as long as it takes, and its clock.
struct Rig {
    usage: Usage,
    start: Instant,
    free: Instant,
}

impl Rig {
    fn new(spec: &str) -> Self {
        let start = Instant::now();
        let impairment: crate::impair::Impairment = spec.parse().unwrap();
        Self {
            usage: Usage::new(impairment.bottleneck.unwrap()),
            start,
            free: start,
        }
    }

    fn at(&self, milliseconds: u64) -> Instant {
        self.start + MS * milliseconds as u32
    }

    /// Packets of 1,000 bits, one every so many milliseconds.
    fn play(&mut self, from: u64, to: u64, every: usize) {
        for milliseconds in (from..to).step_by(every) {
            let now = self.at(milliseconds);
            let begins = self.free.max(now);
            let passed = begins + self.usage.rate(now).time_for(125);
            self.usage.pass(now, begins - now, passed, 125);
            self.free = passed;
        }
    }

    /// Like a bot that measures everything.
    fn measure(&mut self) {
        self.usage.begin_window(self.start);
        self.usage.media_begins(self.start);
    }

    fn end(mut self, milliseconds: u64) -> Use {
        self.usage.end(self.at(milliseconds));
        self.usage.total().clone()
    }
}

#[test]
fn half_of_what_could_pass_is_half_the_use() {
    let mut rig = Rig::new("rate=1mbit");
    rig.measure();
    rig.play(0, 5_000, 2);
    let total = rig.end(5_000);
    assert_eq!(total.capacity, 5e6);
    assert_eq!(total.passed, 2.5e6);
    assert_eq!((total.limits, total.queue.len()), (1, 50));
    assert!(total.to_80_percent.is_empty() && total.to_90_percent.is_empty());
}

#[test]
fn what_is_outside_of_the_window_does_not_count() {
    let mut rig = Rig::new("rate=1mbit");
    rig.play(0, 1_000, 1);
    rig.usage.begin_window(rig.at(1_000));
    rig.play(1_000, 2_000, 2);
    rig.usage.end(rig.at(2_000));
    rig.play(2_000, 4_000, 1);
    let total = rig.end(4_000);
    assert_eq!((total.passed, total.capacity), (0.5e6, 1e6));
}

#[test]
fn a_limit_is_used_when_a_second_of_it_was() {
    let mut rig = Rig::new("rate=1mbit");
    rig.measure();
    rig.play(0, 3_000, 2);
    rig.play(3_000, 6_000, 1);
    let total = rig.end(6_000);
    // 0.8 of the last second: 400 ms at half and 600 ms at full use.
    assert_eq!(total.to_80_percent, [MS * 3_600]);
    assert_eq!(total.to_90_percent, [MS * 3_800]);
}

#[test]
fn the_time_counts_from_the_first_media() {
    let mut rig = Rig::new("rate=1mbit");
    rig.usage.begin_window(rig.start);
    rig.play(0, 2_000, 1);
    rig.usage.media_begins(rig.at(2_000));
    rig.play(2_000, 4_000, 1);
    rig.usage.media_begins(rig.at(4_000));
    let total = rig.end(4_000);
    assert_eq!((total.limits, total.to_80_percent), (1, vec![MS * 800]));
}

#[test]
fn every_step_is_a_limit_of_its_own() {
    let mut rig = Rig::new("rate=1mbit,then=500kbit@2s/2mbit@4s");
    rig.measure();
    rig.play(0, 2_000, 1);
    rig.play(2_000, 4_000, 2);
    // Half of two megabits.
    rig.play(4_000, 6_000, 1);
    let total = rig.end(6_000);
    assert_eq!(total.limits, 3);
    assert_eq!(total.to_90_percent, [MS * 900, MS * 900]);
    assert_eq!((total.passed, total.capacity), (5e6, 7e6));
}

#[test]
fn a_burst_is_no_standing_queue_but_what_never_empties_is() {
    let mut rig = Rig::new("rate=1mbit");
    rig.measure();
    // A burst of 50 ms, then nothing.
    for _ in 0..50 {
        rig.play(0, 1, 1);
    }
    rig.play(90, 100, 5);
    let total = rig.end(100);
    assert_eq!(total.queue, [Duration::ZERO]);

    let mut rig = Rig::new("rate=1mbit");
    rig.measure();
    // 30 ms that stay, as packets go on coming as fast as they pass.
    for _ in 0..30 {
        rig.play(0, 1, 1);
    }
    rig.play(1, 1_000, 1);
    let total = rig.end(1_000);
    assert_eq!(total.queue.len(), 10);
    assert!(
        total.queue[1..].iter().all(|wait| *wait >= MS * 29),
        "{total:?}"
    );
}

#[test]
fn what_waits_while_nothing_comes_stands_too() {
    let mut rig = Rig::new("rate=1mbit");
    rig.measure();
    for _ in 0..350 {
        rig.play(0, 1, 1);
    }
    let total = rig.end(500);
    let standing = [0, 150, 50, 0, 0].map(|milliseconds| MS * milliseconds);
    assert_eq!(total.queue, standing);
}
