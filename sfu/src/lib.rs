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
mod placement;
mod recent;
mod rewrite;
pub mod shard;
mod slot;
mod srtp_profile;
mod transport;
#[allow(
    clippy::disallowed_types,
    reason = "the edge: whoever calls the handle is on any thread"
)]
mod workers;

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU8,
    sync::Arc,
    time::Instant,
};

use conclave_protocol::{
    ParticipantId, RoomId,
    signal::{OfferedSlot, OfferedTrack},
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{endpoint::Command, metrics::Metrics, shard::ShardId, workers::Whereabouts};

pub use candidates::Candidates;
pub use counters::{ByKind, Counters, DropReason, Population, Traffic};
pub use endpoint::{Offload, offload};
pub use error::{ConnectError, Refused, StartError};
pub use layer::BitRate;
pub use negotiation::{Negotiated, Negotiator};
pub use shard::{Inspection, ReceivedTrack, SentSize, SentTrack};
pub use srtp_profile::SrtpProfile;
pub use transport::Transport;

/// Events wait here for the receiver; more wait in the media threads.
const EVENT_QUEUE: usize = 256;

/// Where the SFU listens and what it tells clients about that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SfuConfig {
    /// The address to listen on; none means every address of the machine, of both families.
    pub listen: Option<IpAddr>,
    /// The one port for all media, over UDP and TCP; 0 takes any free one.
    pub media_port: u16,
    /// The addresses that clients are told to send to. When empty: every address of this
    /// machine that the socket can be reached at, loopback included.
    pub public_addresses: Vec<IpAddr>,
    /// How many threads carry media; none means one for each core.
    pub media_threads: Option<NonZeroU8>,
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

/// Handle to the media threads. Clones speak to the same ones; they end with the last of
/// them.
#[derive(Debug, Clone)]
pub struct Sfu {
    media_address: SocketAddr,
    negotiator: Arc<Negotiator>,
    whereabouts: Arc<Whereabouts>,
    /// For each shard. Unbounded, but each caller waits for the answer to its command or
    /// says one last thing about a participant, so it holds no more than there are
    /// participants.
    commands: Vec<mpsc::UnboundedSender<Command>>,
    ended: watch::Receiver<()>,
}

impl Sfu {
    /// Opens the sockets and starts the media threads. The receiver tells what becomes of
    /// the connections.
    pub fn start(
        config: &SfuConfig,
        metrics: &prometheus::Registry,
    ) -> Result<(Self, mpsc::Receiver<SfuEvent>), StartError> {
        Self::start_with_spill(config, metrics, placement::SPILL)
    }

    /// [`Self::start`] with rooms that spread from other than the usual number of
    /// participants on one thread.
    pub fn start_with_spill(
        config: &SfuConfig,
        metrics: &prometheus::Registry,
        spill: usize,
    ) -> Result<(Self, mpsc::Receiver<SfuEvent>), StartError> {
        let threads = config.media_threads;
        let threads = threads.unwrap_or_else(workers::as_many_as_cores).get();
        let sockets = endpoint::open(config.listen, config.media_port, threads)?;
        let media_address = sockets.address;
        let candidates = Candidates::new(&config.public_addresses, media_address)?;
        let metrics = Metrics::new(metrics)?;
        let (event_sender, events) = mpsc::channel(EVENT_QUEUE);
        let (commands, ended) = workers::start(sockets, &candidates, &metrics, &event_sender)?;
        let sfu = Self {
            media_address,
            negotiator: Arc::new(Negotiator::new(candidates)?),
            whereabouts: Arc::new(Whereabouts::new(threads, spill)),
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
    pub async fn connect(
        &self,
        room: RoomId,
        participant: ParticipantId,
        offer: Offer,
    ) -> Result<Answer, ConnectError> {
        let (shard, before) = {
            let mut placement = self.whereabouts.lock();
            let before = placement.find(participant);
            (placement.place(participant, &room), before)
        };
        let answered = self.connect_at(shard, room, participant, offer).await;
        // Whoever left meanwhile was taken out before they were let in.
        if answered.is_ok() && self.whereabouts.lock().find(participant) != Some(shard) {
            self.tell(shard, Command::Remove(participant));
            return Err(ConnectError::Left);
        }
        match before {
            // It went to another room: the old one is not where it is replaced.
            Some(before) if before != shard => self.tell(before, Command::Remove(participant)),
            None if answered.is_err() => self.whereabouts.lock().leave(participant),
            _ => {}
        }
        answered
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "offers come from outside, with no time of their own"
    )]
    async fn connect_at(
        &self,
        shard: ShardId,
        room: RoomId,
        participant: ParticipantId,
        offer: Offer,
    ) -> Result<Answer, ConnectError> {
        let negotiator = self.negotiator.at(shard);
        let mut negotiated =
            tokio::task::spawn_blocking(move || negotiator.negotiate(&offer, Instant::now()))
                .await
                .map_err(|_| ConnectError::ShuttingDown)??;
        let answer = negotiated.take_answer();
        let (reply, admitted) = oneshot::channel();
        self.tell(
            shard,
            Command::Admit {
                room,
                participant,
                negotiated: Box::new(negotiated),
                reply,
            },
        );
        admitted.await.map_err(|_| ConnectError::ShuttingDown)??;
        Ok(answer)
    }

    /// Takes a participant out of its room.
    pub fn disconnect(&self, participant: ParticipantId) {
        let shard = {
            let mut placement = self.whereabouts.lock();
            let shard = placement.find(participant);
            placement.leave(participant);
            shard
        };
        if let Some(shard) = shard {
            self.tell(shard, Command::Remove(participant));
        }
    }

    /// Looks at a participant's media; none if they have no connection.
    pub async fn inspect(&self, participant: ParticipantId) -> Option<Inspection> {
        let shard = self.whereabouts.lock().find(participant)?;
        let (reply, inspected) = oneshot::channel();
        self.tell(shard, Command::Inspect { participant, reply });
        inspected.await.ok()?
    }

    /// Ends all connections and the media threads, and waits until it is over.
    pub async fn shutdown(mut self) {
        // The others follow.
        self.tell(ShardId::default(), Command::Shutdown);
        // Nothing is ever sent: the wait ends when the last thread drops its end.
        let _ = self.ended.changed().await;
    }

    fn tell(&self, shard: ShardId, command: Command) {
        if let Some(commands) = self.commands.get(shard.number()) {
            // A thread that is gone has nobody in it, and drops who waits for its answer.
            let _ = commands.send(command);
        }
    }
}
