//! The `conclave` command: a whole server in one process.

use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use conclave_signalling::{
    BackupContents, Limits, Server, allow_descriptors, back_up,
    doctor::{Questions, examine},
    keys::{Keys, Scope},
    restore,
    settings::{ConfigFile, LogFormat, Rooms, Settings, example},
    verify::{ClientHash, Expected, verify},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

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

    /// Look at this machine before a server starts here: ports, addresses, certificates, limits,
    /// disk. Takes the settings of the server, and says how to mend what is in its way. Ends with 0
    /// if a server would do its work.
    Doctor {
        #[command(flatten)]
        settings: Box<Settings>,
        /// Ask this STUN server how the media port looks from outside. It learns this machine's
        /// address.
        #[arg(long, value_name = "HOST:PORT")]
        stun: Option<String>,
    },

    /// Copy what a server keeps, as it is at one moment, to a file. The server may run meanwhile.
    /// Files that participants share are not in it: they do not last.
    Backup {
        /// The server's data folder.
        #[arg(long, env = "CONCLAVE_DATA", value_name = "FOLDER")]
        data: PathBuf,
        /// The file to make.
        file: PathBuf,
    },

    /// Bring a backup back into a data folder that no server uses.
    Restore {
        /// The data folder.
        #[arg(long, env = "CONCLAVE_DATA", value_name = "FOLDER")]
        data: PathBuf,
        /// Give up what is there.
        #[arg(long)]
        replace: bool,
        /// The backup.
        file: PathBuf,
    },

    /// Settings in a file.
    #[command(subcommand)]
    Config(ConfigCommand),

    /// Keys for the operators' API, whether or not a server runs on the folder.
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key and write it, this once.
    Create {
        #[command(flatten)]
        folder: DataFolder,

        /// What it is for, to know it by later.
        #[arg(long)]
        name: String,

        /// What it lets do: create, invite, moderate, observe, operate.
        #[arg(long, value_name = "SCOPE,…", value_delimiter = ',', required = true)]
        scopes: Vec<Scope>,

        /// How long it counts, such as 90d. Without end when left out.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
    },

    /// Show all keys, but for their secrets.
    List {
        #[command(flatten)]
        folder: DataFolder,
    },

    /// Take a key back.
    Revoke {
        #[command(flatten)]
        folder: DataFolder,

        /// Its id: what stands between the first two underscores.
        id: String,
    },
}

#[derive(Debug, Args)]
struct DataFolder {
    /// The server's folder.
    #[arg(long, env = "CONCLAVE_DATA", value_name = "FOLDER")]
    data: PathBuf,
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
            Some(Other::Doctor { settings, stun }) => doctor(&settings, stun),
            Some(Other::Backup { data, file }) => back_up(&data, &file)
                .map_err(Into::into)
                .and_then(|contents| tell(&format!("{}: {}", file.display(), summary(contents)))),
            Some(Other::Restore {
                data,
                replace,
                file,
            }) => restore(&file, &data, replace)
                .map_err(Into::into)
                .and_then(|contents| tell(&format!("{}: {}", data.display(), summary(contents)))),
            Some(Other::Key(command)) => key(command),
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
    let filled = match (&said.other, &said.serve.config) {
        (None, Some(path)) => ConfigFile::read(path)?.apply(&Command::command())?,
        (Some(Other::Doctor { settings, .. }), _) => {
            let Some(path) = &settings.config else {
                return Ok(said);
            };
            let whole = Command::command();
            let part = whole.find_subcommand("doctor").context("no such command")?;
            let filled = ConfigFile::read(path)?.apply(part)?;
            whole.mut_subcommand("doctor", |_| filled)
        }
        _ => return Ok(said),
    };
    let matches = filled.get_matches();
    Ok(Command::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
}

fn doctor(settings: &Settings, stun: Option<String>) -> anyhow::Result<ExitCode> {
    let diagnosis = examine(settings, &Questions { stun });
    tell(&diagnosis.to_string())?;
    Ok(if diagnosis.is_well() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn summary(BackupContents { rooms, bytes }: BackupContents) -> String {
    format!("{rooms} rooms, {bytes} bytes")
}

fn tell(answer: &str) -> anyhow::Result<ExitCode> {
    writeln!(io::stdout(), "{answer}").context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
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

fn key(command: KeyCommand) -> anyhow::Result<ExitCode> {
    let answer = match command {
        KeyCommand::Create {
            folder,
            name,
            scopes,
            expires,
        } => Keys::open(&folder.data)?.create(&name, &scopes, expires)?,
        KeyCommand::List { folder } => Keys::open(&folder.data)?.list()?.join("\n"),
        KeyCommand::Revoke { folder, id } => {
            Keys::open(&folder.data)?.revoke(&id)?;
            format!("{id} lets nobody do anything any more.")
        }
    };
    tell(&answer)
}

/// Libraries that write at their most talkative whatever passes through them, proofs and tokens
/// included.
const TALKATIVE: [&str; 2] = ["tungstenite", "tokio_tungstenite"];

/// Nobody can ask those to.
fn is_discreet(event: &tracing::Metadata<'_>) -> bool {
    let target = event.target().split("::").next();
    *event.level() <= tracing::Level::INFO || !target.is_some_and(|it| TALKATIVE.contains(&it))
}

fn start_log(format: LogFormat) {
    let asked = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(asked)
        .with(lines.with_filter(filter_fn(is_discreet)))
        .init();
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
    if options.data.is_none() {
        tracing::info!(
            "calls do not outlive this process: give --data for a folder to keep them in"
        );
    }
    allow_descriptors();
    let drain_within = options.drain_within;
    let limits = Limits {
        participants_per_room: options.participants_per_room,
        only_made_rooms: options.rooms == Rooms::Made,
        ..Limits::default()
    };
    let server = Server::start_with_limits(options.into_config()?, limits)?;
    announce(&server).context("cannot write to standard output")?;
    let mut signalled = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::select! {
        () = signalled() => {}
        () = server.asked_to_stop() => {}
    }
    tracing::info!("taking no new calls");
    tokio::select! {
        () = server.drain(drain_within) => {}
        () = signalled() => {}
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
