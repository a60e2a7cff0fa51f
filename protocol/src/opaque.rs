//! Bytes the server carries and cannot read, and the proof that opens a room's door.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ts_rs::TS;

/// A text that is not what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOpaque {
    /// Not unpadded base64url (RFC 4648 §5).
    #[error("expected unpadded base64url")]
    Encoding,
    /// Not the 32 bytes of a [`RoomAuth`], [`RoomLock`] or [`StateName`].
    #[error("expected 32 bytes")]
    Length,
}

/// Sealed bytes: base64url on the wire, never logged.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
#[ts(export, type = "string")]
pub struct Opaque(Vec<u8>);

impl Opaque {
    /// The bytes themselves.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Opaque {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl TryFrom<String> for Opaque {
    type Error = InvalidOpaque;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        URL_SAFE_NO_PAD
            .decode(text)
            .map(Self)
            .map_err(|_| InvalidOpaque::Encoding)
    }
}

impl From<Opaque> for String {
    fn from(opaque: Opaque) -> Self {
        URL_SAFE_NO_PAD.encode(opaque.0)
    }
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opaque({} bytes)", self.0.len())
    }
}

/// Which of several sealed states of a group is meant: the SHA-256 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
#[ts(export, type = "string")]
pub struct StateName([u8; 32]);

impl StateName {
    /// Wraps a hash.
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl TryFrom<String> for StateName {
    type Error = InvalidOpaque;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        exactly_32(text).map(Self)
    }
}

impl From<StateName> for String {
    fn from(name: StateName) -> Self {
        URL_SAFE_NO_PAD.encode(name.0)
    }
}

pub(crate) fn exactly_32(text: String) -> Result<[u8; 32], InvalidOpaque> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| InvalidOpaque::Encoding)?
        .try_into()
        .map_err(|_| InvalidOpaque::Length)
}

/// 32 bytes derived from the link's secret that show the server that a client holds the
/// link, without telling it the secret. The server keeps only a hash of them.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
#[ts(export, type = "string")]
pub struct RoomAuth([u8; 32]);

impl RoomAuth {
    /// Wraps the derived bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for hashing.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<String> for RoomAuth {
    type Error = InvalidOpaque;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        exactly_32(text).map(Self)
    }
}

impl From<RoomAuth> for String {
    fn from(auth: RoomAuth) -> Self {
        URL_SAFE_NO_PAD.encode(auth.0)
    }
}

impl fmt::Debug for RoomAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomAuth(…)")
    }
}

/// What opens to one [`RoomAuth`] only: its SHA-256. It opens no door itself, so it is all
/// that the server keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
#[ts(export, type = "string")]
pub struct RoomLock([u8; 32]);

impl RoomLock {
    /// The lock that this key opens.
    pub fn for_key(key: &RoomAuth) -> Self {
        Self(Sha256::digest(key.0).into())
    }

    /// The hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<String> for RoomLock {
    type Error = InvalidOpaque;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        exactly_32(text).map(Self)
    }
}

impl From<RoomLock> for String {
    fn from(lock: RoomLock) -> Self {
        URL_SAFE_NO_PAD.encode(lock.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_keeps_the_secret() {
        let auth = RoomAuth::new([0x5a; 32]);
        assert_eq!(format!("{auth:?}"), "RoomAuth(…)");
        let sealed = Opaque::from(vec![0x5a; 3]);
        assert_eq!(format!("{sealed:?}"), "Opaque(3 bytes)");
    }

    #[test]
    fn only_32_bytes_make_a_room_auth() {
        let short = String::from(Opaque::from(vec![0; 31]));
        assert_eq!(
            RoomAuth::try_from(short).map(|_| ()),
            Err(InvalidOpaque::Length)
        );
    }
}
