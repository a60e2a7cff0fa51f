//! Durations that many tell and one reads.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The bounds of a decade's buckets: the round numbers people ask for are among them.
const STEPS: [u64; 15] = [10, 12, 15, 18, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90];
/// From 10 µs up to 100 s.
const DECADES: usize = 7;
const BUCKETS: usize = STEPS.len() * DECADES + 1;

/// The longest duration in a bucket, in microseconds; the last one has no bound.
fn bound(bucket: usize) -> Option<u64> {
    let step = STEPS.get(bucket % STEPS.len())?;
    let decade = u32::try_from(bucket / STEPS.len()).ok()?;
    (bucket + 1 < BUCKETS).then(|| step * 10_u64.pow(decade))
}

/// Counts durations in buckets.
#[derive(Debug)]
pub struct Durations {
    buckets: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            buckets: array::from_fn(|_| AtomicU64::new(0)),
            nanoseconds: AtomicU64::new(0),
        }
    }
}

impl Durations {
    /// Notes one.
    pub fn record(&self, duration: Duration) {
        let nanoseconds = duration.as_nanos().try_into().unwrap_or(u64::MAX);
        let microseconds = nanoseconds.div_ceil(1_000);
        let mut decade = 0;
        let mut power = 1;
        while decade + 1 < DECADES && microseconds > 100 * power {
            decade += 1;
            power *= 10;
        }
        let step = STEPS.partition_point(|step| step * power < microseconds);
        let place = (decade * STEPS.len() + step).min(BUCKETS - 1);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What was noted so far.
    pub fn snapshot(&self) -> DurationCounts {
        DurationCounts {
            buckets: self
                .buckets
                .iter()
                .map(|bucket| bucket.load(Ordering::Relaxed))
                .collect(),
            seconds: self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9,
        }
    }
}

/// [`Durations`] at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DurationCounts {
    buckets: Vec<u64>,
    /// All durations added up.
    pub seconds: f64,
}

impl DurationCounts {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How many were at most so long. Exact for 1, 2 and 5 times any power of ten.
    pub fn up_to(&self, longest: Duration) -> u64 {
        let microseconds = longest.as_micros();
        let within = (0..BUCKETS).take_while(|bucket| {
            bound(*bucket).is_some_and(|bound| u128::from(bound) <= microseconds)
        });
        self.buckets.iter().take(within.count()).sum()
    }

    /// Those that came since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.buckets.iter().chain(std::iter::repeat(&0));
        Self {
            buckets: self
                .buckets
                .iter()
                .zip(before)
                .map(|(now, before)| now.saturating_sub(*before))
                .collect(),
            seconds: self.seconds - earlier.seconds,
        }
    }

    /// A quantile, supposing that the durations of a bucket lie evenly in it; none without
    /// durations.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let wanted = part * self.count() as f64;
        let mut below = 0.0;
        let mut from = 0.0;
        for (bucket, count) in self
            .buckets
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            from = match bucket {
                0 => 0.0,
                _ => bound(bucket - 1).unwrap_or_default() as f64,
            };
            let to = bound(bucket).map_or(from, |bound| bound as f64);
            let count = *count as f64;
            if below + count >= wanted {
                let inside = ((wanted - below) / count).clamp(0.0, 1.0);
                return Some(Duration::from_secs_f64((from + inside * (to - from)) / 1e6));
            }
            below += count;
        }
        (below > 0.0).then(|| Duration::from_secs_f64(from / 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(milliseconds: impl IntoIterator<Item = f64>) -> DurationCounts {
        let durations = Durations::default();
        for duration in milliseconds {
            durations.record(Duration::from_secs_f64(duration / 1e3));
        }
        durations.snapshot()
    }

    #[test]
    fn bounds_rise_and_every_duration_is_counted_below_its_own() {
        let bounds: Vec<u64> = (0..BUCKETS).map_while(bound).collect();
        assert_eq!(bounds.len(), BUCKETS - 1);
        assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        for (bucket, microseconds) in bounds.iter().enumerate() {
            for (at, place) in [(*microseconds, bucket), (microseconds + 1, bucket + 1)] {
                let durations = Durations::default();
                durations.record(Duration::from_micros(at));
                let found = durations
                    .snapshot()
                    .buckets
                    .iter()
                    .position(|count| *count == 1);
                assert_eq!(found, Some(place), "{at} µs");
            }
        }
        assert_eq!(of([0.0, 1e9]).count(), 2);
    }

    #[test]
    fn round_bounds_count_exactly() {
        let counts = of((1..=100).map(f64::from));
        for milliseconds in [1, 2, 5, 10, 20, 50, 100] {
            assert_eq!(
                counts.up_to(Duration::from_millis(milliseconds)),
                milliseconds
            );
        }
        assert!((counts.seconds - 5.05).abs() < 1e-9);
    }

    #[test]
    fn quantiles_are_close() {
        let counts = of((1..=1_000).map(|tenth| f64::from(tenth) / 10.0));
        for (part, milliseconds) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = counts.quantile(part).unwrap().as_secs_f64() * 1e3;
            assert!((found - milliseconds).abs() < 1.5, "{part}: {found}");
        }
        assert_eq!(of([]).quantile(0.5), None);
        assert!(of([1e9]).quantile(0.5).unwrap() >= Duration::from_secs(80));
    }

    #[test]
    fn what_came_since_is_a_difference() {
        let durations = Durations::default();
        durations.record(Duration::from_millis(1));
        let earlier = durations.snapshot();
        durations.record(Duration::from_millis(80));
        let since = durations.snapshot().since(&earlier);
        assert_eq!(
            (since.count(), since.up_to(Duration::from_millis(50))),
            (1, 0)
        );
        assert_eq!(earlier.since(&DurationCounts::default()), earlier);
    }
}
