//! When to send: an even schedule from a fixed start, so that one late frame does not
//! shift those after it.

use std::time::{Duration, Instant};

/// Further behind than this, frames are left out rather than sent in one burst that no
/// camera would make.
const GIVE_UP: Duration = Duration::from_secs(1);

/// A frame that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Its number since the start, and so its place in media time.
    pub number: u64,
    /// How far behind the schedule it is.
    pub late: Duration,
    /// Frames left out just before it, as they were too late.
    pub left_out: u64,
}

/// An endless, evenly spaced row of moments.
#[derive(Debug, Clone)]
pub struct Schedule {
    start: Instant,
    interval: Duration,
    next: u64,
}

impl Schedule {
    /// The first moment is `start`.
    pub fn new(start: Instant, interval: Duration) -> Self {
        Self {
            start,
            interval,
            next: 0,
        }
    }

    /// When the next frame is due.
    pub fn next_at(&self) -> Instant {
        self.start + self.offset(self.next)
    }

    /// Goes on after a pause: moments before `now` have passed unused.
    pub fn resume(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.start).as_nanos();
        let next = passed.div_ceil(self.interval.as_nanos().max(1));
        self.next = self.next.max(next.try_into().unwrap_or(u64::MAX));
    }

    /// How far into the recording a frame is.
    pub fn offset(&self, number: u64) -> Duration {
        let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(interval.saturating_mul(number))
    }

    /// Takes the next frame if it is due by `now`.
    pub fn take(&mut self, now: Instant) -> Option<Due> {
        let mut late = now.checked_duration_since(self.next_at())?;
        let mut left_out = 0;
        if late > GIVE_UP {
            left_out = (late.as_nanos() / self.interval.as_nanos().max(1)) as u64;
            self.next += left_out;
            late = now.saturating_duration_since(self.next_at());
        }
        let due = Due {
            number: self.next,
            late,
            left_out,
        };
        self.next += 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(50);

    #[test]
    fn a_late_frame_does_not_shift_the_next() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, INTERVAL);
        assert_eq!(schedule.take(start).map(|due| due.number), Some(0));
        assert_eq!(schedule.take(start + INTERVAL / 2), None);

        let due = schedule.take(start + INTERVAL * 3 / 2).unwrap();
        assert_eq!((due.number, due.late), (1, INTERVAL / 2));
        assert_eq!(schedule.next_at(), start + INTERVAL * 2);
    }

    #[test]
    fn after_a_pause_nothing_is_late() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, INTERVAL);
        schedule.take(start);
        let later = start + Duration::from_secs(60) + INTERVAL / 2;
        schedule.resume(later);
        assert_eq!(schedule.take(later), None);
        let due = schedule.take(later + INTERVAL / 2).unwrap();
        assert_eq!(
            (due.number, due.late, due.left_out),
            (1_201, Duration::ZERO, 0)
        );
    }

    #[test]
    fn a_long_stall_leaves_frames_out_and_says_so() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, INTERVAL);
        let due = schedule.take(start + Duration::from_millis(2_010)).unwrap();
        assert_eq!((due.number, due.left_out), (40, 40));
        assert_eq!(due.late, Duration::from_millis(10));
        assert_eq!(schedule.next_at(), start + Duration::from_millis(2_050));
    }
}
