//! Statistics of runs: what lies beyond noise, and how sure that is.
//!
//! Everything here is exact arithmetic on numbers given, or drawn from a fixed seed: the
//! same samples always give the same interval.

mod blocks;
mod line;
mod pairs;

pub use blocks::difference_of_means;
pub use line::slope;
pub use pairs::{difference, ratio};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// An estimate, and the interval that it can be told from nothing else by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end of the confidence interval.
    pub low: f64,
    /// Upper end of the confidence interval.
    pub high: f64,
}

impl Interval {
    /// Whether it leaves a value out.
    pub fn excludes(&self, value: f64) -> bool {
        value < self.low || value > self.high
    }

    /// The same of each number times a factor.
    pub fn times(self, factor: f64) -> Self {
        Self {
            value: self.value * factor,
            low: (self.low * factor).min(self.high * factor),
            high: (self.low * factor).max(self.high * factor),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The quantile of Student's t that an interval of some confidence reaches to; none
/// without a degree of freedom.
fn student(confidence: f64, freedom: f64) -> Option<f64> {
    let distribution = StudentsT::new(0.0, 1.0, freedom).ok()?;
    Some(distribution.inverse_cdf(f64::midpoint(1.0, confidence)))
}

/// The correlation of each value with the one after it.
fn autocorrelation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let products: f64 = values
        .iter()
        .zip(values.iter().skip(1))
        .map(|(value, next)| (value - mean) * (next - mean))
        .sum();
    if squares > 0.0 {
        products / squares
    } else {
        0.0
    }
}

#[cfg(test)]
mod simulation {
    /// A number drawn from the normal distribution (Box and Muller).
    pub(super) fn normal(rng: &mut fastrand::Rng) -> f64 {
        let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * rng.f64()).cos()
    }

    /// A series in which each value resembles the one before by `rho`, with variance 1.
    pub(super) fn series(rng: &mut fastrand::Rng, rho: f64, length: usize) -> Vec<f64> {
        let mut value = normal(rng);
        (0..length)
            .map(|_| {
                value = rho * value + (1.0 - rho * rho).sqrt() * normal(rng);
                value
            })
            .collect()
    }

    /// Of many tries, the part that came out.
    pub(super) fn share(tries: u32, mut came_out: impl FnMut() -> bool) -> f64 {
        f64::from((0..tries).map(|_| u32::from(came_out())).sum::<u32>()) / f64::from(tries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_quantiles_are_those_of_the_tables() {
        for (freedom, quantile) in [(1.0, 12.706), (4.0, 2.776), (30.0, 2.042)] {
            let found = student(0.95, freedom).unwrap();
            assert!((found - quantile).abs() < 1e-3, "{freedom}: {found}");
        }
        assert_eq!(student(0.95, 0.0), None);
    }

    #[test]
    fn autocorrelation_is_found_where_it_was_put() {
        let mut rng = fastrand::Rng::with_seed(1);
        for rho in [0.0, 0.5, 0.9] {
            let found = autocorrelation(&simulation::series(&mut rng, rho, 20_000));
            assert!((found - rho).abs() < 0.03, "{rho}: {found}");
        }
        assert_eq!(autocorrelation(&[2.0, 2.0, 2.0]), 0.0);
    }

    #[test]
    fn a_negative_factor_keeps_an_interval_in_order() {
        let interval = Interval {
            value: 2.0,
            low: 1.0,
            high: 4.0,
        };
        let turned = interval.times(-1.0);
        assert_eq!((turned.low, turned.value, turned.high), (-4.0, -2.0, -1.0));
        assert!(interval.excludes(0.0) && !interval.excludes(3.0));
    }
}
