//! What carries datagrams between clients and the SFU.

use std::net::SocketAddr;

use str0m::net::Protocol;

/// A transport of RFC 8445 and RFC 6544. TCP carries the same datagrams, framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// RFC 8445.
    Udp,
    /// RFC 6544; the client opens the connection.
    Tcp,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 2] = [Self::Udp, Self::Tcp];

    /// The name as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

impl From<Protocol> for Transport {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Udp => Self::Udp,
            // No candidate of ours is anything else.
            Protocol::Tcp | Protocol::SslTcp | Protocol::Tls => Self::Tcp,
        }
    }
}

impl From<Transport> for Protocol {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::Udp,
            Transport::Tcp => Self::Tcp,
        }
    }
}

/// A transport address (RFC 8445 §4): the same address and port over UDP and over TCP may
/// be two clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TransportAddress {
    pub(crate) transport: Transport,
    pub(crate) address: SocketAddr,
}
