//! A room: who is in it, and who gets to see and hear whom.

use std::time::Instant;

use conclave_protocol::RoomId;

use super::{PeerKey, relay::ShardId, roll::Roll, timers::Deadline, track::TrackKey};
use crate::loudness::Loudness;

/// One room.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    /// In order of arrival.
    pub(crate) members: Vec<PeerKey>,
    /// The other shards that have members of it.
    pub(crate) spans: Vec<ShardId>,
    pub(crate) roll: Roll,
    pub(crate) loudness: Loudness<TrackKey>,
    /// The next look at who speaks and which layers sleep.
    pub(crate) tick: Deadline,
    pub(crate) ticks: u64,
    /// When a packet last came.
    pub(crate) last_packet: Option<Instant>,
    pub(crate) stale: Stale,
}

/// Whose slots have to be looked at. Looking at everyone's for every newcomer would make a
/// room's joins cost the square of its size.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stale {
    /// These members', maybe nobody's.
    Some(Vec<PeerKey>),
    /// Everyone's: what is published or who is heard has changed.
    All,
}

impl Room {
    pub(crate) fn new(id: RoomId) -> Self {
        Self {
            id,
            members: vec![],
            spans: vec![],
            roll: Roll::default(),
            loudness: Loudness::default(),
            tick: Deadline::default(),
            ticks: 0,
            last_packet: None,
            stale: Stale::nobody(),
        }
    }

    /// The sounds, the loudest first, then those that were never heard; at most so many.
    pub(crate) fn wanted_sounds(&self, most: usize) -> Vec<TrackKey> {
        let mut wanted: Vec<TrackKey> = self.loudness.voices().take(most).collect();
        let silent = self.roll.sounds().map(|published| published.track);
        for track in silent {
            if wanted.len() >= most {
                break;
            }
            if !self.loudness.knows(track) {
                wanted.push(track);
            }
        }
        wanted
    }
}

impl Stale {
    pub(crate) const fn nobody() -> Self {
        Self::Some(vec![])
    }

    pub(crate) fn is_nobody(&self) -> bool {
        matches!(self, Self::Some(members) if members.is_empty())
    }
}
