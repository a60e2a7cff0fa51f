//! The summary for people.

use std::fmt::{self, Display};

use super::{Report, Verdict};

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "FAILED {failure}")?;
        }
        match self.verdict {
            Verdict::Ok => writeln!(f, "ok"),
            Verdict::Failed => writeln!(f, "failed"),
            Verdict::Void => writeln!(f, "void: the load test was itself the bottleneck"),
            Verdict::Missed => writeln!(f, "missed"),
        }
    }
}
