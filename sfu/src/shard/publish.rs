//! Which tracks are on.

use super::{PeerKey, Shard, roll::Published, track::TrackKey};

impl Shard {
    /// Brings the room's roll in line with what a participant publishes.
    pub(super) fn update_published(&mut self, key: PeerKey) {
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
            self.turn(track);
        }
    }

    /// Turns a track on that is off, and off that is on.
    pub(super) fn turn(&mut self, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(key.0) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(track.room.0) else {
            return;
        };
        let count = if track.source.is_video() {
            &mut self.population.video_tracks
        } else {
            &mut self.population.audio_tracks
        };
        track.is_on = !track.is_on;
        if track.is_on {
            *count += 1;
            room.roll.add(Published {
                track: key,
                participant: track.participant,
                source: track.source,
            });
        } else {
            *count -= 1;
            room.roll.remove(key);
            room.loudness.remove(key);
        }
        let room = track.room;
        self.mark_room(room);
    }

    /// Takes a track out of everything.
    pub(super) fn forget_track(&mut self, key: TrackKey) {
        if self.tracks.get(key.0).is_some_and(|track| track.is_on) {
            self.turn(key);
        }
        let Some(track) = self.tracks.try_remove(key.0) else {
            return;
        };
        for subscriber in track.subscribers {
            if let Some(peer) = self.peers.get_mut(subscriber.peer.0) {
                let outlet = &mut peer.outlets[subscriber.slot];
                if outlet.filling.as_ref().is_some_and(|f| f.track == key) {
                    outlet.filling = None;
                    self.population.slot_emptied(track.source.is_video());
                }
            }
        }
    }
}
