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
    cli::{Cli, Command, LinkText, Run},
    drive::Live,
    material,
    progress::Progress,
    publish::Sabotage,
    report::Report,
    scenario::{self, Plan},
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

fn execute(run: &Run) -> anyhow::Result<Report> {
    anyhow::ensure!(
        run.publishers + run.subscribers > 0,
        "there is nobody to run: give --publishers or --subscribers"
    );
    let link = run.link.as_ref().map(LinkText::parse).transpose()?;
    let server = match &link {
        Some(link) => link.base.parse()?,
        None => run.server.clone(),
    };
    let recordings = match run.publishers {
        0 => None,
        _ => Some(Arc::new(material::recordings(
            run.video.as_deref(),
            run.audio.as_deref(),
        )?)),
    };
    let (room, secret, existing_call) = Plan::call(link).map_err(anyhow::Error::msg)?;
    let plan = Plan {
        server,
        room,
        secret,
        existing_call,
        publishers: run.publishers,
        subscribers: run.subscribers,
        camera_slots: run.camera_slots,
        audio_slots: run.audio_slots,
        name: run.name.clone(),
        join_concurrency: run.join_concurrency,
        warmup: run.warmup,
        duration: run.duration,
        linger: run.linger,
        lateness_bound: run.lateness_bound,
        sabotage: Sabotage::None,
    };

    let live = Arc::new(Live::default());
    let mut progress = Progress::new(live.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(scenario::run(
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
    if let Some(path) = &run.json {
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
