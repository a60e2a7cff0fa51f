//! A room: who is in it, and who gets to see and hear whom.

use std::time::Instant;

use conclave_protocol::{ParticipantId, RoomId, signal::Source};

use super::{PeerKey, TrackRef, timers::Deadline};
use crate::loudness::Loudness;

/// One room.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    /// In order of arrival.
    pub(crate) members: Vec<PeerKey>,
    pub(crate) loudness: Loudness<TrackRef>,
    /// The next look at who speaks and which layers sleep.
    pub(crate) tick: Deadline,
    pub(crate) ticks: u64,
    /// When a packet last came.
    pub(crate) last_packet: Option<Instant>,
    /// Who is where has to be decided anew.
    pub(crate) is_dirty: bool,
}

/// A track that is on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    pub(crate) track: TrackRef,
    pub(crate) participant: ParticipantId,
    pub(crate) source: Source,
}

impl Room {
    pub(crate) fn new(id: RoomId) -> Self {
        Self {
            id,
            members: vec![],
            loudness: Loudness::default(),
            tick: Deadline::default(),
            ticks: 0,
            last_packet: None,
            is_dirty: false,
        }
    }

    /// The sounds, the loudest first, then those that were never heard.
    pub(crate) fn wanted_sounds(&self, published: &[Published]) -> Vec<TrackRef> {
        let is_sound = |track: &TrackRef| {
            published
                .iter()
                .any(|p| p.track == *track && !p.source.is_video())
        };
        let mut wanted: Vec<TrackRef> = self.loudness.voices().filter(is_sound).collect();
        for sound in published.iter().filter(|p| !p.source.is_video()) {
            if !wanted.contains(&sound.track) {
                wanted.push(sound.track);
            }
        }
        wanted
    }
}
