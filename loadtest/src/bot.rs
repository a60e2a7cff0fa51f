//! One bot: a member of the call with keys of its own, as a browser is. Sans-IO: it takes
//! signalling, datagrams and time, and gives signalling, datagrams and events.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Instant};

use conclave_e2ee::{
    FrameOpener, Instant as SessionTime, InvalidName, LinkSecret, Member, Membership, OpenError,
    Output as SessionOutput,
};
use conclave_protocol::{
    RoomId,
    control::{ControlNotice, ControlRequest, PixelSize, Publication, VideoWish},
    signal::{ClientMessage, ErrorCode, ServerMessage, Source},
};

use crate::{
    peer::{Layout, Peer, PeerError, PeerOutput},
    publish::{Origins, Publisher, Recordings, Sabotage},
    receive::Receiver,
    seal::CountingSealer,
    stamp::MonotonicClock,
    tally::{Opened, Sent},
};

/// What a bot is to do.
#[derive(Debug, Clone)]
pub struct BotConfig {
    /// Which room.
    pub room: RoomId,
    /// The room's secret.
    pub secret: LinkSecret,
    /// The bot's name in the call.
    pub name: String,
    /// What it plays, if it publishes.
    pub recordings: Option<Arc<Recordings>>,
    /// What it can take.
    pub slots: Vec<Source>,
    /// How its stamps are made.
    pub clock: MonotonicClock,
    /// Deliberate damage.
    pub sabotage: Sabotage,
}

/// Why a bot is out of the call.
#[derive(Debug, thiserror::Error)]
pub enum BotFailure {
    /// The media connection broke.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The SFU closed the media connection.
    #[error("the SFU closed the media connection")]
    MediaClosed,
    /// The name cannot be shown in a call.
    #[error("{0}")]
    Name(#[from] InvalidName),
    /// The group session broke.
    #[error("the group session failed: {0}")]
    Session(String),
    /// The server sent the bot away.
    #[error("the server said {code:?}: {detail}")]
    Refused {
        /// For programs.
        code: ErrorCode,
        /// For people.
        detail: String,
    },
    /// A frame could not be sealed.
    #[error("a frame could not be sealed: {0}")]
    Seal(#[from] conclave_e2ee::SealError),
    /// The system gave no random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// What happened to a bot.
#[derive(Debug)]
pub enum BotEvent {
    /// It has the group's keys, its media connection and its control channel.
    Ready,
    /// Who is in the group.
    Roster(Vec<Member>),
    /// It sent a frame.
    Sent(Sent),
    /// A media packet came, with so many bytes of payload.
    Packet(usize),
    /// It opened a frame.
    Opened(Opened),
    /// It could not open a frame.
    Unopened(OpenError),
    /// A commit was refused in this group.
    CommitRefused,
    /// Someone without the secret was turned away.
    StrangerRefused,
}

/// What comes out of a bot.
#[derive(Debug)]
pub enum BotOutput {
    /// To the server, over the WebSocket.
    Signal(ClientMessage),
    /// To the SFU.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// What.
        datagram: Vec<u8>,
    },
    /// To whoever watches.
    Event(BotEvent),
}

/// What a bot still waits for before it is [`BotEvent::Ready`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    in_group: bool,
    media: bool,
    control: bool,
    told: bool,
}

/// One bot.
pub struct Bot {
    config: BotConfig,
    started: Instant,
    membership: Membership,
    peer: Peer,
    offer: Option<ClientMessage>,
    sealer: CountingSealer,
    opener: FrameOpener,
    receiver: Receiver,
    publisher: Option<Publisher>,
    /// What the others publish, the first to publish first.
    published: Vec<Publication>,
    progress: Progress,
    output: VecDeque<BotOutput>,
}

impl Bot {
    /// A bot that is about to join, receiving media at a local address.
    pub fn new(config: BotConfig, local: SocketAddr, now: Instant) -> Result<Self, BotFailure> {
        let name = config.name.parse()?;
        let membership = Membership::new(config.room.clone(), &config.secret, name);
        let tracks = match config.recordings {
            Some(_) => Recordings::TRACKS.to_vec(),
            None => Vec::new(),
        };
        let layout = Layout {
            tracks,
            slots: config.slots.clone(),
        };
        let (peer, offer) = Peer::offer(&layout, local, now)?;
        let join = membership.join_message();
        let mut bot = Self {
            config,
            started: now,
            membership,
            peer,
            offer: Some(offer),
            sealer: CountingSealer::default(),
            opener: FrameOpener::new(),
            receiver: Receiver::default(),
            publisher: None,
            published: Vec::new(),
            progress: Progress::default(),
            output: VecDeque::new(),
        };
        bot.output.push_back(BotOutput::Signal(join));
        bot.drain(now)?;
        Ok(bot)
    }

    /// Takes a message of the server.
    pub fn handle_signal(
        &mut self,
        now: Instant,
        message: ServerMessage,
    ) -> Result<(), BotFailure> {
        match &message {
            ServerMessage::Joined { .. } => {
                self.output.extend(self.offer.take().map(BotOutput::Signal));
            }
            ServerMessage::Answer { sdp } => self.peer.accept_answer(now, sdp)?,
            ServerMessage::Error { code, detail } if ends_the_stay(*code) => {
                return Err(BotFailure::Refused {
                    code: *code,
                    detail: detail.clone(),
                });
            }
            ServerMessage::StrangerRefused {} => self.event(BotEvent::StrangerRefused),
            _ => {}
        }
        let time = self.session_time(now);
        self.membership.handle(time, message);
        self.drain(now)
    }

    /// Takes a datagram.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), BotFailure> {
        self.peer.handle_datagram(now, from, datagram)?;
        self.drain(now)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), BotFailure> {
        let session_time = self.session_time(now);
        if self
            .membership
            .poll_timeout()
            .is_some_and(|at| at <= session_time)
        {
            self.membership.handle_timeout(session_time);
        }
        if let Some(publisher) = &mut self.publisher {
            let (packets, sent) = publisher.play(now, &mut self.sealer)?;
            if !packets.is_empty() {
                self.peer.send(now, packets)?;
            }
            for sent in sent {
                self.event(BotEvent::Sent(sent));
            }
        }
        if self.peer.poll_timeout() <= now {
            self.peer.handle_timeout(now)?;
        }
        self.drain(now)
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Instant {
        let session = self
            .membership
            .poll_timeout()
            .map(|at| self.started + at.elapsed());
        let publisher = self.publisher.as_ref().map(Publisher::next_at);
        [session, publisher]
            .into_iter()
            .flatten()
            .fold(self.peer.poll_timeout(), Instant::min)
    }

    /// What came out, the oldest first.
    pub fn poll(&mut self) -> Option<BotOutput> {
        self.output.pop_front()
    }

    /// Packets that never came.
    pub fn packets_lost(&self) -> u64 {
        self.receiver.lost()
    }

    /// Leaves the call.
    pub fn leave(&mut self, now: Instant) -> Result<(), BotFailure> {
        self.publisher = None;
        self.output
            .push_back(BotOutput::Signal(ClientMessage::Leave {}));
        self.peer.close()?;
        self.drain(now)
    }

    fn session_time(&self, now: Instant) -> SessionTime {
        SessionTime::since_origin(now.saturating_duration_since(self.started))
    }

    fn event(&mut self, event: BotEvent) {
        self.output.push_back(BotOutput::Event(event));
    }

    fn drain(&mut self, now: Instant) -> Result<(), BotFailure> {
        while let Some(output) = self.membership.poll() {
            self.on_session(output)?;
        }
        while let Some(output) = self.peer.poll() {
            self.on_peer(output)?;
        }
        self.progress(now)
    }

    fn on_session(&mut self, output: SessionOutput) -> Result<(), BotFailure> {
        match output {
            SessionOutput::Send { message } => self.output.push_back(BotOutput::Signal(message)),
            SessionOutput::KeysReady {
                epoch,
                own_leaf,
                base_key,
            } => {
                self.sealer.install(epoch, own_leaf, &base_key);
                self.opener.install(epoch, &base_key);
            }
            SessionOutput::SealWith { epoch } => self.sealer.seal_with(epoch),
            SessionOutput::Forget { epoch } => {
                self.sealer.forget(epoch);
                self.opener.forget(epoch);
            }
            SessionOutput::Roster { members } => self.event(BotEvent::Roster(members)),
            SessionOutput::Joined => self.progress.in_group = true,
            SessionOutput::CommitRefused { .. } => self.event(BotEvent::CommitRefused),
            SessionOutput::Failed { reason } => {
                return Err(BotFailure::Session(reason));
            }
            _ => {}
        }
        Ok(())
    }

    fn on_peer(&mut self, output: PeerOutput) -> Result<(), BotFailure> {
        match output {
            PeerOutput::Transmit { to, datagram } => {
                self.output.push_back(BotOutput::Transmit { to, datagram });
            }
            PeerOutput::Connected => self.progress.media = true,
            PeerOutput::ControlOpen => {
                self.progress.control = true;
                if self.config.recordings.is_some() {
                    let sources = Recordings::TRACKS.to_vec();
                    self.peer.request(&ControlRequest::Publishing { sources })?;
                }
            }
            PeerOutput::Notice(notice) => self.on_notice(notice)?,
            PeerOutput::Packet(packet) => {
                self.event(BotEvent::Packet(packet.payload.len()));
                match self.receiver.handle(packet, &mut self.opener) {
                    Some(Ok(opened)) => self.event(BotEvent::Opened(opened)),
                    Some(Err(error)) => self.event(BotEvent::Unopened(error)),
                    None => {}
                }
            }
            PeerOutput::KeyFrameWanted(source) => {
                if let Some(publisher) = &mut self.publisher {
                    publisher.want_key_frame(source);
                }
            }
            PeerOutput::Closed => return Err(BotFailure::MediaClosed),
        }
        Ok(())
    }

    fn on_notice(&mut self, notice: ControlNotice) -> Result<(), BotFailure> {
        match notice {
            ControlNotice::Publications { participants } => self.published = participants,
            ControlNotice::PublicationsChanged { participants } => {
                for change in participants {
                    self.republish(change);
                }
            }
            _ => return Ok(()),
        }
        self.wish()
    }

    /// Takes what a participant publishes now in place of what it published before.
    fn republish(&mut self, change: Publication) {
        let place = self
            .published
            .iter()
            .position(|known| known.participant == change.participant);
        match place {
            Some(at) if change.sources.is_empty() => {
                self.published.remove(at);
            }
            Some(at) => self.published[at] = change,
            None if change.sources.is_empty() => {}
            None => self.published.push(change),
        }
    }

    /// Wishes for every video, as a client with room for all of them would.
    fn wish(&mut self) -> Result<(), BotFailure> {
        if self.config.slots.is_empty() {
            return Ok(());
        }
        let size = PixelSize {
            width: 640,
            height: 360,
        };
        let videos = self
            .published
            .iter()
            .flat_map(|publication| {
                let participant = publication.participant;
                let videos = publication.sources.iter().copied();
                videos
                    .filter(|source| source.is_video())
                    .map(move |source| VideoWish {
                        participant,
                        source,
                        size,
                        pinned: false,
                    })
            })
            .take(self.config.slots.len())
            .collect();
        self.peer.request(&ControlRequest::Wishes { videos })?;
        Ok(())
    }

    fn progress(&mut self, now: Instant) -> Result<(), BotFailure> {
        let Progress {
            in_group,
            media,
            control,
            told,
        } = self.progress;
        if !(in_group && media && control && self.sealer.is_ready()) || told {
            return Ok(());
        }
        self.progress.told = true;
        if let Some(recordings) = &self.config.recordings {
            self.publisher = Some(Publisher::new(
                recordings.clone(),
                Origins::random()?,
                self.config.clock,
                self.config.sabotage,
                now,
            ));
        }
        self.event(BotEvent::Ready);
        Ok(())
    }
}

/// True for the errors after which the server closes the connection or the bot can no
/// longer do its work.
const fn ends_the_stay(code: ErrorCode) -> bool {
    !matches!(code, ErrorCode::TooFast)
}
