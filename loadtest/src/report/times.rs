//! Durations, as percentiles and as whole distributions.

use std::time::Duration;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Percentiles of some durations, in milliseconds. A percentile is a duration that
/// occurred: of few samples the high ones are the longest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// How many durations there were.
    pub count: u64,
    /// Half of them were at most this.
    pub p50_ms: f64,
    /// 9 of 10.
    pub p90_ms: f64,
    /// 19 of 20.
    pub p95_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// 999 of 1000.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Times {
    /// Nearest-rank percentiles; none without durations.
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<Duration> = durations.into_iter().collect();
        sorted.sort_unstable();
        let at = |quantile: f64| {
            let rank = (quantile * sorted.len() as f64).ceil() as usize;
            sorted
                .get(rank.saturating_sub(1))
                .map(|duration| duration.as_secs_f64() * 1e3)
        };
        Some(Self {
            count: sorted.len() as u64,
            p50_ms: at(0.5)?,
            p90_ms: at(0.9)?,
            p95_ms: at(0.95)?,
            p99_ms: at(0.99)?,
            p999_ms: at(0.999)?,
            max_ms: at(1.0)?,
        })
    }

    /// Of a histogram of nanoseconds; none when nothing was recorded.
    pub fn of_histogram(nanoseconds: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| nanoseconds.value_at_quantile(quantile) as f64 / 1e6;
        (!nanoseconds.is_empty()).then(|| Self {
            count: nanoseconds.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: nanoseconds.max() as f64 / 1e6,
        })
    }
}

/// How many durations lay between the bound of the bucket before (or 0) and this one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bucket {
    /// The longest that belongs to it.
    pub up_to_ms: f64,
    /// How many.
    pub count: u64,
}

/// Percentiles, and the whole distribution for charts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// Its percentiles, which are more exact than the buckets.
    #[serde(flatten)]
    pub times: Times,
    /// The buckets with something in them, each 5 % wider than the one before.
    pub buckets: Vec<Bucket>,
}

impl Bucket {
    /// How many times as far as its predecessor's the bound of a bucket is; one of them is
    /// at a millisecond.
    pub(crate) const WIDENING: f64 = 1.05;
}

/// Anything shorter is in the first bucket.
const SHORTEST_MS: f64 = 1e-3;

impl Distribution {
    /// Of a histogram of nanoseconds; none when nothing was recorded.
    pub fn of_histogram(nanoseconds: &Histogram<u64>) -> Option<Self> {
        let times = Times::of_histogram(nanoseconds)?;
        let mut buckets: Vec<Bucket> = Vec::new();
        for step in nanoseconds.iter_recorded() {
            let milliseconds = step.value_iterated_to() as f64 / 1e6;
            let place = milliseconds.max(SHORTEST_MS).log(Bucket::WIDENING).ceil();
            let up_to_ms = Bucket::WIDENING.powf(place);
            match buckets.last_mut() {
                Some(last) if last.up_to_ms >= up_to_ms => {
                    last.count += step.count_since_last_iteration();
                }
                _ => buckets.push(Bucket {
                    up_to_ms,
                    count: step.count_since_last_iteration(),
                }),
            }
        }
        Some(Self { times, buckets })
    }
}

/// The least, the middle and the most of something that each receiver had.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// The receiver with the least.
    pub min: f64,
    /// The one in the middle.
    pub median: f64,
    /// The receiver with the most.
    pub max: f64,
}

impl Spread {
    /// None without values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            min: *sorted.first()?,
            median: *sorted.get((sorted.len() - 1) / 2)?,
            max: *sorted.last()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::totals::durations;

    #[test]
    fn percentiles_are_durations_that_occurred() {
        let times = Times::of((1..=100).rev().map(Duration::from_millis)).unwrap();
        assert_eq!(times.count, 100);
        assert_eq!((times.p50_ms, times.p95_ms), (50.0, 95.0));
        assert_eq!((times.p999_ms, times.max_ms), (100.0, 100.0));
        assert_eq!(Times::of([]), None);
    }

    #[test]
    fn a_histogram_gives_the_same_to_three_digits() {
        let mut histogram = durations();
        assert_eq!(Distribution::of_histogram(&histogram), None);
        for milliseconds in 1..=1_000 {
            histogram.record(milliseconds * 1_000_000).unwrap();
        }
        let times = Times::of_histogram(&histogram).unwrap();
        assert!((times.p99_ms - 990.0).abs() < 1.0, "{times:?}");
        assert!((times.p999_ms - 999.0).abs() < 1.0, "{times:?}");
    }

    #[test]
    fn buckets_hold_every_duration_once_and_where_it_belongs() {
        let mut histogram = durations();
        for microseconds in [0, 1, 900, 1_000, 1_040, 250_000] {
            histogram.saturating_record(microseconds * 1_000);
        }
        let distribution = Distribution::of_histogram(&histogram).unwrap();
        let count: u64 = distribution.buckets.iter().map(|bucket| bucket.count).sum();
        assert_eq!(count, distribution.times.count);
        assert!(
            distribution
                .buckets
                .is_sorted_by(|a, b| a.up_to_ms < b.up_to_ms)
        );
        let around_one: u64 = distribution
            .buckets
            .iter()
            .filter(|bucket| (0.89..1.1).contains(&bucket.up_to_ms))
            .map(|bucket| bucket.count)
            .sum();
        assert_eq!(around_one, 3);
        let longest = distribution.buckets.last().unwrap().up_to_ms;
        assert!((250.0..250.0 * 1.06).contains(&longest), "{longest}");
    }

    #[test]
    fn a_spread_names_the_extremes_and_the_middle() {
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of([]), None);
    }
}
