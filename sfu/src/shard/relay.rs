//! What shards say to each other, so that a room can be on several of them.
//!
//! A room has no home: every shard with members of it tells the others what those publish,
//! and asks for the layers that its own subscribers need. Each wanted packet crosses once to
//! each shard, as a value that nobody else holds, and is handed to subscribers there.
//!
//! Between two shards, relays arrive in the order in which they were sent. Packets and
//! datagrams may be dropped on the way, as on any network; the rest must not be.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Instant};

use conclave_protocol::{ParticipantId, RoomId, signal::Source};

use super::{
    Due, PeerKey, RoomKey, Shard, TICK,
    track::{Layer, Origin, Track, TrackKey},
};
use crate::{DropReason, layer::LayerState, packet::Packet};

/// More voices than any listener has slots for.
const MOST_VOICES: usize = 8;

/// Names a shard within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShardId(u8);

impl ShardId {
    /// The shard with this number.
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// Its number, from 0.
    pub const fn number(self) -> usize {
        self.0 as usize
    }

    /// Begins the ICE user name fragments of its participants (RFC 8445 §5.3), so that any
    /// shard knows whose a newcomer is.
    pub(crate) fn mark(self) -> String {
        format!("{:02x}", self.0)
    }

    pub(crate) fn of_ufrag(ufrag: &str) -> Option<Self> {
        u8::from_str_radix(ufrag.get(..2)?, 16).ok().map(Self)
    }
}

/// A datagram that came to another shard's socket.
#[derive(Debug)]
pub(super) struct HandedOver {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) contents: Vec<u8>,
}

/// One track, by a name that every shard understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TrackName {
    pub(crate) participant: ParticipantId,
    pub(crate) source: Source,
}

/// A packet for another shard's subscribers.
#[derive(Debug)]
pub(crate) struct Relayed {
    track: TrackName,
    layer: usize,
    packet: Packet,
}

/// A message from one shard to another.
#[derive(Debug)]
pub struct Relay(pub(super) Message);

#[derive(Debug)]
pub(super) enum Message {
    /// These datagrams are your participants'.
    Datagrams(Vec<HandedOver>),
    /// What comes from this address is for me.
    AddressMine(SocketAddr),
    /// It is not any more.
    AddressGone(SocketAddr),
    /// I have members of this room. Who has too says [`Message::RoomHere`].
    RoomOpened(RoomId),
    RoomHere(RoomId),
    /// I have none any more, and publish nothing in it.
    RoomClosed(RoomId),
    Published {
        room: RoomId,
        track: TrackName,
        layers: Vec<LayerState>,
    },
    Unpublished(TrackName),
    /// How my layers do. A layer that is not asked for cannot be measured by who asks.
    Layers {
        track: TrackName,
        layers: Vec<LayerState>,
    },
    /// How loud my loudest voices are, in dBov.
    Voices {
        room: RoomId,
        levels: Vec<(TrackName, f32)>,
    },
    /// Send me these layers of your track, one bit each.
    Wanted {
        track: TrackName,
        layers: Layers,
    },
    KeyFrameWanted {
        track: TrackName,
        layer: usize,
    },
    Packets(Vec<Relayed>),
}

/// A set of layers of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Layers(u8);

impl Layers {
    pub(crate) fn insert(&mut self, layer: usize) {
        self.0 |= 1 << (layer & 7);
    }

    pub(crate) fn contains(self, layer: usize) -> bool {
        self.0 >> (layer & 7) & 1 == 1
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Relay {
    /// How many packets or datagrams are lost when this relay is. None when it must not be.
    pub fn droppable(&self) -> Option<usize> {
        match &self.0 {
            Message::Datagrams(datagrams) => Some(datagrams.len()),
            Message::Packets(packets) => Some(packets.len()),
            _ => None,
        }
    }
}

/// What waits to be taken to other shards.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// How many shards there are, this one among them.
    shards: u8,
    queue: VecDeque<(ShardId, Message)>,
    packets: Vec<Vec<Relayed>>,
    datagrams: Vec<Vec<HandedOver>>,
}

impl Outgoing {
    pub(super) fn new(shards: u8) -> Self {
        let lists = usize::from(shards);
        Self {
            shards,
            queue: VecDeque::new(),
            packets: std::iter::repeat_with(Vec::new).take(lists).collect(),
            datagrams: std::iter::repeat_with(Vec::new).take(lists).collect(),
        }
    }

    fn say(&mut self, to: ShardId, message: Message) {
        self.queue.push_back((to, message));
    }

    pub(super) fn hand_over(&mut self, to: ShardId, datagram: HandedOver) -> bool {
        let list = self.datagrams.get_mut(to.number());
        list.map(|list| list.push(datagram)).is_some()
    }

    /// State before packets, so that nothing comes of an unknown track.
    pub(super) fn poll(&mut self) -> Option<(ShardId, Relay)> {
        if let Some((to, message)) = self.queue.pop_front() {
            return Some((to, Relay(message)));
        }
        for number in 0..self.shards {
            let at = usize::from(number);
            let to = ShardId(number);
            if !self.datagrams[at].is_empty() {
                let datagrams = std::mem::take(&mut self.datagrams[at]);
                return Some((to, Relay(Message::Datagrams(datagrams))));
            }
            if !self.packets[at].is_empty() {
                let packets = std::mem::take(&mut self.packets[at]);
                return Some((to, Relay(Message::Packets(packets))));
            }
        }
        None
    }
}

impl Shard {
    /// Takes what another shard says. To be followed by [`Self::flush`].
    pub fn handle_relay(&mut self, now: Instant, from: ShardId, relay: Relay) {
        match relay.0 {
            Message::Datagrams(datagrams) => {
                self.handed_by = Some(from);
                for datagram in datagrams {
                    self.handle_datagram(
                        now,
                        super::Datagram {
                            source: datagram.source,
                            destination: datagram.destination,
                            contents: &datagram.contents,
                        },
                    );
                }
                self.handed_by = None;
            }
            Message::AddressMine(address) => self.demux.learn_foreign(address, from),
            Message::AddressGone(address) => self.demux.forget_foreign(address, from),
            Message::RoomOpened(room) => {
                if self.meet(now, from, &room) {
                    self.outgoing.say(from, Message::RoomHere(room));
                }
            }
            Message::RoomHere(room) => {
                self.meet(now, from, &room);
            }
            Message::RoomClosed(room) => self.part(now, from, &room),
            Message::Published {
                room,
                track,
                layers,
            } => self.published_elsewhere(now, from, &room, track, &layers),
            Message::Unpublished(track) => {
                if let Some(key) = self.elsewhere(from, track) {
                    self.forget_track(now, key);
                }
            }
            Message::Layers { track, layers } => self.layers_elsewhere(from, track, &layers),
            Message::Voices { room, levels } => self.voices_elsewhere(now, from, &room, &levels),
            Message::Wanted { track, layers } => {
                if let Some(key) = self.here(track)
                    && let Some(track) = self.tracks.get_mut(key.0)
                {
                    track.wanted_by.retain(|(shard, _)| *shard != from);
                    if !layers.is_empty() {
                        track.wanted_by.push((from, layers));
                    }
                }
            }
            Message::KeyFrameWanted { track, layer } => {
                if let Some(key) = self.here(track) {
                    self.want_key_frame(now, key, layer);
                }
            }
            Message::Packets(packets) => {
                for relayed in packets {
                    match self.elsewhere(from, relayed.track) {
                        Some(key) => self.forward(now, key, relayed.layer, &relayed.packet),
                        None => self.counters.drop_one(DropReason::UnknownSource),
                    }
                }
            }
        }
    }

    /// What is to be taken to another shard.
    pub fn poll_relay(&mut self) -> Option<(ShardId, Relay)> {
        self.outgoing.poll()
    }

    fn tell_all(&mut self, message: impl Fn() -> Message) {
        for number in 0..self.outgoing.shards {
            if ShardId(number) != self.id {
                self.outgoing.say(ShardId(number), message());
            }
        }
    }

    pub(super) fn room_opened(&mut self, room: &RoomId) {
        self.tell_all(|| Message::RoomOpened(room.clone()));
    }

    pub(super) fn room_closed(&mut self, room: &RoomId) {
        self.tell_all(|| Message::RoomClosed(room.clone()));
    }

    pub(super) fn address_gone(&mut self, address: SocketAddr) {
        self.tell_all(|| Message::AddressGone(address));
    }

    /// The shard that handed over the datagram being answered hears whose the address is.
    pub(super) fn address_proven(&mut self, address: SocketAddr) {
        if let Some(from) = self.handed_by {
            self.outgoing.say(from, Message::AddressMine(address));
        }
    }

    /// Another shard has members of a room, too: it hears what is published here. False
    /// when the room is not here.
    fn meet(&mut self, now: Instant, other: ShardId, name: &RoomId) -> bool {
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
    fn part(&mut self, now: Instant, other: ShardId, name: &RoomId) {
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
                        layers: track.layer_states(now),
                    }
                } else {
                    Message::Unpublished(track.name())
                };
                self.outgoing.say(*to, message);
            }
        }
    }

    fn published_elsewhere(
        &mut self,
        now: Instant,
        from: ShardId,
        room: &RoomId,
        name: TrackName,
        layers: &[LayerState],
    ) {
        let Some(room) = self.room_names.get(room).copied() else {
            return;
        };
        if let Some(known) = self.tracks_elsewhere.get(&name).copied() {
            if self.elsewhere(from, name).is_some() {
                self.layers_elsewhere(from, name, layers);
                return;
            }
            self.forget_track(now, known);
        }
        let mut own: Vec<Layer> = layers.iter().map(|_| Layer::new(None)).collect();
        for (layer, state) in own.iter_mut().zip(layers) {
            layer.reported = *state;
        }
        let track = Track::new(room, name, Origin::Shard(from), own);
        let key = TrackKey(self.tracks.insert(track));
        self.tracks_elsewhere.insert(name, key);
        self.turn(now, key);
    }

    fn layers_elsewhere(&mut self, from: ShardId, name: TrackName, layers: &[LayerState]) {
        let Some(key) = self.elsewhere(from, name) else {
            return;
        };
        let Some(track) = self.tracks.get_mut(key.0) else {
            return;
        };
        let mut woke = false;
        for (layer, state) in track.layers.iter_mut().zip(layers) {
            woke |= state.awake && !layer.reported.awake;
            layer.reported = *state;
        }
        if woke {
            let subscribers: Vec<PeerKey> = track.subscribers.iter().map(|s| s.peer).collect();
            for peer in subscribers {
                self.mark_layers(peer);
            }
        }
    }

    fn voices_elsewhere(
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
                    let (track, layers) = (track.name(), track.layer_states(now));
                    self.outgoing.say(*to, Message::Layers { track, layers });
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
                && let Some(packets) = self.outgoing.packets.get_mut(to.number())
            {
                packets.push(Relayed {
                    track: track.name(),
                    layer,
                    // A copy of its own, so that no two shards count one reference.
                    packet: Packet {
                        payload: Arc::from(&packet.payload[..]),
                        ..packet.clone()
                    },
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
                    wanted.insert(filling.target);
                    filling.current.map(|layer| wanted.insert(layer));
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
    fn here(&self, name: TrackName) -> Option<TrackKey> {
        let peer = self
            .peers
            .get(self.participants.get(&name.participant)?.0)?;
        let section = peer.sections.iter().find(|s| s.source == name.source)?;
        Some(section.track)
    }

    /// A track of a participant of that shard.
    fn elsewhere(&self, shard: ShardId, name: TrackName) -> Option<TrackKey> {
        let key = *self.tracks_elsewhere.get(&name)?;
        let track = self.tracks.get(key.0)?;
        (track.origin == Origin::Shard(shard)).then_some(key)
    }
}
