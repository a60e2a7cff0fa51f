//! The shard's way to the world: one UDP socket, TCP connections for those whom UDP does
//! not reach, one thread, one loop.

mod egress;
pub(crate) mod framing;
mod listener;
mod relays;
mod sockets;
mod tcp;

use std::{
    array,
    collections::VecDeque,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use conclave_protocol::{ParticipantId, RoomId};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    io::Interest,
    net::UdpSocket,
    sync::{mpsc, oneshot, watch},
    time,
};

pub use self::sockets::{Offload, offload};
pub(crate) use self::{
    listener::{Caller, listen},
    relays::Relays,
    sockets::{Sockets, open},
    tcp::ConnectionEnd,
};

use self::{
    egress::{Egress, Route},
    tcp::{Connections, Heard},
};
use crate::{
    Candidates, ConnectError, DropReason, Negotiated, SfuEvent, Transport,
    metrics::{ConnectionMetrics, WorkerMetrics},
    shard::{Datagram, Inspection, Relay, Shard, ShardId},
};

/// Each buffer holds what the kernel may put together out of one sender's datagrams.
const BUFFER: usize = 65_536;

/// After so many reads other things get their turn.
const MOST_READS: usize = 16;

/// After so many commands other things get their turn.
const MOST_COMMANDS: usize = 64;

/// After so many relays other things get their turn.
const MOST_RELAYS: usize = 256;

/// How long what another thread has no room for waits until it is tried again.
const RETRY: Duration = Duration::from_millis(1);

/// How many connections one media thread carries.
const MOST_PARTICIPANTS: usize = 10_000;

/// Reading the thread's CPU clock is a system call of its own.
const CPU_CLOCK_INTERVAL: Duration = Duration::from_millis(10);

/// What others ask of the media thread.
#[derive(Debug)]
pub(crate) enum Command {
    Admit {
        room: RoomId,
        participant: ParticipantId,
        negotiated: Box<Negotiated>,
        reply: oneshot::Sender<Result<(), ConnectError>>,
    },
    Remove(ParticipantId),
    Inspect {
        participant: ParticipantId,
        reply: oneshot::Sender<Option<Inspection>>,
    },
    Shutdown,
}

/// Why the loop goes round.
enum Woken {
    /// There is something to read, or something is due.
    Io,
    /// Someone wants something; none when nobody is left who could.
    Command(Option<Command>),
    /// Someone comes in over TCP.
    Caller(Caller),
    /// Someone who did says something.
    Heard(Heard),
    /// Another media thread says something.
    Relay(ShardId, Relay),
    NobodyListens,
    /// Another media thread has ended.
    Stopped,
}

/// What an endpoint is given and connected with.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) shard: Shard,
    pub(crate) candidates: Candidates,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) connections: ConnectionMetrics,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) callers: mpsc::Receiver<Caller>,
    pub(crate) events: mpsc::Sender<SfuEvent>,
    pub(crate) relays: Relays,
    /// Changes when any media thread has ended.
    pub(crate) stopped: watch::Receiver<()>,
}

/// The loop and all that it owns.
pub(crate) struct Endpoint {
    socket: UdpSocket,
    offload: UdpSocketState,
    is_ipv6: bool,
    port: u16,
    candidates: Candidates,
    shard: Shard,
    relays: Relays,
    connections: Connections,
    callers: mpsc::Receiver<Caller>,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<SfuEvent>,
    /// Events that the receiver has not made room for yet.
    untold: VecDeque<SfuEvent>,
    stopped: watch::Receiver<()>,
    metrics: WorkerMetrics,
    egress: Egress,
    buffers: Vec<u8>,
    cpu_read: Instant,
    cpu_time: f64,
    is_over: bool,
}

impl Endpoint {
    /// To be called within the runtime.
    pub(crate) fn new(socket: std::net::UdpSocket, wiring: Wiring) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let socket = UdpSocket::from_std(socket)?;
        let offload = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self {
            socket,
            offload,
            is_ipv6: address.is_ipv6(),
            port: address.port(),
            candidates: wiring.candidates,
            shard: wiring.shard,
            relays: wiring.relays,
            connections: Connections::new(wiring.connections),
            callers: wiring.callers,
            commands: wiring.commands,
            events: wiring.events,
            stopped: wiring.stopped,
            metrics: wiring.metrics,
            untold: VecDeque::new(),
            egress: Egress::default(),
            buffers: vec![0; BUFFER * BATCH_SIZE],
            cpu_read: Instant::now(),
            cpu_time: thread_cpu_seconds(),
            is_over: false,
        })
    }

    /// Runs until told to stop or until nobody is left to tell it anything.
    pub(crate) async fn run(mut self) {
        while !self.is_over {
            let retry = self.relays.is_waiting().then(|| Instant::now() + RETRY);
            let deadline = self.shard.poll_timeout().into_iter().chain(retry).min();
            let woken = tokio::select! {
                _ = self.socket.readable() => Woken::Io,
                command = self.commands.recv() => Woken::Command(command),
                Some(caller) = self.callers.recv() => Woken::Caller(caller),
                Some((from, relay)) = self.relays.receive() => Woken::Relay(from, relay),
                _ = self.stopped.changed() => Woken::Stopped,
                Some(heard) = self.connections.hear() => Woken::Heard(heard),
                () = sleep_until(deadline), if deadline.is_some() => Woken::Io,
                permit = self.events.reserve(), if !self.untold.is_empty() => {
                    if let (Ok(permit), Some(event)) = (permit, self.untold.pop_front()) {
                        permit.send(event);
                        Woken::Io
                    } else {
                        Woken::NobodyListens
                    }
                }
            };
            self.turn(woken);
            if !self.connections.is_empty() {
                // Under load there is always something to read, and no rest in which the
                // connections would get their turn.
                tokio::task::yield_now().await;
            }
        }
        self.shard.clear(Instant::now());
        self.transmit(None);
        self.connections.close().await;
        self.metrics.take(self.shard.counters());
        self.metrics.populate(self.shard.population());
    }

    /// Commands and datagrams in, whatever follows from them out.
    fn turn(&mut self, woken: Woken) {
        let started = Instant::now();
        let mut received = None;
        match woken {
            Woken::Io => {}
            Woken::Command(Some(command)) => self.obey(started, command),
            Woken::Command(None) => self.is_over = true,
            Woken::Caller(caller) => self.admit(started, caller),
            Woken::Heard(heard) => {
                received = Some(started);
                if self.connections.has(&heard) {
                    self.hear(started, &heard);
                }
            }
            Woken::Relay(from, relay) => {
                received = Some(started);
                self.shard.handle_relay(started, from, relay);
            }
            Woken::NobodyListens => self.untold.clear(),
            Woken::Stopped => self.is_over = true,
        }
        self.metrics.queue(self.relays.depth());
        for _ in 0..MOST_COMMANDS {
            match self.commands.try_recv() {
                Ok(command) => self.obey(started, command),
                Err(_) => break,
            }
        }
        for _ in 0..MOST_RELAYS {
            let Some((from, relay)) = self.relays.try_receive() else {
                break;
            };
            received = Some(started);
            self.shard.handle_relay(started, from, relay);
        }
        for _ in 0..MOST_READS {
            let Some(heard) = self.connections.try_hear() else {
                break;
            };
            received = Some(started);
            self.hear(started, &heard);
        }
        for _ in 0..MOST_READS {
            match self.receive() {
                Ok(at) => received = received.or(Some(at)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    tracing::warn!(%error, "cannot read from the media socket");
                    break;
                }
            }
        }
        self.shard.flush(Instant::now());
        self.relay();
        self.transmit(received);
        self.connections.settle();
        while let Some(remote) = self.shard.poll_hangup() {
            self.connections.hang_up(remote);
        }
        while let Some(event) = self.shard.poll_event() {
            self.untold.push_back(event);
        }
        self.metrics.take(self.shard.counters());
        self.metrics.populate(self.shard.population());
        self.account(started);
    }

    fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::Admit {
                room,
                participant,
                negotiated,
                reply,
            } => {
                let admitted = self.shard.has_place(MOST_PARTICIPANTS);
                if admitted {
                    self.shard.admit(now, room, participant, *negotiated);
                }
                let result = if admitted {
                    Ok(())
                } else {
                    Err(ConnectError::Full)
                };
                // Who no longer waits for the answer will disconnect.
                let _ = reply.send(result);
            }
            Command::Remove(participant) => self.shard.remove(now, participant),
            Command::Inspect { participant, reply } => {
                let _ = reply.send(self.shard.inspect(now, participant));
            }
            Command::Shutdown => self.is_over = true,
        }
    }

    fn admit(&mut self, now: Instant, caller: Caller) {
        match self.connections.admit(caller) {
            Ok(heard) => self.hear(now, &heard),
            Err(error) => tracing::warn!(%error, "a connection could not be taken over"),
        }
    }

    fn hear(&mut self, now: Instant, heard: &Heard) {
        let destination = self.candidates.of_destination(Some(heard.local));
        for contents in &heard.datagrams {
            self.shard.handle_datagram(
                now,
                Datagram {
                    transport: Transport::Tcp,
                    source: heard.remote,
                    destination,
                    contents,
                },
            );
        }
    }

    /// One read: up to a batch of buffers, each with up to 64 datagrams of one sender.
    fn receive(&mut self) -> io::Result<Instant> {
        let mut chunks = self.buffers.chunks_exact_mut(BUFFER);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let count = self.socket.try_io(Interest::READABLE, || {
            self.offload
                .recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)
        })?;
        let now = Instant::now();
        for (meta, slice) in metas.iter().zip(&slices).take(count) {
            let source = canonical(meta.addr);
            let destination = self.candidates.of_destination(meta.dst_ip);
            let contents = &slice[..meta.len.min(slice.len())];
            for datagram in contents.chunks(meta.stride.max(1)) {
                self.shard.handle_datagram(
                    now,
                    Datagram {
                        transport: Transport::Udp,
                        source,
                        destination,
                        contents: datagram,
                    },
                );
            }
        }
        Ok(now)
    }

    fn relay(&mut self) {
        self.relays.retry();
        while let Some((to, relay)) = self.shard.poll_relay() {
            let lost = self.relays.send(to, relay);
            let counters = self.shard.counters();
            counters.drop_many(DropReason::BusyWorker, lost);
        }
    }

    fn transmit(&mut self, received: Option<Instant>) {
        let most = self.offload.max_gso_segments();
        while let Some(transmit) = self.shard.poll_transmit() {
            if Transport::from(transmit.proto) == Transport::Tcp {
                let sent = self
                    .connections
                    .send(transmit.destination, transmit.contents.into());
                if let Err(reason) = sent {
                    self.shard.counters().drop_one(reason);
                }
                continue;
            }
            let route = Route {
                destination: self.on_socket(transmit.destination),
                source: self.candidates.source_of(transmit.source),
            };
            if !self.egress.fits(route, transmit.contents.len(), most) {
                self.send_batch(received);
            }
            self.egress.push(route, &transmit.contents);
        }
        self.send_batch(received);
    }

    fn send_batch(&mut self, received: Option<Instant>) {
        let sent = self.egress.flush(|batch| {
            let transmit = quinn_udp::Transmit {
                destination: batch.route.destination,
                ecn: None,
                contents: batch.bytes,
                segment_size: (batch.count > 1).then_some(batch.segment),
                src_ip: batch.route.source,
            };
            self.offload
                .try_send(UdpSockRef::from(&self.socket), &transmit)
        });
        let Some((count, result)) = sent else {
            return;
        };
        #[allow(clippy::cast_precision_loss)]
        self.metrics.batch.observe(count as f64);
        if let Some(received) = received {
            self.metrics
                .latency
                .observe(received.elapsed().as_secs_f64());
        }
        if let Err(error) = result {
            // Repaired by retransmission, as any loss.
            tracing::debug!(%error, count, "datagrams not sent");
            let counters = self.shard.counters();
            counters.drop_many(DropReason::NotSent, count);
        }
    }

    /// An IPv6 socket reaches IPv4 through mapped addresses (RFC 4291 §2.5.5.2).
    fn on_socket(&self, destination: SocketAddr) -> SocketAddr {
        match destination.ip() {
            IpAddr::V4(v4) if self.is_ipv6 => {
                SocketAddr::new(v4.to_ipv6_mapped().into(), destination.port())
            }
            _ => destination,
        }
    }

    fn account(&mut self, started: Instant) {
        let now = Instant::now();
        let busy = now.saturating_duration_since(started).as_secs_f64();
        let mut cpu = 0.0;
        if now.saturating_duration_since(self.cpu_read) >= CPU_CLOCK_INTERVAL {
            let read = thread_cpu_seconds();
            cpu = read - self.cpu_time;
            self.cpu_time = read;
            self.cpu_read = now;
        }
        self.metrics.worked(busy, cpu);
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("port", &self.port)
            .finish()
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        time::sleep_until(deadline.into()).await;
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[allow(clippy::cast_precision_loss)]
fn thread_cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
