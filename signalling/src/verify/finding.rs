//! What is wrong, told so that it can be found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::visit::Visitor;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// Other bytes than expected.
    Different,
    /// Answered with another status than 200.
    Status(u16),
    /// Not answered.
    Unanswered(String),
    /// Sent in a content coding that was not asked for.
    Coding(String),
    /// Listed by the server, but no file of the expected client.
    Extra,
    /// A header that is missing or says something else.
    Header {
        name: String,
        sent: Option<String>,
        owed: String,
    },
    /// A header that no server of this build sends, and that changes what the page is.
    Meddling { name: String, value: String },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Different => write!(f, "different from what is expected"),
            Self::Status(404) => write!(f, "missing (404)"),
            Self::Status(status @ 300..=399) => {
                write!(f, "sent elsewhere ({status}): check that address instead")
            }
            Self::Status(status) => write!(f, "answered with status {status}"),
            Self::Unanswered(why) => write!(f, "not answered: {why}"),
            Self::Coding(coding) => write!(f, "sent in {coding:?}, which was not asked for"),
            Self::Extra => write!(f, "extra: the expected client has no such file"),
            Self::Header { name, sent, owed } => match sent {
                None => write!(f, "header {name} is missing; expected: {owed}"),
                Some(sent) => write!(f, "header {name} is {sent:?}; expected: {owed:?}"),
            },
            Self::Meddling { name, value } => {
                write!(f, "header {name} changes what the page is: {value:?}")
            }
        }
    }
}

/// All that is wrong: what, where, and for whom.
#[derive(Debug, Default)]
pub(super) struct Findings(BTreeMap<Trouble, BTreeMap<String, BTreeSet<Visitor>>>);

impl Findings {
    /// Without a visitor it holds for all of them.
    pub(super) fn add(&mut self, trouble: Trouble, place: &str, visitor: Option<Visitor>) {
        let places = self.0.entry(trouble).or_default();
        let visitors = places.entry(place.to_owned()).or_default();
        visitors.extend(match &visitor {
            Some(visitor) => std::slice::from_ref(visitor),
            None => &Visitor::ALL,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (trouble, places)) in self.0.iter().enumerate() {
            let gap = if at == 0 { "" } else { "\n" };
            write!(f, "{gap}{trouble}")?;
            for (place, visitors) in places {
                write!(f, "\n  {place}")?;
                if visitors.len() < Visitor::ALL.len() {
                    let some: Vec<_> = visitors.iter().map(Visitor::to_string).collect();
                    write!(f, " (only for {})", some.join(", "))?;
                }
            }
        }
        Ok(())
    }
}
