//! The way of a packet: from a track to the slots that carry it.

use std::time::Instant;

use str0m::{format::Codec, format::PayloadParams, rtp::RtpPacket};

use super::{
    PeerKey, Shard, SlotRef,
    outlet::{Arrival, Outcome},
    track::TrackKey,
};
use crate::{DropReason, packet::Packet};

/// What str0m can wrap into one datagram beside header, extensions and tag.
const LONGEST_PAYLOAD: usize = 1_400;

impl Shard {
    /// Takes a packet from a publisher.
    pub(super) fn take_packet(&mut self, now: Instant, from: PeerKey, packet: &RtpPacket) {
        self.got_packet = true;
        let Some(peer) = self.peers.get_mut(from.0) else {
            return;
        };
        let Some((track, layer)) = peer.locate(packet) else {
            self.counters.drop_one(DropReason::NotOffered);
            return;
        };
        peer.last_media = Some(now);
        if packet.payload.len() > LONGEST_PAYLOAD {
            self.counters.drop_one(DropReason::TooLong);
            return;
        }
        let Some(format) = find_format(peer.rtc.codec_config(), packet) else {
            self.counters.drop_one(DropReason::UnknownCodec);
            return;
        };
        let Some(published) = self.tracks.get_mut(track.0) else {
            return;
        };
        self.counters
            .received
            .of(published.source.is_video())
            .add(packet.payload.len());
        if !std::mem::replace(&mut published.heard, true) {
            self.update_published(now, from);
        }
        self.forward(now, track, layer, &Packet::new(packet, format));
    }

    /// Hands a packet to every slot that carries its track.
    pub(super) fn forward(
        &mut self,
        now: Instant,
        key: TrackKey,
        layer_index: usize,
        packet: &Packet,
    ) {
        let Some(track) = self.tracks.get_mut(key.0) else {
            return;
        };
        let room_key = track.room;
        let is_video = track.source.is_video();
        let is_voice = track.is_on && !is_video;
        let Some(layer) = track.layers.get_mut(layer_index) else {
            return;
        };
        let intake = layer.take(now, packet);
        let arrival = Arrival {
            packet,
            layer: layer_index,
            inspected: &intake.inspected,
            in_order: intake.in_order,
            may_begin: intake.in_order || intake.begins_late,
        };
        let overtakers = if intake.begins_late {
            layer.overtakers(packet)
        } else {
            vec![]
        };
        // Lent out for the loop, so that the subscribers can be changed in it.
        let subscribers = std::mem::take(&mut track.subscribers);
        for subscriber in &subscribers {
            if intake.restarted {
                self.source_restarted(*subscriber, layer_index);
            }
            if intake.woke && is_video {
                self.mark_layers(subscriber.peer);
            }
            let began = self.hand_to(key, *subscriber, &arrival, is_video);
            for kept in overtakers.iter().filter(|_| began) {
                let arrival = Arrival {
                    packet: &kept.packet,
                    layer: layer_index,
                    inspected: &kept.inspected,
                    in_order: true,
                    may_begin: false,
                };
                self.hand_to(key, *subscriber, &arrival, is_video);
            }
        }
        if let Some(track) = self.tracks.get_mut(key.0) {
            track.subscribers = subscribers;
            if is_video && let Some(layer) = track.layers.get_mut(layer_index) {
                layer.keep(now, packet, intake);
            }
        }

        self.relay_packet(key, layer_index, packet);
        if is_voice && let Some(room) = self.rooms.get_mut(room_key.0) {
            let level = packet.extensions.audio_level;
            room.loudness.observe(now, key, level);
        }
        self.wake_room(now, room_key);
    }

    /// Hands a packet to one slot. True when the slot began to show its layer with it.
    fn hand_to(
        &mut self,
        track: TrackKey,
        subscriber: SlotRef,
        arrival: &Arrival<'_>,
        is_video: bool,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(subscriber.peer.0) else {
            return false;
        };
        let outlet = &mut peer.outlets[subscriber.slot];
        let outcome = outlet.take(&mut peer.rtc, arrival);
        match outcome {
            Outcome::NotWanted => return false,
            Outcome::Dropped(reason) => {
                self.counters.drop_one(reason);
                return false;
            }
            Outcome::Sent | Outcome::Filled => peer.last_media = Some(arrival.packet.arrived),
            Outcome::Switched { from, to } => {
                peer.last_media = Some(arrival.packet.arrived);
                match from {
                    Some(from) if from < to => self.counters.layer_upgrades += 1,
                    Some(from) if from > to => self.counters.layer_downgrades += 1,
                    _ => {}
                }
                self.mark_wants(track);
            }
        }
        self.counters
            .forwarded
            .of(is_video)
            .add(arrival.packet.payload.len());
        self.mark_peer(subscriber.peer);
        matches!(outcome, Outcome::Switched { .. })
    }

    /// Gives a slot that shows nothing yet what came since the last key frame of its track.
    /// False when that is too long ago, or the slot carried something else meanwhile: its
    /// time cannot be turned back.
    pub(super) fn serve_recent(
        &mut self,
        now: Instant,
        subscriber: SlotRef,
        key: TrackKey,
        layer: usize,
    ) -> bool {
        let Some(track) = self.tracks.get(key.0) else {
            return false;
        };
        let kept = track.layers.get(layer).map_or(&[][..], |l| l.recent(now));
        let Some(first) = kept.first() else {
            return false;
        };
        let Some(peer) = self.peers.get_mut(subscriber.peer.0) else {
            return false;
        };
        let outlet = &mut peer.outlets[subscriber.slot];
        if !outlet.can_begin_at(first.packet.arrived) {
            return false;
        }
        let forwarded = self.counters.forwarded.of(track.source.is_video());
        let mut served = false;
        for kept in kept {
            let arrival = Arrival {
                packet: &kept.packet,
                layer,
                inspected: &kept.inspected,
                in_order: true,
                may_begin: true,
            };
            let outcome = outlet.take(&mut peer.rtc, &arrival);
            if matches!(outcome, Outcome::Sent | Outcome::Switched { .. }) {
                served = true;
                forwarded.add(kept.packet.payload.len());
            }
        }
        if served {
            self.counters.key_frames_kept += 1;
            self.mark_wants(key);
            self.mark_peer(subscriber.peer);
        }
        served
    }

    fn source_restarted(&mut self, subscriber: SlotRef, layer: usize) {
        if let Some(peer) = self.peers.get_mut(subscriber.peer.0)
            && let Some(filling) = &mut peer.outlets[subscriber.slot].filling
        {
            filling.source_restarted(layer);
        }
    }
}

/// What the payload type of a packet stands for. Retransmissions and probes come as what
/// they repeat.
fn find_format(codecs: &[PayloadParams], packet: &RtpPacket) -> Option<PayloadParams> {
    codecs
        .iter()
        .find(|params| params.pt() == packet.header.payload_type)
        .filter(|params| !matches!(params.spec().codec, Codec::Rtx | Codec::Unknown))
        .copied()
}
