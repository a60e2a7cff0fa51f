//! What was measured beside what was injected, and the judgement.

use std::fmt::{self, Display};

use serde::Serialize;
use statrs::distribution::{Beta, ContinuousCDF as _};

use crate::report::{Report, Verdict};

/// How sure one can be that a true share lies within the interval. Several shares are checked
/// in each run, and chance alone is not to fail one in many thousand runs.
const CONFIDENCE: f64 = 0.999_99;

/// One thing that was done, and whether it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is measured.
    pub what: String,
    /// What was done.
    pub injected: String,
    /// What was seen.
    pub measured: String,
    /// How far apart they are, and how far they may be.
    pub error: String,
    /// Whether they are that near.
    pub holds: bool,
}

impl Check {
    /// That a share of packets was hit: as sure as can be said from so many.
    pub fn share(what: &str, injected: f64, hit: u64, of: u64) -> Self {
        let percent = |share: f64| format!("{:.2}%", share * 100.0);
        let (low, high) = interval(hit, of);
        let measured = hit as f64 / of.max(1) as f64;
        Self {
            what: format!("{what}: share of packets on the wire"),
            injected: percent(injected),
            measured: format!("{} ({hit} of {of})", percent(measured)),
            error: format!(
                "{:+.2} points; {} to {} at {:.3}% confidence",
                (measured - injected) * 100.0,
                percent(low),
                percent(high),
                CONFIDENCE * 100.0
            ),
            holds: of > 0 && hit > 0 && (low..=high).contains(&injected),
        }
    }
}

/// The exact binomial confidence interval of a share (Clopper and Pearson).
fn interval(hit: u64, of: u64) -> (f64, f64) {
    let beyond = (1.0 - CONFIDENCE) / 2.0;
    let (hit, missed) = (hit as f64, of.saturating_sub(hit) as f64);
    let quantile = |a: f64, b: f64, at: f64| Beta::new(a, b).ok().map(|beta| beta.inverse_cdf(at));
    // One of the two does not exist where nothing or everything was hit.
    let low = quantile(hit, missed + 1.0, beyond).unwrap_or(0.0);
    let high = quantile(hit + 1.0, missed, 1.0 - beyond).unwrap_or(1.0);
    (low, high)
}

/// All checks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// One after the other.
    pub checks: Vec<Check>,
    /// Why calls were void that should not have been.
    pub void: Vec<String>,
}

impl Findings {
    /// Notes whether this machine was up to a call.
    pub fn note_load(&mut self, report: &Report) {
        self.void.extend(report.generator.reasons.iter().cloned());
    }

    /// Failed if something was not seen as it was; void if this machine was too busy for
    /// either answer.
    pub fn verdict(&self) -> Verdict {
        if !self.void.is_empty() {
            Verdict::Void
        } else if self.checks.is_empty() || self.checks.iter().any(|check| !check.holds) {
            Verdict::Failed
        } else {
            Verdict::Ok
        }
    }
}

impl Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["", "injected", "measured", "error"].map(str::to_owned);
        let rows = self.checks.iter().map(|check| {
            let Check {
                what,
                injected,
                measured,
                error,
                ..
            } = check.clone();
            [what, injected, measured, error]
        });
        let rows: Vec<[String; 4]> = std::iter::once(header).chain(rows).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        };
        let widths = [width(0), width(1), width(2), width(3)];
        let marks = self.checks.iter().map(|check| match check.holds {
            true => "ok",
            false => "NOT SEEN",
        });
        for (row, mark) in rows.iter().zip(std::iter::once("").chain(marks)) {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "{cell:<width$}  ")?;
            }
            writeln!(f, "{mark}")?;
        }
        for reason in &self.void {
            writeln!(f, "TOO BUSY: {reason}")?;
        }
        match self.verdict() {
            Verdict::Ok => writeln!(f, "ok: everything was seen as it was"),
            Verdict::Void => writeln!(f, "void: this machine was too busy"),
            _ => writeln!(f, "failed: something was not seen as it was"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_exact() {
        // Nothing of 100 at 99.999 %: 1 - 0.000005^(1/100).
        let (low, high) = interval(0, 100);
        assert!(low == 0.0 && (high - 0.1149).abs() < 1e-4, "{high}");
        let (low, high) = interval(100, 100);
        assert!((low - 0.8851).abs() < 1e-4 && high == 1.0, "{low}");
        // Near the normal one where there is much: 4.42 standard deviations.
        let (low, high) = interval(2_000, 100_000);
        assert!((low - 0.01813).abs() < 1e-4, "{low}");
        assert!((high - 0.02205).abs() < 1e-4, "{high}");
    }

    #[test]
    fn a_share_is_seen_if_it_could_be_the_injected_one() {
        for (hit, of, holds) in [
            (20, 1_000, true),
            (30, 1_000, true),
            (50, 1_000, false),
            (1, 1_000, false),
            (0, 10, false),
            (0, 0, false),
        ] {
            let check = Check::share("loss", 0.02, hit, of);
            assert_eq!(check.holds, holds, "{check:?}");
        }
    }

    #[test]
    fn one_thing_not_seen_is_a_failure_and_a_busy_machine_no_answer() {
        let check = Check::share("loss", 0.02, 20, 1_000);
        let mut findings = Findings::default();
        assert_eq!(findings.verdict(), Verdict::Failed, "nothing was checked");
        findings.checks.push(check.clone());
        assert_eq!(findings.verdict(), Verdict::Ok);
        findings.checks.push(Check {
            holds: false,
            ..check
        });
        assert_eq!(findings.verdict(), Verdict::Failed);
        assert!(findings.to_string().contains("NOT SEEN"));
        findings.void.push("late".to_owned());
        assert_eq!(findings.verdict(), Verdict::Void);
        assert!(findings.to_string().contains("TOO BUSY: late"));
    }
}
