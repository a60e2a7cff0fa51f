//! The messages of PulseBeam's data channel, as protocol buffers: those of its releases 0.4,
//! and of them the fields that a bot has a use for.

/// What a bot says.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ClientMessage {
    #[prost(oneof = "Saying", tags = "1, 2")]
    pub(super) saying: Option<Saying>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Saying {
    /// All that it wants, in place of what it wanted before.
    #[prost(message, tag = "1")]
    Intent(Intent),
    /// Send everything once more.
    #[prost(bool, tag = "2")]
    Resync(bool),
}

/// What a bot wants to get and to send.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Intent {
    #[prost(message, repeated, tag = "1")]
    pub(super) pictures: Vec<Wish>,
    #[prost(message, repeated, tag = "2")]
    pub(super) sendings: Vec<Sending>,
}

/// A picture that is wanted on a media section.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Wish {
    #[prost(string, tag = "1")]
    pub(super) section: String,
    #[prost(string, tag = "2")]
    pub(super) track: String,
    /// How high it is shown, in pixels.
    #[prost(uint32, tag = "3")]
    pub(super) height: u32,
}

/// Whether something is sent on a media section.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Sending {
    #[prost(string, tag = "1")]
    pub(super) section: String,
    #[prost(bool, tag = "2")]
    pub(super) is_on: bool,
}

/// What the server says.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ServerMessage {
    #[prost(oneof = "Said", tags = "1, 2")]
    pub(super) said: Option<Said>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Said {
    #[prost(message, tag = "1")]
    Update(Update),
    #[prost(string, tag = "2")]
    Error(String),
}

/// What has changed in the room, or all of it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Update {
    /// Counts the updates from 1.
    #[prost(uint64, tag = "1")]
    pub(super) number: u64,
    /// It tells everything, in place of what was told before.
    #[prost(bool, tag = "2")]
    pub(super) is_whole: bool,
    #[prost(message, repeated, tag = "3")]
    pub(super) tracks: Vec<Track>,
    /// Tracks that are gone.
    #[prost(string, repeated, tag = "4")]
    pub(super) tracks_gone: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    pub(super) fillings: Vec<Filling>,
    /// Media sections on which nothing comes any more.
    #[prost(string, repeated, tag = "6")]
    pub(super) sections_emptied: Vec<String>,
}

/// What someone else sends.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Track {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(enumeration = "Kind", tag = "2")]
    pub(super) kind: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Kind {
    Unspecified = 0,
    Video = 1,
    Audio = 2,
}

/// What comes on a media section.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Filling {
    #[prost(string, tag = "1")]
    pub(super) section: String,
    /// The server holds it back for now.
    #[prost(bool, tag = "3")]
    pub(super) is_paused: bool,
}
