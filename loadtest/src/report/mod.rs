//! What a run found: groups of figures, as JSON for programs, as a page and as a summary
//! for people, and the judgement.
//!
//! The structs are plain data, which others fill. Units are in the names of the fields,
//! and what could not be measured says why ([`Known`]).

mod ab;
mod bandwidth;
mod compare;
mod encryption;
mod fanout;
mod faults;
mod figure;
mod generator;
pub mod html;
mod join;
mod known;
mod loss;
mod reading;
mod run;
#[cfg(test)]
pub(crate) mod sample;
mod schema;
mod server;
mod slos;
mod soak;
mod table;
mod text;
mod timeline;
mod times;
mod unit;
mod verdict;
mod video;

pub use ab::{Ab, AbFigure};
pub use bandwidth::{Bandwidth, fairness};
pub use compare::{Change, Comparison, Incomparable, Row};
pub use encryption::{Encryption, RekeysBySize};
pub use fanout::{Fanout, FrameLatency};
pub use faults::{Direction, Faults, Injected, LinkCounts};
pub use figure::{Better, FIGURES, Figure, named};
pub use generator::Generator;
pub use join::Join;
pub use known::Known;
pub use loss::{Loss, Packets};
pub use reading::ReadError;
pub use run::{BuildProfile, Machine, Run};
pub use schema::schema_json;
pub use server::{CostSource, PacketCounter, Server};
pub use slos::SloOutcome;
pub use soak::{Growth, Slope, Soak};
pub use timeline::Second;
pub use times::{Bucket, Distribution, Spread, Times};
pub use unit::Unit;
pub(crate) use unit::counted;
pub use verdict::Verdict;
pub use video::{Freezes, Video};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the JSON. It rises when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 3;

/// A run's findings. Counts are of the measured window where nothing else is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Version of this format: 2.
    pub schema: u32,
    /// The judgement.
    pub verdict: Verdict,
    /// What went wrong, for people.
    pub failures: Vec<String>,
    /// The bounds that were asked for.
    pub slos: Vec<SloOutcome>,
    /// What was run, where and when.
    pub run: Run,
    /// How long frames took.
    pub fanout: Known<Fanout>,
    /// What the server spent.
    pub server: Known<Server>,
    /// How long it took to get in.
    pub join: Join,
    /// What viewers would have noticed.
    pub video: Known<Video>,
    /// How well the capacity of the links was used.
    pub bandwidth: Known<Bandwidth>,
    /// Whether what was sealed could be opened.
    pub encryption: Known<Encryption>,
    /// What did not arrive.
    pub loss: Loss,
    /// What was done to the links on purpose.
    pub faults: Known<Faults>,
    /// Whether the server grows while it works.
    pub soak: Known<Soak>,
    /// The load test's own load.
    pub generator: Generator,
    /// How the run went, second by second.
    pub timeline: Vec<Second>,
}
