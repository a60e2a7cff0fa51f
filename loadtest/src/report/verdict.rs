//! The judgement on a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Report;
use crate::slo::Slos;

/// The judgement on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The numbers stand, and whatever was asked of them holds.
    Ok,
    /// Something did not work.
    Failed,
    /// The load test was itself the bottleneck, so the numbers say nothing.
    Void,
    /// The numbers stand, and are not what was asked for.
    Missed,
}

impl Verdict {
    /// The exit code of the command. (2 is for wrong usage.)
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed | Self::Missed => 1,
            Self::Void => 3,
        }
    }
}

impl Report {
    /// Adds what is wrong to the failures, and judges. A failure outweighs saturation:
    /// whatever the load, frames must open.
    pub fn judge(&mut self) {
        let measured = match self.run.subscribers {
            0 => self.loss.packets_sent > 0,
            _ => self.loss.packets_delivered > 0 && self.loss.frames_delivered > 0,
        };
        if !measured {
            self.failures.push("nothing was measured".to_owned());
        }
        let unopened = self.encryption.yes().map_or(0, |sealed| sealed.failures);
        if unopened > 0 {
            self.failures
                .push(format!("{unopened} frames could not be opened"));
        }
        self.verdict = if !self.failures.is_empty() {
            Verdict::Failed
        } else if self.generator.saturated {
            Verdict::Void
        } else {
            Verdict::Ok
        };
    }

    /// Holds a judged report to bounds. Failures and saturation outweigh a bound that
    /// does not hold, for then nobody knows whether it would have.
    pub fn hold_to(&mut self, slos: &Slos) {
        self.slos = slos.judge(self);
        if self.verdict == Verdict::Ok && self.slos.iter().any(|slo| !slo.held) {
            self.verdict = Verdict::Missed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Known, sample};

    fn exit_code(change: impl FnOnce(&mut Report)) -> u8 {
        let mut report = sample::report();
        report.failures.clear();
        change(&mut report);
        report.judge();
        report.hold_to(&"cpu<20us".parse().unwrap());
        report.verdict.exit_code()
    }

    fn unopened(report: &mut Report) {
        if let Known::Yes(encryption) = &mut report.encryption {
            encryption.failures = 1;
        }
    }

    fn slow(report: &mut Report) {
        if let Known::Yes(server) = &mut report.server {
            server.cpu_us_per_packet = Known::Yes(21.0);
        }
    }

    #[test]
    fn exit_codes() {
        assert_eq!(exit_code(|_| ()), 0);
        assert_eq!(exit_code(|report| report.loss.packets_delivered = 0), 1);
        assert_eq!(exit_code(|report| report.loss.frames_delivered = 0), 1);
        assert_eq!(exit_code(unopened), 1);
        let gone = || "a bot was sent away".to_owned();
        assert_eq!(exit_code(|report| report.failures.push(gone())), 1);
        assert_eq!(exit_code(slow), 1);
        assert_eq!(exit_code(|report| report.generator.saturated = true), 3);
    }

    #[test]
    fn failures_outweigh_saturation_and_saturation_outweighs_bounds() {
        let failed = |report: &mut Report| {
            report.generator.saturated = true;
            unopened(report);
        };
        assert_eq!(exit_code(failed), 1);
        let missed = |report: &mut Report| {
            report.generator.saturated = true;
            slow(report);
        };
        assert_eq!(exit_code(missed), 3);
    }

    #[test]
    fn a_publisher_alone_measures_what_it_sends() {
        let alone = |report: &mut Report| {
            report.run.subscribers = 0;
            report.loss.packets_delivered = 0;
            report.loss.frames_delivered = 0;
        };
        assert_eq!(exit_code(alone), 0);
        let silent = |report: &mut Report| {
            alone(report);
            report.loss.packets_sent = 0;
        };
        assert_eq!(exit_code(silent), 1);
    }
}
