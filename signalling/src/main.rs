//! The `conclave` command: a whole server in one process.

use std::{
    io::{self, IsTerminal, Write},
    net::{IpAddr, SocketAddr},
    num::NonZeroU8,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use conclave_signalling::{
    Limits, RoomSize, Server, ServerConfig,
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
    serve: Options,

    #[command(subcommand)]
    other: Option<Other>,
}

/// What else than to serve.
#[derive(Debug, Subcommand)]
enum Other {
    /// Check that a running server sends the web client of this build, unchanged: the page, every
    /// file and the protective headers, asked for as browsers ask. Ends with 0 if it does.
    VerifyClient(VerifyOptions),
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

#[derive(Debug, Args)]
struct Options {
    /// Address and TCP port for the web client and signalling.
    #[arg(
        long,
        env = "CONCLAVE_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080"
    )]
    listen: SocketAddr,

    /// Port for all media, over UDP and, where that does not pass, TCP. 0 takes any free one.
    #[arg(
        long,
        env = "CONCLAVE_MEDIA_PORT",
        value_name = "PORT",
        default_value_t = 3478
    )]
    media_port: u16,

    /// An address at which clients reach the media port, for servers behind NAT. May be
    /// given more than once; when left out, this machine's own addresses are used.
    #[arg(
        long = "public-address",
        env = "CONCLAVE_PUBLIC_ADDRESS",
        value_name = "IP",
        value_delimiter = ','
    )]
    public_addresses: Vec<IpAddr>,

    /// Threads that carry media, up to 255. When left out, one for each core.
    #[arg(long, env = "CONCLAVE_MEDIA_THREADS", value_name = "COUNT")]
    media_threads: Option<NonZeroU8>,

    /// How many people one room takes, up to 1000. The more there are, the more each device has
    /// to do whenever somebody comes or goes (docs/performance.md).
    #[arg(
        long,
        env = "CONCLAVE_PARTICIPANTS_PER_ROOM",
        value_name = "COUNT",
        default_value_t = RoomSize::DEFAULT
    )]
    participants_per_room: RoomSize,

    /// Folder for what must outlive the process. It is made if it is not there; this
    /// version keeps nothing in it yet: calls end when the server does.
    #[arg(long, env = "CONCLAVE_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// How to write the log, on standard error. RUST_LOG chooses what is logged.
    #[arg(long, env = "CONCLAVE_LOG", value_enum, default_value_t = LogFormat::Text)]
    log: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

fn main() -> ExitCode {
    let Command { serve, other } = Command::parse();
    start_log(serve.log);
    let done = match other {
        None => run(serve).map(|()| ExitCode::SUCCESS),
        Some(Other::VerifyClient(options)) => verify_client(options),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // Not through the log, which may be filtered: this is the command's answer.
            writeln!(io::stderr(), "conclave: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
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
async fn run(options: Options) -> anyhow::Result<()> {
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
    let config = ServerConfig {
        listen: options.listen,
        media_port: options.media_port,
        public_addresses: options.public_addresses,
        media_threads: options.media_threads,
        data_dir: options.data,
    };
    let server = Server::start_with_limits(config, limits)?;
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
    let open = reachable(server.http_address());
    let media = server.media_address();
    let mut out = io::stdout().lock();
    writeln!(out, "Conclave {} is ready.", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  open     http://{open}/")?;
    writeln!(out, "  metrics  http://{open}/metrics")?;
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
