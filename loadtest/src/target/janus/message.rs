//! What Janus says: the envelope of its API, and what its VideoRoom puts into it. Only
//! what a bot needs is read, all else is left alone.

use serde::Deserialize;

/// A message of Janus.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    /// What kind it is.
    pub(super) janus: String,
    /// Which request it answers, if any.
    pub(super) transaction: Option<String>,
    /// The handle that it comes from.
    pub(super) sender: Option<u64>,
    /// The number of what was made.
    pub(super) data: Option<Made>,
    /// What the plugin says.
    pub(super) plugindata: Option<PluginData>,
    /// An offer or an answer.
    pub(super) jsep: Option<Jsep>,
    /// Why a request failed.
    pub(super) error: Option<Failure>,
    /// Why a peer connection was closed.
    pub(super) reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Made {
    pub(super) id: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct PluginData {
    pub(super) data: Room,
}

/// A session description.
#[derive(Debug, Deserialize)]
pub(super) struct Jsep {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) sdp: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) code: u32,
    pub(super) reason: String,
}

/// What the VideoRoom says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Room {
    /// What kind it is.
    pub(super) videoroom: String,
    /// Ties the subscriptions of a participant to it.
    pub(super) private_id: Option<u64>,
    /// Who publishes; in an event, who has begun to.
    pub(super) publishers: Vec<Publisher>,
    /// Who publishes no longer.
    pub(super) unpublished: Option<Who>,
    /// Who is gone.
    pub(super) leaving: Option<Who>,
    /// Done, by a subscription.
    pub(super) started: Option<String>,
    /// What a subscription carries now.
    pub(super) streams: Option<Vec<Line>>,
    /// Why a request failed.
    pub(super) error_code: Option<u32>,
    /// The same in words.
    pub(super) error: Option<String>,
}

/// Whom an event is about.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Who {
    /// A participant.
    Feed(u64),
    /// The one who asked: "ok".
    Oneself(#[expect(dead_code)] String),
}

/// A participant that publishes.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Publisher {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) streams: Vec<PublishedStream>,
}

/// One of the streams of a publisher.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PublishedStream {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) mid: String,
    /// What its publisher calls it.
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) disabled: bool,
    #[serde(default)]
    pub(super) simulcast: bool,
}

/// A media section of a subscription.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub(super) mid: String,
    #[serde(default)]
    pub(super) active: bool,
    pub(super) feed_id: Option<u64>,
    pub(super) feed_mid: Option<String>,
}
