//! Two servers, measured by turns: how many times as much of each figure the second has.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Better, Change, FIGURES, Figure, Known, Report, compare::signed_percent, named};
use crate::stats::{self, Interval};

const CONFIDENCE: f64 = 0.95;

/// One figure of both servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AbFigure {
    /// Its name, as in bounds.
    pub figure: String,
    /// Mean of the first server.
    pub a: f64,
    /// Mean of the second.
    pub b: f64,
    /// The second by the first.
    pub ratio: Known<Interval>,
    /// The second less the first, in the unit of the figure.
    pub difference: Known<Interval>,
    /// From how many pairs: those of which both runs know the figure.
    pub pairs: u64,
}

/// Two servers, measured by turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ab {
    /// Pairs of runs that stand.
    pub pairs: u64,
    /// Pairs left out, as one of the runs was void.
    pub void_pairs: u64,
    /// How often an interval is to hold the true value; of each figure by itself.
    pub confidence: f64,
    /// The figures that both servers have.
    pub figures: Vec<AbFigure>,
}

impl Ab {
    /// Of pairs of runs, each of which followed the other closely.
    pub fn of(pairs: &[(Report, Report)]) -> Self {
        let sound: Vec<_> = pairs
            .iter()
            .filter(|(a, b)| !a.generator.saturated && !b.generator.saturated)
            .collect();
        let figures = FIGURES.iter().filter_map(|figure| {
            let values: Vec<(f64, f64)> = sound
                .iter()
                .filter_map(|(a, b)| {
                    let (a, b) = ((figure.of)(a), (figure.of)(b));
                    a.yes().copied().zip(b.yes().copied())
                })
                .collect();
            (!values.is_empty()).then(|| AbFigure::of(figure, &values))
        });
        Self {
            pairs: sound.len() as u64,
            void_pairs: (pairs.len() - sound.len()) as u64,
            confidence: CONFIDENCE,
            figures: figures.collect(),
        }
    }
}

impl AbFigure {
    fn of(figure: &Figure, values: &[(f64, f64)]) -> Self {
        let mean =
            |of: fn(&(f64, f64)) -> f64| values.iter().map(of).sum::<f64>() / values.len() as f64;
        let few = "one pair tells nothing of noise";
        let ratio = Known::of(
            stats::ratio(values, CONFIDENCE),
            if values.len() < 2 {
                few
            } else {
                "it was zero in a run"
            },
        );
        Self {
            figure: figure.name.to_owned(),
            a: mean(|(a, _)| *a),
            b: mean(|(_, b)| *b),
            ratio,
            difference: Known::of(stats::difference(values, CONFIDENCE), few),
            pairs: values.len() as u64,
        }
    }

    /// What the second server is: by the ratio where there is one, else the difference.
    pub fn change(&self) -> Change {
        let (value, excluded) = match (&self.ratio, &self.difference) {
            (Known::Yes(ratio), _) => (ratio.value - 1.0, ratio.excludes(1.0)),
            (_, Known::Yes(difference)) => (difference.value, difference.excludes(0.0)),
            _ => return Change::Unsure,
        };
        let better = named(&self.figure).map_or(Better::Neither, |figure| figure.better);
        match (better, value > 0.0) {
            _ if !excluded => Change::Noise,
            (Better::Neither, _) => Change::Other,
            (Better::Lower, false) | (Better::Higher, true) => Change::Better,
            (Better::Lower, true) | (Better::Higher, false) => Change::Worse,
        }
    }
}

impl fmt::Display for Ab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.confidence * 100.0;
        writeln!(
            f,
            "{} pairs, {percent:.0} % confidence for each figure",
            self.pairs
        )?;
        if self.void_pairs > 0 {
            writeln!(f, "{} pairs were void and are left out", self.void_pairs)?;
        }
        for row in &self.figures {
            let Some(figure) = named(&row.figure) else {
                continue;
            };
            let show = |value| figure.unit.show(value);
            let change = match (&row.ratio, &row.difference) {
                (Known::Yes(ratio), _) => {
                    let ends = [ratio.value, ratio.low, ratio.high];
                    let [value, low, high] = ends.map(|end| signed_percent(end - 1.0));
                    format!("{value} ({low} … {high})")
                }
                (_, Known::Yes(difference)) => {
                    let ends = [difference.value, difference.low, difference.high];
                    let [value, low, high] = ends.map(show);
                    format!("{value} ({low} … {high})")
                }
                (_, Known::No { unknown }) => unknown.clone(),
            };
            let (a, b, told) = (show(row.a), show(row.b), row.change().told());
            writeln!(
                f,
                "  {:<38} {a:>14} {b:>14}  {change:<34} {told}",
                figure.label
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn pair(cpu: f64, cpu_of_other: f64) -> (Report, Report) {
        let with = |cpu| {
            let mut report = sample::report();
            if let Known::Yes(server) = &mut report.server {
                server.cpu_us_per_packet = Known::Yes(cpu);
            }
            report
        };
        (with(cpu), with(cpu_of_other))
    }

    fn row<'a>(ab: &'a Ab, name: &str) -> &'a AbFigure {
        ab.figures.iter().find(|row| row.figure == name).unwrap()
    }

    #[test]
    fn a_ratio_has_an_interval_and_a_direction() {
        let pairs = [pair(10.0, 12.1), pair(11.0, 13.0), pair(9.0, 11.0)];
        let ab = Ab::of(&pairs);
        let cpu = row(&ab, "cpu");
        let ratio = cpu.ratio.yes().unwrap();
        assert!(
            (1.15..1.25).contains(&ratio.value) && ratio.low > 1.0,
            "{ratio:?}"
        );
        assert_eq!((cpu.pairs, cpu.change()), (3, Change::Worse));
        assert_eq!(row(&ab, "p99").change(), Change::Noise);
        assert!(ab.to_string().contains("worse"), "{ab}");
    }

    #[test]
    fn figures_that_may_be_zero_are_told_by_their_difference() {
        let ab = Ab::of(&[pair(10.0, 11.0), pair(10.0, 11.5)]);
        let failures = row(&ab, "decrypt_failures");
        assert_eq!(failures.ratio, Known::no("it was zero in a run"));
        assert_eq!(failures.difference.yes().unwrap().value, 0.0);
        assert_eq!(failures.change(), Change::Noise);
    }

    #[test]
    fn one_pair_and_void_pairs_tell_nothing() {
        let mut void = pair(1.0, 99.0);
        void.1.generator.saturated = true;
        let ab = Ab::of(&[pair(10.0, 12.0), void]);
        assert_eq!((ab.pairs, ab.void_pairs), (1, 1));
        let cpu = row(&ab, "cpu");
        assert_eq!((cpu.a, cpu.b, cpu.change()), (10.0, 12.0, Change::Unsure));
        assert!(ab.to_string().contains("one pair tells nothing of noise"));
    }
}
