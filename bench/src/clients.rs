//! The clients of a call over loopback, in a process and on a core of their own.

use std::{
    io::{self, BufRead as _, ErrorKind, IoSliceMut, Write as _},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::Result;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::event::{Timespec, epoll};

use crate::{
    client::{Client, Publishes, Sections},
    room::{FRAME_INTERVAL, HEAVY_FRAME, NOMINAL_FRAME, SOUND_INTERVAL, ramped},
    scenario::{Load, Scenario, Told},
    video::Frame,
};

const PATIENCE: Duration = Duration::from_secs(60);
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// A client and its socket.
struct Seat {
    client: Client,
    socket: UdpSocket,
    /// For those that send or receive several datagrams in one call.
    offload: Option<UdpSocketState>,
    next_frame: Instant,
    next_sound: Instant,
}

struct Clients {
    scenario: Scenario,
    server: SocketAddr,
    seats: Vec<Seat>,
    epoll: rustix::fd::OwnedFd,
    buffer: Vec<u8>,
    /// When the load began to grow.
    ramp: Option<Instant>,
}

/// Plays the clients; the server is at the other end of the pipes.
pub(crate) fn run(scenario: Scenario) -> Result<()> {
    let server = read_line()?.trim().parse()?;
    let mut clients = Clients {
        scenario,
        server,
        seats: vec![],
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        buffer: vec![0; 65_536],
        ramp: None,
    };
    for index in 0..clients.scenario.people {
        clients.join(index)?;
        clients.run_for(Duration::from_millis(1), Load::Idle)?;
    }
    let deadline = Instant::now() + PATIENCE;
    while !clients.seats.iter().all(|seat| seat.client.is_ready()) {
        anyhow::ensure!(Instant::now() < deadline, "not everyone got connected");
        clients.run_for(Duration::from_millis(20), Load::Idle)?;
    }
    if let Some(height) = clients.scenario.wished_height {
        clients.everyone_wishes(height)?;
    }
    let Scenario {
        load,
        warm_up,
        window,
        repetitions,
        ..
    } = clients.scenario;
    // Before saturation, estimates settle at what cameras send.
    let usual = if load == Load::Idle {
        load
    } else {
        Load::Paced
    };
    clients.run_for(warm_up, usual)?;
    clients.run_for(window / 2, load)?;
    for _ in 0..repetitions {
        tell(&Told::Begin)?;
        let before = clients.received();
        clients.run_for(window, load)?;
        let received = clients.received() - before;
        tell(&Told::End { received })?;
    }
    Ok(())
}

impl Clients {
    fn join(&mut self, index: usize) -> Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        // The system may give less.
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
        let publishes = index < self.scenario.publishers;
        let offload = (publishes || self.scenario.gro)
            .then(|| UdpSocketState::new(UdpSockRef::from(&socket)))
            .transpose()?;
        epoll::add(
            &self.epoll,
            &socket,
            epoll::EventData::new_u64(index as u64),
            epoll::EventFlags::IN,
        )?;
        let sections = Sections {
            publishes: match (publishes, self.scenario.simulcast) {
                (false, _) => Publishes::Nothing,
                (true, false) => Publishes::Camera,
                (true, true) => Publishes::Simulcast,
            },
            cameras: self.scenario.cameras,
        };
        let now = Instant::now();
        let (mut client, offer) = Client::new(socket.local_addr()?, self.server, sections, now)?;
        tell(&Told::Offer {
            index,
            sdp: offer.sdp,
            tracks: offer.tracks,
            slots: offer.slots,
        })?;
        let answer: String = serde_json::from_str(&read_line()?)?;
        client.accept(&answer)?;
        self.seats.push(Seat {
            client,
            socket,
            offload,
            next_frame: now,
            next_sound: now,
        });
        Ok(())
    }

    fn everyone_wishes(&mut self, height: u16) -> Result<()> {
        let (people, count) = (self.scenario.people, self.scenario.cameras);
        let (server, now) = (self.server, Instant::now());
        for (index, seat) in self.seats.iter_mut().enumerate() {
            let whose = (1..=count.min(people - 1)).map(|i| (index + i) % people);
            let socket = &seat.socket;
            let send = &mut |contents: &[u8]| send_one(socket, server, contents);
            seat.client.wish(now, whose, height, send)?;
        }
        Ok(())
    }

    fn received(&self) -> u64 {
        self.seats.iter().map(|seat| seat.client.received).sum()
    }

    fn run_for(&mut self, time: Duration, load: Load) -> Result<()> {
        let begin = Instant::now();
        self.begin(begin, load);
        let mut events = Vec::with_capacity(self.seats.len().max(1));
        loop {
            let now = Instant::now();
            if now >= begin + time {
                return Ok(());
            }
            self.publish(now, load)?;
            let mut next = begin + time;
            for seat in &mut self.seats {
                if seat.client.due <= now {
                    let (socket, server) = (&seat.socket, self.server);
                    let send = &mut |contents: &[u8]| send_one(socket, server, contents);
                    seat.client.advance(now, send)?;
                }
                next = next.min(seat.client.due);
            }
            for seat in &self.seats[..self.publishing(load)] {
                next = next.min(seat.next_frame).min(seat.next_sound);
            }
            let wait = next.saturating_duration_since(Instant::now());
            let wait = Timespec {
                tv_sec: i64::try_from(wait.as_secs())?,
                tv_nsec: i64::from(wait.subsec_nanos()),
            };
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&wait),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let index = usize::try_from(event.data.u64())?;
                self.receive(index)?;
            }
        }
    }

    fn publishing(&self, load: Load) -> usize {
        if load == Load::Idle {
            0
        } else {
            self.scenario.publishers
        }
    }

    fn begin(&mut self, now: Instant, load: Load) {
        if load == Load::Heavy {
            self.ramp.get_or_insert(now);
        }
        let publishing = self.publishing(load);
        for (index, seat) in self.seats[..publishing].iter_mut().enumerate() {
            // A window goes on where the last one ended.
            if now.saturating_duration_since(seat.next_frame) > FRAME_INTERVAL {
                let shift = FRAME_INTERVAL.mul_f64(index as f64 / publishing as f64);
                seat.next_frame = now + shift;
                seat.next_sound = now + shift;
            }
        }
    }

    fn publish(&mut self, now: Instant, load: Load) -> Result<()> {
        let (frame, interval) = match self.ramp {
            None => (NOMINAL_FRAME, FRAME_INTERVAL),
            Some(begin) => (HEAVY_FRAME, ramped(now - begin)),
        };
        let publishing = self.publishing(load);
        for seat in &mut self.seats[..publishing] {
            if seat.next_frame <= now {
                seat.next_frame += interval;
                seat.send_frame(now, self.server, frame)?;
            }
            if seat.next_sound <= now {
                seat.next_sound += SOUND_INTERVAL;
                let (socket, server) = (&seat.socket, self.server);
                let send = &mut |contents: &[u8]| send_one(socket, server, contents);
                seat.client.send_sound(now, send)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, index: usize) -> Result<()> {
        let seat = &mut self.seats[index];
        loop {
            let mut meta = [RecvMeta::default()];
            let read = match &seat.offload {
                Some(offload) => {
                    let mut slices = [IoSliceMut::new(&mut self.buffer)];
                    offload
                        .recv(UdpSockRef::from(&seat.socket), &mut slices, &mut meta)
                        .map(|_| (meta[0].len, meta[0].stride))
                }
                None => seat.socket.recv(&mut self.buffer).map(|n| (n, n)),
            };
            let (length, stride) = match read {
                Ok(read) => read,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            let now = Instant::now();
            let (socket, server) = (&seat.socket, self.server);
            let send = &mut |contents: &[u8]| send_one(socket, server, contents);
            for datagram in self.buffer[..length].chunks(stride.max(1)) {
                seat.client.receive(now, datagram, send)?;
            }
        }
    }
}

impl Seat {
    /// A frame leaves in one burst, as from an encoder, in as few calls as its lengths allow.
    fn send_frame(&mut self, now: Instant, server: SocketAddr, frame: Frame) -> Result<()> {
        let mut batch: Vec<u8> = vec![];
        let mut segment = 0;
        let (socket, offload) = (&self.socket, &self.offload);
        let flush = |batch: &mut Vec<u8>, segment: usize| {
            if let Some(offload) = offload
                && !batch.is_empty()
            {
                let transmit = Transmit {
                    destination: server,
                    ecn: None,
                    contents: batch,
                    segment_size: (batch.len() > segment).then_some(segment),
                    src_ip: None,
                };
                // What the system does not take is lost, as anywhere.
                let _ = offload.try_send(UdpSockRef::from(socket), &transmit);
                batch.clear();
            }
        };
        self.client.send_frame(now, frame, &mut |contents| {
            if contents.len() != segment {
                flush(&mut batch, segment);
                segment = contents.len();
            }
            batch.extend_from_slice(contents);
        })?;
        flush(&mut batch, segment);
        Ok(())
    }
}

fn send_one(socket: &UdpSocket, server: SocketAddr, contents: &[u8]) {
    // What the system does not take is lost, as anywhere.
    let _ = socket.send_to(contents, server);
}

fn tell(message: &Told) -> Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, message)?;
    stdout.write_all(b"\n")?;
    stdout.flush()?;
    Ok(())
}

fn read_line() -> Result<String> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line)?;
    anyhow::ensure!(read > 0, "the server is gone");
    Ok(line)
}
