//! Whether a picture moves. A freeze is defined as in the W3C's *Identifiers for WebRTC's
//! Statistics API*, `freezeCount`: the time between two pictures that are shown is at
//! least three times the average of the last 30 such times, and at least 150 ms above it.
//! As in libwebrtc, at least five of them have to be known. Freezes are part of the
//! average: so a sender that goes over to a slower pace is soon taken for what it is.
//!
//! Shown is meant here as: opened, and decodable ([`super::decoding`]). There is no jitter
//! buffer, which in a browser hides short stalls at the price of latency.

use std::time::{Duration, Instant};

const REMEMBERED: usize = 30;
const NEEDED: usize = 5;
const MARGIN: Duration = Duration::from_millis(150);

/// The time between two pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// When the first was shown.
    pub from: Instant,
    /// When the second was shown.
    pub to: Instant,
    /// Whether it was a freeze.
    pub is_freeze: bool,
}

/// The pictures of one sender in one place.
#[derive(Debug, Default)]
pub struct Motion {
    last: Option<Instant>,
    /// Microseconds, in a ring.
    intervals: [u32; REMEMBERED],
    known: usize,
    place: usize,
    sum: u64,
}

impl Motion {
    /// A picture is shown.
    pub fn shown(&mut self, now: Instant) -> Option<Interval> {
        let interval = self.until(now);
        self.last = Some(now);
        if let Some(interval) = interval {
            self.remember(interval.to - interval.from);
        }
        interval
    }

    /// The time since the last picture.
    pub fn until(&self, now: Instant) -> Option<Interval> {
        let from = self.last?;
        let elapsed = now.saturating_duration_since(from);
        Some(Interval {
            from,
            to: now,
            is_freeze: self.bound().is_some_and(|bound| elapsed >= bound),
        })
    }

    /// No picture is expected for now, nor any more soon: the next one begins anew.
    pub fn interrupt(&mut self) {
        self.last = None;
    }

    /// The average time between two pictures, once enough are known.
    pub fn average(&self) -> Option<Duration> {
        (self.known >= NEEDED).then(|| Duration::from_micros(self.sum / self.known as u64))
    }

    fn bound(&self) -> Option<Duration> {
        self.average()
            .map(|average| (average * 3).max(average + MARGIN))
    }

    fn remember(&mut self, interval: Duration) {
        let interval = interval.as_micros().try_into().unwrap_or(u32::MAX);
        let before = std::mem::replace(&mut self.intervals[self.place], interval);
        self.sum = self.sum + u64::from(interval) - u64::from(before);
        self.place = (self.place + 1) % REMEMBERED;
        self.known = (self.known + 1).min(REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures at these milliseconds; the lengths of the freezes.
    fn freezes(pictures: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let start = Instant::now();
        let mut motion = Motion::default();
        pictures
            .into_iter()
            .filter_map(|at| motion.shown(start + Duration::from_millis(at)))
            .filter(|interval| interval.is_freeze)
            .map(|interval| (interval.to - interval.from).as_millis() as u64)
            .collect()
    }

    fn every(milliseconds: u64, count: u64) -> impl Iterator<Item = u64> {
        (0..count).map(move |number| number * milliseconds)
    }

    #[test]
    fn at_20_pictures_a_second_a_freeze_is_200_ms() {
        assert!(freezes(every(50, 100)).is_empty());
        let last = 99 * 50;
        assert!(freezes(every(50, 100).chain([last + 199])).is_empty());
        assert_eq!(freezes(every(50, 100).chain([last + 200])), [200]);
    }

    #[test]
    fn at_5_pictures_a_second_a_freeze_is_three_times_as_long_as_usual() {
        let last = 49 * 200;
        assert!(freezes(every(200, 50).chain([last + 599])).is_empty());
        assert_eq!(freezes(every(200, 50).chain([last + 600])), [600]);
    }

    #[test]
    fn one_freeze_does_not_hide_the_next() {
        let twice = every(50, 40).chain([3_950, 5_950]);
        assert_eq!(freezes(twice), [2_000, 2_000]);
    }

    #[test]
    fn a_slower_pace_becomes_usual() {
        let slower = every(50, 40).chain((1..=40).map(|number| 1_950 + number * 500));
        assert_eq!(freezes(slower), [500; 8]);
    }

    #[test]
    fn nothing_is_usual_before_six_pictures() {
        assert!(freezes([0, 50, 100, 150, 200, 900]).is_empty());
        assert_eq!(freezes([0, 50, 100, 150, 200, 250, 900]), [650]);
    }

    #[test]
    fn the_average_is_of_the_last_thirty() {
        let slower = every(20, 40).chain((1..=40).map(|number| 780 + number * 100));
        let start = Instant::now();
        let mut motion = Motion::default();
        for at in slower {
            motion.shown(start + Duration::from_millis(at));
        }
        assert_eq!(motion.average(), Some(Duration::from_millis(100)));
    }

    #[test]
    fn what_was_announced_is_no_freeze() {
        let start = Instant::now();
        let mut motion = Motion::default();
        for at in every(50, 20) {
            motion.shown(start + Duration::from_millis(at));
        }
        motion.interrupt();
        assert_eq!(motion.shown(start + Duration::from_secs(60)), None);
    }
}
