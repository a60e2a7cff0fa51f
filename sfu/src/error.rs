//! What can go wrong at the edge of the SFU, said so that someone can act on it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use conclave_protocol::Mid;

/// Why the SFU did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The media port could not be opened.
    #[error(transparent)]
    Bind(#[from] Refused),
    /// A public address that the media port cannot be reached at.
    #[error(
        "media is received at {listen} only, where nothing sent to the public address {public} \
         can arrive: leave the address out, or listen on all"
    )]
    OtherFamily {
        /// What clients were to be told.
        public: IpAddr,
        /// Where the socket is.
        listen: IpAddr,
    },
    /// The machine's own addresses could not be listed.
    #[error("cannot list this machine's addresses: {0}; name them with --public-address")]
    Interfaces(io::Error),
    /// An address that stands for no single machine.
    #[error("{0} is no address that clients can send media to: name another with --public-address")]
    NoUnicast(IpAddr),
    /// No address that a client could send media to.
    #[error("no address for media: name one with --public-address")]
    NoCandidate,
    /// The registry has metrics of these names already.
    #[error("cannot register the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The media thread could not be started.
    #[error("cannot start the media thread: {0}")]
    Thread(io::Error),
    /// The certificate for DTLS could not be made.
    #[error("cannot make a DTLS certificate")]
    Certificate,
}

/// The system did not give the media port.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot open {transport} {address} for media: {source}; is the port taken, or the address \
     not this machine's?"
)]
pub struct Refused {
    transport: &'static str,
    address: SocketAddr,
    source: io::Error,
}

impl Refused {
    pub(crate) fn tcp(address: SocketAddr, source: io::Error) -> Self {
        let transport = "TCP";
        Self {
            transport,
            address,
            source,
        }
    }

    pub(crate) fn udp(address: SocketAddr, source: io::Error) -> Self {
        let transport = "UDP";
        Self {
            transport,
            address,
            source,
        }
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }

    /// True when the system knows addresses of this family.
    pub(crate) fn has_family(&self) -> bool {
        let error = rustix::io::Errno::from_io_error(&self.source);
        !matches!(
            error,
            Some(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL)
        )
    }
}

/// Why a client's offer was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The SDP is longer than the SFU reads.
    #[error("the offer has {bytes} bytes, at most {limit} are read")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// More media sections than the SFU serves.
    #[error("the offer has {sections} media sections, at most {limit} are served")]
    TooManySections {
        /// How many there are.
        sections: usize,
        /// How many there may be.
        limit: usize,
    },
    /// More ICE candidates than a client has addresses.
    #[error("the offer has {candidates} candidates, at most {limit} are looked at")]
    TooManyCandidates {
        /// How many there are.
        candidates: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Not an SDP offer, or one that cannot be answered.
    #[error("the offer cannot be answered: {0}")]
    Unacceptable(String),
    /// A track or slot names a media section that the SDP does not have.
    #[error("the SDP has no media section {0}")]
    UnknownMid(Mid),
    /// Two tracks or slots name one media section.
    #[error("media section {0} is named twice")]
    RepeatedMid(Mid),
    /// Two tracks carry the same source.
    #[error("media section {0} repeats a source that another section carries")]
    RepeatedSource(Mid),
    /// A track or slot names a section of the other kind or direction.
    #[error("media section {0} does not fit its track or slot: check its kind and direction")]
    Mismatch(Mid),
    /// The participant was taken out of the room while the offer was looked at.
    #[error("the participant left before the offer was answered")]
    Left,
    /// The SFU has no place left.
    #[error("the server has no place left for media")]
    Full,
    /// The SFU is shutting down.
    #[error("the media server is shutting down")]
    ShuttingDown,
}
