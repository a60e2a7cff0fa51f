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
            found
                .pointer("/run/scenario")
                .and_then(Value::as_str)
                .unwrap_or("–")
                .to_owned(),
            number("/loss/packets_delivered", 0, 1.0),
            number("/loss/delivered_ratio", 2, 100.0),
            number("/server/worker_us_per_packet", 2, 1.0),
            number("/server/cpu_us_per_packet", 2, 1.0),
            number("/server/cpu_cores", 3, 1.0),
            number("/fanout/video/from_send/p50_ms", 1, 1.0),
            number("/fanout/video/from_send/p99_ms", 1, 1.0),
            number("/join/total/p50_ms", 0, 1.0),
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
