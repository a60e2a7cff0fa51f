//! Lines of chat: MLS application messages, so signed and forward secret.

use conclave_protocol::{ParticipantId, Sequence};
use serde::{Deserialize, Serialize};

use crate::{member::LeafIndex, output::Output};

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

/// What members send to each other, besides media.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Application {
    Chat { text: String },
}

/// A line of chat.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Line(String);

impl Line {
    pub(crate) fn new(text: &str) -> Result<Self, ChatError> {
        if text.trim().is_empty() {
            Err(ChatError::Empty)
        } else if text.chars().count() > LONGEST_LINE {
            Err(ChatError::TooLong)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, ChatError> {
        let message = Application::Chat {
            text: self.0.clone(),
        };
        serde_json::to_vec(&message).map_err(|error| ChatError::Failed(error.to_string()))
    }

    /// Reads a line; none if it is of a kind or length that this version does not send.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let Application::Chat { text } = serde_json::from_slice(bytes).ok()?;
        Self::new(&text).ok()
    }

    pub(crate) fn into_output(
        self,
        leaf: LeafIndex,
        participant: ParticipantId,
        name: &str,
        sequence: Sequence,
    ) -> Output {
        Output::Chat {
            leaf,
            participant,
            name: name.to_owned(),
            text: self.0,
            sequence,
        }
    }
}
