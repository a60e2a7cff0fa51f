//! Where the server is.

use std::{fmt, net::IpAddr, str::FromStr};

use hyper::Uri;

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Not a URL of a server.
    #[error("{0} is not the address of a server; it looks like http://localhost:8080")]
    Invalid(String),
    /// TLS.
    #[error("{0}: the load test speaks plain http only; give it the address behind the TLS proxy")]
    Tls(String),
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    host: String,
    port: u16,
    path: String,
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || AddressError::Invalid(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(AddressError::Tls(text.to_owned())),
            _ => return Err(invalid()),
        }
        let host = uri.host().ok_or_else(invalid)?;
        if uri.query().is_some() {
            return Err(invalid());
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url("http", ""))
    }
}

impl ServerAddress {
    /// Host and port to connect to.
    pub fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Whether only this machine itself, in its own network, can reach it.
    pub fn is_loopback(&self) -> bool {
        let address: Option<IpAddr> = self.host.parse().ok();
        self.host == "localhost" || address.is_some_and(|address| address.is_loopback())
    }

    /// The URL of the WebSocket.
    pub fn websocket(&self) -> String {
        self.url("ws", "/ws")
    }

    /// The URL of a page, with a scheme such as "ws".
    pub fn url(&self, scheme: &str, page: &str) -> String {
        let Self { host, port, path } = self;
        if host.contains(':') {
            format!("{scheme}://[{host}]:{port}{path}{page}")
        } else {
            format!("{scheme}://{host}:{port}{path}{page}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let address: ServerAddress = "http://localhost:8080/".parse().unwrap();
        assert_eq!(address.websocket(), "ws://localhost:8080/ws");
        assert_eq!(address.host_and_port(), ("localhost", 8080));
        let address: ServerAddress = "http://[::1]/calls".parse().unwrap();
        assert_eq!(address.websocket(), "ws://[::1]:80/calls/ws");
        assert_eq!(address.host_and_port(), ("::1", 80));

        for (text, loopback) in [
            ("http://localhost:8080", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
            ("http://10.78.0.1:8080", false),
        ] {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!(address.is_loopback(), loopback, "{text}");
        }

        for text in ["localhost:8080", "ftp://localhost", "", "http://x/?a=b"] {
            let refused = text.parse::<ServerAddress>();
            assert!(matches!(refused, Err(AddressError::Invalid(_))), "{text}");
        }
        let refused = "https://example.org".parse::<ServerAddress>();
        assert!(matches!(refused, Err(AddressError::Tls(_))));
    }
}
