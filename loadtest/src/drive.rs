//! Runs one bot: its WebSocket, its UDP socket, its clock.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use conclave_protocol::signal::{ClientMessage, ServerMessage};
use futures_util::{SinkExt as _, StreamExt as _};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpStream, UdpSocket},
    sync::{Semaphore, mpsc, watch},
    time::{sleep_until, timeout},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};
use tungstenite::Message;

use crate::{
    bot::{Bot, BotConfig, BotEvent, BotFailure, BotOutput},
    server::ServerAddress,
    stamp::MonotonicClock,
    tally::Tally,
};

/// How long connecting and joining may take.
const JOIN_PATIENCE: Duration = Duration::from_secs(60);
/// How many datagrams are taken before others get their turn.
const BURST: usize = 64;
/// Room for what comes while the bot waits for a core.
const RECEIVE_BUFFER: usize = 1 << 20;

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

/// Why a bot did not stay.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The server cannot be reached.
    #[error("the server cannot be reached: {0}")]
    Connect(io::Error),
    /// The WebSocket failed.
    #[error("the WebSocket failed: {0}")]
    WebSocket(Box<tungstenite::Error>),
    /// The server hung up.
    #[error("the server closed the connection")]
    Closed,
    /// The server said something that is not of the protocol.
    #[error("the server sent a message that is not of the protocol: {0}")]
    Protocol(serde_json::Error),
    /// The UDP socket failed.
    #[error("the UDP socket failed: {0}")]
    Socket(io::Error),
    /// The bot itself is out of the call.
    #[error(transparent)]
    Bot(#[from] BotFailure),
    /// The run ended first.
    #[error("the run was ended before it was in the call")]
    Stopped,
    /// Joining took too long.
    #[error("it was not in the call after {} s", JOIN_PATIENCE.as_secs())]
    TooSlow,
}

impl From<tungstenite::Error> for DriveError {
    fn from(error: tungstenite::Error) -> Self {
        Self::WebSocket(Box::new(error))
    }
}

/// What is known of all bots while they run.
#[derive(Debug, Default)]
pub struct Live {
    /// Bots in the call.
    pub joined: AtomicU64,
    /// Frames opened.
    pub opened: AtomicU64,
    /// The ports of their UDP sockets.
    pub ports: Mutex<Vec<u16>>,
}

/// A bot's turn to join. Held until it is in the call, or out of it for good.
#[derive(Debug)]
pub struct JoinTurn {
    /// One of a limited number.
    pub permits: Arc<Semaphore>,
    /// Closes when every bot has had its turn.
    pub done: mpsc::Sender<()>,
}

/// What a bot was in the end.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Its numbers.
    pub tally: Tally,
    /// From connecting to being in the call.
    pub join: Option<Duration>,
    /// From connecting to the first picture.
    pub first_picture: Option<Duration>,
    /// Members of the group when it left.
    pub members: usize,
    /// Commits refused.
    pub commits_refused: u64,
    /// Strangers turned away.
    pub strangers_refused: u64,
    /// Datagrams that the kernel did not take.
    pub datagrams_not_sent: u64,
    /// Why it did not stay until the end.
    pub failure: Option<DriveError>,
}

/// A bot on its sockets.
struct Driver {
    bot: Bot,
    clock: MonotonicClock,
    socket: UdpSocket,
    signal: WebSocketStream<TcpStream>,
    unsent: VecDeque<ClientMessage>,
    started: Instant,
    live: Arc<Live>,
    outcome: Outcome,
}

/// Runs a bot until the phase is [`Phase::Leave`] or it fails.
pub async fn run(
    server: &ServerAddress,
    config: BotConfig,
    mut phase: watch::Receiver<Phase>,
    turn: JoinTurn,
    live: Arc<Live>,
) -> Outcome {
    let failed = |failure| Outcome {
        failure: Some(failure),
        ..Outcome::default()
    };
    let JoinTurn { permits, done } = turn;
    // The permits are withdrawn when the run ends before everyone is in.
    let Ok(permit) = permits.acquire().await else {
        return failed(DriveError::Stopped);
    };
    let joining = async {
        let mut driver = Driver::connect(server, config, live).await?;
        while driver.outcome.join.is_none() {
            if *phase.borrow() == Phase::Leave {
                return Err(DriveError::Stopped);
            }
            driver.step(&mut phase).await?;
        }
        Ok(driver)
    };
    let joined = timeout(JOIN_PATIENCE, joining)
        .await
        .map_err(|_| DriveError::TooSlow)
        .flatten();
    if let Ok(driver) = &joined {
        driver.live.joined.fetch_add(1, Ordering::Relaxed);
    }
    // Whoever waits for the last turn reads the count next.
    drop((permit, done));
    match joined {
        Ok(driver) => driver.stay(phase).await,
        Err(failure) => failed(failure),
    }
}

impl Driver {
    async fn connect(
        server: &ServerAddress,
        config: BotConfig,
        live: Arc<Live>,
    ) -> Result<Self, DriveError> {
        let started = Instant::now();
        let stream = TcpStream::connect(server.host_and_port())
            .await
            .map_err(DriveError::Connect)?;
        stream.set_nodelay(true).map_err(DriveError::Connect)?;
        // The address that reaches the server's front door also reaches its media port.
        let local = stream.local_addr().map_err(DriveError::Connect)?.ip();
        let (signal, _) = client_async(server.websocket(), stream).await?;
        let socket = media_socket(local).map_err(DriveError::Socket)?;
        let address = socket.local_addr().map_err(DriveError::Socket)?;
        if let Ok(mut ports) = live.ports.lock() {
            ports.push(address.port());
        }
        let clock = config.clock;
        Ok(Self {
            bot: Bot::new(config, address, started)?,
            clock,
            socket,
            signal,
            unsent: VecDeque::new(),
            started,
            live,
            outcome: Outcome::default(),
        })
    }

    /// Takes part until the end.
    async fn stay(mut self, mut phase: watch::Receiver<Phase>) -> Outcome {
        self.outcome
            .tally
            .measure(*phase.borrow() == Phase::Measure);
        let stay = async {
            while *phase.borrow() != Phase::Leave {
                self.step(&mut phase).await?;
            }
            self.bot.leave(Instant::now())?;
            self.flush().await?;
            self.signal.close(None).await?;
            Ok(())
        };
        self.outcome.failure = stay.await.err();
        self.outcome.tally.packets_lost = self.bot.packets_lost();
        self.outcome
    }

    /// Waits for one thing to happen and handles it.
    async fn step(&mut self, phase: &mut watch::Receiver<Phase>) -> Result<(), DriveError> {
        self.flush().await?;
        tokio::select! {
            changed = phase.changed() => {
                let measuring = changed.is_ok() && *phase.borrow_and_update() == Phase::Measure;
                self.outcome.tally.measure(measuring);
            }
            () = sleep_until(self.bot.poll_timeout().into()) => {
                self.bot.handle_timeout(Instant::now())?;
            }
            ready = self.socket.readable() => {
                ready.map_err(DriveError::Socket)?;
                self.receive()?;
            }
            message = self.signal.next() => {
                let message = message.ok_or(DriveError::Closed)??;
                self.hear(&message)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), DriveError> {
        let mut buffer = [0; 2_048];
        for _ in 0..BURST {
            match self.socket.try_recv_from(&mut buffer) {
                Ok((len, from)) => {
                    self.bot
                        .handle_datagram(Instant::now(), from, &buffer[..len])?;
                    self.drain()?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Answers something sent earlier that nobody took; ICE copes.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(DriveError::Socket(error)),
            }
        }
        Ok(())
    }

    fn hear(&mut self, message: &Message) -> Result<(), DriveError> {
        match message {
            Message::Text(text) => {
                let message: ServerMessage =
                    serde_json::from_str(text).map_err(DriveError::Protocol)?;
                self.bot.handle_signal(Instant::now(), message)?;
                Ok(())
            }
            Message::Close(_) => Err(DriveError::Closed),
            _ => Ok(()),
        }
    }

    /// Sends what the bot wants sent.
    async fn flush(&mut self) -> Result<(), DriveError> {
        self.drain()?;
        while let Some(message) = self.unsent.pop_front() {
            let text = serde_json::to_string(&message).map_err(DriveError::Protocol)?;
            self.signal.send(Message::text(text)).await?;
        }
        Ok(())
    }

    /// Sends the bot's datagrams, notes its events, keeps its messages for [`Self::flush`].
    fn drain(&mut self) -> Result<(), DriveError> {
        while let Some(output) = self.bot.poll() {
            match output {
                BotOutput::Signal(message) => self.unsent.push_back(message),
                BotOutput::Transmit { to, datagram } => self.transmit(to, &datagram)?,
                BotOutput::Event(event) => self.note(event),
            }
        }
        Ok(())
    }

    fn transmit(&mut self, to: SocketAddr, datagram: &[u8]) -> Result<(), DriveError> {
        match self.socket.try_send_to(datagram, to) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.outcome.datagrams_not_sent += 1;
                Ok(())
            }
            // ICE tries addresses that may not be reachable from here.
            Err(_) if self.outcome.join.is_none() => Ok(()),
            Err(error) => Err(DriveError::Socket(error)),
        }
    }

    fn note(&mut self, event: BotEvent) {
        let now = Instant::now();
        let outcome = &mut self.outcome;
        match event {
            BotEvent::Ready => outcome.join = Some(now - self.started),
            BotEvent::Roster(members) => {
                outcome.members = members.len();
                outcome.tally.roster(&members);
            }
            BotEvent::Sent(sent) => outcome.tally.sent(&sent),
            BotEvent::Packet(payload) => outcome.tally.packet(payload),
            BotEvent::Opened(opened) => {
                let age = opened.stamp.map(|stamp| self.clock.age(stamp, now));
                outcome.tally.opened(&opened, age);
                self.live.opened.fetch_add(1, Ordering::Relaxed);
                if opened.stream.is_video() {
                    outcome.first_picture.get_or_insert(now - self.started);
                }
            }
            BotEvent::Unopened(error) => outcome.tally.unopened(error),
            BotEvent::CommitRefused => outcome.commits_refused += 1,
            BotEvent::StrangerRefused => outcome.strangers_refused += 1,
        }
    }
}

fn media_socket(local: IpAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address((local, 0).into()),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&SocketAddr::new(local, 0).into())?;
    UdpSocket::from_std(socket.into())
}
