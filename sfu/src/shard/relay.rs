//! What shards say to each other, so that a room can be on several of them.
//!
//! A room has no home: every shard with members of it tells the others what those publish,
//! and asks for the layers that its own subscribers need. Each wanted packet crosses once to
//! each shard, as a value that nobody else holds, and is handed to subscribers there.
//!
//! Between two shards, relays arrive in the order in which they were sent. Packets and
//! datagrams may be dropped on the way, as on any network; the rest must not be.

use std::{collections::VecDeque, net::SocketAddr, time::Instant};

use conclave_protocol::{ParticipantId, RoomId, signal::Source};

use super::Shard;
use crate::{
    DropReason, Transport, layer::LayerState, packet::Packet, transport::TransportAddress,
};

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
    pub(super) track: TrackName,
    pub(super) layer: usize,
    pub(super) packet: Packet,
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
        /// How many simulcast layers it has.
        streams: usize,
        sizes: Vec<LayerState>,
    },
    Unpublished(TrackName),
    /// How the sizes of my track do. One that is not asked for cannot be measured by who
    /// asks.
    Sizes {
        track: TrackName,
        sizes: Vec<LayerState>,
    },
    /// How loud my loudest voices are, in dBov.
    Voices {
        room: RoomId,
        levels: Vec<(TrackName, f32)>,
    },
    /// Send me these simulcast layers of your track, one bit each.
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

/// A set of simulcast layers of one track.
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

#[cfg(test)]
impl Relay {
    pub(crate) fn address_mine_for_test(port: u16) -> Self {
        Self(Message::AddressMine(([127, 0, 0, 1], port).into()))
    }

    pub(crate) fn datagrams_for_test(count: usize) -> Self {
        let datagram = || HandedOver {
            source: ([127, 0, 0, 1], 1).into(),
            destination: ([127, 0, 0, 1], 2).into(),
            contents: vec![7],
        };
        let datagrams = std::iter::repeat_with(datagram).take(count);
        Self(Message::Datagrams(datagrams.collect()))
    }
}

/// Only UDP's are told of: a TCP connection is handed to its owner as a whole.
fn over_udp(address: SocketAddr) -> TransportAddress {
    let transport = Transport::Udp;
    TransportAddress { transport, address }
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

    pub(super) fn say(&mut self, to: ShardId, message: Message) {
        self.queue.push_back((to, message));
    }

    pub(super) fn hand_over(&mut self, to: ShardId, datagram: HandedOver) -> bool {
        let list = self.datagrams.get_mut(to.number());
        list.map(|list| list.push(datagram)).is_some()
    }

    /// All shards, this one among them.
    pub(super) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards).map(ShardId)
    }

    /// The packets that go to a shard with the next relay.
    pub(super) fn packets_for(&mut self, to: ShardId) -> Option<&mut Vec<Relayed>> {
        self.packets.get_mut(to.number())
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
                            transport: Transport::Udp,
                            source: datagram.source,
                            destination: datagram.destination,
                            contents: &datagram.contents,
                        },
                    );
                }
                self.handed_by = None;
            }
            Message::AddressMine(address) => self.demux.learn_foreign(over_udp(address), from),
            Message::AddressGone(address) => self.demux.forget_foreign(over_udp(address), from),
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
                streams,
                sizes,
            } => self.published_elsewhere(now, from, &room, track, (streams, sizes)),
            Message::Unpublished(track) => {
                if let Some(key) = self.elsewhere(from, track) {
                    self.forget_track(now, key);
                }
            }
            Message::Sizes { track, sizes } => self.sizes_elsewhere(from, track, sizes),
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
}
