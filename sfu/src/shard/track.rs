//! A track that a participant publishes, and the slots that carry it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

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
    layer::{BitRate, LayerState, MOST_SPATIAL, MOST_TEMPORAL, StreamMeter},
    packet::Packet,
    recent::Recent,
    rewrite::{
        dependency::DependencyReader,
        descriptor::{self, Descriptor, Inspected},
    },
};

/// The layers that a new stream announces are supposed to come within this time.
const AWAITED: Duration = Duration::from_millis(750);

/// So many packets are held while someone waits for a key frame: its first packet may be
/// overtaken by others, or come only after it was asked for again.
const MOST_HELD: usize = 64;

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
    /// Its simulcast layers, low to high; one when there is no simulcast.
    pub(crate) layers: Vec<Layer>,
    /// What the owning shard says of its sizes, when that is another one.
    pub(crate) reported: Vec<LayerState>,
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

/// One simulcast layer of a track, or all of a track that has none. It may have spatial and
/// temporal layers within.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) rid: Option<Rid>,
    pub(crate) key_frames: KeyframeArbiter,
    /// The stream that it comes on; another one is another source.
    ssrc: Option<Ssrc>,
    /// When that stream began.
    began: Option<Instant>,
    /// The highest sequence number so far.
    newest: u64,
    meter: StreamMeter,
    dependency: DependencyReader,
    /// By the payload descriptor of VP9, in pixels, low to high.
    heights: Vec<u16>,
    /// For those who come soon after a key frame.
    recent: Recent<Kept>,
    /// For those who wait for a key frame, as they arrived.
    held: VecDeque<Kept>,
}

/// A packet that is kept for newcomers.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) packet: Packet,
    pub(crate) inspected: Inspected,
}

/// What a layer learned from a packet.
pub(crate) struct Intake {
    pub(crate) inspected: Inspected,
    /// It is the newest of its stream, not one that comes late.
    pub(crate) in_order: bool,
    /// It begins a key frame of which later packets came before it and are held.
    pub(crate) begins_late: bool,
    /// It comes right after the one before it.
    follows: bool,
    /// It is the first of another stream than before.
    pub(crate) restarted: bool,
    /// It is the first of a spatial layer after a while.
    pub(crate) woke: bool,
}

impl Track {
    pub(crate) fn new(room: RoomKey, name: TrackName, origin: Origin, layers: Vec<Layer>) -> Self {
        Self {
            room,
            participant: name.participant,
            source: name.source,
            origin,
            layers,
            reported: vec![],
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

    /// The sizes that can be had, low to high.
    pub(crate) fn layer_states(&self, now: Instant) -> Vec<LayerState> {
        if let Origin::Shard(_) = self.origin {
            return self.reported.clone();
        }
        match self.layers.as_slice() {
            [only] => (0..only.spatial_layers())
                .map(|spatial| only.spatial_state(now, spatial))
                .collect(),
            layers => layers.iter().map(|layer| layer.state(now)).collect(),
        }
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
            key_frames: KeyframeArbiter::default(),
            ssrc: None,
            began: None,
            newest: 0,
            meter: StreamMeter::default(),
            dependency: DependencyReader::default(),
            heights: vec![],
            recent: Recent::default(),
            held: VecDeque::new(),
        }
    }

    /// Takes note of a packet. All that is to be known of it is found out here, once for all
    /// subscribers.
    pub(crate) fn take(&mut self, now: Instant, packet: &Packet) -> Intake {
        let restarted = self.ssrc.replace(packet.ssrc) != Some(packet.ssrc);
        if restarted {
            self.newest = 0;
            self.began = Some(now);
            self.meter = StreamMeter::default();
            self.dependency = DependencyReader::default();
            self.heights.clear();
            self.recent.clear();
            self.held.clear();
        }
        let follows = packet.position.sequence == self.newest + 1;
        let in_order = packet.position.sequence >= self.newest;
        self.newest = self.newest.max(packet.position.sequence);
        let dependency = packet
            .dependency
            .as_ref()
            .and_then(|raw| self.dependency.read(raw, in_order));
        let codec = packet.format.spec().codec;
        let inspected = descriptor::inspect(codec, &packet.payload, dependency);
        if let Descriptor::Vp9(vp9) = &inspected.descriptor
            && let Some(heights) = vp9.heights(&packet.payload)
        {
            self.heights = heights;
        }
        // What was overtaken by others does as well, while those are still held. (Not with a
        // dependency descriptor: others could not be read without the structure in it.)
        let held_after = packet.dependency.is_none()
            && self.newest - packet.position.sequence < MOST_HELD as u64
            && self.key_frames.is_wanted();
        let begins = inspected.frame.begins_key_frame && (in_order || held_after);
        if begins {
            self.key_frames.key_frame_arrived();
        }
        let woke = self
            .meter
            .packet(now, inspected.frame.layer, packet.payload.len());
        Intake {
            inspected,
            in_order,
            begins_late: begins && !in_order,
            follows,
            restarted,
            woke,
        }
    }

    /// Keeps a packet that was handed on, for newcomers.
    pub(crate) fn keep(&mut self, now: Instant, packet: &Packet, intake: Intake) {
        if self.key_frames.is_wanted() {
            if self.held.len() == MOST_HELD {
                self.held.pop_front();
            }
            self.held.push_back(Kept {
                packet: packet.clone(),
                inspected: intake.inspected.clone(),
            });
        } else {
            self.held = VecDeque::new();
        }
        let begins = intake.inspected.frame.begins_key_frame && intake.in_order;
        if !intake.follows && !begins {
            self.recent.clear();
            return;
        }
        let kept = || Kept {
            packet: packet.clone(),
            inspected: intake.inspected,
        };
        self.recent.push(now, kept, packet.payload.len(), begins);
    }

    /// What came after this packet and before it was there, in its order.
    pub(crate) fn overtakers(&mut self, of: &Packet) -> Vec<Kept> {
        let mut held = Vec::from(std::mem::take(&mut self.held));
        held.retain(|kept| kept.packet.position.sequence > of.position.sequence);
        held.sort_by_key(|kept| kept.packet.position.sequence);
        held
    }

    /// What came since the last key frame, when that is not long ago.
    pub(crate) fn recent(&self, now: Instant) -> &[Kept] {
        self.recent.packets(now)
    }

    /// How many spatial layers it has, at least one.
    fn spatial_layers(&self) -> usize {
        let announced = self
            .dependency
            .structure()
            .map_or(self.heights.len(), |s| usize::from(s.spatial_layers()));
        announced
            .max(self.meter.spatial_layers())
            .clamp(1, MOST_SPATIAL)
    }

    /// One of its spatial layers.
    fn spatial_state(&self, now: Instant, spatial: usize) -> LayerState {
        let structure = self.dependency.structure();
        let awaited = self
            .began
            .is_some_and(|began| now.saturating_duration_since(began) < AWAITED);
        LayerState {
            awake: self.meter.is_awake(now, spatial) || awaited,
            rates: self.meter.rates(now, spatial),
            temporal_layers: self.meter.temporal_layers(spatial),
            height: self.height(spatial),
            carries_lower: structure.is_none_or(|s| s.carries_lower(spatial as u8)),
        }
    }

    /// All of it as one size.
    fn state(&self, now: Instant) -> LayerState {
        let mut state = LayerState {
            awake: false,
            rates: <[BitRate; MOST_TEMPORAL]>::default(),
            temporal_layers: 1,
            height: self.height(self.spatial_layers() - 1),
            carries_lower: false,
        };
        for spatial in 0..self.meter.spatial_layers() {
            state.awake |= self.meter.is_awake(now, spatial);
            let layers = self.meter.temporal_layers(spatial);
            state.temporal_layers = state.temporal_layers.max(layers);
            for (sum, rate) in state.rates.iter_mut().zip(self.meter.rates(now, spatial)) {
                sum.0 += rate.0;
            }
        }
        state
    }

    fn height(&self, spatial: usize) -> Option<u16> {
        match self.dependency.structure() {
            Some(structure) => structure.height(spatial as u8),
            None => self.heights.get(spatial).copied(),
        }
    }
}
