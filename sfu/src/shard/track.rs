//! A track that a participant publishes, and the slots that carry it.

use std::time::Instant;

use conclave_protocol::{ParticipantId, signal::Source};
use str0m::{
    media::{Mid, Rid},
    rtp::Ssrc,
};

use super::{PeerKey, RoomKey, SlotRef, timers::Deadline};
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
    pub(crate) publisher: PeerKey,
    pub(crate) mid: Mid,
    /// Low to high.
    pub(crate) layers: Vec<Layer>,
    /// At least one packet came.
    pub(crate) heard: bool,
    /// The room knows of it.
    pub(crate) is_on: bool,
    /// The slots that carry it.
    pub(crate) subscribers: Vec<SlotRef>,
    /// When a key-frame request has to be looked at.
    pub(crate) deadline: Deadline,
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
    pub(crate) key_frames: KeyframeArbiter,
}

impl Track {
    pub(crate) fn layer_states(&self, now: Instant) -> Vec<LayerState> {
        self.layers
            .iter()
            .map(|layer| LayerState {
                awake: layer.meter.is_awake(now),
                rate: layer.meter.rate(),
            })
            .collect()
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
            key_frames: KeyframeArbiter::default(),
        }
    }
}
