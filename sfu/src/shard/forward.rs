//! The way of a packet, and of the wish for a key frame in the other direction.

use std::time::Instant;

use str0m::{format::Codec, format::PayloadParams, rtp::RtpPacket};

use super::{
    Due, PeerKey, Shard, SlotRef, TICK, TrackRef,
    outlet::{Arrival, Outcome},
};
use crate::{DropReason, keyframe::Verdict, rewrite::descriptor};

/// What str0m can wrap into one datagram beside header, extensions and tag.
const LONGEST_PAYLOAD: usize = 1_400;

impl Shard {
    /// Hands a packet to every slot that carries its track.
    pub(super) fn forward(&mut self, now: Instant, from: PeerKey, packet: &RtpPacket) {
        self.got_packet = true;
        let Some(peer) = self.peers.get_mut(from.0) else {
            return;
        };
        let Some((index, layer_index)) = peer.locate(packet) else {
            self.counters.drop_one(DropReason::NotOffered);
            return;
        };
        if packet.payload.len() > LONGEST_PAYLOAD {
            self.counters.drop_one(DropReason::TooLong);
            return;
        }
        let Some(params) = find_params(peer.rtc.codec_config(), packet) else {
            self.counters.drop_one(DropReason::UnknownCodec);
            return;
        };
        let room_key = peer.room;
        let track_ref = TrackRef {
            peer: from,
            track: index,
        };
        let track = &mut peer.tracks[index];
        let is_video = track.source.is_video();
        self.counters
            .received
            .of(is_video)
            .add(packet.payload.len());
        let newly_heard = !std::mem::replace(&mut track.heard, true);

        let layer = &mut track.layers[layer_index];
        let restarted = layer.ssrc.replace(packet.header.ssrc) != Some(packet.header.ssrc);
        if restarted {
            layer.newest = 0;
        }
        let in_order = *packet.seq_no >= layer.newest;
        layer.newest = layer.newest.max(*packet.seq_no);
        let woke = layer.meter.packet(now, packet.payload.len());
        let inspected = descriptor::inspect(params.spec().codec, &packet.payload);
        if inspected.begins_key_frame && in_order {
            layer.key_frames.key_frame_arrived();
            peer.schedule_key_frames();
        }
        let arrival = Arrival {
            packet,
            layer: layer_index,
            params: &params,
            inspected,
            in_order,
        };
        // Lent out for the loop, so that the subscribers can be changed in it.
        let subscribers = std::mem::take(&mut peer.tracks[index].subscribers);
        for subscriber in &subscribers {
            if restarted {
                self.source_restarted(*subscriber, layer_index);
            }
            if woke && is_video {
                self.mark_layers(subscriber.peer);
            }
            self.hand_to(*subscriber, &arrival, is_video);
        }
        if let Some(peer) = self.peers.get_mut(from.0) {
            peer.tracks[index].subscribers = subscribers;
        }

        if newly_heard {
            self.mark_room(room_key);
        }
        if let Some(room) = self.rooms.get_mut(room_key.0) {
            room.last_packet = Some(now);
            if !is_video {
                let level = packet.header.ext_vals.audio_level;
                room.loudness.observe(now, track_ref, level);
            }
            if !room.tick.is_set() {
                self.timers
                    .set(Due::Room(room_key), &mut room.tick, Some(now + TICK));
            }
        }
    }

    fn hand_to(&mut self, subscriber: SlotRef, arrival: &Arrival<'_>, is_video: bool) {
        let Some(peer) = self.peers.get_mut(subscriber.peer.0) else {
            return;
        };
        let outlet = &mut peer.outlets[subscriber.slot];
        match outlet.take(&mut peer.rtc, arrival) {
            Outcome::NotWanted => return,
            Outcome::Dropped(reason) => {
                self.counters.drop_one(reason);
                return;
            }
            Outcome::Sent => {}
            Outcome::Switched { from } => match from {
                Some(from) if from < arrival.layer => self.counters.layer_upgrades += 1,
                Some(from) if from > arrival.layer => self.counters.layer_downgrades += 1,
                _ => {}
            },
        }
        self.counters
            .forwarded
            .of(is_video)
            .add(arrival.packet.payload.len());
        self.mark_peer(subscriber.peer);
    }

    /// The layer comes on another stream now: its numbers mean nothing to the slot.
    fn source_restarted(&mut self, subscriber: SlotRef, layer: usize) {
        if let Some(peer) = self.peers.get_mut(subscriber.peer.0)
            && let Some(filling) = &mut peer.outlets[subscriber.slot].filling
            && filling.current == Some(layer)
        {
            filling.current = None;
        }
    }

    pub(super) fn mark_layers(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(key.0) {
            peer.layers_stale = true;
            self.mark_peer(key);
        }
    }

    /// Someone needs a key frame of this layer.
    pub(super) fn want_key_frame(&mut self, now: Instant, track: TrackRef, layer: usize) {
        let Some(peer) = self.peers.get_mut(track.peer.0) else {
            return;
        };
        let Some(wanted) = peer.tracks[track.track].layers.get_mut(layer) else {
            return;
        };
        match wanted.key_frames.request(now) {
            Verdict::Send => self.ask_publisher(track, layer),
            Verdict::Wait => self.counters.key_frames_suppressed += 1,
        }
        if let Some(peer) = self.peers.get_mut(track.peer.0) {
            peer.schedule_key_frames();
            self.schedule(track.peer);
        }
    }

    fn ask_publisher(&mut self, track: TrackRef, layer: usize) {
        let Some(peer) = self.peers.get_mut(track.peer.0) else {
            return;
        };
        let mid = peer.tracks[track.track].mid;
        let rid = peer.tracks[track.track].layers[layer].rid;
        if peer.request_key_frame(mid, rid) {
            self.counters.key_frames_requested += 1;
            self.mark_peer(track.peer);
        }
    }

    /// Asks once more for the key frames that did not come and are still waited for.
    pub(super) fn repeat_key_frame_requests(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key.0) else {
            return;
        };
        if peer.key_frame_due.is_none_or(|due| now < due) {
            return;
        }
        let mut again = vec![];
        for (track, published) in peer.tracks.iter_mut().enumerate() {
            for (layer, state) in published.layers.iter_mut().enumerate() {
                if published.subscribers.is_empty() {
                    state.key_frames.withdraw();
                } else if state.key_frames.handle_timeout(now) {
                    again.push((TrackRef { peer: key, track }, layer));
                }
            }
        }
        peer.schedule_key_frames();
        for (track, layer) in again {
            self.ask_publisher(track, layer);
        }
    }
}

/// What the payload type of a packet stands for. Retransmissions and probes come as what
/// they repeat.
fn find_params(codecs: &[PayloadParams], packet: &RtpPacket) -> Option<PayloadParams> {
    codecs
        .iter()
        .find(|params| params.pt() == packet.header.payload_type)
        .filter(|params| !matches!(params.spec().codec, Codec::Rtx | Codec::Unknown))
        .copied()
}
