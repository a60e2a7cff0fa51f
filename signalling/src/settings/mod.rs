//! What an operator can set, in one definition: as flags, as variables of the environment and
//! as keys of a file, in this order of precedence. What the file says becomes the default of a
//! flag, so that it is read, checked and explained as the flag is.

mod example;
mod file;

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU8,
    path::PathBuf,
};

use clap::{Args, ValueEnum};

pub use example::example;
pub use file::{ConfigFile, FileError};

use crate::{FrontDoor, RoomSize, ServerConfig, tls::TlsFiles};

/// What the server can be told.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Settings {
    /// A file with the settings below, in TOML. `conclave config example` writes one.
    #[arg(long, env = "CONCLAVE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Address and TCP port for the web client and signalling.
    #[arg(
        long,
        env = "CONCLAVE_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,

    /// The certificate with its chain (PEM), to serve https by itself. It is read again when
    /// it changes.
    #[arg(long, env = "CONCLAVE_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,

    /// The private key of the certificate (PEM).
    #[arg(long, env = "CONCLAVE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Another address and port, where whoever comes with http is sent to https.
    #[arg(long, env = "CONCLAVE_REDIRECT_HTTP", value_name = "ADDRESS:PORT")]
    pub redirect_http: Option<SocketAddr>,

    /// Speak plain http where others can reach it: there is a proxy in front that speaks https.
    #[arg(long, env = "CONCLAVE_PLAIN_HTTP")]
    pub plain_http: bool,

    /// Port for all media, over UDP and, where that does not pass, TCP. 0 takes any free one.
    #[arg(
        long,
        env = "CONCLAVE_MEDIA_PORT",
        value_name = "PORT",
        default_value_t = 3478
    )]
    pub media_port: u16,

    /// An address at which clients reach the media port, for servers behind NAT. May be
    /// given more than once; when left out, this machine's own addresses are used.
    #[arg(
        long = "public-address",
        env = "CONCLAVE_PUBLIC_ADDRESS",
        value_name = "IP",
        value_delimiter = ','
    )]
    pub public_addresses: Vec<IpAddr>,

    /// Threads that carry media, up to 255. When left out, one for each core.
    #[arg(long, env = "CONCLAVE_MEDIA_THREADS", value_name = "COUNT")]
    pub media_threads: Option<NonZeroU8>,

    /// How many people one room takes, up to 1000. The more there are, the more each device has
    /// to do whenever somebody comes or goes (docs/performance.md).
    #[arg(
        long,
        env = "CONCLAVE_PARTICIPANTS_PER_ROOM",
        value_name = "COUNT",
        default_value_t = RoomSize::DEFAULT
    )]
    pub participants_per_room: RoomSize,

    /// Folder for what must outlive the process. It is made if it is not there; this
    /// version keeps nothing in it yet: calls end when the server does.
    #[arg(long, env = "CONCLAVE_DATA", value_name = "FOLDER")]
    pub data: Option<PathBuf>,

    /// How to write the log, on standard error. `RUST_LOG` chooses what is logged.
    #[arg(long, env = "CONCLAVE_LOG", value_enum, default_value_t = LogFormat::Text)]
    pub log: LogFormat,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Settings that do not go together, wherever they were said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// One of the two files for https.
    #[error("--tls-certificate and --tls-key go together: give both or none")]
    HalfTls,
    /// There is no https to send anybody to.
    #[error("--redirect-http sends people to https: give --tls-certificate and --tls-key too")]
    NothingToRedirectTo,
    /// Both plain http and https.
    #[error("--plain-http and --tls-certificate exclude each other: leave one out")]
    PlainAndTls,
}

impl Settings {
    /// As the server takes them.
    pub fn into_config(self) -> Result<ServerConfig, Contradiction> {
        let front = match (self.tls_certificate, self.tls_key) {
            (Some(_), Some(_)) if self.plain_http => return Err(Contradiction::PlainAndTls),
            (Some(certificate), Some(key)) => FrontDoor::Tls {
                files: TlsFiles { certificate, key },
                redirect: self.redirect_http,
            },
            (None, None) if self.redirect_http.is_some() => {
                return Err(Contradiction::NothingToRedirectTo);
            }
            (None, None) if self.plain_http => FrontDoor::BehindProxy,
            (None, None) => FrontDoor::Local,
            _ => return Err(Contradiction::HalfTls),
        };
        Ok(ServerConfig {
            listen: self.listen,
            front,
            media_port: self.media_port,
            public_addresses: self.public_addresses,
            media_threads: self.media_threads,
            data_dir: self.data,
        })
    }
}
