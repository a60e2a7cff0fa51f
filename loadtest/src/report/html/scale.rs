//! Axes: from values to places, and where their ticks are.

/// From values to places between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Equal steps for equal differences.
    Linear {
        /// The value at 0.
        from: f64,
        /// The value at 1.
        to: f64,
    },
    /// Equal steps for equal ratios.
    Log {
        /// The value at 0.
        from: f64,
        /// The value at 1.
        to: f64,
    },
}

impl Scale {
    /// From 0 to a round number that is at least `most`, about so many ticks away.
    pub(super) fn up_to(most: f64, about: usize) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let step = step_for(most, about);
        Self::Linear {
            from: 0.0,
            to: (most / step).ceil() * step,
        }
    }

    /// Where a value is, no further than the ends.
    pub(super) fn place(self, value: f64) -> f64 {
        let part = match self {
            Self::Linear { from, to } => (value - from) / (to - from),
            Self::Log { from, to } => (value.max(from) / from).ln() / (to / from).ln(),
        };
        part.clamp(0.0, 1.0)
    }

    /// Round values, about as many as asked for.
    pub(super) fn ticks(self, about: usize) -> Vec<f64> {
        match self {
            Self::Linear { from, to } => {
                let step = step_for(to - from, about);
                let first = (from / step).ceil() as i64;
                let last = (to / step + 1e-9).floor() as i64;
                (first..=last).map(|tick| tick as f64 * step).collect()
            }
            Self::Log { from, to } => log_ticks(from, to, about),
        }
    }
}

/// 1, 2 or 5 times a power of ten, so that about so many steps fill a length.
fn step_for(length: f64, about: usize) -> f64 {
    let raw = length / about.max(1) as f64;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|step| step * power >= raw * 0.999);
    step.unwrap_or(10.0) * power
}

fn log_ticks(from: f64, to: f64, about: usize) -> Vec<f64> {
    let decades = from.log10().floor() as i32..=to.log10().ceil() as i32;
    let of = |steps: &[f64]| -> Vec<f64> {
        decades
            .clone()
            .flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)))
            .filter(|tick| (from * 0.999..=to * 1.001).contains(tick))
            .collect()
    };
    // Among those that are not too many, the most.
    [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]]
        .into_iter()
        .map(of)
        .find(|ticks| ticks.len() <= about + 1)
        .unwrap_or_else(|| of(&[1.0]))
}

/// Seconds between ticks of a time axis, so that about so many fit.
pub(super) fn time_step(seconds: f64, about: usize) -> f64 {
    const STEPS: [f64; 16] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0,
        7_200.0, 21_600.0, 86_400.0,
    ];
    let raw = seconds / about.max(1) as f64;
    let step = STEPS.into_iter().find(|step| *step >= raw);
    step.unwrap_or(raw)
}

/// A time since the start, as m:ss or h:mm:ss.
pub(super) fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_axes_end_at_round_numbers() {
        for (most, end) in [
            (0.37, 0.4),
            (8.7, 10.0),
            (2_840.0, 3_000.0),
            (0.0, 1.0),
            (21.0, 30.0),
        ] {
            let scale = Scale::up_to(most, 4);
            let Scale::Linear { to, .. } = scale else {
                panic!("linear");
            };
            assert!((to - end).abs() < 1e-9 * end, "{most}: {to}");
            let found = scale.ticks(4);
            assert!((2..=6).contains(&found.len()), "{most}: {found:?}");
            assert!(found.iter().all(|tick| scale.place(*tick) <= 1.0));
        }
    }

    #[test]
    fn log_axes_have_ticks_at_ones_twos_and_fives() {
        let scale = Scale::Log {
            from: 0.8,
            to: 60.0,
        };
        assert_eq!(scale.ticks(8), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert!((scale.place(0.8)).abs() < 1e-12 && (scale.place(60.0) - 1.0).abs() < 1e-12);
        assert_eq!(scale.place(0.0), 0.0, "no logarithm of nothing");
        let wide = Scale::Log {
            from: 1e-3,
            to: 1e5,
        };
        assert!(wide.ticks(8).len() <= 9);
    }

    #[test]
    fn times_are_told_as_on_a_clock() {
        assert_eq!(clock(5.0), "0:05");
        assert_eq!(clock(3_725.0), "1:02:05");
        assert_eq!((time_step(70.0, 7), time_step(3_600.0, 7)), (10.0, 600.0));
    }
}
