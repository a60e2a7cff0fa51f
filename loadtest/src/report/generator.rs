//! The load test's own load.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Distribution, Known};

/// The load test's own load over the measured window. When it is saturated, the run says
/// nothing about the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// True when the run is void.
    pub saturated: bool,
    /// Why it is void.
    pub reasons: Vec<String>,
    /// CPU time by wall time.
    pub cpu_cores: f64,
    /// How many cores there are for it, the server's share included when it runs here.
    pub available_cores: u64,
    /// CPU time by wall time, for each bot in the call.
    pub cpu_cores_per_bot: Known<f64>,
    /// Resident memory of the load test, for each bot in the call.
    pub memory_per_bot_bytes: Known<f64>,
    /// RTP packets that all bots received.
    pub packets_received_per_second: f64,
    /// How late 1 of 100 sends or wake-ups may be.
    pub lateness_bound_ms: f64,
    /// How late frames were sent, against their schedule.
    pub send_lateness: Known<Distribution>,
    /// How late wake-ups came: what receivers waited for a core.
    pub wake_lateness: Known<Distribution>,
    /// Frames not sent at all, as they were too late.
    pub frames_left_out: u64,
    /// Datagrams that the kernel did not take.
    pub datagrams_not_sent: u64,
    /// Datagrams that the kernel dropped since the bots did not read them in time.
    pub datagrams_not_read: Known<u64>,
    /// Whether sockets receive several datagrams at once (UDP GRO), which spares the
    /// server's kernel work that a network would make.
    pub receive_offload: bool,
}
