//! The load test's findings on several servers, side by side.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{clock::Spread, machine, page};

/// A run of the load test: which call, on which server, and what it found.
#[derive(Debug)]
struct Run {
    call: (u32, u32),
    server: String,
    report: Value,
}

/// A table of all runs in a folder, whose files are named as scripts/peers.sh names them.
pub(crate) fn table(folder: &Path) -> Result<String> {
    let versions = fs::read_to_string(folder.join("versions"))
        .with_context(|| format!("no runs in {}", folder.display()))?;
    let versions: Vec<(&str, &str)> = versions
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let mut runs = vec![];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some((call, server)) = name.and_then(parts) else {
            continue;
        };
        let text = fs::read_to_string(&path)?;
        let report = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let server = server.to_owned();
        runs.push(Run {
            call,
            server,
            report,
        });
    }
    let head = [
        "call",
        "server",
        "CPU, µs a packet",
        "user",
        "system",
        "cores",
        "latency p50, ms",
        "p99, ms",
        "frames delivered, %",
        "join p50, ms",
        "runs",
    ];
    Ok(format!(
        "{}.\n\n{}",
        machine::description(),
        page::table(&head, &rows(&versions, &runs))
    ))
}

/// The call and the server in a name like "1-to-50.janus.2.json".
fn parts(name: &str) -> Option<((u32, u32), &str)> {
    let (call, rest) = name.strip_suffix(".json")?.split_once('.')?;
    let (server, repetition) = rest.rsplit_once('.')?;
    repetition.parse::<u32>().ok()?;
    let (publishers, subscribers) = call.split_once("-to-")?;
    Some((
        (publishers.parse().ok()?, subscribers.parse().ok()?),
        server,
    ))
}

/// One row for each call and server, in the order of the servers' versions. Figures are of
/// the runs that stand; those that do not are counted.
fn rows(versions: &[(&str, &str)], runs: &[Run]) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<((u32, u32), usize), Vec<&Run>> = BTreeMap::new();
    for run in runs {
        let place = versions.iter().position(|(name, _)| *name == run.server);
        if let Some(place) = place {
            groups.entry((run.call, place)).or_default().push(run);
        }
    }
    groups
        .into_iter()
        .map(|(((publishers, subscribers), place), runs)| {
            let verdict = |run: &Run| {
                run.report["verdict"]
                    .as_str()
                    .unwrap_or("unknown")
                    .to_owned()
            };
            let standing: Vec<&Run> = runs
                .iter()
                .copied()
                .filter(|run| verdict(run) == "ok")
                .collect();
            let mut fallen: BTreeMap<String, usize> = BTreeMap::new();
            for run in &runs {
                if verdict(run) != "ok" {
                    *fallen.entry(verdict(run)).or_default() += 1;
                }
            }
            let spread = |pointer: &str, factor: f64| {
                let values = standing
                    .iter()
                    .filter_map(|run| run.report.pointer(pointer)?.as_f64())
                    .map(|value| value * factor);
                let spread = Spread::of(values.collect());
                spread.map_or_else(|| "–".to_owned(), |spread| spread.to_string())
            };
            let (name, version) = versions[place];
            let told = fallen
                .iter()
                .map(|(verdict, count)| format!(", {count} {verdict}"))
                .collect::<String>();
            vec![
                format!("{publishers} → {subscribers}"),
                format!("{name} {version}"),
                spread("/server/cpu_us_per_packet", 1.0),
                spread("/server/user_us_per_packet", 1.0),
                spread("/server/system_us_per_packet", 1.0),
                spread("/server/cpu_cores", 1.0),
                spread("/fanout/video/from_send/p50_ms", 1.0),
                spread("/fanout/video/from_send/p99_ms", 1.0),
                spread("/loss/delivered_ratio", 100.0),
                spread("/join/total/p50_ms", 1.0),
                format!("{}{told}", standing.len()),
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(server: &str, verdict: &str, micros: f64) -> Run {
        Run {
            call: (1, 50),
            server: server.to_owned(),
            report: json!({"verdict": verdict, "server": {"cpu_us_per_packet": micros}}),
        }
    }

    #[test]
    fn names_of_files_are_understood() {
        let known = parts("10-to-10.conclave-plain.3.json");
        assert_eq!(known, Some(((10, 10), "conclave-plain")));
        for name in [
            "versions",
            "1-to-50.janus.1.log",
            "1-to-50.janus.json",
            "x.janus.1.json",
        ] {
            assert_eq!(parts(name), None, "{name}");
        }
    }

    #[test]
    fn runs_that_do_not_stand_give_no_figures_but_are_told() {
        let versions = [("conclave", "0.1.0"), ("janus", "1.1.2")];
        let runs = [
            run("janus", "void", 1.0),
            run("janus", "failed", 2.0),
            run("conclave", "ok", 3.0),
            run("conclave", "ok", 5.0),
            run("conclave", "ok", 4.0),
            run("conclave", "void", 400.0),
        ];
        let rows = rows(&versions, &runs);
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row[1].as_str(), row[2].as_str(), row[10].as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("conclave 0.1.0", "**4.00** (3.00–5.00)", "3, 1 void"),
                ("janus 1.1.2", "–", "0, 1 failed, 1 void"),
            ]
        );
    }
}
