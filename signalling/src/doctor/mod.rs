//! `conclave doctor`: looks at the machine with the eyes of a server that is about to start
//! there, and says what would be in its way and how to change that.

mod bucket;
mod machine;
mod network;
mod secure;

use std::fmt;

use crate::settings::Settings;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// As it should be.
    Good,
    /// Calls work, but not for everyone or not as well as they could.
    Doubtful,
    /// The server does not start, nobody gets a call, or something that was asked for does not
    /// work at all.
    Bad,
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it stands.
    pub health: Health,
    /// What was seen.
    pub seen: String,
    /// What to do about it, unless it is good.
    pub remedy: Option<String>,
}

impl Finding {
    fn good(what: &'static str, seen: impl Into<String>) -> Self {
        Self {
            what,
            health: Health::Good,
            seen: seen.into(),
            remedy: None,
        }
    }

    fn doubtful(what: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what,
            health: Health::Doubtful,
            seen: seen.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn bad(what: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            health: Health::Bad,
            ..Self::doubtful(what, seen, remedy)
        }
    }
}

/// All that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis(Vec<Finding>);

impl Diagnosis {
    /// The findings, in the order in which they were made.
    pub fn findings(&self) -> &[Finding] {
        &self.0
    }

    /// True when a server would start and be reached.
    pub fn is_well(&self) -> bool {
        self.0.iter().all(|it| it.health < Health::Bad)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            let mark = match finding.health {
                Health::Good => "ok      ",
                Health::Doubtful => "doubtful",
                Health::Bad => "BAD     ",
            };
            writeln!(f, "{mark}  {}: {}", finding.what, finding.seen)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "          → {remedy}")?;
            }
        }
        let doubtful = self.0.iter().filter(|it| it.health == Health::Doubtful);
        let bad = self.0.iter().filter(|it| it.health == Health::Bad);
        match (bad.count(), doubtful.count()) {
            (0, 0) => write!(f, "Everything is as it should be."),
            (0, doubtful) => write!(f, "A server can run here; {doubtful} to look at."),
            (bad, _) => write!(f, "A server cannot do its work here: {bad} to mend first."),
        }
    }
}

/// What else to ask than the machine itself.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    /// A STUN server (RFC 8489) that says which address we have from outside, as `host:port`.
    pub stun: Option<String>,
}

/// Looks at everything that these settings touch.
pub fn examine(settings: &Settings, questions: &Questions) -> Diagnosis {
    let mut found = Vec::new();
    match settings.clone().into_config() {
        Ok(_) => found.push(Finding::good("settings", "they go together")),
        Err(contradiction) => found.push(Finding::bad(
            "settings",
            "they do not go together",
            contradiction.to_string(),
        )),
    }
    found.extend(network::examine(settings, questions));
    found.extend(secure::examine(settings));
    found.extend(machine::examine(settings));
    found.extend(settings.files.file_store.as_ref().map(bucket::examine));
    Diagnosis(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_finding_is_told_with_its_remedy_and_decides() {
        let diagnosis = Diagnosis(vec![
            Finding::good("clock", "set by the network"),
            Finding::doubtful("cores", "one", "use two"),
            Finding::bad("port", "taken", "choose another"),
        ]);
        assert!(!diagnosis.is_well());
        let said = diagnosis.to_string();
        assert!(
            said.contains("BAD       port: taken\n          → choose another"),
            "{said}"
        );
        assert!(said.ends_with("1 to mend first."), "{said}");
        let doubtful = Diagnosis(diagnosis.0[..2].to_vec());
        assert!(doubtful.is_well());
        assert!(doubtful.to_string().ends_with("1 to look at."));
    }
}
