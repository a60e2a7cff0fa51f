//! The `conclave` command: a whole server in one process.

use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use conclave_signalling::{
    Limits, Server,
    settings::{ConfigFile, LogFormat, Settings, example},
    verify::{ClientHash, Expected, verify},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Group video calls, encrypted from end to end, on your own server.
#[derive(Debug, Parser)]
#[command(name = "conclave", version, args_conflicts_with_subcommands = true)]
struct Command {
    #[command(flatten)]
    serve: Settings,

    #[command(subcommand)]
    other: Option<Other>,
}

/// What else than to serve.
#[derive(Debug, Subcommand)]
enum Other {
    /// Check that a running server sends the web client of this build, unchanged: the page, every
    /// file and the protective headers, asked for as browsers ask. Ends with 0 if it does.
    VerifyClient(VerifyOptions),

    /// Settings in a file.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Write a file with every setting, what it means and its default.
    Example,

    /// Look for mistakes in a file of settings, without starting anything.
    Check {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct VerifyOptions {
    /// The server's address, such as https://call.example.org.
    #[arg(value_name = "URL")]
    server: String,

    /// Expect the client that was built into this folder (web/dist), not the one in this program.
    #[arg(long, value_name = "FOLDER", conflicts_with = "hash")]
    dist: Option<PathBuf>,

    /// Expect the client with this hash, as its build printed it.
    #[arg(long, value_name = "HEX")]
    hash: Option<ClientHash>,

    /// Trust the certificates in this file (PEM) instead of the public authorities.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = read().and_then(|Command { serve, other }| {
        start_log(serve.log);
        match other {
            None => run(serve).map(|()| ExitCode::SUCCESS),
            Some(Other::VerifyClient(options)) => verify_client(options),
            Some(Other::Config(command)) => config(command),
        }
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            // Not through the log, which may be filtered: this is the command's answer.
            writeln!(io::stderr(), "conclave: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

/// What was said on the command line, in the environment and in the file that they name.
fn read() -> anyhow::Result<Command> {
    let said = Command::parse();
    // The file is about serving.
    let Some(path) = said.serve.config.as_ref().filter(|_| said.other.is_none()) else {
        return Ok(said);
    };
    let filled = ConfigFile::read(path)?.apply(&Command::command())?;
    let matches = filled.get_matches();
    Ok(Command::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
}

fn config(command: ConfigCommand) -> anyhow::Result<ExitCode> {
    let answer = match command {
        ConfigCommand::Example => example(),
        ConfigCommand::Check { file } => {
            let filled = ConfigFile::read(&file)?.apply(&Command::command())?;
            let path = file.display();
            // As a whole, without flags and with the environment that is.
            let matches = filled.try_get_matches_from(["conclave"]);
            let read = matches.and_then(|matches| Settings::from_arg_matches(&matches));
            let settings = read.map_err(|error| {
                let said = error.render().to_string();
                anyhow::anyhow!("{path}: {}", said.trim_start_matches("error: "))
            })?;
            settings.into_config().with_context(|| path.to_string())?;
            format!("{path} is fine.\n")
        }
    };
    io::stdout()
        .write_all(answer.as_bytes())
        .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

fn verify_client(options: VerifyOptions) -> anyhow::Result<ExitCode> {
    let expected = match (options.dist, options.hash) {
        (Some(folder), _) => Expected::Folder(folder),
        (None, Some(hash)) => Expected::Hash(hash),
        (None, None) => Expected::Ours,
    };
    let report = verify(&options.server, &expected, options.ca.as_deref())?;
    writeln!(io::stdout(), "{report}").context("cannot write to standard output")?;
    Ok(if report.is_genuine() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[tokio::main]
async fn run(options: Settings) -> anyhow::Result<()> {
    // Before anything is announced, so that no signal finds the default way out.
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    if let Some(data) = &options.data {
        tracing::warn!(
            folder = %data.display(),
            "this version keeps nothing in the data folder yet: calls end when the server does"
        );
    }
    let limits = Limits {
        participants_per_room: options.participants_per_room,
        ..Limits::default()
    };
    let server = Server::start_with_limits(options.into_config()?, limits)?;
    announce(&server).context("cannot write to standard output")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("shutting down");
    server.shutdown().await;
    Ok(())
}

fn announce(server: &Server) -> io::Result<()> {
    let scheme = if server.is_secure() { "https" } else { "http" };
    let open = reachable(server.http_address());
    let media = server.media_address();
    let mut out = io::stdout().lock();
    writeln!(out, "Conclave {} is ready.", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  open     {scheme}://{open}/")?;
    writeln!(out, "  metrics  {scheme}://{open}/metrics")?;
    writeln!(out, "  media    UDP and TCP port {}", media.port())?;
    writeln!(out, "Ctrl-C stops it.")?;
    out.flush()
}

/// An address that a browser on this machine can open. Browsers give camera and microphone
/// to pages of `localhost` and of HTTPS sites only.
fn reachable(address: SocketAddr) -> String {
    let ip = address.ip();
    if ip.is_unspecified() || ip.is_loopback() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}
