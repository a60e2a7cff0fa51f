//! Which layers each subscriber gets of each track that it watches.
//!
//! A track is seen as a row of sizes, low to high, whichever way it is sent: as simulcast,
//! each size a stream of its own, or as spatial layers in one stream. Each size has its
//! temporal layers.

mod allocation;
mod gate;
mod meter;
mod trial;

pub(crate) use allocation::{Demand, Preference, allocate, desired, falls_short};
pub(crate) use gate::LayerGate;
pub(crate) use meter::StreamMeter;
pub(crate) use trial::Trial;

/// More temporal layers than anyone sends; what is above counts as the highest.
pub(crate) const MOST_TEMPORAL: usize = 4;

/// More spatial layers than anyone sends; what is above counts as the highest.
pub(crate) const MOST_SPATIAL: usize = 4;

/// Bits in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct BitRate(pub(crate) u64);

impl BitRate {
    /// Bits in a second.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// One size of a track as the choice sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerState {
    /// It is being sent.
    pub(crate) awake: bool,
    /// What it takes up to each temporal layer, without the smaller sizes that come along.
    pub(crate) rates: [BitRate; MOST_TEMPORAL],
    /// How many temporal layers there are, at least one.
    pub(crate) temporal_layers: u8,
    /// In pixels, where the sender tells.
    pub(crate) height: Option<u16>,
    /// Who gets it gets the smaller sizes too: it is built on top of them.
    pub(crate) carries_lower: bool,
}
