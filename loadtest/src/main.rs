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
    media::material,
    progress::Progress,
    report::Report,
    run::{self, Plan},
    target::Target,
};
use mimalloc::MiMalloc;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Exit code for what cannot be begun as asked.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let Command::Run(run) = Cli::parse().command;
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    match execute(&run) {
        Ok(report) => ExitCode::from(report.verdict.exit_code()),
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
    let mut target = Target::conclave(arguments.server.clone(), link)?;
    let Target::Conclave { plain, .. } = &mut target;
    *plain = arguments.plain;
    let recordings = match arguments.publishers {
        0 => None,
        _ => Some(Arc::new(material::recordings(
            arguments.video.as_deref(),
            arguments.audio.as_deref(),
        )?)),
    };
    let plan = Plan {
        target,
        existing_call,
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
        server_pid: arguments.server_pid,
        count_syscalls: !arguments.no_syscalls,
        sabotage: Sabotage::None,
    };

    let live = Arc::new(Live::default());
    let mut progress = Progress::new(live.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(run::run(
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
