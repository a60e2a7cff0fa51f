//! What the server spent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Known;

/// What the server spent within the measured window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    /// Who told of the CPU time.
    pub source: CostSource,
    /// Who counted the packets.
    pub packets_counted_by: PacketCounter,
    /// Packets that it forwarded.
    pub packets_forwarded: u64,
    /// The same, a second.
    pub packets_per_second: f64,
    /// Packets forwarded for each second of CPU time.
    pub packets_per_second_per_core: Known<f64>,
    /// CPU time of the process by wall time.
    pub cpu_cores: Known<f64>,
    /// CPU time of the process by packets forwarded.
    pub cpu_us_per_packet: Known<f64>,
    /// The part of it spent in user mode.
    pub user_us_per_packet: Known<f64>,
    /// The part of it spent in the kernel.
    pub system_us_per_packet: Known<f64>,
    /// The media threads' part of it.
    pub worker_us_per_packet: Known<f64>,
    /// System calls by packets forwarded.
    pub syscalls_per_packet: Known<f64>,
    /// Context switches of all threads, wished for or not.
    pub context_switches_per_second: Known<f64>,
    /// Resident memory at the end of the window.
    pub memory_bytes: Known<u64>,
    /// How much more that is than before anyone had joined, for each bot in the call.
    pub memory_per_participant_bytes: Known<f64>,
    /// Open file descriptors at the end of the window.
    pub file_descriptors: Known<u64>,
    /// Threads at the end of the window.
    pub threads: Known<u64>,
}

/// Who told of the server's CPU time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CostSource {
    /// The server's own metrics page.
    Metrics,
    /// The kernel's `/proc`, by the numbers of the processes.
    Proc {
        /// The processes, which are added up.
        pids: Vec<u32>,
    },
}

/// Who counted the packets that were forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PacketCounter {
    /// The server, where it sends them.
    Server,
    /// The bots, where they arrive: what was lost on the way is missing.
    Receivers,
}
