//! `conclave-loadtest capacity`: the largest call that keeps its promises.

use std::{
    fmt,
    io::{self, Write as _},
};

use conclave_loadtest::{
    capacity::{Bounds, Capacity, Limit, Outcome, Search},
    cli::{self, Run},
    report::{Report, Verdict},
};
use serde::Serialize;

/// Version of the JSON.
const SCHEMA: u32 = 1;

/// What was found, as it is written with `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    schema: u32,
    scenario: String,
    target: String,
    slo: String,
    capacity: Capacity,
    probes: Vec<Probe>,
}

/// One call that was tried.
#[derive(Debug, Serialize)]
struct Probe {
    size: usize,
    outcome: Outcome,
    /// Why it did not hold.
    reasons: Vec<String>,
    packets_per_second: Option<f64>,
    packets_per_second_per_core: Option<f64>,
    cpu_cores: Option<f64>,
}

/// Searches; `run` makes one run of these arguments.
pub(crate) fn search(
    asked: &cli::Capacity,
    run: impl Fn(&Run) -> anyhow::Result<Report>,
) -> anyhow::Result<Found> {
    let Some(slos) = &asked.run.slo else {
        anyhow::bail!("a capacity needs promises to keep: give --slo, such as 'p99<20ms'");
    };
    let mut search = Search::new(Bounds {
        from: asked.from,
        to: asked.to,
        resolution_percent: asked.resolution,
        confirmations: asked.confirmations,
    });
    let mut found = Found {
        schema: SCHEMA,
        scenario: String::new(),
        target: String::new(),
        slo: slos.to_string(),
        capacity: search.capacity(),
        probes: Vec::new(),
    };
    while let Some(size) = search.next() {
        let report = run(&asked.run.sized(size)?)?;
        let probe = Probe::of(size, &report);
        writeln!(io::stderr(), "{probe}")?;
        search.tell(size, probe.outcome);
        found.probes.push(probe);
        found.scenario = report.run.scenario;
        found.target = report.run.target;
    }
    found.capacity = search.capacity();
    Ok(found)
}

impl Found {
    /// As a run's: 1 when even the smallest call broke a promise, 3 when the load test was
    /// at its end before the server was.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.capacity.limit {
            Limit::Generator => Verdict::Void.exit_code(),
            _ if self.capacity.largest == 0 => Verdict::Missed.exit_code(),
            _ => Verdict::Ok.exit_code(),
        }
    }
}

impl Probe {
    fn of(size: usize, report: &Report) -> Self {
        let mut reasons = report.failures.clone();
        if report.generator.saturated {
            reasons.extend(report.generator.reasons.iter().cloned());
        }
        let missed = report.slos.iter().filter(|slo| !slo.held);
        reasons.extend(missed.map(|slo| format!("{} {}", slo.asked, slo.told())));
        let server = report.server.yes();
        Self {
            size,
            outcome: match report.verdict {
                Verdict::Ok => Outcome::Held,
                // What fails while the load test is at its end may be its own doing.
                _ if report.generator.saturated => Outcome::Void,
                _ => Outcome::Broke,
            },
            reasons,
            packets_per_second: server.map(|server| server.packets_per_second),
            packets_per_second_per_core: server
                .and_then(|server| server.packets_per_second_per_core.yes().copied()),
            cpu_cores: server.and_then(|server| server.cpu_cores.yes().copied()),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Held => "holds",
            Outcome::Broke => "breaks",
            Outcome::Void => "void",
        };
        write!(f, "{:>6}  {outcome}", self.size)?;
        if let (Some(packets), Some(cores)) = (self.packets_per_second, self.cpu_cores) {
            write!(f, "  {packets:.0} packets/s on {cores:.2} cores")?;
        }
        for reason in &self.reasons {
            write!(f, "\n        {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Capacity {
            largest,
            held,
            holds_at_least,
            smallest_broken,
            limit,
        } = self.capacity;
        let at_least = match limit {
            Limit::Server => "",
            Limit::Generator | Limit::Asked => "at least ",
        };
        writeln!(f, "\n{} on {}, {}", self.scenario, self.target, self.slo)?;
        write!(f, "  {at_least}{largest}")?;
        if held > 0 {
            let part = holds_at_least * 100.0;
            write!(
                f,
                ", held in {held} of {held} runs: with 95 % confidence in {part:.0} % of all runs or more"
            )?;
        }
        writeln!(f)?;
        match (limit, smallest_broken) {
            (Limit::Server, Some(size)) => writeln!(f, "  {size} did not hold")?,
            (Limit::Generator, Some(size)) => writeln!(
                f,
                "  at {size} the load test was itself the bottleneck: run it elsewhere"
            )?,
            _ => writeln!(f, "  no larger call was to be tried (--to)")?,
        }
        let best = self
            .probes
            .iter()
            .rfind(|probe| probe.size == largest && probe.outcome == Outcome::Held);
        if let Some(per_core) = best.and_then(|probe| probe.packets_per_second_per_core) {
            writeln!(f, "  {per_core:.0} packets/s/core there")?;
        }
        Ok(())
    }
}
