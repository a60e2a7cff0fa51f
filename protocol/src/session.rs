//! What lets a client whose line broke come back to its place, with nothing lost and nothing
//! twice in either direction.
//!
//! The server counts what it tells in a room, the client counts what it says. Who comes back
//! names the last that it heard, and is told the last that was heard of it; each side then
//! repeats what the other lacks. The room, and the group in it, notice nothing.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ts_rs::TS;

use crate::{
    InvalidOpaque,
    signal::{ClientMessage, ServerMessage},
};

/// Opens the way back to one participant's place: 32 random bytes, known to the server and
/// that participant. It gives nothing of the group away.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
#[ts(export, type = "string")]
pub struct SessionToken([u8; 32]);

/// What the server keeps of a [`SessionToken`]: its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

impl SessionToken {
    /// Wraps random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0).into())
    }
}

impl TryFrom<String> for SessionToken {
    type Error = InvalidOpaque;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        crate::opaque::exactly_32(text).map(Self)
    }
}

impl From<SessionToken> for String {
    fn from(token: SessionToken) -> Self {
        URL_SAFE_NO_PAD.encode(token.0)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

impl TokenHash {
    /// Wraps a hash.
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// How far a room has got in what it tells; the first thing told has number 1. It is not the
/// [`Sequence`](crate::Sequence) of the group's log, which counts commits and messages only.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS, Default,
)]
#[ts(export, type = "number")]
pub struct Position(u64);

impl Position {
    /// Before anything was told.
    pub const START: Self = Self(0);

    /// Wraps a number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The number of something that one client said; the first has number 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS, Default,
)]
#[ts(export, type = "number")]
pub struct MessageNumber(u32);

impl MessageNumber {
    /// Before anything was said.
    pub const START: Self = Self(0);

    /// Wraps a number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The bare number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// What a client says, as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Numbered {
    /// Which of the client's messages it is. Clients that do not mean to come back need not
    /// count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<MessageNumber>,
    /// The message.
    #[serde(flatten)]
    pub message: ClientMessage,
}

/// What the server says, as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Positioned {
    /// How far the room has got with it; none for what is not told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Position>,
    /// The message.
    #[serde(flatten)]
    pub message: ServerMessage,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_shows_in_no_debug_output_and_its_hash_opens_nothing() {
        let token = SessionToken::new([0x5a; 32]);
        assert_eq!(format!("{token:?}"), "SessionToken(…)");
        assert_ne!(token.hash().as_bytes(), &[0x5a; 32]);
    }

    #[test]
    fn the_number_stands_beside_the_message() {
        let text = r#"{"number":7,"type":"leave"}"#;
        let read: Numbered = serde_json::from_str(text).unwrap();
        assert_eq!(read.number, Some(MessageNumber::new(7)));
        assert!(matches!(read.message, ClientMessage::Leave {}));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        let bare: Numbered = serde_json::from_str(r#"{"type":"leave"}"#).unwrap();
        assert_eq!(bare.number, None);
    }

    #[test]
    fn what_the_protocol_does_not_know_is_refused_beside_a_number_too() {
        for text in [
            r#"{"number":7,"type":"leave","more":1}"#,
            r#"{"number":-1,"type":"leave"}"#,
            r#"{"number":7,"type":"dance"}"#,
            r#"{"number":7}"#,
        ] {
            assert!(serde_json::from_str::<Numbered>(text).is_err(), "{text}");
        }
    }
}
