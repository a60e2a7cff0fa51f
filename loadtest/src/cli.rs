//! The command line.

use std::{convert::Infallible, fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand};
use conclave_e2ee::{Link, LinkError};

use crate::{
    drive::server::ServerAddress,
    impair::{Roam, Rule, household::Subnet},
    scenario::{
        flags::{Flags, FlagsError},
        group::{Group, Video},
    },
    slo::Slos,
    target::choice::{Choice, Kind},
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
    /// Find the largest call that keeps the promises given with --slo: runs larger and
    /// smaller calls, and repeats the answer. Varies the group that only receives, or the
    /// one that sends where all do. --json writes what was found.
    ///
    /// Exit codes: 0 found; 1 even one bot was too many; 2 wrong usage; 3 the load test was
    /// at its end before the server was.
    Capacity(Box<Capacity>),
    /// Measure two servers by turns, and tell how they differ, with confidence intervals.
    /// --json writes the comparison.
    Ab(Box<Ab>),
    /// Prove that this load test sees what it is to see: runs short calls with delay, loss,
    /// duplicates, reordering, spoiled frames and a late generator, and compares what was
    /// measured with what was injected.
    ///
    /// Exit codes: 0 everything was seen as it was; 1 something was not; 2 wrong usage; 3
    /// this machine was too busy for the answer to mean anything.
    SelfTest(SelfTest),
    /// List the scenarios that are part of this program, or show one, to be changed and
    /// given with --scenario.
    Scenarios {
        /// Which one to show.
        name: Option<String>,
    },
    /// Make a page of a report.
    Html(Html),
    /// Show how two runs of the same scenario differ.
    Compare(Compare),
    /// Print the JSON Schema of reports.
    Schema,
}

/// Settings of a search.
#[derive(Debug, Args)]
pub struct Capacity {
    /// What a call is.
    #[command(flatten)]
    pub run: Run,

    /// The size that is tried first.
    #[arg(long, default_value_t = 10)]
    pub from: usize,

    /// No size above this is tried.
    #[arg(long, default_value_t = 1_000)]
    pub to: usize,

    /// How close the largest size that holds and the smallest one that does not have to
    /// be, in hundredths.
    #[arg(long, default_value_t = 5)]
    pub resolution: usize,

    /// How often in a row the answer has to hold.
    #[arg(long, default_value_t = 5)]
    pub confirmations: u32,
}

/// Settings of a comparison by turns.
#[derive(Debug, Args)]
pub struct Ab {
    /// The first server, and what a call is.
    #[command(flatten)]
    pub run: Run,

    /// The second server.
    #[arg(long, value_name = "SERVER")]
    pub other_server: ServerAddress,

    /// What kind of server it is; like the first one when not given.
    #[arg(long, value_enum, value_name = "KIND")]
    pub other_target: Option<Kind>,

    /// Its process, as --server-pid is the first one's.
    #[arg(long, value_name = "PID")]
    pub other_server_pid: Vec<u32>,

    /// Pairs of runs. More make intervals narrower.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
}

impl Ab {
    /// The same on the second server.
    pub fn other(&self) -> Run {
        let mut run = self.run.clone();
        run.server = self.other_server.clone();
        run.choice.kind = self.other_target.unwrap_or(run.choice.kind);
        run.server_pid.clone_from(&self.other_server_pid);
        run
    }
}

impl Run {
    /// The same with so many bots in the group that varies.
    pub fn sized(&self, size: usize) -> Result<Self, FlagsError> {
        let mut run = self.clone();
        let everyone_sends = self.scenario.scenario()?.bots.iter().all(Group::sends);
        if everyone_sends {
            run.scenario.publishers = Some(size);
        } else {
            run.scenario.subscribers = Some(size);
        }
        Ok(run)
    }
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
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// Address of the server.
    #[arg(long, default_value = "http://localhost:8080")]
    pub server: ServerAddress,

    /// Which kind of server.
    #[command(flatten)]
    pub choice: Choice,

    /// Process of the server, when it runs on this machine, to measure its cost by what
    /// the system says of it, with packets counted by those who get them. Given several
    /// times, processes are added up. Without it, the server's metrics page tells, and of what that leaves out the process that listens
    /// at --server, if it is of this machine.
    #[arg(long, value_name = "PID")]
    pub server_pid: Vec<u32>,

    /// Link of an existing call to join, in place of a new call on --server. Better given
    /// in the environment, since command lines can be seen by others on the machine.
    #[arg(long, env = "CONCLAVE_LINK", hide_env_values = true)]
    pub link: Option<LinkText>,

    /// What to run.
    #[command(flatten)]
    pub scenario: Flags,

    /// How long bots stay in the call after measuring.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub linger: Duration,

    /// Write the report as JSON; "-" is the standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write the report as a page with charts, which needs nothing from the network; "-"
    /// is the standard output.
    #[arg(long, value_name = "FILE.html")]
    pub html: Option<PathBuf>,

    /// Serve live metrics to Prometheus while the run goes, at http://ADDRESS/metrics.
    /// The address decides who can read them: 127.0.0.1:9464 only this machine.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub prometheus: Option<SocketAddr>,

    /// Bounds that are to hold, such as p99<20ms,loss<0.1%,join_p95<2s; else the exit
    /// code is 1. A wrong name lists those there are.
    #[arg(long, value_name = "BOUNDS")]
    pub slo: Option<Slos>,

    /// What the bots are called, with a number behind it.
    #[arg(long, default_value = "Bot", value_name = "PREFIX")]
    pub name: String,

    /// How long a bot may take to join.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub join_patience: Duration,

    /// Do not seal frames, and stay out of the group: to measure forwarding alone, or
    /// servers that know no end-to-end encryption.
    #[arg(long)]
    pub plain: bool,

    /// Count the server's system calls, with perf. That makes each of them a little longer,
    /// so keep it out of comparisons of cost.
    #[arg(long)]
    pub syscalls: bool,

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

    /// Let bots take several datagrams in one read (UDP GRO). That spares them work, and on
    /// one machine the server's kernel too, which a network would not; so the report says it.
    #[arg(long)]
    pub receive_offload: bool,

    /// How late 1 of 100 sends or wake-ups may be before the run is void.
    #[arg(long, default_value = "20ms", value_parser = humantime::parse_duration)]
    pub lateness_bound: Duration,
}

/// Settings of the self-test.
#[derive(Debug, Args)]
pub struct SelfTest {
    /// Address of a server to test against. When left out, one is started for the purpose,
    /// on free ports of the loopback interface.
    #[arg(long, conflicts_with = "server_program")]
    pub server: Option<ServerAddress>,

    /// The `conclave` program to start. The one beside this program when left out.
    #[arg(long, value_name = "FILE")]
    pub server_program: Option<PathBuf>,

    /// Bots that receive in each call.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub subscribers: u8,

    /// How long each call is measured. Longer calls see loss more exactly.
    #[arg(long, default_value = "8s", value_parser = humantime::parse_duration)]
    pub duration: Duration,

    /// What the camera shows: a VP8 recording (IVF), or for instance
    /// generated:640x360@30,1mbit.
    #[arg(long, value_name = "FILE.ivf|generated:…")]
    pub video: Option<Video>,

    /// Opus recording for the microphone (Ogg).
    #[arg(long, value_name = "FILE.ogg")]
    pub audio: Option<PathBuf>,

    /// Write the findings as JSON; "-" is the standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Where the chances come from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// How late 1 of 100 sends or wake-ups may be before a call is void.
    #[arg(long, default_value = "20ms", value_parser = humantime::parse_duration)]
    pub lateness_bound: Duration,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn run(line: &str) -> Run {
        match Cli::try_parse_from(line.split_whitespace())
            .unwrap()
            .command
        {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_documented_call_is_understood() {
        let line = "conclave-loadtest run --server http://localhost:8080 --publishers 1 \
                    --subscribers 20 --duration 10s --json out.json";
        let run = run(line);
        let scenario = run.scenario.scenario().unwrap();
        assert_eq!((scenario.publishers(), scenario.receivers()), (1, 20));
        assert_eq!(scenario.duration, Duration::from_secs(10));
        assert_eq!(run.json, Some(PathBuf::from("out.json")));
    }

    #[test]
    fn a_scenario_is_named_or_a_file() {
        let line = "conclave-loadtest run gallery --publishers 12 --warmup 1m";
        let scenario = run(line).scenario.scenario().unwrap();
        assert_eq!((scenario.name.as_str(), scenario.size()), ("gallery", 12));
        assert_eq!(scenario.warmup, Duration::from_secs(60));
        let both = "conclave-loadtest run gallery --scenario file.toml";
        assert!(Cli::try_parse_from(both.split_whitespace()).is_err());
    }

    #[test]
    fn impairments_are_understood_and_wrong_ones_refused() {
        let line = "conclave-loadtest run --impair loss=2%,burst=4 \
                    --impair down@1/10-subscribers:delay=50ms --roam subscribers:10s";
        let run = run(line);
        assert_eq!((run.impair.len(), run.roam.len()), (2, 1));
        for (flag, said) in [
            ("--impair loss=2", "such as 2%"),
            ("--impair nobody:loss=2%", "`nobody`"),
            ("--roam noon", "such as 50ms"),
            (
                "--netem rate=1mbit --netns-subnet 8.8.8.0/24",
                "10.78.0.0/24",
            ),
            ("--netns-subnet 10.78.0.0/24", "--netem"),
        ] {
            let line = format!("conclave-loadtest run {flag}");
            let refused = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
            assert!(refused.to_string().contains(said), "{refused}");
        }
    }

    #[test]
    fn a_search_varies_those_who_watch_or_everyone() {
        let run_of = |line: &str, size| run(line).sized(size).unwrap().scenario.scenario();
        let broadcast = run_of("conclave-loadtest run broadcast", 7).unwrap();
        assert_eq!((broadcast.publishers(), broadcast.receivers()), (1, 7));
        let gallery = run_of("conclave-loadtest run gallery", 7).unwrap();
        assert_eq!(gallery.size(), 7);
    }

    #[test]
    fn the_other_server_of_a_comparison_differs_in_nothing_else() {
        let line = "conclave-loadtest ab broadcast --subscribers 3 --server-pid 1 \
                    --other-server http://localhost:8188 --other-target janus";
        let Command::Ab(ab) = Cli::try_parse_from(line.split_whitespace())
            .unwrap()
            .command
        else {
            panic!("{line}");
        };
        let other = ab.other();
        assert_eq!(other.server.to_string(), "http://localhost:8188");
        assert_eq!(
            (other.choice.kind, other.server_pid.len()),
            (Kind::Janus, 0)
        );
        assert_eq!(other.scenario.scenario().unwrap().receivers(), 3);
    }

    #[test]
    fn a_link_that_is_refused_is_not_repeated() {
        let line = "conclave-loadtest run --link http://localhost:8080/r/room#hush";
        let run = run(line);
        let link = run.link.clone().unwrap();
        let said = format!("{} {run:?}", link.parse().unwrap_err());
        assert!(!said.contains("hush"), "{said}");
    }
}
