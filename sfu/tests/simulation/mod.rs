//! A network in memory with a clock of its own: one shard in the middle, real WebRTC
//! clients around it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::needless_pass_by_value
)]

pub(crate) mod client;
pub(crate) mod dependency;
pub(crate) mod media;
pub(crate) mod recording;
pub(crate) mod scalable;
mod sending;

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use conclave_protocol::{ParticipantId, RoomId};
use conclave_sfu::{
    Candidates, ConnectError, Negotiator, SfuEvent, Transport,
    shard::{Datagram, Shard},
};

pub(crate) use client::{Client, ClientConfig};

/// How much longer a late packet takes.
const LATENESS: Duration = Duration::from_millis(5);

/// Where everyone finds the SFU.
pub(crate) fn server_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 3478))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Destination {
    Server,
    Client(usize),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct InFlight {
    arrives: Instant,
    order: u64,
    to: Destination,
    source: SocketAddr,
    contents: Vec<u8>,
}

/// What the path to one client does to packets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(crate) delay: Duration,
    /// Parts in a thousand that take a little longer, so that others overtake them.
    pub(crate) late: u64,
    /// The client's RTCP never arrives.
    pub(crate) silences_feedback: bool,
    /// Parts in a thousand.
    pub(crate) loss_down: u64,
    pub(crate) loss_up: u64,
    /// Bits a second downwards; a queue of a quarter second in front of it.
    pub(crate) capacity: Option<u64>,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            late: 0,
            silences_feedback: false,
            loss_down: 0,
            loss_up: 0,
            capacity: None,
        }
    }
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) shard: Shard,
    pub(crate) events: Vec<SfuEvent>,
    pub(crate) clients: Vec<Client>,
    pub(crate) paths: Vec<Path>,
    /// How often the shard was called on time's account.
    pub(crate) wakeups: u64,
    /// Datagrams that the shard sent.
    pub(crate) sent_down: u64,
    negotiator: Negotiator,
    network: BinaryHeap<Reverse<InFlight>>,
    link_free: Vec<Instant>,
    /// Addresses of clients that were replaced.
    gone: Vec<SocketAddr>,
    sent: u64,
    random: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        let candidates = Candidates::new(&[], server_address()).unwrap();
        let now = Instant::now();
        Self {
            now,
            start: now,
            shard: Shard::new(),
            events: vec![],
            clients: vec![],
            paths: vec![],
            wakeups: 0,
            sent_down: 0,
            negotiator: Negotiator::new(candidates).unwrap(),
            network: BinaryHeap::new(),
            link_free: vec![],
            gone: vec![],
            sent: 0,
            random: 0x2545_f491_4f6c_dd1d,
        }
    }

    /// A world in which chance falls otherwise.
    pub(crate) fn seeded(seed: u64) -> Self {
        let mut world = Self::new();
        world.random ^= seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        world.draw(1);
        world
    }

    /// A new participant, numbered by its place in `clients`.
    pub(crate) fn join(&mut self, room: &str, config: ClientConfig) -> usize {
        let index = self.clients.len();
        let (client, offer) = Client::new(index, &config, self.now);
        self.clients.push(client);
        self.paths.push(Path::default());
        self.link_free.push(self.now);
        self.connect(index, room, offer).unwrap();
        index
    }

    /// The same participant comes again, from another address, as after a reload.
    pub(crate) fn replace(&mut self, index: usize, room: &str, config: &ClientConfig) {
        let (mut client, offer) = Client::new(index + 100, config, self.now);
        client.index = index;
        let old = std::mem::replace(&mut self.clients[index], client);
        self.gone.push(old.address);
        self.connect(index, room, offer).unwrap();
    }

    pub(crate) fn connect(
        &mut self,
        index: usize,
        room: &str,
        offer: conclave_sfu::Offer,
    ) -> Result<(), ConnectError> {
        let mut negotiated = self.negotiator.negotiate(&offer, self.now)?;
        let answer = negotiated.take_answer();
        let participant = participant(index);
        let room: RoomId = room.parse().unwrap();
        self.shard.admit(self.now, room, participant, negotiated);
        self.clients[index].accept(&answer.sdp);
        self.pump();
        Ok(())
    }

    pub(crate) fn negotiator(&self) -> &Negotiator {
        &self.negotiator
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let network = self.network.peek().map(|Reverse(p)| p.arrives);
            let shard = self.shard.poll_timeout();
            let clients = self.clients.iter().map(Client::due).min();
            let next = [network, shard, clients]
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
        self.shard.remove(self.now, participant(index));
        self.clients[index].is_gone = true;
        self.pump();
    }

    /// A datagram to the SFU from anywhere.
    pub(crate) fn inject(&mut self, source: SocketAddr, contents: &[u8]) {
        self.shard.handle_datagram(
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

    fn deliver(&mut self) {
        while let Some(Reverse(packet)) = self.network.peek() {
            if packet.arrives > self.now {
                return;
            }
            let Some(Reverse(packet)) = self.network.pop() else {
                return;
            };
            match packet.to {
                Destination::Server => self.shard.handle_datagram(
                    self.now,
                    Datagram {
                        transport: Transport::Udp,
                        source: packet.source,
                        destination: server_address(),
                        contents: &packet.contents,
                    },
                ),
                Destination::Client(index) => {
                    self.clients[index].receive(self.now, packet.source, &packet.contents);
                }
            }
        }
    }

    /// Takes everyone's output to the network.
    fn pump(&mut self) {
        self.shard.flush(self.now);
        while let Some(transmit) = self.shard.poll_transmit() {
            self.sent_down += 1;
            assert_eq!(transmit.source, server_address());
            let to = self
                .clients
                .iter()
                .position(|c| c.address == transmit.destination);
            let Some(to) = to else {
                let known = self.gone.contains(&transmit.destination);
                assert!(known, "sent to a stranger: {}", transmit.destination);
                continue;
            };
            let path = self.paths[to];
            if self.is_lost(path.loss_down) {
                continue;
            }
            let mut leaves = self.now;
            if let Some(capacity) = path.capacity {
                let bits = transmit.contents.len() as u64 * 8;
                let begins = self.link_free[to].max(self.now);
                if begins - self.now > Duration::from_millis(250) {
                    continue;
                }
                leaves = begins + Duration::from_nanos(bits * 1_000_000_000 / capacity);
                self.link_free[to] = leaves;
            }
            let arrives = leaves + path.delay + self.lateness(path);
            self.put(
                arrives,
                Destination::Client(to),
                transmit.source,
                transmit.contents.to_vec(),
            );
        }
        while let Some(event) = self.shard.poll_event() {
            self.events.push(event);
        }
        for index in 0..self.clients.len() {
            let path = self.paths[index];
            while let Some(contents) = self.clients[index].outbox.pop_front() {
                if self.clients[index].is_gone || self.is_lost(path.loss_up) {
                    continue;
                }
                if path.silences_feedback && is_rtcp(&contents) {
                    continue;
                }
                let source = self.clients[index].address;
                let arrives = self.now + path.delay + self.lateness(path);
                self.put(arrives, Destination::Server, source, contents);
            }
        }
    }

    fn put(&mut self, arrives: Instant, to: Destination, source: SocketAddr, contents: Vec<u8>) {
        self.sent += 1;
        self.network.push(Reverse(InFlight {
            arrives,
            order: self.sent,
            to,
            source,
            contents,
        }));
    }

    fn is_lost(&mut self, per_mille: u64) -> bool {
        self.draw(1000) < per_mille
    }

    fn lateness(&mut self, path: Path) -> Duration {
        if path.late > 0 && self.is_lost(path.late) {
            LATENESS
        } else {
            Duration::ZERO
        }
    }

    /// A number below `end`.
    pub(crate) fn draw(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }
}

/// RFC 5761 §4.
fn is_rtcp(contents: &[u8]) -> bool {
    contents[0] & 0xc0 == 0x80 && (64..=95).contains(&(contents[1] & 0x7f))
}

pub(crate) fn participant(index: usize) -> ParticipantId {
    ParticipantId::new(0xc0de_0000 + index as u64)
}
