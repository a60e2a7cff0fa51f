//! What an operator can set, in one definition: as flags, as variables of the environment and
//! as keys of a file, in this order of precedence. What the file says becomes the default of a
//! flag, so that it is read, checked and explained as the flag is.

mod example;
mod file;
mod files;

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU8,
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};

pub use example::example;
pub use file::{ConfigFile, FileError};
pub use files::FileSettings;

use crate::{FrontDoor, RoomSize, ServerConfig, acme::AcmeConfig, tls::TlsFiles};

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

    /// Get certificates by itself (ACME) for this name of the server; may be given more than once.
    /// Takes --redirect-http, which the authority has to reach at port 80, and --data. With it you
    /// agree to the authority's terms.
    #[arg(
        long = "acme-domain",
        env = "CONCLAVE_ACME_DOMAIN",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub acme_domains: Vec<String>,

    /// A mail address for the certificate authority.
    #[arg(long, env = "CONCLAVE_ACME_CONTACT", value_name = "MAIL")]
    pub acme_contact: Option<String>,

    /// The certificate authority, by the address of its ACME directory.
    #[arg(
        long,
        env = "CONCLAVE_ACME_DIRECTORY",
        value_name = "URL",
        default_value = "https://acme-v02.api.letsencrypt.org/directory"
    )]
    pub acme_directory: String,

    /// What vouches for the certificate authority's own address (PEM), if not what the system
    /// trusts.
    #[arg(long, env = "CONCLAVE_ACME_TRUSTED", value_name = "FILE")]
    pub acme_trusted: Option<PathBuf>,

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

    /// Which rooms there are: those that somebody opens the link of, or only those that were made
    /// over the operators' API (docs/operating.md).
    #[arg(long, env = "CONCLAVE_ROOMS", value_enum, default_value_t = Rooms::Open)]
    pub rooms: Rooms,

    /// How long calls may go on once the server was told to stop, such as 10m. It takes no new
    /// ones meanwhile, and a second signal stops it at once.
    #[arg(
        long,
        env = "CONCLAVE_DRAIN_WITHIN",
        value_name = "TIME",
        default_value = "0s",
        value_parser = humantime::parse_duration
    )]
    pub drain_within: Duration,

    /// Folder for what must outlive the process: calls go on after a restart. It is made if it
    /// is not there. Without it, calls end when the server does.
    #[arg(long, env = "CONCLAVE_DATA", value_name = "FOLDER")]
    pub data: Option<PathBuf>,

    /// Files that participants share.
    #[command(flatten)]
    pub files: FileSettings,

    /// How to write the log, on standard error. `RUST_LOG` chooses what is logged.
    #[arg(long, env = "CONCLAVE_LOG", value_enum, default_value_t = LogFormat::Text)]
    pub log: LogFormat,
}

/// Which rooms there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rooms {
    /// Whoever opens a link makes the room.
    Open,
    /// Operators make them.
    Made,
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
    #[error(
        "--redirect-http sends people to https: give --tls-certificate and --tls-key, or --acme-domain, too"
    )]
    NothingToRedirectTo,
    /// Certificates from two places.
    #[error("--acme-domain gets the certificate: leave --tls-certificate and --tls-key out")]
    TwoCertificates,
    /// The authority could not ask, or what comes not be kept.
    #[error("--acme-domain takes --redirect-http, at port 80 from outside, and --data")]
    Unprovable,
    /// Nobody could ever make a room.
    #[error("--rooms made needs keys for the operators' API, and those need a folder: give --data")]
    NobodyMakesRooms,
    /// Both plain http and https.
    #[error("--plain-http and https exclude each other: leave one out")]
    PlainAndTls,
}

impl Settings {
    /// As the server takes them.
    pub fn into_config(self) -> Result<ServerConfig, Contradiction> {
        let front = if self.acme_domains.is_empty() {
            match (self.tls_certificate, self.tls_key) {
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
            }
        } else if self.plain_http {
            return Err(Contradiction::PlainAndTls);
        } else if self.tls_certificate.is_some() || self.tls_key.is_some() {
            return Err(Contradiction::TwoCertificates);
        } else {
            let redirect = self.redirect_http.filter(|_| self.data.is_some());
            FrontDoor::Automatic {
                redirect: redirect.ok_or(Contradiction::Unprovable)?,
                acme: AcmeConfig {
                    domains: self.acme_domains,
                    contact: self.acme_contact,
                    directory: self.acme_directory,
                    trusted: self.acme_trusted,
                },
            }
        };
        if self.rooms == Rooms::Made && self.data.is_none() {
            return Err(Contradiction::NobodyMakesRooms);
        }
        Ok(ServerConfig {
            listen: self.listen,
            front,
            media_port: self.media_port,
            public_addresses: self.public_addresses,
            media_threads: self.media_threads,
            data_dir: self.data,
            files: self.files.into_config(),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    /// The settings that these flags make.
    pub(crate) fn settings(flags: &[&str]) -> Settings {
        let command = Settings::augment_args(Command::new("conclave"));
        let matches = command.get_matches_from(std::iter::once(&"conclave").chain(flags));
        Settings::from_arg_matches(&matches).unwrap()
    }
}
