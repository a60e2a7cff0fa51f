//! Whether the server grew over the window, and what remained after everyone had left.

use super::Findings;
use crate::{
    measure::server::{self, ServerSample},
    report::{self, Growth, Known, Soak},
    stats,
};

/// Of slopes.
const CONFIDENCE: f64 = 0.95;

impl Findings<'_> {
    /// Growth of what the server holds.
    pub(super) fn soak(&self) -> Known<Soak> {
        let growth = |of: fn(&ServerSample) -> Known<f64>| {
            let after = of(&self.after);
            after.clone().map(|_| Growth {
                slope: self.slope(of),
                before: of(&self.before),
                after,
            })
        };
        Known::Yes(Soak {
            memory_bytes: growth(server::memory),
            file_descriptors: growth(server::file_descriptors),
            threads: growth(server::threads),
        })
    }

    fn slope(&self, of: fn(&ServerSample) -> Known<f64>) -> Known<report::Slope> {
        let window = self.window();
        let measured = self
            .samples
            .iter()
            .filter(|sample| window.contains(&sample.at));
        let points: Vec<_> = measured
            .filter_map(|sample| {
                let hours = (sample.at - window.start).as_secs_f64() / 3_600.0;
                Some((hours, *of(sample).yes()?))
            })
            .collect();
        let slope = stats::slope(&points, CONFIDENCE).map(|slope| report::Slope {
            per_hour: slope.value,
            low_per_hour: slope.low,
            high_per_hour: slope.high,
            samples: points.len() as u64,
        });
        Known::of(
            slope,
            "there were too few samples, or they resemble each other too much: measure longer",
        )
    }
}
