//! A shard and its clients in one process, on a clock of their own. What the shard does is
//! timed; what the clients do is not.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use conclave_protocol::RoomId;
use conclave_sfu::{
    Candidates, Negotiator, Transport,
    shard::{Datagram, Shard},
};

use crate::{
    client::{Client, Publishes, Sections, participant},
    clock::SectionClock,
    video::Frame,
};

/// Every path takes this long in each direction.
const DELAY: Duration = Duration::from_millis(5);

/// A camera's frames, 30 a second, and packets of sound.
pub(crate) const FRAME_INTERVAL: Duration = Duration::from_micros(33_333);
pub(crate) const SOUND_INTERVAL: Duration = Duration::from_millis(20);

/// A frame of a camera without simulcast: with the sound about 180 packets a second.
pub(crate) const NOMINAL_FRAME: Frame = Frame::of(4);

/// The frames of a camera under heavy load: 3,000 packets a second.
pub(crate) const HEAVY_FRAME: Frame = Frame::of(6);
pub(crate) const HEAVY_INTERVAL: Duration = Duration::from_millis(2);

/// A publisher gets from the usual to the heavy load step by step: estimates of what a path
/// carries follow only so fast, and what they do not allow is paused.
pub(crate) const RAMP: Duration = Duration::from_secs(20);

/// The time between frames so long after the ramp began.
pub(crate) fn ramped(since: Duration) -> Duration {
    let part = (since.as_secs_f64() / RAMP.as_secs_f64()).min(1.0);
    let least = HEAVY_INTERVAL.as_secs_f64() / FRAME_INTERVAL.as_secs_f64();
    FRAME_INTERVAL.mul_f64(least.powf(part))
}

/// Nobody takes longer to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the SFU estimates what each subscriber's path carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Estimation {
    On,
    Off,
}

#[derive(Debug)]
struct Flight {
    arrives: Instant,
    client: usize,
    contents: Vec<u8>,
}

struct Publisher {
    client: usize,
    next_frame: Instant,
    next_sound: Instant,
}

pub(crate) struct Room {
    now: Instant,
    name: RoomId,
    shard: Shard,
    negotiator: Negotiator,
    clients: Vec<Client>,
    by_address: HashMap<SocketAddr, usize>,
    publishers: Vec<Publisher>,
    to_server: VecDeque<Flight>,
    to_clients: VecDeque<Flight>,
    /// The shard's datagrams of one turn, end to end, as an endpoint gathers them.
    outbox: Vec<u8>,
    ends: Vec<(SocketAddr, usize)>,
    clock: SectionClock,
    turn: usize,
    /// When the load began to grow.
    ramp: Option<Instant>,
}

fn server_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 3478))
}

impl Room {
    pub(crate) fn new(estimation: Estimation) -> Result<Self> {
        let candidates = Candidates::new(&[], server_address())?;
        let negotiator = Negotiator::new(candidates)?;
        Ok(Self {
            now: Instant::now(),
            name: "room".parse().context("a room's name")?,
            shard: Shard::new(),
            negotiator: match estimation {
                Estimation::On => negotiator,
                Estimation::Off => negotiator.without_estimation(),
            },
            clients: vec![],
            by_address: HashMap::new(),
            publishers: vec![],
            to_server: VecDeque::new(),
            to_clients: VecDeque::new(),
            outbox: vec![],
            ends: vec![],
            clock: SectionClock::new(),
            turn: 0,
            ramp: None,
        })
    }

    /// Takes people in and waits until they are connected.
    pub(crate) fn join(&mut self, count: usize, sections: Sections) -> Result<()> {
        for _ in 0..count {
            self.admit(sections)?;
        }
        let deadline = self.now + PATIENCE;
        while !self.clients.iter().all(Client::is_ready) {
            anyhow::ensure!(self.now < deadline, "not everyone got connected");
            self.run(Duration::from_millis(10))?;
        }
        Ok(())
    }

    /// Takes some more in, and lets so much time pass, in which they have to connect.
    pub(crate) fn join_within(
        &mut self,
        count: usize,
        sections: Sections,
        time: Duration,
    ) -> Result<()> {
        for _ in 0..count {
            self.admit(sections)?;
        }
        self.run(time)?;
        let ready = self.clients.iter().all(Client::is_ready);
        anyhow::ensure!(ready, "not connected within {time:?}");
        Ok(())
    }

    fn admit(&mut self, sections: Sections) -> Result<()> {
        let index = self.clients.len();
        let [high, low] = u16::try_from(index)?.to_be_bytes();
        let address = SocketAddr::from(([10, 1, high, low], 5000));
        let (mut client, offer) = Client::new(address, server_address(), sections, self.now)?;
        let mut negotiated = self.negotiator.negotiate(&offer, self.now)?;
        client.accept(&negotiated.take_answer().sdp)?;
        let (now, name) = (self.now, self.name.clone());
        self.clock
            .time(|| self.shard.admit(now, name, participant(index), negotiated));
        self.by_address.insert(address, index);
        self.clients.push(client);
        Ok(())
    }

    /// Everyone with a camera begins to send, not all at the same moment.
    pub(crate) fn begin_publishing(&mut self, sections: Sections) {
        if sections.publishes == Publishes::Nothing {
            return;
        }
        let known = self.publishers.len();
        let count = u32::try_from(self.clients.len() - known).unwrap_or(u32::MAX);
        for (i, client) in (known..self.clients.len()).enumerate() {
            let shift = FRAME_INTERVAL * u32::try_from(i).unwrap_or_default() / count;
            self.publishers.push(Publisher {
                client,
                next_frame: self.now + shift,
                next_sound: self.now + shift,
            });
        }
    }

    /// Everyone wants to see the next `count` people, this high.
    pub(crate) fn everyone_wishes(&mut self, count: usize, height: u16) -> Result<()> {
        let people = self.clients.len();
        for (index, client) in self.clients.iter_mut().enumerate() {
            let whose = (1..=count).map(|i| (index + i) % people);
            let mut send = uplink(&mut self.to_server, index, self.now);
            client.wish(self.now, whose, height, &mut send)?;
        }
        Ok(())
    }

    /// Lets time pass, with cameras and microphones as they are in calls.
    pub(crate) fn run(&mut self, time: Duration) -> Result<()> {
        let end = self.now + time;
        loop {
            let next = [
                self.to_server.front().map(|flight| flight.arrives),
                self.to_clients.front().map(|flight| flight.arrives),
                self.shard.poll_timeout(),
                self.clients.iter().map(|client| client.due).min(),
                self.publishers
                    .iter()
                    .map(|p| p.next_frame.min(p.next_sound))
                    .min(),
            ];
            let next = next.into_iter().flatten().min().unwrap_or(end);
            if next > end {
                self.now = end;
                return Ok(());
            }
            self.now = self.now.max(next);
            self.publish()?;
            self.drive_clients()?;
            self.server_turn();
        }
    }

    /// From now on publishers send more and more, up to the heavy load.
    pub(crate) fn begin_ramp(&mut self) {
        self.ramp = Some(self.now);
    }

    /// Hands the shard one frame after the other, the next as soon as it is done with the
    /// last: the clock moves by what the shard used.
    pub(crate) fn saturate(&mut self, frames: usize, frame: Frame) -> Result<()> {
        for _ in 0..frames {
            let publisher = self.turn % self.publishers.len();
            self.turn += 1;
            let client = self.publishers[publisher].client;
            let now = self.now;
            let mut burst = vec![];
            self.clients[client].send_frame(now, frame, &mut |contents| {
                burst.push(contents.to_vec());
            })?;
            // It is there already, before what is still under way.
            for contents in burst.into_iter().rev() {
                self.to_server.push_front(Flight {
                    arrives: now,
                    client,
                    contents,
                });
            }
            let took = self.server_turn();
            self.now += took;
            self.drive_clients()?;
        }
        // Cameras that would have sent in the meantime do not make up for it.
        for publisher in &mut self.publishers {
            publisher.next_frame = publisher.next_frame.max(self.now);
            publisher.next_sound = publisher.next_sound.max(self.now);
        }
        Ok(())
    }

    /// RTP packets forwarded so far.
    pub(crate) fn forwarded(&mut self) -> u64 {
        let forwarded = self.shard.counters().forwarded;
        forwarded.audio.packets + forwarded.video.packets
    }

    /// RTP packets that clients received so far.
    pub(crate) fn received(&self) -> u64 {
        self.clients.iter().map(|client| client.received).sum()
    }

    /// The shard's CPU time so far.
    pub(crate) fn work(&self) -> Duration {
        self.clock.total()
    }

    fn publish(&mut self) -> Result<()> {
        let (frame, interval) = match self.ramp {
            None => (NOMINAL_FRAME, FRAME_INTERVAL),
            Some(begin) => (HEAVY_FRAME, ramped(self.now - begin)),
        };
        for publisher in &mut self.publishers {
            let client = &mut self.clients[publisher.client];
            let mut send = uplink(&mut self.to_server, publisher.client, self.now);
            if publisher.next_frame <= self.now {
                publisher.next_frame += interval;
                client.send_frame(self.now, frame, &mut send)?;
            }
            if publisher.next_sound <= self.now {
                publisher.next_sound += SOUND_INTERVAL;
                client.send_sound(self.now, &mut send)?;
            }
        }
        Ok(())
    }

    fn drive_clients(&mut self) -> Result<()> {
        while let Some(flight) = self.to_clients.front() {
            if flight.arrives > self.now {
                break;
            }
            let Some(flight) = self.to_clients.pop_front() else {
                break;
            };
            let mut send = uplink(&mut self.to_server, flight.client, self.now);
            self.clients[flight.client].receive(self.now, &flight.contents, &mut send)?;
        }
        for (index, client) in self.clients.iter_mut().enumerate() {
            if client.due <= self.now {
                client.advance(self.now, &mut uplink(&mut self.to_server, index, self.now))?;
            }
        }
        Ok(())
    }

    /// Gives the shard what has arrived, in one go, and takes what it wants sent.
    fn server_turn(&mut self) -> Duration {
        let now = self.now;
        let arrived = self
            .to_server
            .iter()
            .take_while(|flight| flight.arrives <= now)
            .count();
        let is_due = self.shard.poll_timeout().is_some_and(|due| due <= now);
        if arrived == 0 && !is_due {
            return Duration::ZERO;
        }
        let arrivals: Vec<(SocketAddr, Vec<u8>)> = self
            .to_server
            .drain(..arrived)
            .map(|flight| (self.clients[flight.client].address, flight.contents))
            .collect();
        self.outbox.clear();
        self.ends.clear();
        let (shard, outbox, ends) = (&mut self.shard, &mut self.outbox, &mut self.ends);
        let ((), took) = self.clock.time(|| {
            for (source, contents) in &arrivals {
                shard.handle_datagram(
                    now,
                    Datagram {
                        transport: Transport::Udp,
                        source: *source,
                        destination: server_address(),
                        contents,
                    },
                );
            }
            shard.flush(now);
            while let Some(transmit) = shard.poll_transmit() {
                outbox.extend_from_slice(&transmit.contents);
                ends.push((transmit.destination, outbox.len()));
            }
        });
        while self.shard.poll_event().is_some() {}
        let mut begin = 0;
        for (destination, end) in &self.ends {
            if let Some(client) = self.by_address.get(destination) {
                self.to_clients.push_back(Flight {
                    arrives: now + DELAY,
                    client: *client,
                    contents: self.outbox[begin..*end].to_vec(),
                });
            }
            begin = *end;
        }
        took
    }
}

/// Takes what a client sends to the network.
fn uplink(
    network: &mut VecDeque<Flight>,
    client: usize,
    now: Instant,
) -> impl FnMut(&[u8]) + use<'_> {
    move |contents| {
        network.push_back(Flight {
            arrives: now + DELAY,
            client,
            contents: contents.to_vec(),
        });
    }
}
