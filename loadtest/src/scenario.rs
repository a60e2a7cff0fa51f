//! What a run does: who takes part, what they send and look at, and what changes
//! meanwhile. A scenario is a TOML file; some are part of this program ([`built_in`]).
//! Flags change single values of it.

use std::time::Duration;

use conclave_e2ee::LeafIndex;
use conclave_protocol::signal::Source;
use serde::{Deserialize, Serialize};

use self::group::Group;

pub mod built_in;
mod check;
pub mod flags;
pub mod group;
mod spelling;
pub mod text;
pub mod timeline;

/// What a run does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scenario {
    /// What it is called in reports. That of the file when it is left out.
    #[serde(default, skip_serializing)]
    pub name: String,
    /// What it is about, in one line.
    #[serde(default, skip_serializing)]
    pub description: String,
    /// What chance is drawn from: the same seed gives the same run.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// How many bots, the first ones, are members of the group; all when it is left out.
    /// The others take part in media only, and open frames with the members' keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<usize>,
    /// How fast bots come.
    #[serde(default)]
    pub join: JoinPace,
    /// How long everyone plays before measuring.
    #[serde(with = "spelling::duration", default = "default_warmup")]
    pub warmup: Duration,
    /// How long to measure.
    #[serde(with = "spelling::duration", default = "default_duration")]
    pub duration: Duration,
    /// How long what is on its way has to arrive after measuring.
    #[serde(with = "spelling::duration", default = "default_drain")]
    pub drain: Duration,
    /// Who takes part.
    #[serde(default)]
    pub bots: Vec<Group>,
}

/// How fast bots come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JoinPace {
    /// All at once.
    AtOnce,
    /// So many at the same time, the next when one is in. More make each commit race with
    /// others.
    AtATime(usize),
    /// So many a second, however long they take.
    PerSecond(f64),
}

impl Default for JoinPace {
    fn default() -> Self {
        Self::AtATime(4)
    }
}

impl JoinPace {
    /// When a bot sets out, after the first one.
    pub fn moment(self, place: usize) -> Duration {
        match self {
            Self::PerSecond(rate) => {
                Duration::try_from_secs_f64(place as f64 / rate).unwrap_or(Duration::MAX)
            }
            Self::AtOnce | Self::AtATime(_) => Duration::ZERO,
        }
    }
}

const fn default_seed() -> u64 {
    1
}

const fn default_warmup() -> Duration {
    Duration::from_secs(3)
}

const fn default_duration() -> Duration {
    Duration::from_secs(10)
}

const fn default_drain() -> Duration {
    Duration::from_secs(1)
}

/// What is wrong with a scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", self.key())]
pub struct Problem {
    /// In which group, if in one.
    pub group: Option<usize>,
    /// The key, with dots between tables.
    pub key: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Problem {
    fn key(&self) -> String {
        match self.group {
            Some(group) => format!("bots[{group}].{}", self.key),
            None => self.key.clone(),
        }
    }
}

impl Scenario {
    /// How many bots take part at once.
    pub fn size(&self) -> usize {
        self.bots.iter().map(|group| group.count).sum()
    }

    /// The group of a place, and which of the group it is; places count through all groups.
    pub fn group_of(&self, place: usize) -> Option<(usize, usize)> {
        let mut first = 0;
        for (number, group) in self.bots.iter().enumerate() {
            if place < first + group.count {
                return Some((number, place - first));
            }
            first += group.count;
        }
        None
    }

    /// Whether the bot in a place is a member of the group that has the keys.
    pub fn is_member(&self, place: usize) -> bool {
        self.members.is_none_or(|members| place < members)
    }

    /// How many bots there are that send something.
    pub fn publishers(&self) -> usize {
        self.count(Group::sends)
    }

    /// How many bots there are that receive something.
    pub fn receivers(&self) -> usize {
        self.count(Group::receives)
    }

    /// How many of a source are on at once.
    pub fn on_at_once(&self, source: Source) -> usize {
        let on = |group: &Group| match &group.rotate {
            _ if !group.sources().contains(&source) => 0,
            Some(rotate) if rotate.turns(source) => rotate.on.min(group.count),
            _ => group.count,
        };
        self.bots.iter().map(on).sum()
    }

    fn count(&self, wanted: fn(&Group) -> bool) -> usize {
        let groups = self.bots.iter().filter(|group| wanted(group));
        groups.map(|group| group.count).sum()
    }

    /// Refuses what cannot be done.
    pub fn check(&self) -> Result<(), Problem> {
        check::scenario(self)
    }
}

/// The most bots that can be told apart.
const MOST_BOTS: usize = LeafIndex::LIMIT as usize;
