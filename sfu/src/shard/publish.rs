//! Which tracks are on.

use std::time::Instant;

use super::{
    PeerKey, Shard,
    roll::Published,
    track::{Origin, TrackKey},
};

impl Shard {
    /// Brings the room's roll in line with what a participant publishes.
    pub(super) fn update_published(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get(key.0) else {
            return;
        };
        let mut changed: Vec<TrackKey> = vec![];
        for section in &peer.sections {
            if let Some(track) = self.tracks.get(section.track.0)
                && peer.publishes(track.source, track.heard) != track.is_on
            {
                changed.push(section.track);
            }
        }
        for track in changed {
            self.turn(now, track);
        }
    }

    /// Turns a track on that is off, and off that is on.
    pub(super) fn turn(&mut self, now: Instant, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(key.0) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(track.room.0) else {
            return;
        };
        track.is_on = !track.is_on;
        if matches!(track.origin, Origin::Here { .. }) {
            self.population
                .track_turned(track.source.is_video(), track.is_on);
        }
        if track.is_on {
            room.roll.add(Published {
                track: key,
                participant: track.participant,
                source: track.source,
            });
        } else {
            room.roll.remove(key);
            room.loudness.remove(key);
        }
        let room = track.room;
        self.mark_room(room);
        self.tell_published(now, key, None);
    }

    /// Takes a track out of everything.
    pub(super) fn forget_track(&mut self, now: Instant, key: TrackKey) {
        if self.tracks.get(key.0).is_some_and(|track| track.is_on) {
            self.turn(now, key);
        }
        let Some(track) = self.tracks.try_remove(key.0) else {
            return;
        };
        if self.tracks_elsewhere.get(&track.name()) == Some(&key) {
            self.tracks_elsewhere.remove(&track.name());
        }
        for subscriber in track.subscribers {
            if let Some(peer) = self.peers.get_mut(subscriber.peer.0) {
                let outlet = &mut peer.outlets[subscriber.slot];
                if outlet.filling.as_ref().is_some_and(|f| f.track == key) {
                    outlet.filling = None;
                    peer.slots_untold = true;
                    self.population.slot_emptied(track.source.is_video());
                }
            }
        }
    }
}
