//! The selective forwarding unit: takes each participant's sealed media once and hands it
//! on to everyone in the room who wants it. It cannot open what it forwards: it reads RTP
//! headers, header extensions and payload descriptors, never a payload.

// What these are for says clippy.toml beside this crate.
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

mod candidates;
mod counters;
#[allow(
    clippy::disallowed_methods,
    reason = "the edge: here are the sockets and the clock"
)]
mod endpoint;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod keyframe;
mod layer;
mod loudness;
mod metrics;
mod negotiation;
mod packet;
#[allow(dead_code)]
mod placement;
#[allow(dead_code)]
mod recent;
mod rewrite;
pub mod shard;
mod slot;
mod srtp_profile;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    thread,
    time::Instant,
};

use conclave_protocol::{
    ParticipantId, RoomId,
    signal::{OfferedSlot, OfferedTrack},
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    endpoint::{Command, Endpoint},
    metrics::Metrics,
};

pub use candidates::Candidates;
pub use counters::{ByKind, Counters, DropReason, Population, Traffic};
pub use error::{ConnectError, StartError};
pub use negotiation::{Negotiated, Negotiator};
pub use srtp_profile::SrtpProfile;

/// Events wait here for the receiver; more wait in the media thread.
const EVENT_QUEUE: usize = 256;

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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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

/// Handle to the media thread. Clones speak to the same one; it ends with the last of them.
#[derive(Debug, Clone)]
pub struct Sfu {
    media_address: SocketAddr,
    negotiator: Arc<Negotiator>,
    /// Unbounded, but each caller waits for the answer to its command or says one last
    /// thing about a participant, so it holds no more than there are participants.
    commands: mpsc::UnboundedSender<Command>,
    ended: watch::Receiver<()>,
}

impl Sfu {
    /// Opens the socket and starts the media thread. The receiver tells what becomes of
    /// the connections.
    pub fn start(
        config: SfuConfig,
        metrics: &prometheus::Registry,
    ) -> Result<(Self, mpsc::Receiver<SfuEvent>), StartError> {
        let address = SocketAddr::new(config.listen, config.media_port);
        let refused = |source| StartError::Bind { address, source };
        let socket = endpoint::bind(address).map_err(refused)?;
        let media_address = socket.local_addr().map_err(refused)?;
        let candidates = Candidates::new(config, media_address)?;
        let negotiator = Arc::new(Negotiator::new(candidates.clone())?);
        let metrics = Metrics::new(metrics, "0")?;

        let (commands, command_receiver) = mpsc::unbounded_channel();
        let (event_sender, events) = mpsc::channel(EVENT_QUEUE);
        let (ending, ended) = watch::channel(());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(StartError::Thread)?;
        let endpoint = {
            let _within = runtime.enter();
            Endpoint::new(socket, candidates, metrics, command_receiver, event_sender)
                .map_err(refused)?
        };
        thread::Builder::new()
            .name("conclave-media".into())
            .spawn(move || {
                runtime.block_on(endpoint.run());
                drop(ending);
            })
            .map_err(StartError::Thread)?;
        let sfu = Self {
            media_address,
            negotiator,
            commands,
            ended,
        };
        Ok((sfu, events))
    }

    /// Where the socket is bound.
    pub fn media_address(&self) -> SocketAddr {
        self.media_address
    }

    /// Answers an offer and makes the participant part of the room's media. A second call
    /// for the same participant replaces the first connection. To be called within a tokio
    /// runtime.
    #[allow(
        clippy::disallowed_methods,
        reason = "offers come from outside, with no time of their own"
    )]
    pub async fn connect(
        &self,
        room: RoomId,
        participant: ParticipantId,
        offer: Offer,
    ) -> Result<Answer, ConnectError> {
        let negotiator = Arc::clone(&self.negotiator);
        let mut negotiated =
            tokio::task::spawn_blocking(move || negotiator.negotiate(&offer, Instant::now()))
                .await
                .map_err(|_| ConnectError::ShuttingDown)??;
        let answer = negotiated.take_answer();
        let (reply, admitted) = oneshot::channel();
        self.commands
            .send(Command::Admit {
                room,
                participant,
                negotiated: Box::new(negotiated),
                reply,
            })
            .map_err(|_| ConnectError::ShuttingDown)?;
        admitted.await.map_err(|_| ConnectError::ShuttingDown)??;
        Ok(answer)
    }

    /// Takes a participant out of its room.
    pub fn disconnect(&self, participant: ParticipantId) {
        // A thread that is gone has nobody in it.
        let _ = self.commands.send(Command::Remove(participant));
    }

    /// Ends all connections and the media thread, and waits until it is over.
    pub async fn shutdown(mut self) {
        let _ = self.commands.send(Command::Shutdown);
        // Nothing is ever sent: the wait ends when the thread drops its end.
        let _ = self.ended.changed().await;
    }
}
