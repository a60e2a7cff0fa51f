//! What the figures were measured on.

use std::fs;

/// Processor, cores and kernel, and nothing that would tell whose machine it is.
pub(crate) fn description() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model.trim());
    let cores = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // What follows the number names whoever built it.
    let kernel = release.trim().split('-').next().unwrap_or_default();
    format!("{model}, {cores} logical cores, Linux {kernel}, release build with mimalloc")
}
