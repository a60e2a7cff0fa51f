//! The measured window. Every bot looks at the same one, so that a frame belongs to it or
//! not whoever is asked: by the moment at which it was due, which its stamp tells. What
//! was due within the window and is still on its way at the end counts as long as the bots
//! stay; what was due before it never counts, whenever it arrives.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

const NEVER: u64 = u64::MAX;

/// From when to when is measured, and since when the run goes.
#[derive(Debug)]
pub struct Window {
    origin: Instant,
    /// Nanoseconds since the origin.
    begin: AtomicU64,
    end: AtomicU64,
}

impl Window {
    /// Of a run that begins at `origin`; nothing is measured yet.
    pub fn new(origin: Instant) -> Self {
        Self {
            origin,
            begin: AtomicU64::new(NEVER),
            end: AtomicU64::new(NEVER),
        }
    }

    /// Measures from this moment on.
    pub fn open(&self, at: Instant) {
        self.begin.store(self.nanoseconds(at), Ordering::Relaxed);
    }

    /// Measures until this moment.
    pub fn close(&self, at: Instant) {
        self.end.store(self.nanoseconds(at), Ordering::Relaxed);
    }

    /// Whether a moment lies within.
    pub fn contains(&self, at: Instant) -> bool {
        let at = self.nanoseconds(at);
        self.begin.load(Ordering::Relaxed) <= at && at < self.end.load(Ordering::Relaxed)
    }

    /// The part of a span of time that lies within.
    pub fn overlap(&self, from: Instant, to: Instant) -> Duration {
        let from = self
            .nanoseconds(from)
            .max(self.begin.load(Ordering::Relaxed));
        let to = self.nanoseconds(to).min(self.end.load(Ordering::Relaxed));
        Duration::from_nanos(to.saturating_sub(from))
    }

    /// The end of the window, if it is over by `at`, or else `at`.
    pub fn end_or(&self, at: Instant) -> Instant {
        at.min(self.moment(&self.end).unwrap_or(at))
    }

    /// Begin and end, once both are known.
    pub fn bounds(&self) -> Option<Range<Instant>> {
        Some(self.moment(&self.begin)?..self.moment(&self.end)?)
    }

    /// The number of the second of the run in which a moment lies.
    pub fn second(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.origin).as_secs()
    }

    /// The moment at which a second of the run begins.
    pub fn second_begins(&self, second: u64) -> Instant {
        self.origin + Duration::from_secs(second)
    }

    /// Time since the run began.
    pub fn since_origin(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.origin)
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        self.since_origin(at)
            .as_nanos()
            .try_into()
            .unwrap_or(NEVER - 1)
    }

    fn moment(&self, of: &AtomicU64) -> Option<Instant> {
        let nanoseconds = of.load(Ordering::Relaxed);
        (nanoseconds != NEVER).then(|| self.origin + Duration::from_nanos(nanoseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn begin_belongs_to_it_and_end_does_not() {
        let origin = Instant::now();
        let window = Window::new(origin);
        assert!(!window.contains(origin));
        window.open(origin + SECOND);
        assert_eq!(window.bounds(), None);
        assert!(window.contains(origin + SECOND * 900));
        window.close(origin + SECOND * 3);
        let within = [0, 1, 2, 3, 4].map(|at| window.contains(origin + SECOND * at));
        assert_eq!(within, [false, true, true, false, false]);
        let bounds = origin + SECOND..origin + SECOND * 3;
        assert_eq!(window.bounds(), Some(bounds));
    }

    #[test]
    fn only_what_lies_within_overlaps() {
        let origin = Instant::now();
        let window = Window::new(origin);
        let at = |seconds| origin + SECOND * seconds;
        assert_eq!(window.overlap(at(0), at(9)), Duration::ZERO);
        window.open(at(2));
        assert_eq!(window.overlap(at(0), at(9)), SECOND * 7);
        window.close(at(5));
        assert_eq!(window.overlap(at(0), at(9)), SECOND * 3);
        assert_eq!(window.overlap(at(3), at(4)), SECOND);
        assert_eq!(window.overlap(at(6), at(9)), Duration::ZERO);
        assert_eq!(window.end_or(at(9)), at(5));
        assert_eq!(window.end_or(at(4)), at(4));
    }
}
