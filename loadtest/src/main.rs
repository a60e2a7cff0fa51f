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
    cli::{Cli, Command, Compare, Html, LinkText, Run},
    drive::Live,
    impair::{Paths, Rules, household::Subnet},
    media::material,
    progress::Progress,
    report::{Comparison, Report, html, schema_json},
    run::{self, Plan},
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
    let done = match &command {
        Command::Run(run) => execute(run).map(|report| report.verdict.exit_code()),
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

fn execute(arguments: &Run) -> anyhow::Result<Report> {
    anyhow::ensure!(
        arguments.publishers + arguments.subscribers > 0,
        "there is nobody to run: give --publishers or --subscribers"
    );
    let link = arguments.link.as_ref().map(LinkText::parse).transpose()?;
    let existing_call = link.is_some();
    let (server, plain) = (&arguments.server, arguments.plain);
    let choice = &arguments.choice;
    let target = choice.target(server, link, plain, arguments.publishers)?;
    let recordings = match arguments.publishers {
        0 => None,
        _ => Some(Arc::new(material::recordings(
            arguments.video.as_deref(),
            arguments.audio.as_deref(),
        )?)),
    };
    let mut plan = Plan {
        target,
        existing_call,
        server_processes: arguments.server_pid.clone(),
        publishers: arguments.publishers,
        subscribers: arguments.subscribers,
        camera_slots: arguments.camera_slots,
        audio_slots: arguments.audio_slots,
        name: arguments.name.clone(),
        join_concurrency: Some(arguments.join_concurrency).filter(|at_once| *at_once > 0),
        join_patience: arguments.join_patience,
        warmup: arguments.warmup,
        duration: arguments.duration,
        linger: arguments.linger,
        lateness_bound: arguments.lateness_bound,
        count_syscalls: !arguments.no_syscalls,
        sabotage: Sabotage::None,
        paths: Paths::default(),
        roams: arguments.roam.clone(),
    };
    plan.paths = paths(arguments, &plan)?;

    let live = Arc::new(Live::default());
    let mut progress = Progress::new(live.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut report = runtime.block_on(run::run(
        &plan,
        recordings,
        live,
        |stage| progress.show(stage),
        async {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        },
    ));
    progress.clear();
    if let Some(slos) = &arguments.slo {
        report.hold_to(slos);
    }
    if let Some(path) = &arguments.json {
        let mut json = serde_json::to_string_pretty(&report)?;
        json.push('\n');
        write_out(path, &json)?;
    }
    if let Some(path) = &arguments.html {
        write_out(path, &html::report(&report))?;
    }
    write!(io::stderr(), "{report}")?;
    Ok(report)
}

/// The paths that are asked for. Households stand from here on.
fn paths(arguments: &Run, plan: &Plan) -> anyhow::Result<Paths> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => getrandom::u64()?,
    };
    let paths = Paths::in_process(Rules(arguments.impair.clone()), seed);
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
         (conclave --listen 0.0.0.0:PORT --public-address {0})",
        subnet.server()
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

/// Writes a file, or to the standard output for "-".
fn write_out(path: &Path, text: &str) -> anyhow::Result<()> {
    if path == Path::new("-") {
        io::stdout().write_all(text.as_bytes())?;
    } else {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
