//! A Conclave server of one's own, for as long as it is needed.

use std::{
    env,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::drive::server::{AddressError, ServerAddress};

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nowhere to be found.
    #[error(
        "there is no `conclave` at {}: build it (cargo build --release -p conclave-signalling), \
         name it with --server-program, or give a running server with --server",
        .0.display()
    )]
    NotThere(PathBuf),
    /// It did not start.
    #[error("{} cannot be run: {error}", program.display())]
    Run {
        /// Which program.
        program: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It ended, or said something else than servers do.
    #[error("{} did not say where it listens; what it said on standard error is above", .0.display())]
    Silent(PathBuf),
    /// It said something that is no address.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// A server on free ports of the loopback interface. It ends with this.
#[derive(Debug)]
pub struct StartedServer {
    child: Child,
    address: ServerAddress,
}

impl StartedServer {
    /// Starts this program, or the `conclave` beside the running one.
    pub fn start(program: Option<&Path>) -> Result<Self, StartError> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => env::current_exe()
                .map(|own| own.with_file_name("conclave"))
                .unwrap_or_else(|_| PathBuf::from("conclave")),
        };
        if !program.exists() {
            return Err(StartError::NotThere(program));
        }
        let child = Command::new(&program)
            .args(["--listen", "127.0.0.1:0", "--media-port", "0"])
            .args(["--public-address", "127.0.0.1"])
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) => return Err(StartError::Run { program, error }),
        };
        // From here on it is stopped whatever happens.
        let mut started = Self {
            child,
            address: "http://127.0.0.1:0".parse()?,
        };
        let output = started.child.stdout.take();
        let port = output.and_then(|output| {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.filter_map(|line| port(&line)).next()
        });
        let port = port.ok_or(StartError::Silent(program))?;
        started.address = format!("http://127.0.0.1:{port}").parse()?;
        Ok(started)
    }

    /// Where it listens.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }
}

impl Drop for StartedServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the line that says where the server can be opened.
fn port(line: &str) -> Option<u16> {
    let url = line.trim().strip_prefix("open")?.trim();
    url.trim_end_matches('/').rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_tells_the_port() {
        assert_eq!(port("  open     http://localhost:8080/"), Some(8080));
        for line in [
            "Conclave 0.1.0 is ready.",
            "  metrics  http://localhost:8080/metrics",
            "",
        ] {
            assert_eq!(port(line), None, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_started_is_named() {
        let missing = StartedServer::start(Some(Path::new("/nowhere/conclave"))).unwrap_err();
        assert!(
            missing.to_string().contains("/nowhere/conclave"),
            "{missing}"
        );
        let silent = StartedServer::start(Some(Path::new("/bin/true"))).unwrap_err();
        assert!(matches!(silent, StartError::Silent(_)), "{silent}");
    }
}
