//! One bot: a participant of the call as a browser is, on whatever server. Sans-IO: it
//! takes what the server says, datagrams and time, and gives messages, datagrams and
//! events.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use conclave_e2ee::{LeafIndex, OpenError};
use conclave_protocol::signal::Source;

use crate::{
    measure::{
        frame::{Opened, Sent},
        tally::LostPackets,
        wire::Meaning,
    },
    media::program::Program,
    target::{
        Action, HttpRequest, Input, KeyChange, LegId, Milestone, Note, Seat, Signalling,
        SignallingError, Target, View,
    },
};

use self::{
    peer::{Layout, Peer, PeerError, PeerOutput},
    publish::{Craft, Publisher},
    receive::Receiver,
    ring::KeyRing,
    seal::Frames,
};

pub mod early;
pub mod peer;
pub mod plain;
pub mod publish;
pub mod receive;
pub mod ring;
pub mod seal;

/// What a bot is to do.
#[derive(Debug, Clone)]
pub struct BotConfig {
    /// On which server, in which call.
    pub target: Target,
    /// Its place there.
    pub seat: Seat,
    /// What it plays on its tracks.
    pub programs: Vec<Program>,
    /// How it makes frames.
    pub craft: Craft,
    /// Where members put their keys for those who are none.
    pub ring: Arc<KeyRing>,
}

/// What a bot is told to do in the middle of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direction {
    /// Send these sources, and no others.
    Publish(Vec<Source>),
    /// Look at this.
    Look(View),
    /// Go on from another address.
    Roam,
    /// Leave the call.
    Leave,
}

/// Why a bot is out of the call.
#[derive(Debug, thiserror::Error)]
pub enum BotFailure {
    /// A media connection broke.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The server closed a media connection.
    #[error("the server closed the media connection")]
    MediaClosed,
    /// The conversation with the server ended.
    #[error(transparent)]
    Signalling(#[from] SignallingError),
    /// A frame could not be sealed.
    #[error("a frame could not be sealed: {0}")]
    Seal(#[from] conclave_e2ee::SealError),
    /// More bots than frames can be told apart by.
    #[error("there can be at most {} bots that do not seal", LeafIndex::LIMIT)]
    TooMany,
}

/// What happened to a bot.
#[derive(Debug)]
pub enum BotEvent {
    /// Something in its conversation with the server.
    Note(Note),
    /// ICE of a media connection is through.
    IceConnected,
    /// ICE and DTLS of a media connection are through.
    MediaConnected,
    /// Its data channel is open.
    ChannelOpen,
    /// It sent a frame.
    Sent(Sent),
    /// A media packet came, with so many bytes of payload.
    Packet {
        /// Whether of a picture.
        is_video: bool,
        /// Its payload, in bytes.
        payload: usize,
    },
    /// It opened a frame.
    Opened(Opened),
    /// It could not open a frame.
    Unopened(OpenError),
    /// It was asked for a key frame.
    KeyFrameWanted,
    /// It asked for a key frame.
    KeyFrameAsked,
    /// By the server's word, nothing comes in a stream for now, or something else.
    Interrupted(u32),
}

impl From<Result<Opened, OpenError>> for BotEvent {
    fn from(frame: Result<Opened, OpenError>) -> Self {
        match frame {
            Ok(opened) => Self::Opened(opened),
            Err(error) => Self::Unopened(error),
        }
    }
}

/// What comes out of a bot.
#[derive(Debug)]
pub enum BotOutput {
    /// To the server, over the WebSocket.
    Text(String),
    /// To the server, over HTTP.
    Http(HttpRequest),
    /// Open a UDP socket for a leg and call [`Bot::socket_opened`].
    OpenSocket(LegId),
    /// Close it.
    CloseSocket(LegId),
    /// A datagram.
    Transmit {
        /// From the socket of this leg.
        leg: LegId,
        /// Where to.
        to: SocketAddr,
        /// What.
        datagram: Vec<u8>,
    },
    /// To whoever watches.
    Event(BotEvent),
}

/// A peer connection, and what comes in over it.
struct Leg {
    peer: Peer,
    receiver: Receiver,
    sends: bool,
    connected: bool,
}

/// A peer connection that waits for its socket.
enum Wanted {
    Offer(Layout),
    Accept(String),
}

/// One bot.
pub struct Bot {
    config: BotConfig,
    signalling: Box<dyn Signalling>,
    wanted: BTreeMap<LegId, Wanted>,
    legs: BTreeMap<LegId, Leg>,
    frames: Frames,
    publisher: Option<Publisher>,
    output: VecDeque<BotOutput>,
}

impl Bot {
    /// A bot that is about to join. Call [`Self::opened`] when the way to the server is
    /// open.
    pub fn new(config: BotConfig, now: Instant) -> Result<Self, BotFailure> {
        let signalling = config.target.signalling(&config.seat, now)?;
        let frames = if config.target.seals() {
            if config.seat.is_member {
                Frames::sealed()
            } else {
                Frames::guest(config.ring.clone())
            }
        } else {
            Frames::plain(LeafIndex::new(config.seat.number).ok_or(BotFailure::TooMany)?)
        };
        Ok(Self {
            config,
            signalling,
            wanted: BTreeMap::new(),
            legs: BTreeMap::new(),
            frames,
            publisher: None,
            output: VecDeque::new(),
        })
    }

    /// The way to the server is open.
    pub fn opened(&mut self, now: Instant) -> Result<(), BotFailure> {
        self.tell(now, Input::Open)
    }

    /// Takes a text message of the server's.
    pub fn handle_text(&mut self, now: Instant, text: String) -> Result<(), BotFailure> {
        self.tell(now, Input::Text(text))
    }

    /// Takes a response of the server's.
    pub fn handle_response(&mut self, now: Instant, response: Input) -> Result<(), BotFailure> {
        self.tell(now, response)
    }

    /// The socket that a leg waited for is open at this address.
    pub fn socket_opened(
        &mut self,
        now: Instant,
        leg: LegId,
        local: SocketAddr,
    ) -> Result<(), BotFailure> {
        let (peer, description, sends) = match self.wanted.remove(&leg) {
            Some(Wanted::Offer(layout)) => {
                let (peer, sdp, sections) = Peer::offer(&layout, local, now)?;
                let sends = !layout.tracks.is_empty();
                (peer, Input::Description { leg, sdp, sections }, sends)
            }
            Some(Wanted::Accept(offer)) => {
                let codecs = &self.config.seat.layout.codecs;
                let mut peer = Peer::answerer(codecs, local, now)?;
                let sdp = peer.accept_offer(now, &offer)?;
                let sections = crate::target::Sections::default();
                (peer, Input::Description { leg, sdp, sections }, false)
            }
            None => return Ok(()),
        };
        let receiver = Receiver::default();
        self.legs.insert(
            leg,
            Leg {
                peer,
                receiver,
                sends,
                connected: false,
            },
        );
        self.tell(now, description)
    }

    /// Takes a datagram.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        leg: LegId,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), BotFailure> {
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.peer.handle_datagram(now, from, datagram)?;
        }
        self.drain(now)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), BotFailure> {
        if self.signalling.poll_timeout().is_some_and(|at| at <= now) {
            self.signalling.handle(now, Input::Timeout)?;
        }
        if let Some(publisher) = &mut self.publisher {
            let (packets, sent) = publisher.play(now, &mut self.frames)?;
            if !packets.is_empty()
                && let Some(leg) = self.legs.values_mut().find(|leg| leg.sends)
            {
                leg.peer.send(now, packets)?;
            }
            for sent in sent {
                self.event(BotEvent::Sent(sent));
            }
        }
        for leg in self.legs.values_mut() {
            if leg.peer.poll_timeout() <= now {
                leg.peer.handle_timeout(now)?;
            }
        }
        self.drain(now)
    }

    /// When [`Self::handle_timeout`] is due, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let legs = self.legs.values().map(|leg| leg.peer.poll_timeout());
        let publisher = self.publisher.as_ref().and_then(Publisher::next_at);
        let signalling = self.signalling.poll_timeout();
        legs.chain(publisher).chain(signalling).min()
    }

    /// What came out, the oldest first.
    pub fn poll(&mut self) -> Option<BotOutput> {
        self.output.pop_front()
    }

    /// Packets that never came.
    pub fn packets_lost(&self) -> LostPackets {
        let mut lost = LostPackets::default();
        for leg in self.legs.values() {
            lost.add(&leg.receiver.lost());
        }
        lost
    }

    /// What a payload type that comes in on a leg stands for.
    pub fn meaning(&self, leg: LegId, payload_type: u8) -> Option<Meaning> {
        self.legs.get(&leg)?.peer.meaning(payload_type)
    }

    /// Sends these sources from now on, and no others.
    pub fn publish(&mut self, now: Instant, sources: Vec<Source>) -> Result<(), BotFailure> {
        self.config.seat.on.clone_from(&sources);
        self.play_or_pause(now);
        self.tell(now, Input::Publish(sources))
    }

    /// Plays what is to be sent while a peer connection can carry it: on some servers each
    /// change takes a new one.
    fn play_or_pause(&mut self, now: Instant) {
        let mut legs = self.legs.values();
        let on = match legs.any(|leg| leg.sends && leg.connected) {
            true => &self.config.seat.on[..],
            false => &[],
        };
        if let Some(publisher) = &mut self.publisher {
            publisher.publish(now, on);
        }
    }

    /// Wants to see something else from now on.
    pub fn look(&mut self, now: Instant, view: View) -> Result<(), BotFailure> {
        self.tell(now, Input::View(view))
    }

    /// Leaves the call.
    pub fn leave(&mut self, now: Instant) -> Result<(), BotFailure> {
        self.publisher = None;
        // Also who has something to complain of says goodbye.
        let told = self.signalling.handle(now, Input::Leave);
        self.drain(now)?;
        for leg in self.legs.values_mut() {
            leg.peer.close()?;
        }
        self.drain(now)?;
        Ok(told?)
    }

    fn event(&mut self, event: BotEvent) {
        self.output.push_back(BotOutput::Event(event));
    }

    fn tell(&mut self, now: Instant, input: Input) -> Result<(), BotFailure> {
        self.signalling.handle(now, input)?;
        self.drain(now)
    }

    /// Until neither the conversation nor the peer connections have anything to say.
    fn drain(&mut self, now: Instant) -> Result<(), BotFailure> {
        loop {
            let mut idle = true;
            while let Some(action) = self.signalling.poll() {
                idle = false;
                self.act(now, action)?;
            }
            while let Some((id, output)) = self.poll_peers() {
                idle = false;
                self.on_peer(now, id, output)?;
            }
            if idle {
                return Ok(());
            }
        }
    }

    fn poll_peers(&mut self) -> Option<(LegId, PeerOutput)> {
        let mut legs = self.legs.iter_mut();
        legs.find_map(|(id, leg)| Some((*id, leg.peer.poll()?)))
    }

    fn act(&mut self, now: Instant, action: Action) -> Result<(), BotFailure> {
        match action {
            Action::Text(text) => self.output.push_back(BotOutput::Text(text)),
            Action::Http(request) => self.output.push_back(BotOutput::Http(request)),
            Action::Offer { leg, layout } => {
                self.wanted.insert(leg, Wanted::Offer(layout));
                self.output.push_back(BotOutput::OpenSocket(leg));
            }
            Action::Answer { leg, sdp } => {
                if let Some(leg) = self.legs.get_mut(&leg) {
                    leg.peer.accept_answer(now, &sdp)?;
                }
            }
            Action::Accept { leg, sdp } => match self.legs.get_mut(&leg) {
                Some(there) => {
                    let sdp = there.peer.accept_offer(now, &sdp)?;
                    let sections = crate::target::Sections::default();
                    let description = Input::Description { leg, sdp, sections };
                    self.signalling.handle(now, description)?;
                }
                None => {
                    self.wanted.insert(leg, Wanted::Accept(sdp));
                    self.output.push_back(BotOutput::OpenSocket(leg));
                }
            },
            Action::Close(id) => {
                self.wanted.remove(&id);
                if let Some(mut leg) = self.legs.remove(&id) {
                    leg.peer.close()?;
                    while let Some(PeerOutput::Transmit { to, datagram }) = leg.peer.poll() {
                        let leg = id;
                        self.output
                            .push_back(BotOutput::Transmit { leg, to, datagram });
                    }
                }
                self.output.push_back(BotOutput::CloseSocket(id));
                self.play_or_pause(now);
            }
            Action::Channel(leg, message) => {
                if let Some(leg) = self.legs.get_mut(&leg) {
                    leg.peer.channel_send(&message)?;
                }
            }
            Action::Keys(change) => {
                if let KeyChange::Install {
                    epoch, base_key, ..
                } = &change
                {
                    self.config.ring.put(*epoch, base_key);
                }
                self.frames.change(&change);
                if let KeyChange::Install { .. } = change {
                    for leg in self.legs.values_mut() {
                        let opened = leg.receiver.retry(now, &mut self.frames);
                        let events = opened.into_iter().map(BotEvent::from);
                        self.output.extend(events.map(BotOutput::Event));
                    }
                }
            }
            Action::Note(note) => {
                if let Note::Roster(roster) = &note {
                    self.config.ring.put_roster(roster);
                }
                if matches!(note, Note::Reached(Milestone::InCall)) {
                    self.begin(now);
                }
                if let Note::Interrupted { leg, section } = &note
                    && let Some(leg) = self.legs.get_mut(leg)
                    && let Some(stream) = leg.peer.stream_on(section)
                {
                    self.event(BotEvent::Interrupted(stream));
                }
                self.event(BotEvent::Note(note));
            }
        }
        Ok(())
    }

    /// Begins to play.
    fn begin(&mut self, now: Instant) {
        let BotConfig {
            programs,
            craft,
            seat,
            ..
        } = &self.config;
        if !programs.is_empty() && self.publisher.is_none() {
            self.publisher = Some(Publisher::new(programs, &seat.on, *craft, now));
        }
    }

    fn on_peer(&mut self, now: Instant, leg: LegId, output: PeerOutput) -> Result<(), BotFailure> {
        match output {
            PeerOutput::Transmit { to, datagram } => {
                self.output
                    .push_back(BotOutput::Transmit { leg, to, datagram });
            }
            PeerOutput::IceConnected => self.event(BotEvent::IceConnected),
            PeerOutput::Connected => {
                self.event(BotEvent::MediaConnected);
                if let Some(leg) = self.legs.get_mut(&leg) {
                    leg.connected = true;
                    if let (true, Some(publisher)) = (leg.sends, &mut self.publisher) {
                        publisher.reconnect();
                    }
                }
                self.play_or_pause(now);
                self.signalling.handle(now, Input::Connected(leg))?;
            }
            PeerOutput::ChannelOpen => {
                self.event(BotEvent::ChannelOpen);
                self.signalling.handle(now, Input::ChannelOpen(leg))?;
            }
            PeerOutput::ChannelData(data) => {
                self.signalling.handle(now, Input::ChannelData(leg, data))?;
            }
            PeerOutput::Packet(packet) => {
                self.event(BotEvent::Packet {
                    is_video: packet.is_video(),
                    payload: packet.payload.len(),
                });
                let Some(leg) = self.legs.get_mut(&leg) else {
                    return Ok(());
                };
                let stream = packet.stream;
                let received = leg.receiver.handle(now, packet, &mut self.frames);
                if received.wants_key_frame {
                    leg.peer.ask_for_key_frame(stream);
                    self.event(BotEvent::KeyFrameAsked);
                }
                if let Some(roster) = self.frames.take_news() {
                    self.event(BotEvent::Note(Note::Roster(roster)));
                }
                for frame in received.frames {
                    self.event(frame.into());
                }
            }
            PeerOutput::KeyFrameWanted(source, _) => {
                self.event(BotEvent::KeyFrameWanted);
                if let Some(publisher) = &mut self.publisher {
                    publisher.want_key_frame(now, source);
                }
            }
            PeerOutput::Closed => return Err(BotFailure::MediaClosed),
        }
        Ok(())
    }
}
