//! The summary for people.

use std::fmt::{self, Display};

use super::{
    Report, Verdict,
    table::{Line, Table},
};

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Line) -> &str| {
            let cells = self.lines.iter().map(of);
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let (groups, names) = (width(|line| line.group), width(|line| &line.name));
        let mut before = "";
        for Line { group, name, value } in &self.lines {
            let shown = if *group == before { "" } else { group };
            writeln!(f, "  {shown:<groups$}  {name:<names$}  {value}")?;
            before = group;
        }
        for (reason, figures) in &self.unknown {
            writeln!(f, "  not known: {} – {reason}", figures.join(", "))?;
        }
        Ok(())
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = &self.run;
        writeln!(
            f,
            "\n{} on {} at {}, {:.1} s measured with {} bots in the call",
            run.scenario, run.target, run.server, run.measured_seconds, run.participants
        )?;
        write!(f, "{}", Table::of(self))?;
        for failure in &self.failures {
            writeln!(f, "  FAILED {failure}")?;
        }
        writeln!(f, "{}", self.verdict.told())
    }
}

impl Verdict {
    /// In words.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Void => "void: the load test was itself the bottleneck",
            Self::Missed => "missed: not all that was asked for holds",
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::report::{Known, sample};

    #[test]
    fn every_group_is_told_of() {
        let text = sample::report().to_string();
        for part in [
            "broadcast on conclave at http://localhost:8080, 60.0 s measured with 21 bots",
            "11.1 µs a forwarded packet, user 4.20, system 6.90, media threads 10.4",
            "21 of 21, 4.10 a second",
            "4,200 sealed, 83,990 opened, 0 failed to open",
            "64,012 received, 31 lost (0.0484 %)",
            "loss=2%, to bots, at 20 bots",
            "11.7 KiB/h (-39.1 KiB/h to 62.5 KiB/h)",
            "not known: server system calls – the kernel does not count them for this user",
            "holds: 8.73 ms",
            "\nok\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn figures_that_are_unknown_for_one_reason_are_told_together() {
        let mut report = sample::report();
        report.soak = Known::no("nobody looked");
        report.video = Known::no("nobody looked");
        let text = report.to_string();
        assert!(
            text.contains("not known: video, soak – nobody looked"),
            "{text}"
        );
    }
}
