//! Bounds on figures (service level objectives), such as `p99<20ms,loss<0.1%`.

use std::{fmt, str::FromStr};

use crate::report::{FIGURES, Figure, Known, Report, SloOutcome, named};

/// Why a bound cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SloError {
    /// There is nothing.
    #[error("there is no bound; one looks like p99<20ms, several like p99<20ms,loss<0.1%")]
    Empty,
    /// No comparison in it.
    #[error(
        "{0} does not compare a figure with a bound; it looks like p99<20ms or delivered>99.9%"
    )]
    NoComparison(String),
    /// No such figure.
    #[error("there is no figure {name}; those known are {}", known())]
    UnknownFigure {
        /// What was asked for.
        name: String,
    },
    /// Not a number.
    #[error("{asked}: {number:?} is not a number")]
    NotANumber {
        /// The whole bound.
        asked: String,
        /// What stands for the number.
        number: String,
    },
    /// A unit that the figure does not have.
    #[error("{asked}: {figure} is not counted in {unit:?}; behind the number may stand {expected}")]
    WrongUnit {
        /// The whole bound.
        asked: String,
        /// The figure.
        figure: &'static str,
        /// The unit given.
        unit: String,
        /// Those it has.
        expected: String,
    },
}

fn known() -> String {
    let names: Vec<_> = FIGURES.iter().map(|figure| figure.name).collect();
    names.join(", ")
}

/// How a figure is to be to its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

/// A bound on a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    /// As it was asked for.
    asked: String,
    /// What it bounds.
    figure: &'static Figure,
    /// Which way.
    comparison: Comparison,
    /// In the figure's own unit.
    bound: f64,
}

impl FromStr for Slo {
    type Err = SloError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let asked: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let no_comparison = || SloError::NoComparison(asked.clone());
        let place = asked.find(['<', '>']).ok_or_else(no_comparison)?;
        let (name, rest) = asked.split_at(place);
        let figure = named(name).ok_or_else(|| SloError::UnknownFigure {
            name: name.to_owned(),
        })?;
        let comparisons = [
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Below),
            (">", Comparison::Above),
        ];
        let (comparison, bound) = comparisons
            .into_iter()
            .find_map(|(sign, comparison)| Some((comparison, rest.strip_prefix(sign)?)))
            .ok_or_else(no_comparison)?;
        let end = bound
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))
            .unwrap_or(bound.len());
        let (number, unit) = bound.split_at(end);
        let value: f64 = number.parse().map_err(|_| SloError::NotANumber {
            asked: asked.clone(),
            number: number.to_owned(),
        })?;
        let scale = figure.unit.scale(unit).ok_or_else(|| SloError::WrongUnit {
            asked: asked.clone(),
            figure: figure.name,
            unit: unit.to_owned(),
            expected: figure.unit.symbols(),
        })?;
        Ok(Self {
            bound: value * scale,
            figure,
            comparison,
            asked,
        })
    }
}

impl Slo {
    /// Whether a report holds it. What is not known does not.
    pub fn judge(&self, report: &Report) -> SloOutcome {
        let measured = (self.figure.of)(report);
        SloOutcome {
            asked: self.asked.clone(),
            figure: self.figure.name.to_owned(),
            held: measured.yes().is_some_and(|value| self.holds(*value)),
            measured,
            bound: self.bound,
            unit: self.figure.unit.symbol().to_owned(),
        }
    }

    fn holds(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Below => value < self.bound,
            Comparison::AtMost => value <= self.bound,
            Comparison::Above => value > self.bound,
            Comparison::AtLeast => value >= self.bound,
        }
    }
}

/// Bounds on figures, all of which are to hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slos(Vec<Slo>);

impl FromStr for Slos {
    type Err = SloError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split(',').map(str::trim);
        let slos: Vec<Slo> = parts
            .filter(|part| !part.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        if slos.is_empty() {
            return Err(SloError::Empty);
        }
        Ok(Self(slos))
    }
}

impl fmt::Display for Slos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked: Vec<_> = self.0.iter().map(|slo| slo.asked.as_str()).collect();
        f.write_str(&asked.join(","))
    }
}

impl Slos {
    /// Which of them a report holds.
    pub fn judge(&self, report: &Report) -> Vec<SloOutcome> {
        self.0.iter().map(|slo| slo.judge(report)).collect()
    }
}

impl SloOutcome {
    /// Whether it holds, and what was measured, for people.
    pub fn told(&self) -> String {
        let show = |value: f64| match named(&self.figure) {
            Some(figure) => figure.unit.show(value),
            None => format!("{value} {}", self.unit),
        };
        let sign = if self.held { "holds" } else { "DOES NOT HOLD" };
        match &self.measured {
            Known::Yes(value) => format!("{sign}: {}", show(*value)),
            Known::No { unknown } => format!("{sign}: not known, as {unknown}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn judged(text: &str) -> Vec<(bool, Known<f64>)> {
        let slos: Slos = text.parse().unwrap();
        let outcomes = slos.judge(&sample::report());
        outcomes
            .into_iter()
            .map(|outcome| (outcome.held, outcome.measured))
            .collect()
    }

    #[test]
    fn bounds_are_read_in_the_units_that_people_write() {
        for (text, bound) in [
            ("p99<20ms", 20.0),
            ("p99 < 0.02s", 20.0),
            ("join_p95<2s", 2_000.0),
            ("loss<0.1%", 0.001),
            ("loss<0.001", 0.001),
            ("delivered>99.9%", 0.999),
            ("freezes<1/h", 1.0),
            ("cpu<10us", 10.0),
            ("cpu<10µs", 10.0),
            ("memory<=64MiB", 67_108_864.0),
            ("bandwidth_min>=2Mbit/s", 2e6),
            ("cores<1.5", 1.5),
            ("decrypt_failures<1", 1.0),
        ] {
            let slo: Slo = text.parse().unwrap();
            assert!((slo.bound - bound).abs() < 1e-9 * bound, "{text}: {slo:?}");
        }
    }

    #[test]
    fn every_bound_is_held_against_its_figure() {
        for (text, held) in [
            ("cpu<11.2us", true),
            ("cpu<11.1us", false),
            ("cpu<=11.1us", true),
            ("cpu>11.1us", false),
            ("cpu>=11.1us", true),
            ("cpu>11us", true),
        ] {
            assert_eq!(judged(text), [(held, Known::Yes(11.1))], "{text}");
        }
        let both = judged("cpu<1us, joined>=100%,");
        assert_eq!(
            both.iter().map(|(held, _)| *held).collect::<Vec<_>>(),
            [false, true]
        );
    }

    #[test]
    fn what_is_not_known_does_not_hold_either_way() {
        for text in ["syscalls<100", "syscalls>0"] {
            let [(held, measured)] = &judged(text)[..] else {
                panic!("one bound, one outcome");
            };
            assert!(!held && measured.yes().is_none(), "{text}");
        }
        let nan = Slo {
            bound: 1.0,
            ..judgeable()
        };
        assert!(!nan.holds(f64::NAN));
    }

    fn judgeable() -> Slo {
        "cpu<1us".parse().unwrap()
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| text.parse::<Slos>().unwrap_err().to_string();
        assert!(error("").contains("p99<20ms"));
        assert!(error(" , ").contains("p99<20ms"));
        assert!(error("p99").contains("does not compare"));
        assert!(error("p98<20ms").contains("no figure p98"));
        assert!(
            error("p98<20ms").contains("join_p95"),
            "the known names are listed"
        );
        assert!(error("p99<fastms").contains("not a number"));
        assert!(error("p99<").contains("not a number"));
        assert!(error("p99<20").contains("\"ms\""));
        assert!(error("loss<1ms").contains("\"%\""));
        assert!(error("p99<1.2.3ms").contains("not a number"));
    }

    #[test]
    fn outcomes_say_what_was_measured() {
        let slos: Slos = "cpu<10us,syscalls<2".parse().unwrap();
        let outcomes = slos.judge(&sample::report());
        assert_eq!(outcomes[0].told(), "DOES NOT HOLD: 11.1 µs");
        assert!(outcomes[1].told().contains("not known, as the kernel"));
    }
}
