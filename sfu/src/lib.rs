//! The selective forwarding unit: takes each participant's sealed media once and hands it
//! on to everyone in the room who wants it. It cannot open what it forwards: it reads RTP
//! headers, header extensions and payload descriptors, never a payload.

mod error;
mod keyframe;
mod layer;
mod loudness;
mod rewrite;
mod slot;

use std::net::{IpAddr, SocketAddr};

use conclave_protocol::{
    ParticipantId, RoomId,
    signal::{OfferedSlot, OfferedTrack},
};
use tokio::sync::mpsc;

pub use error::{ConnectError, StartError};

/// Where the SFU listens and what it tells clients about that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SfuConfig {
    /// The address to listen on; unspecified means all.
    pub listen: IpAddr,
    /// The one UDP port for all media; 0 takes any free one.
    pub media_port: u16,
    /// The addresses that clients are told to send to. When empty: every address of this
    /// machine that the socket can be reached at, loopback included.
    pub public_addresses: Vec<IpAddr>,
}

/// A client's wish to exchange media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The SDP offer.
    pub sdp: String,
    /// The sections on which the client sends.
    pub tracks: Vec<OfferedTrack>,
    /// The sections on which the client receives.
    pub slots: Vec<OfferedSlot>,
}

/// How the SFU will exchange media with a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The SDP answer, with all candidates.
    pub sdp: String,
}

/// What happened to a participant's media connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SfuEvent {
    /// ICE and DTLS are through: media can flow.
    Connected {
        /// Whose.
        participant: ParticipantId,
    },
    /// The connection is gone and forgotten. Not sent for a connection that was ended by
    /// [`Sfu::disconnect`] or replaced by a later [`Sfu::connect`].
    Lost {
        /// Whose.
        participant: ParticipantId,
        /// Why.
        reason: LostReason,
    },
}

/// Why a media connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LostReason {
    /// It never came about.
    NeverConnected,
    /// The client fell silent: no ICE checks any more (RFC 8445 §11, RFC 7675).
    Silent,
    /// The client closed it.
    Closed,
    /// The client broke a protocol beyond repair, or brought its state machine down.
    Failed,
}

/// Handle to the media thread. Clones speak to the same one.
#[derive(Debug, Clone)]
pub struct Sfu {
    media_address: SocketAddr,
}

impl Sfu {
    /// Opens the socket and starts the media thread. The receiver tells what becomes of
    /// the connections.
    pub fn start(
        config: SfuConfig,
        _metrics: &prometheus::Registry,
    ) -> Result<(Self, mpsc::Receiver<SfuEvent>), StartError> {
        let (_events_tx, events) = mpsc::channel(1);
        let media_address = SocketAddr::new(config.listen, config.media_port);
        Ok((Self { media_address }, events))
    }

    /// Where the socket is bound.
    pub fn media_address(&self) -> SocketAddr {
        self.media_address
    }

    /// Answers an offer and makes the participant part of the room's media. A second call
    /// for the same participant replaces the first connection.
    pub async fn connect(
        &self,
        _room: RoomId,
        _participant: ParticipantId,
        _offer: Offer,
    ) -> Result<Answer, ConnectError> {
        Err(ConnectError::ShuttingDown)
    }

    /// Takes a participant out of its room.
    pub fn disconnect(&self, _participant: ParticipantId) {}

    /// Ends all connections and the media thread.
    pub async fn shutdown(self) {}
}
