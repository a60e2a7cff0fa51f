//! A network in memory with a clock of its own: shards in the middle, one unless a test says
//! otherwise, and real WebRTC clients around them. How a run is made to depend on its seed alone is told in `seeded`.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::needless_pass_by_value,
    clippy::print_stderr
)]

pub(crate) mod client;
pub(crate) mod dependency;
pub(crate) mod media;
pub(crate) mod network;
pub(crate) mod oracle;
pub(crate) mod people;
pub(crate) mod recording;
pub(crate) mod scalable;
pub(crate) mod scenario;
pub(crate) mod sending;
pub(crate) mod trace;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    time::{Duration, Instant},
};

use conclave_protocol::{ParticipantId, RoomId};
use conclave_sfu::{
    Candidates, ConnectError, Negotiator, SfuEvent, Transport,
    shard::{Datagram, Relay, Shard, ShardId},
};
use fastrand::Rng;
use str0m::crypto::{CryptoProvider, from_feature_flags};

use self::{network::Network, trace::Trace};

pub(crate) use client::{Client, ClientConfig};
pub(crate) use network::Direction;

/// Where everyone finds the SFU.
pub(crate) fn server_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 3478))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Destination {
    Server { from: usize },
    Client(usize),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct InFlight {
    arrives: Instant,
    order: u64,
    to: Destination,
    source: SocketAddr,
    destination: SocketAddr,
    contents: Vec<u8>,
}

/// A relay on its way to another shard, which takes up to so long.
const RELAY_DELAY: Duration = Duration::from_micros(500);

#[derive(Debug)]
struct Ferried {
    from: ShardId,
    to: ShardId,
    relay: Relay,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) shards: Vec<Shard>,
    pub(crate) events: Vec<SfuEvent>,
    pub(crate) clients: Vec<Client>,
    pub(crate) network: Network,
    pub(crate) trace: Trace,
    /// How often the shard was called on time's account.
    pub(crate) wakeups: u64,
    /// Datagrams that the shard sent.
    pub(crate) sent_down: u64,
    negotiator: Negotiator,
    crypto: CryptoProvider,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    /// On their way between shards, in the order of their arrival.
    relays: BTreeMap<(Instant, u64), Ferried>,
    /// When the last relay from one shard to another arrives: they keep their order.
    last_relay: BTreeMap<(ShardId, ShardId), Instant>,
    random: Rng,
    /// Addresses of clients that were replaced or have moved.
    gone: Vec<SocketAddr>,
    sent: u64,
}

impl World {
    /// The shipped crypto: what it draws at random differs from run to run.
    pub(crate) fn new() -> Self {
        Self::seeded(0, 1, from_feature_flags())
    }

    pub(crate) fn seeded(seed: u64, shards: u8, crypto: CryptoProvider) -> Self {
        let candidates = Candidates::new(&[], server_address()).unwrap();
        let now = Instant::now();
        Self {
            now,
            start: now,
            shards: (0..shards)
                .map(|number| Shard::one_of(ShardId::new(number), shards))
                .collect(),
            events: vec![],
            clients: vec![],
            network: Network::new(seed),
            trace: Trace::default(),
            wakeups: 0,
            sent_down: 0,
            negotiator: Negotiator::with_crypto(candidates, &crypto).unwrap(),
            crypto,
            in_flight: BinaryHeap::new(),
            relays: BTreeMap::new(),
            last_relay: BTreeMap::new(),
            random: Rng::with_seed(!seed),
            gone: vec![],
            sent: 0,
        }
    }

    /// A new participant, numbered by its place in `clients`.
    pub(crate) fn join(&mut self, room: &str, config: ClientConfig) -> usize {
        let index = self.clients.len();
        let (client, offer) = Client::new(index, &config, &self.crypto, self.now);
        self.clients.push(client);
        self.network.add_path();
        self.connect(index, room, offer).unwrap();
        index
    }

    /// The same participant comes again, from another address, as after a reload.
    pub(crate) fn replace(&mut self, index: usize, room: &str, config: &ClientConfig) {
        let host = self.next_host();
        let (client, offer) = Client::at(
            host,
            server_address(),
            index,
            config,
            &self.crypto,
            self.now,
        );
        let old = std::mem::replace(&mut self.clients[index], client);
        self.gone.push(old.seen_at);
        self.connect(index, room, offer).unwrap();
    }

    pub(crate) fn connect(
        &mut self,
        index: usize,
        room: &str,
        offer: conclave_sfu::Offer,
    ) -> Result<(), ConnectError> {
        let home = self.home(index);
        let negotiator = self.negotiator.at(ShardId::new(home as u8));
        let mut negotiated = negotiator.negotiate(&offer, self.now)?;
        let answer = negotiated.take_answer();
        let participant = participant(index);
        let room: RoomId = room.parse().unwrap();
        self.shards[home].admit(self.now, room, participant, negotiated);
        self.clients[index].accept(&answer.sdp);
        self.pump();
        Ok(())
    }

    /// An address that nobody had yet.
    fn next_host(&self) -> SocketAddr {
        SocketAddr::from(([10, 0, 2, self.gone.len() as u8 + 1], 5000))
    }

    /// What the client sends comes from another address from now on, and what is sent to
    /// the old one is lost: a NAT lost its state, or the phone went from one network to
    /// another. The client does not notice.
    pub(crate) fn rebind(&mut self, index: usize) {
        let host = self.next_host();
        let old = std::mem::replace(&mut self.clients[index].seen_at, host);
        self.gone.push(old);
    }

    pub(crate) fn negotiator(&self) -> &Negotiator {
        &self.negotiator
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let network = self.in_flight.peek().map(|Reverse(p)| p.arrives);
            let shard = self.shards.iter().filter_map(Shard::poll_timeout).min();
            let relay = self.relays.keys().next().map(|(arrives, _)| *arrives);
            let clients = self.clients.iter().map(Client::due).min();
            let next = [network, shard, relay, clients]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(end);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if shard.is_some_and(|due| due <= self.now) {
                self.wakeups += 1;
            }
            self.deliver();
            for index in 0..self.clients.len() {
                if self.clients[index].due() <= self.now {
                    self.clients[index].advance(self.now);
                }
            }
            self.pump();
        }
    }

    pub(crate) fn run_until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Duration {
        let start = self.now;
        while !done(self) {
            self.run(Duration::from_millis(5));
            assert!(
                self.now - start < Duration::from_secs(30),
                "never happened: {what}"
            );
        }
        self.now - start
    }

    /// Everyone is connected and has an open control channel.
    pub(crate) fn settle(&mut self) {
        self.run_until("all connected", |world| {
            world.clients.iter().all(|c| c.is_gone || c.is_ready())
        });
    }

    pub(crate) fn leave(&mut self, index: usize) {
        let home = self.home(index);
        self.shards[home].remove(self.now, participant(index));
        self.clients[index].is_gone = true;
        self.pump();
    }

    /// A datagram to the SFU from anywhere.
    pub(crate) fn inject(&mut self, source: SocketAddr, contents: &[u8]) {
        self.shards[0].handle_datagram(
            self.now,
            Datagram {
                transport: Transport::Udp,
                source,
                destination: server_address(),
                contents,
            },
        );
        self.pump();
    }

    /// The shard of a participant: they are dealt out in turn.
    fn home(&self, index: usize) -> usize {
        index % self.shards.len()
    }

    /// The shard whose socket the kernel chooses for a source: seldom that participant's.
    fn socket_of(&self, source: SocketAddr) -> usize {
        let mut hasher = DefaultHasher::new();
        source.hash(&mut hasher);
        (hasher.finish() % self.shards.len() as u64) as usize
    }

    fn deliver(&mut self) {
        while let Some(first) = self.relays.first_entry() {
            if first.key().0 > self.now {
                break;
            }
            let Ferried { from, to, relay } = first.remove();
            self.shards[to.number()].handle_relay(self.now, from, relay);
        }
        while let Some(Reverse(packet)) = self.in_flight.peek() {
            if packet.arrives > self.now {
                return;
            }
            let Some(Reverse(packet)) = self.in_flight.pop() else {
                return;
            };
            match packet.to {
                Destination::Server { .. } => {
                    let shard = self.socket_of(packet.source);
                    self.shards[shard].handle_datagram(
                        self.now,
                        Datagram {
                            transport: Transport::Udp,
                            source: packet.source,
                            destination: server_address(),
                            contents: &packet.contents,
                        },
                    );
                }
                // A client that has moved since then does not get it.
                Destination::Client(index) => {
                    if self.clients[index].seen_at == packet.destination {
                        self.clients[index].receive(self.now, packet.source, &packet.contents);
                    }
                }
            }
        }
    }

    /// Takes everyone's output to the network.
    fn pump(&mut self) {
        for shard in 0..self.shards.len() {
            self.shards[shard].flush(self.now);
            self.take_output(shard);
        }
        for index in 0..self.clients.len() {
            while let Some(contents) = self.clients[index].outbox.pop_front() {
                let client = &self.clients[index];
                if client.is_gone || (client.silences_feedback && is_rtcp(&contents)) {
                    continue;
                }
                let source = client.seen_at;
                let to = Destination::Server { from: index };
                self.put(to, source, server_address(), &contents);
            }
        }
    }

    fn take_output(&mut self, shard: usize) {
        while let Some(transmit) = self.shards[shard].poll_transmit() {
            self.sent_down += 1;
            assert_eq!(transmit.source, server_address());
            let to = self
                .clients
                .iter()
                .position(|c| c.seen_at == transmit.destination);
            let Some(to) = to else {
                let known = self.gone.contains(&transmit.destination);
                assert!(known, "sent to a stranger: {}", transmit.destination);
                continue;
            };
            self.put(
                Destination::Client(to),
                transmit.source,
                transmit.destination,
                &transmit.contents,
            );
        }
        while let Some(event) = self.shards[shard].poll_event() {
            self.events.push(event);
        }
        while let Some((to, relay)) = self.shards[shard].poll_relay() {
            let from = ShardId::new(shard as u8);
            let takes = RELAY_DELAY.mul_f64(self.random.f64());
            let last = self.last_relay.entry((from, to)).or_insert(self.now);
            *last = (*last).max(self.now + takes);
            self.sent += 1;
            self.relays
                .insert((*last, self.sent), Ferried { from, to, relay });
        }
    }

    fn put(
        &mut self,
        to: Destination,
        source: SocketAddr,
        destination: SocketAddr,
        contents: &[u8],
    ) {
        self.trace
            .push(self.now - self.start, source, destination, contents);
        let (client, direction) = match to {
            Destination::Server { from } => (from, Direction::Up),
            Destination::Client(index) => (index, Direction::Down),
        };
        let arrivals = self
            .network
            .carry(self.now, client, direction, contents.len());
        for arrives in arrivals {
            self.sent += 1;
            self.in_flight.push(Reverse(InFlight {
                arrives,
                order: self.sent,
                to,
                source,
                destination,
                contents: contents.to_vec(),
            }));
        }
    }
}

/// RFC 5761 §4.
fn is_rtcp(contents: &[u8]) -> bool {
    contents[0] & 0xc0 == 0x80 && (64..=95).contains(&(contents[1] & 0x7f))
}

pub(crate) fn participant(index: usize) -> ParticipantId {
    ParticipantId::new(0xc0de_0000 + index as u64)
}
