//! The `conclave-loadtest` command.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use clap::Parser as _;
use conclave_loadtest::{
    bot::publish::Sabotage,
    cli::{Cli, Command, LinkText, Run},
    drive::Live,
    media::material::Library,
    progress::Progress,
    report::Report,
    run::{self, Plan},
    scenario::built_in,
    target::Target,
};
use mimalloc::MiMalloc;
use tracing_subscriber::EnvFilter;

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
    let done = match command {
        Command::Run(run) => execute(&run).map(|report| report.verdict.exit_code()),
        Command::Scenarios { name } => scenarios(name.as_deref()).map(|()| 0),
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

fn execute(arguments: &Run) -> anyhow::Result<Report> {
    let scenario = arguments.scenario.scenario()?;
    let link = arguments.link.as_ref().map(LinkText::parse).transpose()?;
    let existing_call = link.is_some();
    let mut target = Target::conclave(arguments.server.clone(), link)?;
    let Target::Conclave { plain, .. } = &mut target;
    *plain = arguments.plain;
    let library = Library::load(&scenario, existing_call)?;
    let plan = Plan {
        target,
        existing_call,
        scenario,
        library: Arc::new(library),
        name: arguments.name.clone(),
        join_patience: arguments.join_patience,
        linger: arguments.linger,
        lateness_bound: arguments.lateness_bound,
        sabotage: Sabotage::None,
    };

    let live = Arc::new(Live::default());
    let mut progress = Progress::new(live.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(run::run(&plan, live, |stage| progress.show(stage), async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }));
    progress.clear();
    if let Some(path) = &arguments.json {
        write_json(&report, path)?;
    }
    write!(io::stderr(), "{report}")?;
    Ok(report)
}

fn write_json(report: &Report, path: &Path) -> anyhow::Result<()> {
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    if path == Path::new("-") {
        io::stdout().write_all(&json)?;
    } else {
        fs::write(path, json)?;
    }
    Ok(())
}
