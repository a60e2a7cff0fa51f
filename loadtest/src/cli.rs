//! The command line.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand};
use conclave_e2ee::{Link, LinkError};

use crate::{
    drive::server::ServerAddress,
    impair::{Roam, Rule, household::Subnet},
    slo::Slos,
    target::choice::Choice,
};

/// Load test for Conclave: bots that are real members of real calls. They join over the
/// same signalling as browsers, seal the recordings that they play and open what they
/// receive.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run bots in one call and measure.
    ///
    /// Exit codes: 0 the numbers stand; 1 nothing was measured, a bot could not join or
    /// stay, frames failed to open, or a bound does not hold; 2 wrong usage; 3 the load
    /// test was itself the bottleneck, so the numbers say nothing.
    Run(Box<Run>),
    /// Make a page of a report.
    Html(Html),
    /// Show how two runs of the same scenario differ.
    Compare(Compare),
    /// Print the JSON Schema of reports.
    Schema,
}

/// Settings of a page.
#[derive(Debug, Args)]
pub struct Html {
    /// The report, as --json wrote it.
    #[arg(value_name = "REPORT.json")]
    pub report: PathBuf,

    /// Where to write the page; "-" is the standard output.
    #[arg(long, short, default_value = "-", value_name = "FILE.html")]
    pub output: PathBuf,
}

/// Settings of a comparison.
#[derive(Debug, Args)]
pub struct Compare {
    /// The first report, as --json wrote it.
    #[arg(value_name = "A.json")]
    pub a: PathBuf,

    /// The second.
    #[arg(value_name = "B.json")]
    pub b: PathBuf,

    /// Write the comparison as a page as well; "-" is the standard output.
    #[arg(long, value_name = "FILE.html")]
    pub html: Option<PathBuf>,

    /// Compare runs of other scenarios and void runs all the same.
    #[arg(long)]
    pub force: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

/// A link that nothing prints: a wrong one must not show its secret in an error message.
#[derive(Clone)]
pub struct LinkText(String);

impl LinkText {
    /// Takes it apart.
    pub fn parse(&self) -> Result<Link, LinkError> {
        self.0.parse()
    }
}

impl FromStr for LinkText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for LinkText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkText(…)")
    }
}

/// Settings of a run.
#[derive(Debug, Args)]
pub struct Run {
    /// Address of the server.
    #[arg(long, default_value = "http://localhost:8080")]
    pub server: ServerAddress,

    /// Which kind of server.
    #[command(flatten)]
    pub choice: Choice,

    /// Process of the server, when it runs on this machine, to measure its cost by what
    /// the system says of it. Given several times, processes are added up. Without it, the
    /// server's metrics page tells, and of what that leaves out the process that listens
    /// at --server, if it is of this machine.
    #[arg(long, value_name = "PID")]
    pub server_pid: Vec<u32>,

    /// Link of an existing call to join, in place of a new call on --server. Better given
    /// in the environment, since command lines can be seen by others on the machine.
    #[arg(long, env = "CONCLAVE_LINK", hide_env_values = true)]
    pub link: Option<LinkText>,

    /// Bots that send a camera and a microphone.
    #[arg(long, default_value_t = 1)]
    pub publishers: usize,

    /// Bots that receive.
    #[arg(long, default_value_t = 5)]
    pub subscribers: usize,

    /// How long to measure.
    #[arg(long, default_value = "10s", value_parser = seconds)]
    pub duration: Duration,

    /// How long everyone plays before measuring.
    #[arg(long, default_value = "3s", value_parser = seconds)]
    pub warmup: Duration,

    /// How long bots stay in the call after measuring.
    #[arg(long, default_value = "0s", value_parser = seconds)]
    pub linger: Duration,

    /// VP8 recording for the cameras (IVF). Made with ffmpeg when not given.
    #[arg(long, value_name = "FILE.ivf")]
    pub video: Option<PathBuf>,

    /// Opus recording for the microphones (Ogg). Made with ffmpeg when not given.
    #[arg(long, value_name = "FILE.ogg")]
    pub audio: Option<PathBuf>,

    /// Write the report as JSON; "-" is the standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write the report as a page with charts, which needs nothing from the network; "-"
    /// is the standard output.
    #[arg(long, value_name = "FILE.html")]
    pub html: Option<PathBuf>,

    /// Bounds that are to hold, such as p99<20ms,loss<0.1%,join_p95<2s; else the exit
    /// code is 1. A wrong name lists those there are.
    #[arg(long, value_name = "BOUNDS")]
    pub slo: Option<Slos>,

    /// What the bots are called, with a number behind it.
    #[arg(long, default_value = "Bot", value_name = "PREFIX")]
    pub name: String,

    /// Cameras that a receiver can take at once.
    #[arg(long, default_value_t = 9)]
    pub camera_slots: usize,

    /// Voices that a receiver can take at once.
    #[arg(long, default_value_t = 4)]
    pub audio_slots: usize,

    /// Bots that join at the same time; 0: all at once. More make each commit race with
    /// others.
    #[arg(long, default_value_t = 4)]
    pub join_concurrency: usize,

    /// How long a bot may take to join.
    #[arg(long, default_value = "60s", value_parser = seconds)]
    pub join_patience: Duration,

    /// Do not seal frames, and stay out of the group: to measure forwarding alone, or
    /// servers that know no end-to-end encryption.
    #[arg(long)]
    pub plain: bool,

    /// Do not count the server's system calls. Counting takes perf, and makes each of them
    /// a little longer.
    #[arg(long)]
    pub no_syscalls: bool,

    /// Impair the paths of bots: [WHOM:]SPEC, such as "loss=2%,delay=50ms" or
    /// "down@subscribers:rate=2mbit,queue=200ms".
    ///
    /// WHOM is up or down (from or to the bots), BOTS, or up@BOTS or down@BOTS. BOTS are
    /// all, publishers, subscribers, bot3, bots3-7, 1/10 (the first of every ten) or
    /// 1/10-subscribers. SPEC is none, or some of loss=2%, burst=4 (mean packets lost in a
    /// row), delay=50ms, jitter=10ms, reorder=1%, behind=20ms (held back for), duplicate=0.5%,
    /// rate=2mbit, queue=200ms, blackout=3s@10s (after the window began), every=30s. May be
    /// given several times: the last one that names a bot and a direction holds there.
    #[arg(long, value_name = "[WHOM:]SPEC")]
    pub impair: Vec<Rule>,

    /// The same, done by the kernel, as root: bots that are treated alike live in one
    /// network namespace and share one line. Needs a --server address that is reached from
    /// there, which localhost is not.
    #[arg(long, value_name = "[WHOM:]SPEC")]
    pub netem: Vec<Rule>,

    /// Network for the first such namespace. The others, and this one when left out, take
    /// the first free one of 10.78.0.0/24 to 10.78.255.0/24.
    #[arg(long, value_name = "ADDRESS/24", requires = "netem")]
    pub netns_subnet: Option<Subnet>,

    /// Let bots change their address so long after the window began: [BOTS:]AT, such as
    /// "10s" or "subscribers:10s". ICE is not restarted. May be given several times.
    #[arg(long, value_name = "[BOTS:]AT")]
    pub roam: Vec<Roam>,

    /// Where the chances of --impair come from: the same seed hits the same packets. Drawn
    /// and reported when left out.
    #[arg(long)]
    pub seed: Option<u64>,

    /// How late 1 of 100 sends or wake-ups may be before the run is void.
    #[arg(long, default_value = "20ms", value_parser = seconds)]
    pub lateness_bound: Duration,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    fn parsed(line: &str) -> Command {
        Cli::try_parse_from(line.split_whitespace())
            .unwrap()
            .command
    }

    #[test]
    fn the_documented_call_is_understood() {
        let line = "conclave-loadtest run --server http://localhost:8080 --publishers 1 \
                    --subscribers 20 --duration 10s --json out.json";
        let Command::Run(run) = parsed(line) else {
            panic!("{line}");
        };
        assert_eq!((run.publishers, run.subscribers), (1, 20));
        assert_eq!(run.duration, Duration::from_secs(10));
        assert_eq!(run.json, Some(PathBuf::from("out.json")));
    }

    #[test]
    fn a_link_that_is_refused_is_not_repeated() {
        let line = "conclave-loadtest run --link http://localhost:8080/r/room#hush";
        let Command::Run(run) = parsed(line) else {
            panic!("{line}");
        };
        let link = run.link.clone().unwrap();
        let said = format!("{} {run:?}", link.parse().unwrap_err());
        assert!(!said.contains("hush"), "{said}");
    }
}
