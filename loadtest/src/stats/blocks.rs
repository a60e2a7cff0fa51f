//! The difference between two runs by their seconds.
//!
//! A second resembles the second before it, so seconds are no independent samples, and an
//! interval that takes them for such is too narrow. The moving-block bootstrap (Künsch,
//! 1989) draws whole blocks of neighbours, which keeps the likeness within them. Blocks
//! are as long as is best for the mean of a first-order autoregression (Carlstein, 1986).
//! What remains of the likeness between blocks, and that there are few of them, is made up
//! for by widening the interval.

use super::{Interval, autocorrelation, mean, student};

const RESAMPLES: usize = 2_000;
const SEED: u64 = 0x5eed;
/// Fewer seconds than this tell nothing of their own noise.
const FEWEST: usize = 10;

/// The difference of the means of two series, `b - a`, with the interval that blocks drawn
/// anew give it. None when a series is too short. It tells the noise within these two runs
/// only: a third run may differ from either by more.
pub fn difference_of_means(a: &[f64], b: &[f64], confidence: f64) -> Option<Interval> {
    let (a, b) = (Blocks::of(a)?, Blocks::of(b)?);
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut deviations: Vec<f64> = (0..RESAMPLES)
        .map(|_| b.redrawn_deviation(&mut rng) - a.redrawn_deviation(&mut rng))
        .collect();
    deviations.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let rank = (part * (RESAMPLES - 1) as f64).round() as usize;
        deviations.get(rank).copied()
    };
    let few = student(confidence, a.count() + b.count() - 2.0)? / student(confidence, 1e6)?;
    let value = b.mean - a.mean;
    let tail = (1.0 - confidence) / 2.0;
    Some(Interval {
        value,
        low: value + few * at(tail)?,
        high: value + few * at(1.0 - tail)?,
    })
}

/// A series in blocks of neighbours. It is closed to a ring, so that its ends are drawn as
/// often as its middle.
struct Blocks {
    /// What the values of twice the ring add up to before each place.
    sums: Vec<f64>,
    values: usize,
    mean: f64,
    length: usize,
}

impl Blocks {
    fn of(series: &[f64]) -> Option<Self> {
        // Short series show less likeness than there is, so a little more is supposed.
        let rho = (autocorrelation(series).max(0.0) + 1.0 / series.len() as f64).min(0.97);
        let likeness = 2.0 * rho / (1.0 - rho * rho);
        let best = likeness.powf(2.0 / 3.0) * (1.5 * series.len() as f64).cbrt();
        (series.len() >= FEWEST).then(|| Self {
            sums: [0.0]
                .into_iter()
                .chain(series.iter().chain(series).scan(0.0, |sum, value| {
                    *sum += value;
                    Some(*sum)
                }))
                .collect(),
            values: series.len(),
            mean: mean(series),
            length: (best.ceil() as usize).clamp(1, series.len() / 3),
        })
    }

    fn count(&self) -> f64 {
        self.values as f64 / self.length as f64
    }

    /// By how much the mean differs when as many values are drawn in blocks.
    fn redrawn_deviation(&self, rng: &mut fastrand::Rng) -> f64 {
        let sum_before = |place: usize| self.sums.get(place).copied().unwrap_or_default();
        let mut sum = 0.0;
        let mut missing = self.values;
        while missing > 0 {
            let start = rng.usize(..self.values);
            let drawn = self.length.min(missing);
            sum += sum_before(start + drawn) - sum_before(start);
            missing -= drawn;
        }
        let count = self.values as f64;
        let narrow = 1.0 - self.length as f64 / count;
        (sum / count - self.mean) / narrow.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::simulation::{series, share};

    /// How often the interval of two minutes each holds the true difference.
    fn coverage(rho: f64) -> f64 {
        let mut rng = fastrand::Rng::with_seed(3);
        share(400, || {
            let a = series(&mut rng, rho, 120);
            let b: Vec<f64> = series(&mut rng, rho, 120)
                .into_iter()
                .map(|value| value + 0.7)
                .collect();
            let interval = difference_of_means(&a, &b, 0.95).unwrap();
            !interval.excludes(0.7)
        })
    }

    #[test]
    fn the_interval_holds_the_truth_about_as_often_as_it_says() {
        for rho in [0.0, 0.3, 0.6] {
            let covered = coverage(rho);
            assert!((0.91..0.98).contains(&covered), "{rho}: {covered}");
        }
    }

    #[test]
    fn the_same_series_give_the_same_interval() {
        let mut rng = fastrand::Rng::with_seed(4);
        let (a, b) = (series(&mut rng, 0.5, 60), series(&mut rng, 0.5, 60));
        let found = difference_of_means(&a, &b, 0.95).unwrap();
        assert_eq!(difference_of_means(&a, &b, 0.95).unwrap(), found);
        assert!(found.low < found.value && found.value < found.high);
    }

    #[test]
    fn short_series_tell_nothing_and_constant_ones_everything() {
        assert_eq!(difference_of_means(&[1.0; 9], &[2.0; 60], 0.95), None);
        let found = difference_of_means(&[1.0; 10], &[3.0; 10], 0.95).unwrap();
        assert!(
            (found.low - 2.0).abs() + (found.high - 2.0).abs() < 1e-9,
            "{found:?}"
        );
    }
}
