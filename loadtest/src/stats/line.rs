//! The line through samples over time.

use super::{Interval, autocorrelation, mean, student};

/// The slope of the least-squares line through points `(x, y)`, with its interval. Points
/// close in time resemble each other, so the interval is by Student's t with as many
/// samples as they are worth by the autocorrelation of the residuals (Santer et al.,
/// 2000). None when they are worth less than three, or all lie at one `x`.
pub fn slope(points: &[(f64, f64)], confidence: f64) -> Option<Interval> {
    let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
    let (middle, level) = (mean(&x), mean(&y));
    let spread: f64 = x.iter().map(|x| (x - middle).powi(2)).sum();
    let common: f64 = points.iter().map(|(x, y)| (x - middle) * (y - level)).sum();
    if points.len() < 3 || spread <= 0.0 {
        return None;
    }
    let value = common / spread;
    let residuals: Vec<f64> = points
        .iter()
        .map(|(x, y)| y - level - value * (x - middle))
        .collect();
    let rho = autocorrelation(&residuals).max(0.0);
    let worth = points.len() as f64 * (1.0 - rho) / (1.0 + rho);
    let quantile = student(confidence, worth - 2.0)?;
    let squares: f64 = residuals.iter().map(|residual| residual.powi(2)).sum();
    let reach = quantile * (squares / (worth - 2.0) / spread).sqrt();
    Some(Interval {
        value,
        low: value - reach,
        high: value + reach,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::simulation::{series, share};

    #[test]
    fn a_line_is_found_exactly() {
        let points: Vec<_> = (0..20)
            .map(|x| (f64::from(x), 3.0 + 0.5 * f64::from(x)))
            .collect();
        let found = slope(&points, 0.95).unwrap();
        assert!((found.value - 0.5).abs() < 1e-12 && (found.high - found.low) < 1e-9);
    }

    #[test]
    fn too_little_tells_no_slope() {
        assert_eq!(slope(&[], 0.95), None);
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 2.0)], 0.95), None);
        assert_eq!(slope(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)], 0.95), None);
    }

    /// How often the interval holds the true slope.
    fn coverage(rho: f64) -> f64 {
        let mut rng = fastrand::Rng::with_seed(5);
        share(600, || {
            let noise = series(&mut rng, rho, 200);
            let points: Vec<_> = noise
                .iter()
                .enumerate()
                .map(|(x, noise)| (x as f64, 0.02 * x as f64 + noise))
                .collect();
            !slope(&points, 0.95).unwrap().excludes(0.02)
        })
    }

    #[test]
    fn the_interval_holds_the_truth_about_as_often_as_it_says() {
        for rho in [0.0, 0.5, 0.8] {
            let covered = coverage(rho);
            assert!((0.91..0.98).contains(&covered), "{rho}: {covered}");
        }
    }
}
