//! The `conclave-loadtest` command.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use clap::Parser as _;
use conclave_loadtest::{
    bot::publish::Sabotage,
    cli::{Ab, Capacity, Cli, Command, Compare, Html, LinkText, Run, SelfTest},
    drive::Live,
    impair::{Paths, Rules, household::Subnet},
    live::exporter::Exporter,
    media::material::Library,
    progress::Progress,
    report::{Comparison, Report, Verdict, html, schema_json},
    run::{self, Plan},
    scenario::built_in,
    selftest::{Trials, server::StartedServer},
    target::Transport,
};
use mimalloc::MiMalloc;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

mod command;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Exit code for what cannot be begun as asked.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    let done = match &command {
        Command::Run(run) => execute(run).map(|report| report.verdict.exit_code()),
        Command::Capacity(asked) => capacity(asked),
        Command::Ab(asked) => ab(asked).map(|()| 0),
        Command::SelfTest(arguments) => self_test(arguments).map(Verdict::exit_code),
        Command::Scenarios { name } => scenarios(name.as_deref()).map(|()| 0),
        Command::Html(asked) => page(asked).map(|()| 0),
        Command::Compare(asked) => compare(asked).map(|()| 0),
        Command::Schema => schema().map(|()| 0),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            let _ = writeln!(io::stderr(), "error: {problem:#}");
            ExitCode::from(USAGE)
        }
    }
}

/// Lists the scenarios, or shows one.
fn scenarios(name: Option<&str>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if let Some(name) = name {
        out.write_all(built_in::text(name)?.as_bytes())?;
        return Ok(());
    }
    for name in built_in::names() {
        let scenario = built_in::scenario(name)?;
        writeln!(out, "{name:<14} {}", scenario.description)?;
    }
    Ok(())
}

/// Runs once, writes and says what came of it.
fn execute(arguments: &Run) -> anyhow::Result<Report> {
    let report = run_once(arguments)?;
    if let Some(path) = &arguments.json {
        write_json(&report, path)?;
    }
    if let Some(path) = &arguments.html {
        write_out(path, &html::report(&report))?;
    }
    write!(io::stderr(), "{report}")?;
    Ok(report)
}

fn capacity(asked: &Capacity) -> anyhow::Result<u8> {
    let found = command::capacity::search(asked, run_once)?;
    if let Some(path) = &asked.run.json {
        write_json(&found, path)?;
    }
    write!(io::stderr(), "{found}")?;
    Ok(found.exit_code())
}

fn ab(asked: &Ab) -> anyhow::Result<()> {
    let comparison = command::ab::compare(asked, run_once)?;
    if let Some(path) = &asked.run.json {
        write_json(&comparison, path)?;
    }
    write!(io::stderr(), "{comparison}")?;
    Ok(())
}

fn run_once(arguments: &Run) -> anyhow::Result<Report> {
    let scenario = arguments.scenario.scenario()?;
    let link = arguments.link.as_ref().map(LinkText::parse).transpose()?;
    let existing_call = link.is_some();
    let (server, plain) = (&arguments.server, arguments.plain);
    let choice = &arguments.choice;
    let target = choice.target(server, link, plain, scenario.publishers())?;
    let library = Library::load(&scenario, existing_call)?;
    let mut plan = Plan {
        target,
        existing_call,
        server_processes: arguments.server_pid.clone(),
        scenario,
        library: Arc::new(library),
        name: arguments.name.clone(),
        join_patience: arguments.join_patience,
        linger: arguments.linger,
        lateness_bound: arguments.lateness_bound,
        count_syscalls: arguments.syscalls,
        sabotage: Sabotage::None,
        paths: Paths::default(),
        receive_offload: arguments.receive_offload,
        roams: arguments.roam.clone(),
    };
    plan.paths = paths(arguments, &plan)?;

    let live = Arc::new(Live::default());
    let mut progress = Progress::new(live.clone(), arguments.lateness_bound);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let exporter = arguments
        .prometheus
        .map(|address| runtime.block_on(Exporter::start(address, live.clone())))
        .transpose()
        .context("the metrics cannot be served with --prometheus")?;
    if let Some(exporter) = &exporter {
        writeln!(
            io::stderr(),
            "metrics at http://{}/metrics",
            exporter.address()
        )?;
    }
    let mut report = runtime.block_on(run::run(&plan, live, |stage| progress.show(stage), async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }));
    progress.clear();
    if let Some(slos) = &arguments.slo {
        report.hold_to(slos);
    }
    Ok(report)
}

fn self_test(arguments: &SelfTest) -> anyhow::Result<Verdict> {
    // A server that was started stops when this goes.
    let (server, _started) = match &arguments.server {
        Some(server) => (server.clone(), None),
        None => {
            let started = StartedServer::start(arguments.server_program.as_deref())?;
            (started.address().clone(), Some(started))
        }
    };
    let trials = Trials {
        server,
        video: arguments.video.clone(),
        audio: arguments.audio.clone(),
        subscribers: arguments.subscribers.into(),
        duration: arguments.duration,
        lateness_bound: arguments.lateness_bound,
        seed: arguments.seed,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let findings = runtime.block_on(trials.run(|trial| {
        let _ = writeln!(io::stderr(), "{trial} …");
    }))?;
    if let Some(path) = &arguments.json {
        write_json(&findings, path)?;
    }
    write!(io::stderr(), "{findings}")?;
    Ok(findings.verdict())
}

/// The paths that are asked for. Households stand from here on.
fn paths(arguments: &Run, plan: &Plan) -> anyhow::Result<Paths> {
    let paths = Paths::in_process(Rules(arguments.impair.clone()), plan.scenario.seed);
    if arguments.netem.is_empty() {
        return Ok(paths);
    }
    let server = plan.target.server();
    let subnet = match arguments.netns_subnet {
        Some(subnet) => subnet,
        None => Subnet::free()?,
    };
    anyhow::ensure!(
        !server.is_loopback(),
        "bots in a namespace cannot reach {server}: give --server with another address of this \
         machine, or with {}, which it is about to have, and let the server know it \
         (conclave --listen 0.0.0.0:PORT --plain-http --public-address {0})",
        subnet.server()
    );
    anyhow::ensure!(
        plan.target.transport() != Transport::Http,
        "bots in a namespace speak to servers over WebSockets only: use --impair, which impairs \
         in process"
    );
    let netem = Rules(arguments.netem.clone());
    Ok(paths.with_households(netem, subnet, plan.places())?)
}

fn page(asked: &Html) -> anyhow::Result<()> {
    write_out(&asked.output, &html::report(&Report::read(&asked.report)?))
}

fn compare(asked: &Compare) -> anyhow::Result<()> {
    let (a, b) = (Report::read(&asked.a)?, Report::read(&asked.b)?);
    let comparison = Comparison::of(&a, &b, asked.force)?;
    if let Some(path) = &asked.html {
        write_out(path, &html::comparison(&comparison))?;
    }
    if asked.html.as_deref() != Some(Path::new("-")) {
        write!(io::stdout(), "{comparison}")?;
    }
    Ok(())
}

fn schema() -> anyhow::Result<()> {
    write_out(Path::new("-"), &schema_json()?)
}

fn write_json(what: &impl Serialize, path: &Path) -> anyhow::Result<()> {
    let mut json = serde_json::to_string_pretty(what)?;
    json.push('\n');
    write_out(path, &json)
}

/// Writes a file, or to the standard output for "-".
fn write_out(path: &Path, text: &str) -> anyhow::Result<()> {
    if path == Path::new("-") {
        io::stdout().write_all(text.as_bytes())?;
    } else {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
