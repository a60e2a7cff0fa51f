//! Runs one bot: its way to the server, its UDP sockets, its clock.

use std::{
    cell::Cell,
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use socket2::SockRef;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::{sleep_until, timeout_at},
};

use crate::{
    bot::{Bot, BotConfig, BotEvent, BotOutput, Direction},
    impair::{Path, Way},
    live::{Counts, Losses},
    measure::{
        join::JoinTimes,
        totals::Measurement,
        wire::{RtpHeader, WireSummary, WireWatch},
    },
    media::stamp::MonotonicClock,
    target::{HttpRequest, Input, LegId, Milestone, Note},
};

pub use self::outcome::{DriveError, Outcome};
use self::{
    conversation::Conversation,
    links::{Links, Parcel},
    sockets::{LONGEST_READ, Sockets},
};

mod conversation;
mod farewell;
pub mod http;
mod links;
mod outcome;
pub mod server;
mod sockets;

/// How many datagrams are taken before others get their turn.
const BURST: usize = 64;

/// Members go over to the keys of a newcomer's epoch about a second after they have seen
/// it; until then the newcomer gets frames of an epoch from before its time. In a storm of
/// newcomers it takes a few, and such a frame is kept for one more before it is given up.
const NEWCOMER: Duration = Duration::from_secs(4);

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What all bots are to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Join, send, receive.
    Gather,
    /// Measure.
    Measure,
    /// Let what is on its way arrive; measure no longer.
    Settle,
    /// Leave.
    Leave,
}

/// What is known of all bots while they run.
#[derive(Debug, Default)]
pub struct Live {
    /// Bots in the call.
    pub joined: AtomicU64,
    /// What they did.
    pub counts: Counts,
    /// What they see.
    pub measurement: Arc<Measurement>,
    /// The ports of their UDP sockets.
    pub ports: Mutex<Vec<u16>>,
    /// What came over the wires of those that have left.
    pub wire: Mutex<WireSummary>,
}

/// A bot's turn to join. Held until it is in the call, or out of it for good.
#[derive(Debug)]
pub struct JoinTurn {
    /// One of a limited number; none when all may join at once.
    pub permits: Option<Arc<Semaphore>>,
    /// How long it may take.
    pub patience: Duration,
    /// Closes when every bot has had its turn.
    pub done: mpsc::Sender<()>,
}

/// A bot on its sockets.
struct Driver {
    bot: Bot,
    clock: MonotonicClock,
    local: IpAddr,
    sockets: Sockets,
    links: Links,
    wire: WireWatch,
    losses: Losses,
    /// When its address changed, until media comes again.
    roamed: Option<Instant>,
    conversation: Conversation,
    unsent: VecDeque<Message>,
    started: Instant,
    live: Arc<Live>,
    outcome: Outcome,
}

/// Whether a bot goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Stay,
    Leave,
}

/// To the server.
enum Message {
    Text(String),
    Http(HttpRequest),
}

/// Runs a bot until the phase is [`Phase::Leave`], it is told to leave, or it fails.
pub async fn run(
    config: BotConfig,
    path: Path,
    mut phase: watch::Receiver<Phase>,
    mut directions: mpsc::UnboundedReceiver<Direction>,
    turn: JoinTurn,
    receive_offload: bool,
    live: Arc<Live>,
) -> Outcome {
    let JoinTurn {
        permits,
        patience,
        done,
    } = turn;
    let nothing = Outcome::new(&live, Instant::now(), config.seat.view.size);
    let failed = |failure| Outcome {
        failure: Some(failure),
        ..nothing
    };
    let permit = match &permits {
        // The permits are withdrawn when the run ends before everyone is in.
        Some(permits) => match permits.acquire().await {
            Ok(permit) => Some(permit),
            Err(_) => return failed(DriveError::Stopped),
        },
        None => None,
    };
    let deadline = tokio::time::Instant::now() + patience;
    let too_slow = |_| DriveError::TooSlow(patience);
    let connecting = Driver::connect(config, path, receive_offload, live.clone());
    let connected = timeout_at(deadline, connecting).await.map_err(too_slow);
    let joined = match connected.flatten() {
        Ok(mut driver) => {
            let joining = driver.join(&mut phase, &mut directions);
            match timeout_at(deadline, joining)
                .await
                .map_err(too_slow)
                .flatten()
            {
                Ok(()) => Ok(driver),
                Err(failure) => Err((failure, Some(driver))),
            }
        }
        Err(failure) => Err((failure, None)),
    };
    match &joined {
        Ok(_) => {
            live.joined.fetch_add(1, Ordering::Relaxed);
            live.counts.joined();
        }
        Err(_) => live.counts.failed(),
    }
    // Whoever waits for the last turn reads the count next.
    drop((permit, done));
    match joined {
        Ok(driver) => driver.stay(phase, &mut directions).await,
        Err((failure, driver)) => {
            if let Some(mut driver) = driver {
                driver.clean_up().await;
            }
            failed(failure)
        }
    }
}

impl Driver {
    async fn connect(
        config: BotConfig,
        path: Path,
        receive_offload: bool,
        live: Arc<Live>,
    ) -> Result<Self, DriveError> {
        let started = Instant::now();
        let (target, clock) = (&config.target, config.craft.clock);
        // The address that reaches the server's front door also reaches its media port.
        let (conversation, local) = Conversation::open(
            target.server(),
            &target.transport(),
            path.household.as_deref(),
        )
        .await?;
        let mut outcome = Outcome::new(&live, started, config.seat.view.size);
        let mut bot = Bot::new(config, started)?;
        let now = Instant::now();
        outcome.join.began = Some(started);
        JoinTimes::reach(&mut outcome.join.connected, now - started);
        bot.opened(now)?;
        Ok(Self {
            bot,
            clock,
            local,
            sockets: Sockets::new(path.household.clone(), receive_offload),
            links: Links::new(path),
            wire: WireWatch::default(),
            losses: Losses::new(now),
            roamed: None,
            conversation,
            unsent: VecDeque::new(),
            started,
            live,
            outcome,
        })
    }

    /// Goes on until it is in the call.
    async fn join(
        &mut self,
        phase: &mut watch::Receiver<Phase>,
        directions: &mut mpsc::UnboundedReceiver<Direction>,
    ) -> Result<(), DriveError> {
        while self.outcome.join.in_call.is_none() {
            let ends = *phase.borrow() == Phase::Leave;
            if ends || self.step(phase, directions).await? == Step::Leave {
                return Err(DriveError::Stopped);
            }
        }
        Ok(())
    }

    /// Takes part until the end.
    async fn stay(
        mut self,
        mut phase: watch::Receiver<Phase>,
        directions: &mut mpsc::UnboundedReceiver<Direction>,
    ) -> Outcome {
        self.links.begin_window();
        let stay = async {
            while *phase.borrow() != Phase::Leave
                && self.step(&mut phase, directions).await? == Step::Stay
            {}
            Ok(())
        };
        let stayed = stay.await;
        self.links.end_window(Instant::now());
        self.outcome.leaves(Instant::now());
        self.outcome.failure = match stayed {
            Ok(()) => self.leave().await.err(),
            Err(failure) => {
                self.clean_up().await;
                Some(failure)
            }
        };
        self.live.counts.left();
        let Self {
            bot,
            links,
            wire,
            roamed,
            live,
            mut outcome,
            ..
        } = self;
        live.joined.fetch_sub(1, Ordering::Relaxed);
        outcome.tally.packets_lost = bot.packets_lost();
        outcome.wire = wire.summary();
        if let Ok(mut sum) = live.wire.lock() {
            sum.add(&outcome.wire);
        }
        outcome.uplink = links.counts(Way::Up);
        outcome.downlink = links.counts(Way::Down);
        outcome.downlink_use = links.downlink_use();
        outcome.roamed_into_silence = roamed.is_some();
        outcome
    }

    fn follow(&mut self, direction: Direction) -> Result<Step, DriveError> {
        let now = Instant::now();
        match direction {
            Direction::Publish(sources) => self.bot.publish(now, sources)?,
            Direction::Look(view) => {
                self.outcome.tally.wishes(now, view.size);
                self.bot.look(now, view)?;
            }
            Direction::Roam => self.roam()?,
            Direction::Leave => return Ok(Step::Leave),
        }
        Ok(Step::Stay)
    }

    /// Goes on from other ports, in a household from another address. What was on its way
    /// to the old ones is lost.
    fn roam(&mut self) -> Result<(), DriveError> {
        self.local = self.sockets.elsewhere(self.local);
        self.links.sever();
        self.outcome.roams += 1;
        if self.wire.summary().media().received > 0 {
            self.roamed = Some(Instant::now());
        }
        for leg in self.sockets.legs() {
            self.open_socket(leg)?;
        }
        Ok(())
    }

    fn open_socket(&mut self, leg: LegId) -> Result<SocketAddr, DriveError> {
        let address = self
            .sockets
            .open(leg, self.local)
            .map_err(DriveError::Socket)?;
        if let Ok(mut ports) = self.live.ports.lock() {
            ports.push(address.port());
        }
        Ok(address)
    }

    /// Waits for one thing to happen and handles it.
    async fn step(
        &mut self,
        phase: &mut watch::Receiver<Phase>,
        directions: &mut mpsc::UnboundedReceiver<Direction>,
    ) -> Result<Step, DriveError> {
        self.flush().await?;
        let due = [self.bot.poll_timeout(), self.links.poll_timeout()]
            .into_iter()
            .flatten()
            .min();
        let timeout = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = phase.changed() => match *phase.borrow_and_update() {
                Phase::Gather | Phase::Measure => self.links.begin_window(),
                Phase::Settle | Phase::Leave => self.links.end_window(Instant::now()),
            },
            Some(direction) = directions.recv() => return self.follow(direction),
            () = timeout => {
                self.carry()?;
                let now = Instant::now();
                self.outcome.tally.turn(now);
                self.bot.handle_timeout(now)?;
            }
            ready = self.sockets.readable() => {
                let leg = ready.map_err(DriveError::Socket)?;
                self.receive(leg)?;
            }
            heard = self.conversation.hear() => {
                let now = Instant::now();
                match heard? {
                    Input::Text(text) => self.bot.handle_text(now, text)?,
                    Input::Timeout => {}
                    response => self.bot.handle_response(now, response)?,
                }
            }
        }
        Ok(Step::Stay)
    }

    fn receive(&mut self, leg: LegId) -> Result<(), DriveError> {
        // Cleared once for each thread, not for each read.
        let mut buffer = BUFFER.take();
        buffer.resize(LONGEST_READ, 0);
        let received = self.receive_into(leg, &mut buffer);
        BUFFER.set(buffer);
        received
    }

    fn receive_into(&mut self, leg: LegId, buffer: &mut [u8]) -> Result<(), DriveError> {
        for _ in 0..BURST {
            let Some(read) = self.sockets.read(leg, buffer) else {
                break;
            };
            match read {
                Ok(read) => {
                    for datagram in buffer[..read.len].chunks(read.each.max(1)) {
                        self.arrive(leg, read.from, datagram)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Answers something sent earlier that nobody took; ICE copes.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(DriveError::Socket(error)),
            }
        }
        self.outcome.tally.packets_lost = self.bot.packets_lost();
        Ok(())
    }

    /// Takes a datagram from the network: to the bot, or onto the way that it has yet to go.
    fn arrive(&mut self, leg: LegId, from: SocketAddr, datagram: &[u8]) -> Result<(), DriveError> {
        if !self.links.has(Way::Down) {
            return self.deliver(leg, from, datagram);
        }
        let parcel = Parcel {
            leg,
            peer: from,
            datagram: datagram.to_vec(),
        };
        self.links.push(Instant::now(), Way::Down, parcel);
        self.carry()
    }

    /// Gives the bot what its links have brought to it, and sends what they have brought
    /// to its sockets.
    fn carry(&mut self) -> Result<(), DriveError> {
        while let Some(parcel) = self.links.poll(Instant::now(), Way::Down) {
            self.deliver(parcel.leg, parcel.peer, &parcel.datagram)?;
        }
        while let Some(parcel) = self.links.poll(Instant::now(), Way::Up) {
            self.send(parcel.leg, parcel.peer, &parcel.datagram)?;
        }
        Ok(())
    }

    /// Gives the bot a datagram that has come all the way.
    fn deliver(&mut self, leg: LegId, from: SocketAddr, datagram: &[u8]) -> Result<(), DriveError> {
        let now = Instant::now();
        let bot = &self.bot;
        self.wire
            .datagram(now, datagram, |payload_type| bot.meaning(leg, payload_type));
        if RtpHeader::read(datagram).is_some() {
            self.links.media_begins(now);
            let gap = self.roamed.take().map(|roamed| now - roamed);
            self.outcome.roam_gaps.extend(gap);
        }
        self.bot.handle_datagram(now, leg, from, datagram)?;
        let bot = &self.bot;
        self.losses.tell(now, &self.live.counts, || {
            let lost = bot.packets_lost();
            lost.audio + lost.video
        });
        self.drain()
    }

    /// Sends what the bot wants sent.
    async fn flush(&mut self) -> Result<(), DriveError> {
        self.drain()?;
        while let Some(message) = self.unsent.pop_front() {
            match message {
                Message::Text(text) => self.conversation.say(text).await?,
                Message::Http(request) => self.conversation.request(request),
            }
        }
        Ok(())
    }

    /// Sends the bot's datagrams, notes its events, keeps its messages for [`Self::flush`].
    fn drain(&mut self) -> Result<(), DriveError> {
        while let Some(output) = self.bot.poll() {
            match output {
                BotOutput::Text(text) => self.unsent.push_back(Message::Text(text)),
                BotOutput::Http(request) => self.unsent.push_back(Message::Http(request)),
                BotOutput::OpenSocket(leg) => {
                    let address = self.open_socket(leg)?;
                    self.bot.socket_opened(Instant::now(), leg, address)?;
                }
                BotOutput::CloseSocket(leg) => self.sockets.close(leg),
                BotOutput::Transmit { leg, to, datagram } => self.transmit(leg, to, datagram)?,
                BotOutput::Event(event) => self.note(event),
            }
        }
        Ok(())
    }

    fn transmit(
        &mut self,
        leg: LegId,
        to: SocketAddr,
        datagram: Vec<u8>,
    ) -> Result<(), DriveError> {
        if !self.links.has(Way::Up) {
            return self.send(leg, to, &datagram);
        }
        let now = Instant::now();
        let peer = to;
        let parcel = Parcel {
            leg,
            peer,
            datagram,
        };
        self.links.push(now, Way::Up, parcel);
        while let Some(parcel) = self.links.poll(now, Way::Up) {
            self.send(parcel.leg, parcel.peer, &parcel.datagram)?;
        }
        Ok(())
    }

    fn send(&mut self, leg: LegId, to: SocketAddr, datagram: &[u8]) -> Result<(), DriveError> {
        let Some(socket) = self.sockets.get(leg) else {
            return Ok(());
        };
        // Past the runtime, which takes a socket for full until it has looked at it once.
        match SockRef::from(socket).send_to(datagram, &to.into()) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.outcome.datagrams_not_sent += 1;
                Ok(())
            }
            // ICE tries addresses that may not be reachable from here.
            Err(_) if self.outcome.join.in_call.is_none() => Ok(()),
            Err(error) => Err(DriveError::Socket(error)),
        }
    }

    fn note(&mut self, event: BotEvent) {
        let now = Instant::now();
        let after = now - self.started;
        let outcome = &mut self.outcome;
        let join = &mut outcome.join;
        match event {
            BotEvent::Note(Note::Reached(milestone)) => {
                let step = match milestone {
                    Milestone::Admitted => &mut join.admitted,
                    Milestone::InGroup => &mut join.in_group,
                    Milestone::InCall => {
                        outcome.in_call_at.get_or_insert(now);
                        &mut join.in_call
                    }
                };
                JoinTimes::reach(step, after);
            }
            BotEvent::Note(Note::Roster(members)) => {
                outcome.members = members.len();
                outcome.tally.roster(&members);
            }
            BotEvent::Note(Note::Epoch(epoch)) => outcome.tally.epoch(now, epoch),
            // Where it is received, another event tells of it.
            BotEvent::Note(Note::Interrupted { .. }) => {}
            BotEvent::Interrupted(stream) => outcome.tally.interrupted(now, stream),
            BotEvent::KeyFrameWanted => outcome.tally.key_frames_wanted += 1,
            BotEvent::KeyFrameAsked => outcome.tally.key_frames_asked += 1,
            BotEvent::Note(Note::CommitRefused) => outcome.commits_refused += 1,
            BotEvent::Note(Note::StrangerRefused) => outcome.strangers_refused += 1,
            BotEvent::IceConnected => JoinTimes::reach(&mut join.ice, after),
            BotEvent::MediaConnected => JoinTimes::reach(&mut join.media, after),
            BotEvent::ChannelOpen => JoinTimes::reach(&mut join.channel, after),
            BotEvent::Sent(sent) => {
                outcome.tally.sent(now, &sent);
                self.live.counts.sent(sent.late);
            }
            BotEvent::Packet { payload, .. } => {
                outcome.tally.packet(now, payload);
                self.live.counts.packet(payload);
            }
            BotEvent::Opened(opened) => {
                let age = opened.stamp.map(|stamp| self.clock.age(stamp, now));
                outcome.tally.opened(now, &opened, age);
                let latency = age.map(|age| age.from_schedule);
                self.live.counts.opened(opened.stream.is_video(), latency);
                if !opened.stream.is_video() {
                    JoinTimes::reach(&mut join.first_sound, after);
                } else if opened.is_key_frame || join.first_picture.is_some() {
                    JoinTimes::reach(&mut join.first_picture, after);
                }
            }
            BotEvent::Unopened(error) => {
                let is_new = outcome
                    .in_call_at
                    .is_none_or(|since| now.saturating_duration_since(since) < NEWCOMER);
                outcome.tally.unopened(now, error, is_new);
                self.live.counts.unopened(error);
            }
        }
    }
}
