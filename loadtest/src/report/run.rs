//! What was run, where and when.

use std::{fs, thread};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Known;

/// What was run, where and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Version of the load test.
    pub tool_version: String,
    /// How the load test itself was built: only `release` measures anything.
    pub build_profile: BuildProfile,
    /// Kind of server, by the name of its adapter.
    pub target: String,
    /// Address of the server.
    pub server: String,
    /// Name of the scenario.
    pub scenario: String,
    /// All settings of the scenario as they were in force. Runs whose settings differ
    /// cannot be compared.
    pub settings: Map<String, Value>,
    /// Bots that were to publish.
    pub publishers: u64,
    /// Bots that were to receive.
    pub subscribers: u64,
    /// Bots that were in the call when measuring began.
    pub participants: u64,
    /// When the run began (RFC 3339, UTC).
    pub begun_at: String,
    /// How long was measured.
    pub measured_seconds: f64,
    /// What chance was drawn from: the same seed gives the same run.
    pub seed: Known<u64>,
    /// The machine of the load test.
    pub machine: Machine,
}

/// How a program was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BuildProfile {
    /// Optimised.
    Release,
    /// With checks, and slower.
    Debug,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Its cores, as far as this process may use them.
    pub cores: u64,
    /// Model of the processor.
    pub cpu_model: Known<String>,
    /// Name and version of the kernel.
    pub kernel: Known<String>,
}

impl BuildProfile {
    /// Of this program.
    pub const fn of_this() -> Self {
        if cfg!(debug_assertions) {
            Self::Debug
        } else {
            Self::Release
        }
    }
}

impl Machine {
    /// This one, and nothing that would tell whose it is.
    pub fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        let cpu_model = read("/proc/cpuinfo").and_then(|text| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("model name"))?;
            Some(line.split_once(": ")?.1.trim().to_owned())
        });
        let kernel = read("/proc/sys/kernel/ostype")
            .zip(read("/proc/sys/kernel/osrelease"))
            .map(|(name, release)| {
                // What follows the number names whoever built it.
                let number = release.trim().split('-').next().unwrap_or_default();
                format!("{} {number}", name.trim())
            });
        let not_told = "the system does not tell";
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from) as u64,
            cpu_model: Known::of(cpu_model, not_told),
            kernel: Known::of(kernel, not_told),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_cores_and_a_kernel_without_a_builders_name() {
        let machine = Machine::this();
        assert!(machine.cores > 0);
        let kernel = machine.kernel.yes().unwrap();
        assert!(
            kernel.starts_with("Linux ") && !kernel.contains('-'),
            "{kernel}"
        );
    }
}
