//! What members say to each other, besides media: MLS application messages, so signed and
//! forward secret.

use conclave_protocol::ParticipantId;
use serde::{Deserialize, Serialize};

use crate::file::{SharedFile, UnfitFile};

/// The longest line, in characters.
const LONGEST_LINE: usize = 4000;

/// Why a line of chat was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// This client is not in the group.
    #[error("not in the call yet: wait a moment")]
    NotInCall,
    /// Nothing but white space.
    #[error("there is nothing to send")]
    Empty,
    /// Longer than 4000 characters.
    #[error("a message has at most 4000 characters: divide it")]
    TooLong,
    /// Too many lines have not come back from the server yet.
    #[error("the last messages are still on their way: wait a moment")]
    TooFast,
    /// MLS could not encrypt it.
    #[error("the message could not be sealed: {0}")]
    Failed(String),
}

/// Why a file was not announced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileShareError {
    /// Its name, type or size cannot be told.
    #[error(transparent)]
    Unfit(#[from] UnfitFile),
    /// It could not be said to the group.
    #[error(transparent)]
    Unsaid(#[from] ChatError),
}

/// What members say to each other, besides media. A receiver ignores what it does not know.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Application {
    /// A line of chat.
    Chat { text: String },
    /// A file that is there to be had.
    File { file: SharedFile },
    /// "Switch your microphone off": a host's word to one, or to all others.
    Mute { participant: Option<ParticipantId> },
}

impl Application {
    pub(crate) fn chat(text: &str) -> Result<Self, ChatError> {
        if text.trim().is_empty() {
            Err(ChatError::Empty)
        } else if text.chars().count() > LONGEST_LINE {
            Err(ChatError::TooLong)
        } else {
            let text = text.to_owned();
            Ok(Self::Chat { text })
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// None if it is of a kind or length that this version does not send.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match serde_json::from_slice(bytes).ok()? {
            Self::Chat { text } => Self::chat(&text).ok(),
            Self::File { file } => file.check().is_ok().then_some(Self::File { file }),
            other => Some(other),
        }
    }
}
