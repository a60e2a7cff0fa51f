//! `conclave-loadtest ab`: two servers, measured by turns.

use std::io::{self, Write as _};

use conclave_loadtest::{
    cli::{self, Run},
    report::{Ab, Report},
};

/// Measures both; `run` makes one run of these arguments.
pub(crate) fn compare(
    asked: &cli::Ab,
    run: impl Fn(&Run) -> anyhow::Result<Report>,
) -> anyhow::Result<Ab> {
    anyhow::ensure!(
        asked.run.link.is_none(),
        "a link names one call on one server: ab needs a new call on each, so leave --link out"
    );
    let (first, second) = (&asked.run, asked.other());
    let mut pairs = Vec::new();
    for round in 0..asked.rounds {
        let turn = |name: &str, arguments: &Run| -> anyhow::Result<Report> {
            let report = run(arguments)?;
            writeln!(
                io::stderr(),
                "round {} of {}, {name} ({} at {}): {:?}",
                round + 1,
                asked.rounds,
                report.run.target,
                report.run.server,
                report.verdict,
            )?;
            anyhow::ensure!(
                report.failures.is_empty() || report.generator.saturated,
                "{name} failed: {}",
                report.failures.join("; ")
            );
            Ok(report)
        };
        // By turns in both orders, so that a drift of the machine hits both alike.
        pairs.push(if round % 2 == 0 {
            let a = turn("A", first)?;
            (a, turn("B", &second)?)
        } else {
            let b = turn("B", &second)?;
            (turn("A", first)?, b)
        });
    }
    Ok(Ab::of(&pairs))
}
