//! The command line.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand};
use conclave_e2ee::{Link, LinkError};

use crate::{drive::server::ServerAddress, scenario::flags::Flags};

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
    /// stay, or frames failed to open; 2 wrong usage; 3 the load test was itself the
    /// bottleneck, so the numbers say nothing.
    Run(Box<Run>),
    /// List the scenarios that are part of this program, or show one, to be changed and
    /// given with --scenario.
    Scenarios {
        /// Which one to show.
        name: Option<String>,
    },
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

    /// How late 1 of 100 sends or wake-ups may be before the run is void.
    #[arg(long, default_value = "20ms", value_parser = humantime::parse_duration)]
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

    fn run(line: &str) -> Box<Run> {
        match Cli::try_parse_from(line.split_whitespace())
            .unwrap()
            .command
        {
            Command::Run(run) => run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_documented_call_is_understood() {
        let run = run(
            "conclave-loadtest run --server http://localhost:8080 --publishers 1 \
                       --subscribers 20 --duration 10s --json out.json",
        );
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
    fn a_link_that_is_refused_is_not_repeated() {
        let run = run("conclave-loadtest run --link http://localhost:8080/r/room#hush");
        let link = run.link.clone().unwrap();
        let said = format!("{} {run:?}", link.parse().unwrap_err());
        assert!(!said.contains("hush"), "{said}");
    }
}
