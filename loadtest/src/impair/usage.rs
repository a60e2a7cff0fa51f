//! How well what a bottleneck lets through is used, and how long packets wait before it.
//!
//! Time is cut into slots of 100 ms. The *standing queue* of a slot is the shortest time
//! that a packet waited in it, as CoDel sees it (RFC 8289 §3.2): a burst that is gone
//! within a slot is a queue doing its work, one that never empties only adds delay. A limit
//! counts as used to 80 or 90 % once that share of a second's worth passed in the ten slots
//! before. Sans-IO.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{spec::Bottleneck, steps::RateStep, units::Bitrate};

/// Short against what a viewer notices, long against the time of one packet.
const SLOT: Duration = Duration::from_millis(100);
/// Slots that make a second.
const SECOND: usize = 10;

/// What a bottleneck let through in the measured window, and how soon it was used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Use {
    /// Bits that passed.
    pub passed: f64,
    /// Bits that could have passed.
    pub capacity: f64,
    /// The standing queue of each slot.
    pub queue: Vec<Duration>,
    /// Limits that there were: the first, and each step.
    pub limits: u64,
    /// From the beginning of media or from a step until 80 % of the limit were used, for
    /// each limit of which they were.
    pub to_80_percent: Vec<Duration>,
    /// … and 90 %.
    pub to_90_percent: Vec<Duration>,
}

/// What happens in 100 ms.
#[derive(Debug, Default)]
struct Slot {
    bytes: u64,
    least_wait: Option<Duration>,
}

/// The way to the full use of a limit.
#[derive(Debug)]
struct Climb {
    since: Instant,
    /// The last slots since then, in bytes.
    recent: VecDeque<u64>,
    is_at_80: bool,
    is_at_90: bool,
}

impl Climb {
    fn new(since: Instant) -> Self {
        Self {
            since,
            recent: VecDeque::new(),
            is_at_80: false,
            is_at_90: false,
        }
    }
}

/// Watches one bottleneck.
#[derive(Debug)]
pub struct Usage {
    bottleneck: Bottleneck,
    window: Option<Instant>,
    window_end: Option<Instant>,
    /// The step that is in force.
    step: Option<RateStep>,
    /// When the first of the open slots begins; none before anything has happened.
    begins: Option<Instant>,
    slots: VecDeque<Slot>,
    /// When the last packet so far has passed.
    busy_until: Option<Instant>,
    climb: Option<Climb>,
    total: Use,
}

impl Usage {
    /// Of a bottleneck that nothing has passed yet.
    pub fn new(bottleneck: Bottleneck) -> Self {
        Self {
            bottleneck,
            window: None,
            window_end: None,
            step: None,
            begins: None,
            slots: VecDeque::new(),
            busy_until: None,
            climb: None,
            total: Use::default(),
        }
    }

    /// Media comes: what the limit allows can be used from now on.
    pub fn media_begins(&mut self, now: Instant) {
        self.advance(now);
        if self.climb.is_none() {
            self.limit_begins(now);
        }
    }

    /// The measured window begins: steps count from here.
    pub fn begin_window(&mut self, at: Instant) {
        if self.window.is_none() {
            self.advance(at);
            self.window = Some(at);
        }
    }

    /// The measured window is over, or the bot leaves.
    pub fn end(&mut self, at: Instant) {
        self.advance(at);
        self.window_end.get_or_insert(at);
    }

    /// What passes at a time.
    pub fn rate(&self, now: Instant) -> Bitrate {
        let step = self.step_at(now);
        step.map_or(self.bottleneck.rate, |step| step.rate)
    }

    /// A packet came, waited, and will have passed at a moment.
    pub fn pass(&mut self, now: Instant, waited: Duration, passed: Instant, bytes: usize) {
        self.advance(now);
        self.busy_until = self.busy_until.max(Some(passed));
        let least = &mut self.slot(now).least_wait;
        *least = Some(least.map_or(waited, |least| least.min(waited)));
        // What ends with a slot belongs to it.
        let last = passed - Duration::from_nanos(1);
        self.slot(last).bytes += bytes as u64;
    }

    /// What there was to see.
    pub fn total(&self) -> &Use {
        &self.total
    }

    fn slot(&mut self, at: Instant) -> &mut Slot {
        let since = at.saturating_duration_since(*self.begins.get_or_insert(at));
        let number = (since.as_millis() / SLOT.as_millis()) as usize;
        if self.slots.len() <= number {
            self.slots.resize_with(number + 1, Slot::default);
        }
        &mut self.slots[number]
    }

    /// Closes the slots that are over.
    fn advance(&mut self, now: Instant) {
        let mut begins = *self.begins.get_or_insert(now);
        while begins + SLOT <= now {
            let slot = self.slots.pop_front().unwrap_or_default();
            self.close(&slot, begins, begins + SLOT);
            begins += SLOT;
            self.begins = Some(begins);
            self.take_step(begins);
        }
    }

    fn close(&mut self, slot: &Slot, began: Instant, ends: Instant) {
        let rate = self.step.map_or(self.bottleneck.rate, |step| step.rate);
        let is_measured = self.window.is_some_and(|window| window <= began)
            && self.window_end.is_none_or(|end| ends <= end);
        if is_measured {
            self.total.passed += slot.bytes as f64 * 8.0;
            self.total.capacity += rate.get() as f64 * SLOT.as_secs_f64();
            // Where none came, what came before may still wait.
            let standing = self
                .busy_until
                .map(|until| until.saturating_duration_since(ends));
            let least = slot.least_wait.or(standing);
            self.total.queue.push(least.unwrap_or_default());
        }
        if self.window_end.is_some() {
            return;
        }
        let Some(climb) = &mut self.climb else { return };
        climb.recent.push_back(slot.bytes);
        if climb.recent.len() > SECOND {
            climb.recent.pop_front();
        }
        let bits = climb.recent.iter().sum::<u64>() as f64 * 8.0;
        let used = bits / rate.get() as f64;
        let took = ends - climb.since;
        if used >= 0.8 && !climb.is_at_80 {
            climb.is_at_80 = true;
            self.total.to_80_percent.push(took);
        }
        if used >= 0.9 && !climb.is_at_90 {
            climb.is_at_90 = true;
            self.total.to_90_percent.push(took);
        }
    }

    fn take_step(&mut self, now: Instant) {
        let taken = self.step_at(now);
        if let (Some(window), Some(step)) = (self.window, taken)
            && taken != self.step
        {
            self.step = taken;
            self.limit_begins(window + step.at);
        }
    }

    fn step_at(&self, now: Instant) -> Option<RateStep> {
        let since = now.saturating_duration_since(self.window?);
        self.bottleneck.then.taken(since)
    }

    fn limit_begins(&mut self, now: Instant) {
        self.total.limits += 1;
        self.climb = Some(Climb::new(now));
    }
}

#[cfg(test)]
mod tests;
