//! Names and numbers that mean one thing each.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Why a text is not a valid identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// A room name outside the allowed alphabet or length.
    #[error("a room name is 1 to 64 characters out of A-Z a-z 0-9 - _")]
    Room,
    /// A participant id that the server did not make.
    #[error("a participant id is 16 lower-case hexadecimal digits")]
    Participant,
    /// An SDP media id outside the grammar that we accept.
    #[error("a media id is 1 to 16 characters out of A-Z a-z 0-9 - _")]
    Mid,
    /// A file's name that the server did not make.
    #[error("a file is named by 32 lower-case hexadecimal digits")]
    File,
}

fn is_token(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The public name of a room: the part of a link before the `#`. The server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
#[ts(export, type = "string")]
pub struct RoomId(String);

impl RoomId {
    /// The name as it stands in the link.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoomId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_token(text, 64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::Room)
        }
    }
}

impl TryFrom<String> for RoomId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RoomId> for String {
    fn from(id: RoomId) -> Self {
        id.0
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One stay of one client in one room, numbered at random by the server. On the wire it
/// is 16 hexadecimal digits, since JavaScript's numbers end at 53 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
#[ts(export, type = "string")]
pub struct ParticipantId(u64);

impl ParticipantId {
    /// Wraps a number drawn by the server.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for ParticipantId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let well_formed = text.len() == 16
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !well_formed {
            return Err(InvalidId::Participant);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidId::Participant)
    }
}

impl TryFrom<String> for ParticipantId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ParticipantId> for String {
    fn from(id: ParticipantId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The `a=mid` of one media section of the client's offer (RFC 8843 §5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
#[ts(export, type = "string")]
pub struct Mid(String);

impl Mid {
    /// The media id as it stands in the SDP.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Mid {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_token(text, 16) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::Mid)
        }
    }
}

impl TryFrom<String> for Mid {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Mid> for String {
    fn from(mid: Mid) -> Self {
        mid.0
    }
}

impl fmt::Display for Mid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An MLS epoch (RFC 9420 §8): one step in the life of a group, with keys of its own.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS, Default,
)]
#[ts(export, type = "number")]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of a group that has just been created.
    pub const FIRST: Self = Self(0);

    /// Wraps the number that MLS gives.
    pub const fn new(epoch: u64) -> Self {
        Self(epoch)
    }

    /// The number that MLS gives.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The epoch that a commit made in this one leads to.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in a room's ordered log. The first entry has number 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS, Default,
)]
#[ts(export, type = "number")]
pub struct Sequence(u64);

impl Sequence {
    /// The place before the first entry.
    pub const START: Self = Self(0);

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_participant_id_survives_the_wire() {
        let id = ParticipantId::new(u64::MAX - 1);
        assert_eq!(id.to_string(), "fffffffffffffffe");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn malformed_ids_are_refused() {
        for text in [
            "",
            "fffffffffffffff",
            "FFFFFFFFFFFFFFFE",
            "+ffffffffffffffe",
        ] {
            assert_eq!(text.parse::<ParticipantId>(), Err(InvalidId::Participant));
        }
        let long = "a".repeat(65);
        for text in ["", "a b", "room#secret", "../etc", &long] {
            assert_eq!(text.parse::<RoomId>(), Err(InvalidId::Room));
        }
        assert_eq!("0\r\na=evil".parse::<Mid>(), Err(InvalidId::Mid));
    }
}
