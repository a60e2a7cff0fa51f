//! The data channel conversation between a client and the SFU. One JSON object a message.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{Mid, ParticipantId, signal::Source};

/// The label of the data channel, which the client opens in its offer: ordered, reliable.
pub const CHANNEL_LABEL: &str = "control";

/// A size in device pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct PixelSize {
    /// From left to right.
    pub width: u16,
    /// From top to bottom.
    pub height: u16,
}

/// One video that a client wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
#[ts(export)]
pub struct VideoWish {
    /// Whose.
    pub participant: ParticipantId,
    /// Which of theirs.
    pub source: Source,
    /// How large it is shown.
    pub size: PixelSize,
    /// Kept in a slot before all others.
    pub pinned: bool,
}

/// What a client asks of the SFU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[ts(export)]
pub enum ControlRequest {
    /// What I want to see, the most wanted first; replaces what I said before. Until the
    /// first one, the SFU fills the slots as participants come.
    Wishes {
        /// The wanted videos.
        videos: Vec<VideoWish>,
    },
    /// Which of my offered tracks carry something now; replaces what I said before.
    /// Until the first one, a track counts as carrying something once packets arrive.
    Publishing {
        /// The sources that are on.
        sources: Vec<Source>,
    },
    /// Something was broken: does what I send get through again, and what you send get back?
    /// Answered at once. Pictures begin anew with key frames, since much may have been missed.
    Probe {},
}

/// What fills a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct SlotFilling {
    /// The client's receiving media section.
    pub mid: Mid,
    /// Whose track it carries, by the SFU's word. Names come from the frames' keys.
    pub participant: ParticipantId,
    /// Which of theirs.
    pub source: Source,
    /// Nothing is sent for now: the path to the client does not carry it.
    pub paused: bool,
}

/// What a participant sends, by the SFU's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Publication {
    /// Who.
    pub participant: ParticipantId,
    /// The sources that are on.
    pub sources: Vec<Source>,
}

/// What the SFU tells a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export)]
pub enum ControlNotice {
    /// What every filled slot carries; a slot that is not named is empty. Replaces what
    /// was said before.
    Slots {
        /// The filled slots.
        slots: Vec<SlotFilling>,
    },
    /// What everyone else publishes. Replaces what was said before.
    Publications {
        /// One entry for each participant with a source that is on, but the receiver.
        participants: Vec<Publication>,
    },
    /// What has changed since then.
    PublicationsChanged {
        /// Each entry replaces what was said of its participant; no sources: none is on.
        participants: Vec<Publication>,
    },
    /// Who is being heard, the loudest first (RFC 6464 levels). Replaces what was said
    /// before.
    Speakers {
        /// The participants.
        participants: Vec<ParticipantId>,
    },
    /// The answer to a probe. One answers all that came before it.
    Here {},
    /// A request was not understood or asked for too much; it had no effect.
    Refused {
        /// What was wrong with it.
        detail: String,
    },
}
