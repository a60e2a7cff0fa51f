//! What viewers would have noticed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Known, Spread, Times};

/// What viewers would have noticed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Video {
    /// From the first packet of a stream, or a gap that broke it, to a key frame; over the
    /// whole run, as streams begin when bots join.
    pub key_frame_wait: Known<Times>,
    /// Requests for key frames that receivers sent, over the whole run.
    pub key_frame_requests_asked: Known<u64>,
    /// Requests for key frames that reached publishers, over the whole run.
    pub key_frame_requests_received: Known<u64>,
    /// Times that a receiver was given another layer than before.
    pub layer_switches: Known<u64>,
    /// From the wish for another layer to its first frame, over the whole run.
    pub layer_switch: Known<Times>,
    /// Pictures that stood still: see [`crate::measure::motion`].
    pub freezes: Known<Freezes>,
    /// Pictures that a receiver got of one sender.
    pub frames_per_second: Known<Spread>,
}

/// Pictures that stood still.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Freezes {
    /// How often.
    pub count: u64,
    /// How long in all.
    pub total_seconds: f64,
    /// How often in an hour that one receiver watches one picture.
    pub per_hour: f64,
}
