//! How long frames took from a publisher to the receivers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Distribution, Known, Times};

/// How long frames took from a publisher to the receivers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fanout {
    /// Pictures.
    pub video: Known<FrameLatency>,
    /// Sounds.
    pub audio: Known<FrameLatency>,
    /// Between the first and the last receiver of the same frame.
    pub skew: Known<Times>,
}

/// How long the frames of one kind took until a receiver had opened them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FrameLatency {
    /// From the moment at which the frame was due. What a stalled sender held back counts
    /// in full, so this is free of coordinated omission.
    pub from_schedule: Known<Distribution>,
    /// From the moment at which the frame was in fact handed over for sealing and
    /// sending: what the way alone took, without the load test's own lateness.
    pub from_send: Known<Distribution>,
    /// By how much the latency of a frame differs from that of the frame before it, of
    /// the same stream at the same receiver.
    pub jitter: Known<Times>,
}
