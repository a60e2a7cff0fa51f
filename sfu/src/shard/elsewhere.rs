//! What other shards have of this shard's rooms: their tracks, voices and wishes.

use std::time::Instant;

use conclave_protocol::RoomId;

use super::{
    Due, PeerKey, RoomKey, Shard, TICK,
    relay::{Layers, Message, Relayed, ShardId, TrackName},
    track::{Layer, Origin, Track, TrackKey},
};
use crate::{Transport, layer::LayerState, packet::Packet, transport::TransportAddress};

/// More voices than any listener has slots for.
const MOST_VOICES: usize = 8;

impl Shard {
    fn tell_all(&mut self, message: impl Fn() -> Message) {
        let others = self.outgoing.shards().filter(|shard| *shard != self.id);
        for shard in others {
            self.outgoing.say(shard, message());
        }
    }

    pub(super) fn room_opened(&mut self, room: &RoomId) {
        self.tell_all(|| Message::RoomOpened(room.clone()));
    }

    pub(super) fn room_closed(&mut self, room: &RoomId) {
        self.tell_all(|| Message::RoomClosed(room.clone()));
    }

    pub(super) fn address_gone(&mut self, gone: TransportAddress) {
        if gone.transport == Transport::Udp {
            self.tell_all(|| Message::AddressGone(gone.address));
        }
    }

    /// The shard that handed over the datagram being answered hears whose the address is.
    pub(super) fn address_proven(&mut self, proven: TransportAddress) {
        if let Some(from) = self.handed_by {
            self.outgoing
                .say(from, Message::AddressMine(proven.address));
        }
    }

    /// Another shard has members of a room, too: it hears what is published here. False
    /// when the room is not here.
    pub(super) fn meet(&mut self, now: Instant, other: ShardId, name: &RoomId) -> bool {
        let Some(key) = self.room_names.get(name).copied() else {
            return false;
        };
        let room = &mut self.rooms[key.0];
        if !room.spans.contains(&other) {
            room.spans.push(other);
        }
        let here: Vec<TrackKey> = room.roll.tracks().collect();
        for track in here {
            self.tell_published(now, track, Some(other));
        }
        true
    }

    /// Another shard has no members of a room any more.
    pub(super) fn part(&mut self, now: Instant, other: ShardId, name: &RoomId) {
        let Some(key) = self.room_names.get(name).copied() else {
            return;
        };
        let room = &mut self.rooms[key.0];
        room.spans.retain(|shard| *shard != other);
        let tracks: Vec<TrackKey> = room.roll.tracks().collect();
        for key in tracks {
            let Some(track) = self.tracks.get_mut(key.0) else {
                continue;
            };
            track.wanted_by.retain(|(shard, _)| *shard != other);
            if track.origin == Origin::Shard(other) {
                self.forget_track(now, key);
            }
        }
    }

    /// Tells one other shard, or all that have the room, whether a track of this shard is on.
    pub(super) fn tell_published(&mut self, now: Instant, key: TrackKey, only: Option<ShardId>) {
        let Some(track) = self.tracks.get(key.0) else {
            return;
        };
        if !matches!(track.origin, Origin::Here { .. }) {
            return;
        }
        let Some(room) = self.rooms.get(track.room.0) else {
            return;
        };
        for to in &room.spans {
            if only.is_none_or(|only| only == *to) {
                let message = if track.is_on {
                    Message::Published {
                        room: room.id.clone(),
                        track: track.name(),
                        streams: track.layers.len(),
                        sizes: track.layer_states(now),
                    }
                } else {
                    Message::Unpublished(track.name())
                };
                self.outgoing.say(*to, message);
            }
        }
    }

    pub(super) fn published_elsewhere(
        &mut self,
        now: Instant,
        from: ShardId,
        room: &RoomId,
        name: TrackName,
        (streams, sizes): (usize, Vec<LayerState>),
    ) {
        let Some(room) = self.room_names.get(room).copied() else {
            return;
        };
        if let Some(known) = self.tracks_elsewhere.get(&name).copied() {
            if self.elsewhere(from, name).is_some() {
                self.sizes_elsewhere(from, name, sizes);
                return;
            }
            self.forget_track(now, known);
        }
        let layers = std::iter::repeat_with(|| Layer::new(None)).take(streams);
        let mut track = Track::new(room, name, Origin::Shard(from), layers.collect());
        track.reported = sizes;
        let key = TrackKey(self.tracks.insert(track));
        self.tracks_elsewhere.insert(name, key);
        self.turn(now, key);
    }

    pub(super) fn sizes_elsewhere(
        &mut self,
        from: ShardId,
        name: TrackName,
        sizes: Vec<LayerState>,
    ) {
        let Some(key) = self.elsewhere(from, name) else {
            return;
        };
        let Some(track) = self.tracks.get_mut(key.0) else {
            return;
        };
        let awake = |sizes: &[LayerState], size: usize| sizes.get(size).is_some_and(|s| s.awake);
        let woke = (0..sizes.len()).any(|s| awake(&sizes, s) && !awake(&track.reported, s));
        track.reported = sizes;
        if woke {
            let subscribers: Vec<PeerKey> = track.subscribers.iter().map(|s| s.peer).collect();
            for peer in subscribers {
                self.mark_layers(peer);
            }
        }
    }

    pub(super) fn voices_elsewhere(
        &mut self,
        now: Instant,
        from: ShardId,
        room: &RoomId,
        levels: &[(TrackName, f32)],
    ) {
        let Some(key) = self.room_names.get(room).copied() else {
            return;
        };
        for (name, level) in levels {
            if let Some(voice) = self.elsewhere(from, *name) {
                self.rooms[key.0].loudness.set(now, voice, *level);
            }
        }
        self.wake_room(now, key);
    }

    /// Something is going on in a room: it is looked at regularly again.
    pub(super) fn wake_room(&mut self, now: Instant, key: RoomKey) {
        if let Some(room) = self.rooms.get_mut(key.0) {
            room.last_packet = Some(now);
            if !room.tick.is_set() {
                self.timers
                    .set(Due::Room(key), &mut room.tick, Some(now + TICK));
            }
        }
    }

    /// Tells the other shards of a room how loud its voices here are.
    pub(super) fn tell_voices(&mut self, key: RoomKey) {
        let Some(room) = self.rooms.get(key.0).filter(|room| !room.spans.is_empty()) else {
            return;
        };
        let levels: Vec<(TrackName, f32)> = room
            .loudness
            .levels()
            .filter_map(|(voice, level)| {
                let track = self.tracks.get(voice.0)?;
                matches!(track.origin, Origin::Here { .. }).then(|| (track.name(), level))
            })
            .take(MOST_VOICES)
            .collect();
        if levels.is_empty() {
            return;
        }
        for to in &room.spans {
            let (room, levels) = (room.id.clone(), levels.clone());
            self.outgoing.say(*to, Message::Voices { room, levels });
        }
    }

    /// Tells the other shards of a room how the layers of its videos here do.
    pub(super) fn tell_layers(&mut self, now: Instant, key: RoomKey) {
        let Some(room) = self.rooms.get(key.0).filter(|room| !room.spans.is_empty()) else {
            return;
        };
        for key in room.roll.tracks() {
            let Some(track) = self.tracks.get(key.0) else {
                continue;
            };
            if track.source.is_video() && matches!(track.origin, Origin::Here { .. }) {
                for to in &room.spans {
                    let (track, sizes) = (track.name(), track.layer_states(now));
                    self.outgoing.say(*to, Message::Sizes { track, sizes });
                }
            }
        }
    }

    /// Sends a packet of a track of this shard to the shards that want its layer.
    pub(super) fn relay_packet(&mut self, key: TrackKey, layer: usize, packet: &Packet) {
        let Some(track) = self.tracks.get(key.0) else {
            return;
        };
        for (to, layers) in &track.wanted_by {
            if layers.contains(layer)
                && let Some(packets) = self.outgoing.packets_for(*to)
            {
                packets.push(Relayed {
                    track: track.name(),
                    layer,
                    packet: packet.detached(),
                });
            }
        }
    }

    pub(super) fn relay_key_frame_wish(&mut self, to: ShardId, track: TrackName, layer: usize) {
        let message = Message::KeyFrameWanted { track, layer };
        self.outgoing.say(to, message);
    }

    /// The layers that subscribers here need of another shard's track may have changed.
    pub(super) fn mark_wants(&mut self, key: TrackKey) {
        if let Some(track) = self.tracks.get_mut(key.0)
            && matches!(track.origin, Origin::Shard(_))
            && !std::mem::replace(&mut track.wants_stale, true)
        {
            self.stale_wants.push(key);
        }
    }

    /// Tells other shards which layers are needed here, where that has changed.
    pub(super) fn tell_wants(&mut self) {
        while let Some(key) = self.stale_wants.pop() {
            let Some(track) = self.tracks.get_mut(key.0) else {
                continue;
            };
            track.wants_stale = false;
            let Origin::Shard(owner) = track.origin else {
                continue;
            };
            let mut wanted = Layers::default();
            for subscriber in &track.subscribers {
                let peer = self.peers.get(subscriber.peer.0);
                let filling = peer.and_then(|peer| peer.outlets[subscriber.slot].filling.as_ref());
                if let Some(filling) = filling {
                    for layer in filling.streams() {
                        wanted.insert(layer);
                    }
                }
            }
            if wanted != track.wants {
                track.wants = wanted;
                let track = track.name();
                let layers = wanted;
                self.outgoing.say(owner, Message::Wanted { track, layers });
            }
        }
    }

    /// A track of a participant of this shard.
    pub(super) fn here(&self, name: TrackName) -> Option<TrackKey> {
        let peer = self
            .peers
            .get(self.participants.get(&name.participant)?.0)?;
        let section = peer.sections.iter().find(|s| s.source == name.source)?;
        Some(section.track)
    }

    /// A track of a participant of that shard.
    pub(super) fn elsewhere(&self, shard: ShardId, name: TrackName) -> Option<TrackKey> {
        let key = *self.tracks_elsewhere.get(&name)?;
        let track = self.tracks.get(key.0)?;
        (track.origin == Origin::Shard(shard)).then_some(key)
    }
}
