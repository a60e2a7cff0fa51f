//! A track that a participant publishes, and the slots that carry it.

use std::time::Instant;

use str0m::{
    media::{Mid, Rid},
    rtp::Ssrc,
};

use conclave_protocol::{ParticipantId, signal::Source};

use super::{
    PeerKey, RoomKey, SlotRef,
    relay::{Layers, ShardId, TrackName},
    timers::Deadline,
};
use crate::{
    keyframe::KeyframeArbiter,
    layer::{LayerMeter, LayerState},
};

/// Names a track within the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TrackKey(pub(super) usize);

/// One published track.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) room: RoomKey,
    pub(crate) participant: ParticipantId,
    pub(crate) source: Source,
    pub(crate) origin: Origin,
    /// Low to high.
    pub(crate) layers: Vec<Layer>,
    /// At least one packet came.
    pub(crate) heard: bool,
    /// The room knows of it.
    pub(crate) is_on: bool,
    /// The slots that carry it.
    pub(crate) subscribers: Vec<SlotRef>,
    /// The other shards that carry it to theirs, and which layers they need.
    pub(crate) wanted_by: Vec<(ShardId, Layers)>,
    /// The layers that the owning shard was last asked for.
    pub(crate) wants: Layers,
    pub(crate) wants_stale: bool,
    /// When a key-frame request has to be looked at.
    pub(crate) deadline: Deadline,
}

/// Where a track comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A section of a participant of this shard.
    Here { publisher: PeerKey, mid: Mid },
    /// A participant of that shard.
    Shard(ShardId),
}

/// One simulcast layer of a track, or all of a track that has none.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) rid: Option<Rid>,
    /// The stream that it comes on; another one is another source.
    pub(crate) ssrc: Option<Ssrc>,
    /// The highest sequence number so far.
    pub(crate) newest: u64,
    pub(crate) meter: LayerMeter,
    /// What the owning shard says of it, when that is another one.
    pub(crate) reported: LayerState,
    pub(crate) key_frames: KeyframeArbiter,
}

impl Track {
    pub(crate) fn new(room: RoomKey, name: TrackName, origin: Origin, layers: Vec<Layer>) -> Self {
        Self {
            room,
            participant: name.participant,
            source: name.source,
            origin,
            layers,
            heard: false,
            is_on: false,
            subscribers: vec![],
            wanted_by: vec![],
            wants: Layers::default(),
            wants_stale: false,
            deadline: Deadline::default(),
        }
    }

    pub(crate) fn name(&self) -> TrackName {
        TrackName {
            participant: self.participant,
            source: self.source,
        }
    }

    pub(crate) fn layer_states(&self, now: Instant) -> Vec<LayerState> {
        let state = |layer: &Layer| match self.origin {
            Origin::Shard(_) => layer.reported,
            Origin::Here { .. } => LayerState {
                awake: layer.meter.is_awake(now),
                rate: layer.meter.rate(),
            },
        };
        self.layers.iter().map(state).collect()
    }

    /// When a key-frame request of any layer has to be looked at.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.layers
            .iter()
            .filter_map(|layer| layer.key_frames.poll_timeout())
            .min()
    }
}

impl Layer {
    pub(crate) fn new(rid: Option<Rid>) -> Self {
        Self {
            rid,
            ssrc: None,
            newest: 0,
            meter: LayerMeter::default(),
            reported: LayerState::default(),
            key_frames: KeyframeArbiter::default(),
        }
    }
}
