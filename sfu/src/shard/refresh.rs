//! The wish for a key frame, on its way from subscribers to the publisher.

use std::time::Instant;

use super::{
    Due, PeerKey, Shard,
    track::{Origin, TrackKey},
};
use crate::keyframe::Verdict;

impl Shard {
    /// Someone needs a key frame of this layer.
    pub(super) fn want_key_frame(&mut self, now: Instant, key: TrackKey, layer: usize) {
        let Some(track) = self.tracks.get_mut(key.0) else {
            return;
        };
        let Some(wanted) = track.layers.get_mut(layer) else {
            return;
        };
        match wanted.key_frames.request(now) {
            Verdict::Send => self.ask_publisher(key, layer),
            Verdict::Wait => self.counters.key_frames_suppressed += 1,
        }
        self.schedule_key_frames(key);
    }

    fn ask_publisher(&mut self, key: TrackKey, layer: usize) {
        let Some(track) = self.tracks.get(key.0) else {
            return;
        };
        let (publisher, mid) = match track.origin {
            Origin::Here { publisher, mid } => (publisher, mid),
            Origin::Shard(owner) => {
                let name = track.name();
                self.relay_key_frame_wish(owner, name, layer);
                return;
            }
        };
        let rid = track.layers[layer].rid;
        let Some(peer) = self.peers.get_mut(publisher.0) else {
            return;
        };
        if peer.request_key_frame(mid, rid) {
            self.counters.key_frames_requested += 1;
            self.mark_peer(publisher);
        }
    }

    /// Asks once more for the key frames that did not come and are still waited for.
    pub(super) fn repeat_key_frame_requests(&mut self, now: Instant, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(key.0) else {
            return;
        };
        let is_watched = !track.subscribers.is_empty() || !track.wanted_by.is_empty();
        let mut again = vec![];
        for (layer, state) in track.layers.iter_mut().enumerate() {
            if !is_watched {
                state.key_frames.withdraw();
            } else if state.key_frames.handle_timeout(now) {
                again.push(layer);
            }
        }
        for layer in again {
            self.ask_publisher(key, layer);
        }
        self.schedule_key_frames(key);
    }

    /// The publisher is somewhere else now and missed what it was asked.
    pub(super) fn ask_anew(&mut self, now: Instant, publisher: PeerKey) {
        let Some(peer) = self.peers.get(publisher.0) else {
            return;
        };
        let tracks: Vec<TrackKey> = peer.sections.iter().map(|s| s.track).collect();
        for key in tracks {
            let Some(track) = self.tracks.get_mut(key.0) else {
                continue;
            };
            let mut wanted = vec![];
            for (layer, state) in track.layers.iter_mut().enumerate() {
                if state.key_frames.start_over(now) {
                    wanted.push(layer);
                }
            }
            for layer in wanted {
                self.ask_publisher(key, layer);
            }
            self.schedule_key_frames(key);
        }
    }

    /// Packets to and from a participant were lost, nobody knows how many: it gets key frames of
    /// what it is shown, and is asked anew for those that others wait for. Receivers ask by
    /// themselves only after seconds.
    pub(super) fn begin_anew(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get(key.0) else {
            return;
        };
        let fillings = peer.outlets.iter().filter_map(|it| it.filling.as_ref());
        let pictures = fillings.filter(|filling| filling.source.is_video());
        let shown: Vec<_> = pictures
            .filter_map(|filling| Some((filling.track, filling.stream()?)))
            .collect();
        for (track, layer) in shown {
            self.want_key_frame(now, track, layer);
        }
        self.ask_anew(now, key);
    }

    fn schedule_key_frames(&mut self, key: TrackKey) {
        if let Some(track) = self.tracks.get_mut(key.0) {
            let due = track.poll_timeout();
            self.timers.set(Due::Track(key), &mut track.deadline, due);
        }
    }
}
