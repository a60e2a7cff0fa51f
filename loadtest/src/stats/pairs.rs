//! Two servers, measured in pairs of runs, one run of each close to one of the other. What
//! drifts from pair to pair, such as the temperature of the machine, cancels within each.

use super::{Interval, mean, student};

/// The mean of the differences `b - a`, with its interval by Student's t. It needs two
/// pairs.
pub fn difference(pairs: &[(f64, f64)], confidence: f64) -> Option<Interval> {
    let differences: Vec<f64> = pairs.iter().map(|(a, b)| b - a).collect();
    around_the_mean(&differences, confidence)
}

/// How many times as large `b` is as `a`: the geometric mean of the ratios, with its
/// interval by Student's t on their logarithms. It needs two pairs, all positive.
pub fn ratio(pairs: &[(f64, f64)], confidence: f64) -> Option<Interval> {
    let logarithms: Option<Vec<f64>> = pairs
        .iter()
        .map(|(a, b)| (*a > 0.0 && *b > 0.0).then(|| (b / a).ln()))
        .collect();
    let Interval { value, low, high } = around_the_mean(&logarithms?, confidence)?;
    Some(Interval {
        value: value.exp(),
        low: low.exp(),
        high: high.exp(),
    })
}

fn around_the_mean(values: &[f64], confidence: f64) -> Option<Interval> {
    let count = values.len() as f64;
    let quantile = student(confidence, count - 1.0)?;
    let mean = mean(values);
    let variance = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / (count - 1.0);
    let reach = quantile * (variance / count).sqrt();
    Some(Interval {
        value: mean,
        low: mean - reach,
        high: mean + reach,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::simulation::{normal, share};

    #[test]
    fn an_interval_by_hand() {
        // Differences 1, 2, 3: mean 2, deviation 1, t 4.3027 at two degrees of freedom.
        let pairs = [(10.0, 11.0), (10.0, 12.0), (10.0, 13.0)];
        let found = difference(&pairs, 0.95).unwrap();
        assert!((found.value - 2.0).abs() < 1e-12);
        assert!(
            (found.high - (2.0 + 4.3027 / 3.0_f64.sqrt())).abs() < 1e-3,
            "{found:?}"
        );
        let same = ratio(&[(2.0, 4.0), (3.0, 6.0)], 0.95).unwrap();
        assert!((same.value - 2.0).abs() < 1e-12 && (same.high - same.low).abs() < 1e-9);
    }

    #[test]
    fn one_pair_and_zeros_tell_no_ratio() {
        assert_eq!(ratio(&[(1.0, 2.0)], 0.95), None);
        assert_eq!(difference(&[], 0.95), None);
        assert_eq!(ratio(&[(0.0, 2.0), (1.0, 2.0)], 0.95), None);
        assert!(difference(&[(0.0, 2.0), (1.0, 2.0)], 0.95).is_some());
    }

    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let mut rng = fastrand::Rng::with_seed(2);
        for (pairs, confidence) in [(3, 0.95), (6, 0.95), (12, 0.8)] {
            let covered = share(4_000, || {
                let measured: Vec<_> = (0..pairs)
                    .map(|_| {
                        // Both drift together by far more than they differ.
                        let drift = (0.5 * normal(&mut rng)).exp();
                        let a = drift * (0.05 * normal(&mut rng)).exp();
                        let b = 1.1 * drift * (0.05 * normal(&mut rng)).exp();
                        (a, b)
                    })
                    .collect();
                !ratio(&measured, confidence).unwrap().excludes(1.1)
            });
            assert!(
                (covered - confidence).abs() < 0.02,
                "{pairs} pairs: {covered}"
            );
        }
    }
}
