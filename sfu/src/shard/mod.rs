//! The SFU without sockets, threads or clocks.
//!
//! A shard owns its rooms and participants outright. It is driven like str0m itself: hand
//! it datagrams and the time, tell it to [`Shard::flush`], take what it wants sent.
//!
//! A turn: every datagram is given to its participant's state machine, and each RTP packet
//! that comes out is at once written to the slots that carry its track. Their owners become
//! dirty. The flush then settles what changed in the rooms and drives each dirty
//! participant once, so that all packets for one subscriber leave together.

mod assignment;
#[cfg(test)]
mod containment;
pub(crate) mod control;
mod datagrams;
mod demux;
mod departure;
mod elsewhere;
mod events;
mod forward;
mod inspection;
mod outlet;
mod path;
mod peer;
mod publish;
mod refresh;
mod relay;
mod roll;
mod room;
mod timers;
mod track;

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use conclave_protocol::{ParticipantId, RoomId};
use slab::Slab;
use str0m::{Output, net::Transmit};

use self::{
    datagrams::Answering,
    demux::Demux,
    peer::{Broken, Peer, Section},
    relay::{Outgoing, TrackName},
    room::{Room, Stale},
    timers::Timers,
    track::{Layer, Origin, Track, TrackKey},
};

pub use inspection::{Inspection, ReceivedTrack, SentSize, SentTrack};
pub use relay::{Relay, ShardId};

use crate::{Counters, LostReason, Population, SfuEvent, Transport, negotiation::Negotiated};

/// No client has reason to send more in one datagram: the path to it has an MTU of 1,500.
pub(crate) const LONGEST_DATAGRAM: usize = 1_500;

/// A state machine that is due over and over at the same moment is left alone until time
/// has moved by this much.
const LEAST_SLEEP: Duration = Duration::from_millis(1);

/// A state machine that wants to be called again at once is called at most so often in one
/// flush. With bandwidth estimation each call releases one packet.
const MOST_ROUNDS: usize = 4_096;

/// After each packet the pacer asks to be called a microsecond later. Waiting for that would
/// break up what can leave together, and no timer is so exact.
const AT_ONCE: Duration = Duration::from_micros(1);

/// The look at speakers and layers of a room in which packets flow.
const TICK: Duration = Duration::from_millis(200);

/// Names a participant within the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeerKey(usize);

/// Names a room within the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RoomKey(usize);

/// Names a slot within the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotRef {
    peer: PeerKey,
    slot: usize,
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Peer(PeerKey),
    Room(RoomKey),
    /// A key-frame request.
    Track(TrackKey),
}

/// A datagram as it came from the network.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// What it came over.
    pub transport: Transport,
    /// Who sent it.
    pub source: SocketAddr,
    /// The candidate that it was sent to.
    pub destination: SocketAddr,
    /// What is in it.
    pub contents: &'a [u8],
}

/// Rooms and participants, and all that passes between them.
#[derive(Debug, Default)]
pub struct Shard {
    id: ShardId,
    peers: Slab<Peer>,
    rooms: Slab<Room>,
    tracks: Slab<Track>,
    participants: HashMap<ParticipantId, PeerKey>,
    room_names: HashMap<RoomId, RoomKey>,
    demux: Demux,
    timers: Timers<Due>,
    dirty_peers: Vec<PeerKey>,
    dirty_rooms: Vec<RoomKey>,
    outbox: VecDeque<Transmit>,
    events: VecDeque<SfuEvent>,
    outgoing: Outgoing,
    answering: Option<Answering>,
    /// The shard that handed over the datagram at hand.
    handed_by: Option<ShardId>,
    tracks_elsewhere: HashMap<TrackName, TrackKey>,
    stale_wants: Vec<TrackKey>,
    counters: Counters,
    /// Of tracks and slots; the rest is counted when it is asked for.
    population: Population,
    /// An RTP packet came out of the state machine that was last driven.
    got_packet: bool,
}

impl Shard {
    /// A shard with nobody in it, the only one.
    pub fn new() -> Self {
        Self::one_of(ShardId::default(), 1)
    }

    /// A shard with nobody in it, one of so many: their numbers are those below `shards`.
    pub fn one_of(id: ShardId, shards: u8) -> Self {
        Self {
            id,
            outgoing: Outgoing::new(shards),
            ..Self::default()
        }
    }

    /// Takes a participant in. A participant that is here already is replaced.
    pub fn admit(
        &mut self,
        now: Instant,
        room: RoomId,
        participant: ParticipantId,
        negotiated: Negotiated,
    ) {
        self.remove(now, participant);
        let room_key = match self.room_names.get(&room) {
            Some(key) => *key,
            None => {
                let key = RoomKey(self.rooms.insert(Room::new(room.clone())));
                self.room_opened(&room);
                self.room_names.insert(room, key);
                key
            }
        };
        let mut negotiated = negotiated;
        let offered = std::mem::take(&mut negotiated.tracks);
        let ufrag = negotiated.ufrag.clone();
        let entry = self.peers.vacant_entry();
        let key = PeerKey(entry.key());
        let sections = offered
            .into_iter()
            .map(|offered| {
                let name = TrackName {
                    participant,
                    source: offered.source,
                };
                let origin = Origin::Here {
                    publisher: key,
                    mid: offered.mid,
                };
                let layers = offered.layers.iter().copied().map(Layer::new).collect();
                let track = self
                    .tracks
                    .insert(Track::new(room_key, name, origin, layers));
                Section {
                    mid: offered.mid,
                    source: offered.source,
                    rids: offered.layers,
                    track: TrackKey(track),
                }
            })
            .collect();
        entry.insert(Peer::new(participant, room_key, negotiated, sections, now));
        self.demux.add_user(ufrag, key);
        self.participants.insert(participant, key);
        self.rooms[room_key.0].members.push(key);
        self.mark_peer(key);
    }

    /// Takes a participant out, saying goodbye to its client.
    pub fn remove(&mut self, now: Instant, participant: ParticipantId) {
        if let Some(key) = self.participants.get(&participant).copied() {
            self.expel(now, key, true);
        }
    }

    /// Takes everyone out.
    pub fn clear(&mut self, now: Instant) {
        let everyone: Vec<_> = self.participants.keys().copied().collect();
        for participant in everyone {
            self.remove(now, participant);
        }
    }

    /// Does what is due. To be called at [`Self::poll_timeout`] and after input.
    pub fn flush(&mut self, now: Instant) {
        while let Some((due, popped)) = self.timers.pop(now) {
            match due {
                Due::Peer(key) => {
                    let Some(peer) = self.peers.get_mut(key.0) else {
                        continue;
                    };
                    if self.timers.is_due(due, popped, &mut peer.deadline, now) {
                        self.peer_due(now, key);
                    }
                }
                Due::Room(key) => {
                    let Some(room) = self.rooms.get_mut(key.0) else {
                        continue;
                    };
                    if self.timers.is_due(due, popped, &mut room.tick, now) {
                        self.tick(now, key);
                    }
                }
                Due::Track(key) => {
                    let Some(track) = self.tracks.get_mut(key.0) else {
                        continue;
                    };
                    if self.timers.is_due(due, popped, &mut track.deadline, now) {
                        self.repeat_key_frame_requests(now, key);
                    }
                }
            }
        }
        while !self.dirty_rooms.is_empty() || !self.dirty_peers.is_empty() {
            while let Some(key) = self.dirty_rooms.pop() {
                self.settle(now, key);
            }
            // What one participant's state machine says may concern others, so this list
            // grows while it is worked off.
            while let Some(key) = self.dirty_peers.pop() {
                self.drive(now, key);
            }
        }
        self.tell_wants();
    }

    /// When [`Self::flush`] has something to do of its own accord.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next datagram to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<SfuEvent> {
        self.events.pop_front()
    }

    /// The next TCP connection, by its remote address, that no participant has any more.
    pub fn poll_hangup(&mut self) -> Option<SocketAddr> {
        self.demux.poll_hangup()
    }

    /// What was counted since it was last reset by the reader.
    pub fn counters(&mut self) -> &mut Counters {
        &mut self.counters
    }

    /// How many rooms, participants, tracks and filled slots there are.
    pub fn population(&self) -> Population {
        Population {
            rooms: self.rooms.len() as u64,
            participants: self.peers.len() as u64,
            ..self.population
        }
    }

    /// How many addresses have proven themselves to be a participant's.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn addresses_known(&self) -> usize {
        self.demux.addresses()
    }

    /// True when there is room for another participant.
    pub fn has_place(&self, most: usize) -> bool {
        self.peers.len() < most
    }

    fn mark_peer(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(key.0)
            && !peer.is_dirty
        {
            peer.is_dirty = true;
            self.dirty_peers.push(key);
        }
    }

    /// What is published or heard in a room has changed: everyone's slots are looked at.
    fn mark_room(&mut self, key: RoomKey) {
        if let Some(room) = self.rooms.get_mut(key.0) {
            if room.stale.is_nobody() {
                self.dirty_rooms.push(key);
            }
            room.stale = Stale::All;
        }
    }

    /// What a participant wants or can take has changed: its slots are looked at.
    fn mark_slots(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get(key.0) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(peer.room.0) else {
            return;
        };
        if room.stale.is_nobody() {
            self.dirty_rooms.push(peer.room);
        }
        if let Stale::Some(members) = &mut room.stale
            && !members.contains(&key)
        {
            members.push(key);
        }
    }

    fn mark_layers(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(key.0) {
            peer.layers_stale = true;
            self.mark_peer(key);
        }
    }

    /// Drives out what was written to a participant.
    fn drive(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key.0) else {
            return;
        };
        peer.is_dirty = false;
        if std::mem::take(&mut peer.layers_stale) {
            self.choose_layers(now, key);
        }
        for _ in 0..MOST_ROUNDS {
            let Some(peer) = self.peers.get_mut(key.0) else {
                return;
            };
            peer.speak(&self.rooms);
            if peer.advance(now).is_err() {
                self.lose(now, key, LostReason::Failed);
                return;
            }
            let sent_before = self.outbox.len();
            self.drain(now, key);
            let Some(peer) = self.peers.get_mut(key.0) else {
                return;
            };
            peer.is_dirty = false;
            if peer.rtc_due > now + AT_ONCE {
                return;
            }
            if self.outbox.len() == sent_before {
                // Due at once, with nothing to show for it: time has to move first.
                peer.rtc_due = now + LEAST_SLEEP;
                self.schedule(key);
                return;
            }
        }
        if let Some(peer) = self.peers.get_mut(key.0) {
            peer.rtc_due = now + LEAST_SLEEP;
            self.schedule(key);
        }
    }

    /// Takes everything out of a participant's state machine.
    fn drain(&mut self, now: Instant, key: PeerKey) {
        while let Some(peer) = self.peers.get_mut(key.0) {
            match peer.poll() {
                Ok(Output::Timeout(at)) => {
                    peer.wait_until(at, now);
                    if !peer.rtc.is_alive() {
                        self.lose(now, key, LostReason::Failed);
                        return;
                    }
                    self.schedule(key);
                    return;
                }
                Ok(Output::Transmit(transmit)) => self.send(key, transmit),
                Ok(Output::Event(event)) => self.handle_event(now, key, event),
                Err(Broken) => {
                    self.lose(now, key, LostReason::Failed);
                    return;
                }
            }
        }
    }

    fn schedule(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(key.0) {
            let due = peer.due();
            let due = self.timers.on_grid(due, peer.grid);
            self.timers
                .set(Due::Peer(key), &mut peer.deadline, Some(due));
        }
    }

    fn peer_due(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key.0) else {
            return;
        };
        if !peer.connected && now >= peer.connect_by {
            let checked = peer.addresses.last().map(|a| a.transport);
            self.counters.time_out(checked);
            self.lose(now, key, LostReason::NeverConnected);
            return;
        }
        self.drive(now, key);
        self.schedule(key);
    }
}
