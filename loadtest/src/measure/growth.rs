//! Whether something grows over a run: the slope of the line through its samples.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use crate::report::{Known, Slope};

/// One side of the 95 % interval.
const UPPER_QUANTILE: f64 = 0.975;

/// The slope of the least-squares line through samples (hours, value), with its 95 %
/// confidence interval.
///
/// Samples close in time resemble each other, so they prove less than their number: after
/// B. Santer et al. (2000), J. Geophys. Res. 105, 7337–7356, they are taken for
/// `n (1 − r) / (1 + r)` independent ones, where `r` is the lag-1 autocorrelation of the
/// residuals.
pub fn slope(samples: &[(f64, f64)]) -> Known<Slope> {
    let n = samples.len() as f64;
    if samples.len() < 3 {
        return Known::no("there were fewer than three samples");
    }
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / n;
    let (middle, average) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let spread: f64 = samples.iter().map(|(at, _)| (at - middle).powi(2)).sum();
    if spread <= 0.0 {
        return Known::no("all samples are of the same moment");
    }
    let together: f64 = samples
        .iter()
        .map(|(at, value)| (at - middle) * (value - average))
        .sum();
    let per_hour = together / spread;
    let residuals: Vec<f64> = samples
        .iter()
        .map(|(at, value)| value - average - per_hour * (at - middle))
        .collect();
    let squares: f64 = residuals.iter().map(|residual| residual.powi(2)).sum();
    let neighbours: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let alike = if squares > 0.0 {
        (neighbours / squares).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let independent = n * (1.0 - alike) / (1.0 + alike);
    let freedom = independent - 2.0;
    let Ok(students) = StudentsT::new(0.0, 1.0, freedom) else {
        return Known::no("the samples resemble each other too much: run longer");
    };
    let error = (squares / freedom / spread).sqrt();
    let margin = students.inverse_cdf(UPPER_QUANTILE) * error;
    Known::Yes(Slope {
        per_hour,
        low_per_hour: per_hour - margin,
        high_per_hour: per_hour + margin,
        samples: samples.len() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(samples: &[(f64, f64)]) -> Slope {
        *slope(samples).yes().unwrap()
    }

    /// Steps without any pattern, always the same ones, between -1 and 1.
    fn noise(count: usize) -> impl Iterator<Item = f64> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..count).map(move |_| random.f64() * 2.0 - 1.0)
    }

    #[test]
    fn a_line_is_found_exactly() {
        let samples: Vec<_> = (0..10)
            .map(f64::from)
            .map(|at| (at, 5.0 + 3.0 * at))
            .collect();
        let slope = measured(&samples);
        for found in [slope.per_hour, slope.low_per_hour, slope.high_per_hour] {
            assert!((found - 3.0).abs() < 1e-9, "{slope:?}");
        }
        assert_eq!(slope.samples, 10);
    }

    #[test]
    fn what_never_changes_does_not_grow() {
        let flat = [(0.0, 17.0), (1.0, 17.0), (2.0, 17.0)];
        let slope = measured(&flat);
        assert_eq!((slope.low_per_hour, slope.high_per_hour), (0.0, 0.0));
    }

    #[test]
    fn the_interval_is_that_of_the_textbook() {
        // Residuals whose neighbours are unlike, so that every sample counts in full: of
        // y = 2, 1, 4, 3, 6, 5 at x = 0…5 the slope is 14.5 / 17.5, and its standard error
        // sqrt(5.4857 / 4 / 17.5); Student's t of 4 degrees of freedom is 2.776.
        let samples: Vec<_> = [2.0, 1.0, 4.0, 3.0, 6.0, 5.0]
            .into_iter()
            .enumerate()
            .map(|(at, value)| (at as f64, value))
            .collect();
        let slope = measured(&samples);
        let margin = 2.776_445 * (5.485_714_f64 / 4.0 / 17.5).sqrt();
        assert!((slope.per_hour - 14.5 / 17.5).abs() < 1e-9, "{slope:?}");
        let found = slope.high_per_hour - slope.per_hour;
        assert!((found - margin).abs() < 1e-4, "{found} {margin}");
    }

    #[test]
    fn noise_alone_is_no_growth_and_growth_in_noise_is_seen() {
        let at = |number: usize| number as f64 / 3_600.0;
        let samples = |per_hour: f64| -> Vec<(f64, f64)> {
            noise(3_600)
                .enumerate()
                .map(|(number, noise)| (at(number), per_hour * at(number) + noise))
                .collect()
        };
        let flat = measured(&samples(0.0));
        assert!(
            flat.low_per_hour < 0.0 && flat.high_per_hour > 0.0,
            "{flat:?}"
        );
        let growing = measured(&samples(1.0));
        assert!(growing.low_per_hour > 0.5, "{growing:?}");
    }

    #[test]
    fn samples_that_resemble_each_other_prove_less() {
        let independent: Vec<_> = noise(600)
            .enumerate()
            .map(|(at, v)| (at as f64, v))
            .collect();
        // The same values, each seen ten times in a row.
        let repeated: Vec<_> = (0..6_000)
            .map(|number| (number as f64 / 10.0, independent[number / 10].1))
            .collect();
        let width = |slope: Slope| slope.high_per_hour - slope.low_per_hour;
        let ratio = width(measured(&repeated)) / width(measured(&independent));
        assert!((0.8..1.8).contains(&ratio), "{ratio}");
    }

    #[test]
    fn too_little_says_so() {
        assert!(slope(&[(0.0, 1.0), (1.0, 2.0)]).reason().is_some());
        assert!(
            slope(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)])
                .reason()
                .is_some()
        );
    }
}
