//! How a run went, second by second.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One second of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Second {
    /// When it ended, since the first bot set out.
    pub at_seconds: f64,
    /// Whether it lies within the measured window.
    pub measured: bool,
    /// Bots in the call at its end.
    pub participants: u64,
    /// RTP packets that bots received.
    pub packets_per_second: f64,
    /// RTP payload that bots received.
    pub bits_per_second: f64,
    /// Half of the pictures opened took at most this from their schedule; null when none
    /// was opened that tells.
    pub latency_p50_ms: Option<f64>,
    /// 99 of 100 took at most this.
    pub latency_p99_ms: Option<f64>,
    /// Packets found to be missing for good.
    pub packets_lost: u64,
    /// Receivers with a picture that stood still.
    pub frozen: u64,
    /// CPU time of the server by wall time; null when the server was not asked or did not
    /// tell.
    pub server_cpu_cores: Option<f64>,
    /// The load test's CPU time by wall time.
    pub generator_cpu_cores: f64,
}
