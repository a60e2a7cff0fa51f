//! The load test's findings as a table.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{machine, page};

/// One row for each file.
pub(crate) fn table(findings: &[PathBuf]) -> Result<String> {
    let mut rows = vec![];
    for path in findings {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let found: Value = serde_json::from_str(&text)?;
        let number = |pointer: &str, places: usize, factor: f64| {
            found
                .pointer(pointer)
                .and_then(Value::as_f64)
                .map_or_else(|| "–".into(), |n| format!("{:.places$}", n * factor))
        };
        rows.push(vec![
            found["scenario"].as_str().unwrap_or("–").to_owned(),
            number("/packets_delivered", 0, 1.0),
            number("/delivered_ratio", 2, 100.0),
            number("/server_worker_cpu_us_per_forwarded_packet", 2, 1.0),
            number("/server_cpu_us_per_forwarded_packet", 2, 1.0),
            number("/server_cpu_cores", 3, 1.0),
            number("/fanout_latency_ms/p50", 1, 1.0),
            number("/fanout_latency_ms/p99", 1, 1.0),
            number("/join_ms/p50", 0, 1.0),
        ]);
    }
    let head = [
        "people",
        "packets delivered",
        "frames delivered, %",
        "media thread, µs a packet",
        "server, µs a packet",
        "server, cores",
        "latency p50, ms",
        "p99, ms",
        "join p50, ms",
    ];
    Ok(format!(
        "{}.\n\n{}",
        machine::description(),
        page::table(&head, &rows)
    ))
}
