//! What was done to the links on purpose.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Known, Times};

/// What was done to the links on purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Faults {
    /// What was asked for.
    pub injected: Vec<Injected>,
    /// What the links did to packets from bots.
    pub uplink: Known<LinkCounts>,
    /// What the links did to packets to bots.
    pub downlink: Known<LinkCounts>,
    /// Times that a bot's address changed.
    pub roams: u64,
    /// From the change of an address to the next packet that came.
    pub roam_gap: Known<Times>,
}

/// An impairment, and whom it befell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Injected {
    /// As it was asked for, such as `loss=2%,delay=50ms`.
    pub impairment: String,
    /// Which way.
    pub direction: Direction,
    /// How many bots.
    pub bots: u64,
}

/// Which way packets went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the bot.
    Up,
    /// To the bot.
    Down,
    /// Both ways.
    Both,
}

impl Direction {
    /// In words.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Up => "from bots",
            Self::Down => "to bots",
            Self::Both => "both ways",
        }
    }
}

/// What the impaired links did to packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkCounts {
    /// Packets that were given to a link.
    pub packets: u64,
    /// Packets that were thrown away by chance.
    pub lost: u64,
    /// Packets that found the queue of a limited link full.
    pub queue_dropped: u64,
    /// Packets thrown away in a blackout.
    pub blacked_out: u64,
    /// Packets that were given out after a later one.
    pub reordered: u64,
    /// Packets that were given out twice.
    pub duplicated: u64,
}
