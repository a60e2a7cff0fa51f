//! How a bot gets into a call on some server: one small trait, and one module for each
//! kind of server.
//!
//! A [`Signalling`] is a conversation with a server about media, sans-IO: it takes what
//! the server said and what became of the bot's peer connections, and gives messages to
//! send and peer connections to make. All else about a bot (media, stamps, measuring) is
//! the same for every server.

use std::{
    fmt,
    time::{Duration, Instant},
};

use conclave_e2ee::{BaseKey, LeafIndex, Link, LinkSecret, Member};
use conclave_protocol::{Epoch, RoomId, control::PixelSize, signal::Source};

use crate::{
    bot::peer::Layout,
    drive::server::{AddressError, ServerAddress},
};

pub mod choice;
pub mod conclave;
pub mod janus;
pub mod pulsebeam;
pub mod whip;

/// One of the peer connections of a bot: some servers want one for sending and others
/// for receiving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub u16);

/// Numbers the HTTP requests of a bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u32);

/// An HTTP request to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Comes back with the response.
    pub id: RequestId,
    /// GET, POST, …
    pub method: &'static str,
    /// The whole URL.
    pub url: String,
    /// Of the body.
    pub content_type: Option<&'static str>,
    /// After "Bearer ".
    pub token: Option<String>,
    /// What is sent.
    pub body: String,
}

/// What a bot wants to see: a page of everyone's cameras, and every screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Which page of [`Self::tiles`] cameras, in the order in which they came.
    pub page: usize,
    /// Cameras that are shown at once.
    pub tiles: usize,
    /// How large each is shown.
    pub size: PixelSize,
}

/// What a conversation hears.
#[derive(Debug)]
pub enum Input {
    /// The connection to the server is open; of HTTP targets: begin.
    Open,
    /// A text message of the server's.
    Text(String),
    /// The response to a request.
    Response {
        /// To which.
        id: RequestId,
        /// The status code.
        status: u16,
        /// The header `Location`, as it was sent.
        location: Option<String>,
        /// The header `Retry-After`, where it gives seconds and not a date.
        retry_after: Option<Duration>,
        /// The body.
        body: String,
    },
    /// What the bot offers or answers on a leg.
    Description {
        /// Which leg.
        leg: LegId,
        /// The SDP.
        sdp: String,
        /// The media sections that were laid out, and their names in the SDP.
        sections: Sections,
    },
    /// ICE and DTLS of a leg are through.
    Connected(LegId),
    /// The data channel of a leg is open.
    ChannelOpen(LegId),
    /// A message came on it.
    ChannelData(LegId, Vec<u8>),
    /// Time has passed.
    Timeout,
    /// What the bot sends from now on.
    Publish(Vec<Source>),
    /// What the bot wants to see from now on.
    View(View),
    /// The bot is about to leave.
    Leave,
}

/// The media sections of a leg's offer, by their names in the SDP (RFC 5888).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sections {
    /// Those it sends on.
    pub tracks: Vec<(Source, String)>,
    /// Those it receives on.
    pub slots: Vec<(Source, String)>,
}

/// What a conversation wants done.
#[derive(Debug)]
pub enum Action {
    /// Send a text message.
    Text(String),
    /// Send a request; [`Input::Response`] follows.
    Http(HttpRequest),
    /// Make a peer connection that offers; [`Input::Description`] follows.
    Offer {
        /// Its number from now on.
        leg: LegId,
        /// What it sends and takes.
        layout: Layout,
    },
    /// Take the server's answer to it.
    Answer {
        /// Which leg.
        leg: LegId,
        /// The SDP.
        sdp: String,
    },
    /// Take an offer of the server's, on a new leg or on one that is there;
    /// [`Input::Description`] follows.
    Accept {
        /// Which leg.
        leg: LegId,
        /// The SDP.
        sdp: String,
    },
    /// Close a leg.
    Close(LegId),
    /// Send a message on the data channel of a leg.
    Channel(LegId, Vec<u8>),
    /// Do something with the keys of the call.
    Keys(KeyChange),
    /// Something to be counted.
    Note(Note),
}

/// A change of the keys that seal frames.
pub enum KeyChange {
    /// The keys of an epoch are there.
    Install {
        /// Which epoch.
        epoch: Epoch,
        /// The bot's own leaf in it.
        leaf: LeafIndex,
        /// What frame keys are made from (RFC 9605 §5.2).
        base_key: BaseKey,
    },
    /// Seal with those of this epoch from now on.
    SealWith(Epoch),
    /// Those of this epoch are of no use any more.
    Forget(Epoch),
}

impl fmt::Debug for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Install { epoch, leaf, .. } => write!(f, "Install({epoch:?}, {leaf:?})"),
            Self::SealWith(epoch) => write!(f, "SealWith({epoch:?})"),
            Self::Forget(epoch) => write!(f, "Forget({epoch:?})"),
        }
    }
}

/// How far a bot has come on its way into the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Milestone {
    /// The server has let it into the room.
    Admitted,
    /// It has the keys of the call.
    InGroup,
    /// It is in the call: it may send, and gets what others send.
    InCall,
}

/// Something that happened in a conversation, to be counted.
#[derive(Debug)]
pub enum Note {
    /// The bot has come further.
    Reached(Milestone),
    /// Who is in the group.
    Roster(Vec<Member>),
    /// The group moved to this epoch as this bot sees it.
    Epoch(Epoch),
    /// By the server's word, nothing comes on a media section of a leg for now, or something
    /// else than before.
    Interrupted {
        /// Which leg.
        leg: LegId,
        /// The name of the section in the SDP.
        section: String,
    },
    /// A commit was refused in this group.
    CommitRefused,
    /// Someone without the secret was turned away.
    StrangerRefused,
}

/// Why a bot cannot be in the call.
#[derive(Debug, thiserror::Error)]
pub enum SignallingError {
    /// The server said something that is not of its protocol.
    #[error("the server sent a message that is not of the protocol: {0}")]
    Protocol(String),
    /// The server sent the bot away.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The group session broke.
    #[error("the group session failed: {0}")]
    Session(String),
    /// The bot's name cannot be shown in a call.
    #[error("{0}")]
    Name(#[from] conclave_e2ee::InvalidName),
    /// The bot has no keys.
    #[error("{0}")]
    Device(#[from] conclave_e2ee::DeviceError),
    /// Servers of this kind cannot do what is asked.
    #[error("{0}")]
    Unsupported(&'static str),
    /// An endpoint that is no URL.
    #[error("{0} is not {1}; it looks like http://localhost:8080/in/{{stream}}")]
    Endpoint(String, &'static str),
}

/// Why there is no call to meet in.
#[derive(Debug, thiserror::Error)]
pub enum NoCall {
    /// The address in the link.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A link for a server that has none.
    #[error("only Conclave has links to calls: leave out --link, or --target")]
    Link,
    /// An endpoint.
    #[error(transparent)]
    Endpoint(#[from] SignallingError),
    /// The system gave no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
    /// A made-up name broke the rules for names.
    #[error("no room name could be made")]
    Name,
}

/// A conversation with a server about media. Sans-IO.
pub trait Signalling: Send {
    /// Takes what happened.
    fn handle(&mut self, now: Instant, input: Input) -> Result<(), SignallingError>;

    /// What is to be done, the first thing first.
    fn poll(&mut self) -> Option<Action>;

    /// When [`Input::Timeout`] is due, if ever.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// How the conversation travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Over a WebSocket of this URL, with a subprotocol if the server asks for one.
    WebSocket {
        /// The URL.
        url: String,
        /// For the header `Sec-WebSocket-Protocol`.
        subprotocol: Option<&'static str>,
    },
    /// In single requests.
    Http,
}

/// One bot's place in the call.
#[derive(Debug, Clone)]
pub struct Seat {
    /// Counts the bots of a run from 0.
    pub number: u32,
    /// What it is called.
    pub name: String,
    /// What it can send and take.
    pub layout: Layout,
    /// Whether it is a member of the group that has the keys, where there is one. Others
    /// take part in media only.
    pub is_member: bool,
    /// What it sends at first.
    pub on: Vec<Source>,
    /// What it wants to see at first.
    pub view: View,
}

/// A kind of server, where it is, and in which call the bots meet.
#[derive(Debug, Clone)]
pub enum Target {
    /// Conclave.
    Conclave {
        /// Where.
        server: ServerAddress,
        /// The call.
        room: RoomId,
        /// Its secret.
        secret: LinkSecret,
        /// Whether frames are sealed: a bot that does not is no member of the group, and
        /// only measures the forwarding.
        plain: bool,
    },
    /// Janus with its VideoRoom.
    Janus {
        /// Where its WebSocket is.
        server: ServerAddress,
        /// The room.
        room: u64,
    },
    /// PulseBeam.
    PulseBeam {
        /// Where its API is.
        server: ServerAddress,
        /// The room.
        room: String,
    },
    /// A server that speaks WHIP and WHEP.
    Whip {
        /// Where.
        server: ServerAddress,
        /// Its endpoints.
        endpoints: whip::Endpoints,
    },
}

impl Target {
    /// A call on Conclave: that of a link, or a new one on this server.
    pub fn conclave(
        server: ServerAddress,
        link: Option<Link>,
        plain: bool,
    ) -> Result<Self, NoCall> {
        let (server, room, secret) = match link {
            Some(link) => (link.base.parse()?, link.room, link.secret),
            None => {
                let room = format!("load-test-{:016x}", random()?)
                    .parse()
                    .map_err(|_| NoCall::Name)?;
                let secret =
                    LinkSecret::generate().map_err(|error| NoCall::Random(error.to_string()))?;
                (server, room, secret)
            }
        };
        Ok(Self::Conclave {
            server,
            room,
            secret,
            plain,
        })
    }

    /// A new room on Janus.
    pub fn janus(server: ServerAddress) -> Result<Self, NoCall> {
        let room = 1 + random()? % janus::LARGEST_ROOM;
        Ok(Self::Janus { server, room })
    }

    /// A new room on PulseBeam.
    pub fn pulsebeam(server: ServerAddress) -> Result<Self, NoCall> {
        let room = format!("load-test-{:016x}", random()?);
        Ok(Self::PulseBeam { server, room })
    }

    /// Streams of a server that speaks WHIP and WHEP.
    pub fn whip(endpoints: whip::Endpoints) -> Result<Self, NoCall> {
        let server = endpoints.server()?;
        Ok(Self::Whip { server, endpoints })
    }

    /// How bots talk to it.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Conclave { server, .. } => Transport::WebSocket {
                url: server.websocket(),
                subprotocol: None,
            },
            Self::Janus { server, .. } => Transport::WebSocket {
                url: server.url("ws", "/"),
                subprotocol: Some(janus::SUBPROTOCOL),
            },
            Self::PulseBeam { .. } | Self::Whip { .. } => Transport::Http,
        }
    }

    /// Where it is.
    pub fn server(&self) -> &ServerAddress {
        match self {
            Self::Conclave { server, .. }
            | Self::Janus { server, .. }
            | Self::PulseBeam { server, .. }
            | Self::Whip { server, .. } => server,
        }
    }

    /// True when frames are sealed.
    pub fn seals(&self) -> bool {
        match self {
            Self::Conclave { plain, .. } => !plain,
            Self::Janus { .. } | Self::PulseBeam { .. } | Self::Whip { .. } => false,
        }
    }

    /// How many streams there are for bots that watch them by number, on or off, and hear
    /// whom they see. None where they see and hear whoever is on.
    pub fn streams(&self) -> Option<u32> {
        match self {
            Self::Conclave { .. } | Self::Janus { .. } | Self::PulseBeam { .. } => None,
            Self::Whip { endpoints, .. } => Some(endpoints.publishers),
        }
    }

    /// The name for reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conclave { .. } => "conclave",
            Self::Janus { .. } => "janus",
            Self::PulseBeam { .. } => "pulsebeam",
            Self::Whip { .. } => "whip",
        }
    }

    /// A bot's conversation with it.
    pub fn signalling(
        &self,
        seat: &Seat,
        now: Instant,
    ) -> Result<Box<dyn Signalling>, SignallingError> {
        match self {
            Self::Conclave {
                room,
                secret,
                plain,
                ..
            } => Ok(Box::new(conclave::Conversation::new(
                room.clone(),
                secret,
                *plain || !seat.is_member,
                seat,
                now,
            )?)),
            Self::Janus { room, .. } => Ok(Box::new(janus::Conversation::new(*room, seat)?)),
            Self::PulseBeam { server, room } => {
                Ok(Box::new(pulsebeam::Conversation::new(server, room, seat)?))
            }
            Self::Whip { endpoints, .. } => {
                Ok(Box::new(whip::Conversation::new(endpoints.clone(), seat)?))
            }
        }
    }
}

fn random() -> Result<u64, NoCall> {
    getrandom::u64().map_err(|error| NoCall::Random(error.to_string()))
}
