//! Measures what the SFU costs. `make bench-sfu` runs it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod client;
mod clients;
mod clock;
mod figures;
mod files;
mod floor;
mod front;
mod group;
mod in_process;
mod load;
mod machine;
mod page;
mod peers;
mod room;
mod scenario;
mod sockets;
mod video;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures what the SFU costs.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measures the SFU without and with sockets.
    Sfu {
        /// The page whose figures are replaced.
        #[arg(long)]
        page: Option<PathBuf>,
        /// Only the parts whose names hold this.
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Puts the load test's findings on a page.
    Load {
        /// What `conclave-loadtest --json` wrote.
        findings: Vec<PathBuf>,
        /// The page whose figures are replaced.
        #[arg(long)]
        page: Option<PathBuf>,
    },
    /// Puts the load test's findings on several servers on a page.
    Peers {
        /// Where `scripts/peers.sh` put them.
        folder: PathBuf,
        /// The page whose figures are replaced.
        #[arg(long)]
        page: Option<PathBuf>,
    },
    /// Measures what groups of some sizes cost their members.
    Group {
        /// How many members.
        #[arg(default_values_t = [10, 50, 150, 500])]
        sizes: Vec<usize>,
        /// The page whose figures are replaced.
        #[arg(long)]
        page: Option<PathBuf>,
    },
    /// Measures what the front door bears: silent sockets, and joins.
    Front {
        /// The server to start.
        #[arg(long, default_value = "target/release/conclave")]
        server: PathBuf,
        /// The page whose figures are replaced.
        #[arg(long)]
        page: Option<PathBuf>,
    },
    /// Measures how fast files go up to a running server and come down.
    Files {
        /// Its address and port.
        address: String,
        /// How large the files are, in MiB.
        #[arg(long, default_value_t = 256)]
        size: u64,
        /// How often each is done.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// The page whose figures are replaced.
        #[arg(long)]
        page: Option<PathBuf>,
    },
    /// Plays the clients of a call, at the other end of pipes.
    #[command(hide = true)]
    Clients { scenario: String },
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Sfu { page, only } => page::put(page.as_deref(), "sfu", &figures::measure(&only)?),
        Task::Load { findings, page } => {
            page::put(page.as_deref(), "load", &load::table(&findings)?)
        }
        Task::Peers { folder, page } => {
            page::put(page.as_deref(), "peers", &peers::table(&folder)?)
        }
        Task::Group { sizes, page } => {
            page::put(page.as_deref(), "group", &group::table(&sizes)?)?;
            let filled = group::filled::table(&sizes)?;
            page::put(page.as_deref(), "group-filled", &filled)
        }
        Task::Front { server, page } => {
            page::put(page.as_deref(), "front", &front::table(&server)?)
        }
        Task::Files {
            address,
            size,
            rounds,
            page,
        } => page::put(
            page.as_deref(),
            "files",
            &files::table(&address, size, rounds)?,
        ),
        Task::Clients { scenario } => clients::run(serde_json::from_str(&scenario)?),
    }
}
