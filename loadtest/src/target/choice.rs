//! Which server, as it is said on the command line.

use clap::{Args, ValueEnum};
use conclave_e2ee::Link;

use super::{NoCall, Target, whip::Endpoints};
use crate::drive::server::ServerAddress;

/// The kinds of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Conclave.
    Conclave,
    /// Janus with its VideoRoom: --server is the address of its WebSocket, such as
    /// http://localhost:8188.
    Janus,
    /// PulseBeam: --server is the address of its API, such as http://localhost:7070. It
    /// takes --codec h264 only.
    #[value(name = "pulsebeam")]
    PulseBeam,
    /// A server that speaks WHIP and WHEP: see --whip and --whep.
    Whip,
}

/// Which kind of server, and what bots must know of it.
#[derive(Debug, Clone, Args)]
pub struct Choice {
    /// What kind of server it is. Others than Conclave get plain frames.
    #[arg(
        long = "target",
        value_enum,
        default_value = "conclave",
        value_name = "KIND"
    )]
    pub kind: Kind,

    /// Where bots send, with {stream} for their number, which counts from 0:
    /// http://localhost:8080/whip/{stream}
    #[arg(long, value_name = "URL", required_if_eq("kind", "whip"))]
    pub whip: Option<String>,

    /// Where bots receive from, likewise, one peer connection for each stream.
    #[arg(long, value_name = "URL", required_if_eq("kind", "whip"))]
    pub whep: Option<String>,

    /// Bearer token for both. Better given in the environment, since command lines can be
    /// seen by others on the machine.
    #[arg(long, env = "CONCLAVE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

impl Choice {
    /// The call for bots of whom so many publish: that of a link, which only Conclave
    /// knows, or a new one.
    ///
    /// # Errors
    ///
    /// Fails for addresses that cannot be used.
    pub fn target(
        &self,
        server: &ServerAddress,
        link: Option<Link>,
        plain: bool,
        publishers: usize,
    ) -> Result<Target, NoCall> {
        match self.kind {
            Kind::Conclave => Target::conclave(server.clone(), link, plain),
            _ if link.is_some() => Err(NoCall::Link),
            Kind::Janus => Target::janus(server.clone()),
            Kind::PulseBeam => Target::pulsebeam(server.clone()),
            Kind::Whip => Target::whip(Endpoints {
                publish: self.whip.clone().unwrap_or_default(),
                watch: self.whep.clone().unwrap_or_default(),
                token: self.token.clone(),
                publishers: publishers.try_into().unwrap_or(u32::MAX),
            }),
        }
    }
}
