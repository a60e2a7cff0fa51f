//! The link to a room, and everything that its secret yields.
//!
//! The fragment of a link (the part behind `#`, which browsers never send) holds 32
//! random bytes. Whoever has them may be in the call, nobody else: all that follows from
//! them is derived by HKDF-SHA256 (RFC 5869) with the room's name in the info.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use conclave_protocol::{InvalidId, RoomAuth, RoomId, RoomLock};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How long the secret is, in bytes.
const SECRET_LENGTH: usize = 32;

/// Stands before every derivation's label, so that another version of this protocol
/// derives other keys.
const DERIVATION_VERSION: &str = "conclave 1";

/// Why a text is not a link to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The secret is not 32 bytes in unpadded base64url (RFC 4648 §5).
    #[error("the part of the link after # is damaged: ask for the link again")]
    Secret,
    /// There is no `#` in the link.
    #[error("the link has no part after #: copy it as a whole")]
    NoSecret,
    /// There is no `/r/` in the link.
    #[error("this is not a link to a room: it has no /r/")]
    NoRoom,
    /// The room's name is not a valid one.
    #[error("the link's room is not valid: {0}")]
    Room(#[from] InvalidId),
    /// The operating system or browser gave no random bytes.
    #[error("no random bytes are to be had on this system")]
    NoRandomness,
}

/// The secret of a room, as it stands in the fragment of the room's link.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct LinkSecret([u8; SECRET_LENGTH]);

impl LinkSecret {
    /// Draws a new secret.
    pub fn generate() -> Result<Self, LinkError> {
        let mut secret = Self([0; SECRET_LENGTH]);
        getrandom::fill(&mut secret.0).map_err(|_| LinkError::NoRandomness)?;
        Ok(secret)
    }

    /// Wraps known bytes, for tests with vectors.
    pub const fn from_bytes(bytes: [u8; SECRET_LENGTH]) -> Self {
        Self(bytes)
    }

    /// How long it is, in bytes.
    pub(crate) const LENGTH: usize = SECRET_LENGTH;

    /// Takes bytes of the right length.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads the fragment of a link, without the `#`.
    pub fn from_fragment(fragment: &str) -> Result<Self, LinkError> {
        let bytes = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(fragment)
                .map_err(|_| LinkError::Secret)?,
        );
        let mut secret = Self([0; SECRET_LENGTH]);
        if bytes.len() != SECRET_LENGTH {
            return Err(LinkError::Secret);
        }
        secret.0.copy_from_slice(&bytes);
        Ok(secret)
    }

    /// The fragment of a link, without the `#`: 43 characters.
    pub fn to_fragment(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0))
    }

    /// What the secret yields for this room.
    pub fn keys(&self, room: &RoomId) -> RoomKeys {
        RoomKeys {
            psk: self.derive("mls-psk", room),
            psk_id: self.derive("psk-id", room),
            auth: self.derive("room-auth", room),
            wrap: self.derive("group-info-wrap", room),
        }
    }

    fn derive(&self, label: &str, room: &RoomId) -> DerivedKey {
        let mut key = DerivedKey([0; 32]);
        let info = [DERIVATION_VERSION, " ", label, " ", room.as_str()].concat();
        // HKDF-SHA256 yields up to 8160 bytes (RFC 5869 §2.3), and this asks for 32.
        let expanded = Hkdf::<Sha256>::new(None, &self.0).expand(info.as_bytes(), &mut key.0);
        debug_assert!(expanded.is_ok());
        key
    }
}

impl fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSecret(…)")
    }
}

/// 32 bytes derived from a [`LinkSecret`] for one purpose.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DerivedKey([u8; 32]);

impl DerivedKey {
    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DerivedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivedKey(…)")
    }
}

/// What a link's secret yields for its room.
#[derive(Debug, Clone)]
pub struct RoomKeys {
    /// The pre-shared key that every commit of a newcomer must contain (RFC 9420 §8.4).
    pub psk: DerivedKey,
    /// What that key goes by. It tells nothing of the key.
    pub psk_id: DerivedKey,
    /// What is shown to the server at the door.
    pub auth: DerivedKey,
    /// Seals whatever of the group's handshake passes the server.
    pub wrap: DerivedKey,
}

impl RoomKeys {
    /// The proof for the server that this client holds the link.
    pub fn room_auth(&self) -> RoomAuth {
        RoomAuth::new(*self.auth.as_bytes())
    }

    /// What the server is told to open the room to, once the group has this link.
    pub(crate) fn room_lock(&self) -> RoomLock {
        RoomLock::for_key(&self.room_auth())
    }
}

/// A link to a room, taken apart.
#[derive(Debug, Clone)]
pub struct Link {
    /// Everything before `/r/`: where the server is.
    pub base: String,
    /// The room's name.
    pub room: RoomId,
    /// The room's secret.
    pub secret: LinkSecret,
}

impl std::str::FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, fragment) = text.trim().split_once('#').ok_or(LinkError::NoSecret)?;
        let (base, room) = address.rsplit_once("/r/").ok_or(LinkError::NoRoom)?;
        Ok(Self {
            base: base.to_owned(),
            room: room.parse()?,
            secret: LinkSecret::from_fragment(fragment)?,
        })
    }
}

impl Link {
    /// The link as a text, secret included.
    pub fn to_text(&self) -> Zeroizing<String> {
        let fragment = self.secret.to_fragment();
        Zeroizing::new(format!("{}/r/{}#{}", self.base, self.room, *fragment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomId {
        name.parse().unwrap()
    }

    #[test]
    fn a_link_survives_being_written_and_read() {
        let link = Link {
            base: "http://localhost:8080".to_owned(),
            room: room("standup"),
            secret: LinkSecret::from_bytes([7; 32]),
        };
        let text = link.to_text();
        assert_eq!(text.split_once('#').unwrap().1.len(), 43);
        let read: Link = text.parse().unwrap();
        assert_eq!(read.base, link.base);
        assert_eq!(read.room, link.room);
        assert_eq!(read.secret.0, link.secret.0);
    }

    #[test]
    fn damaged_links_are_refused_with_the_reason() {
        let secret = LinkSecret::from_bytes([7; 32]).to_fragment();
        for (text, error) in [
            ("http://h/r/room".to_owned(), LinkError::NoSecret),
            (format!("http://h/room#{}", *secret), LinkError::NoRoom),
            (
                format!("http://h/r/a b#{}", *secret),
                LinkError::Room(InvalidId::Room),
            ),
            (
                format!("http://h/r/room#{}", &secret[1..]),
                LinkError::Secret,
            ),
            (format!("http://h/r/room#{}=", *secret), LinkError::Secret),
        ] {
            assert_eq!(text.parse::<Link>().map(|_| ()), Err(error), "{text}");
        }
    }

    #[test]
    fn every_purpose_and_room_has_a_key_of_its_own() {
        let secret = LinkSecret::from_bytes([7; 32]);
        let mut keys = Vec::new();
        for name in ["standup", "retro"] {
            let RoomKeys {
                psk,
                psk_id,
                auth,
                wrap,
            } = secret.keys(&room(name));
            keys.extend([psk, psk_id, auth, wrap].map(|key| *key.as_bytes()));
        }
        keys.extend([*LinkSecret::from_bytes([8; 32])
            .keys(&room("retro"))
            .psk
            .as_bytes()]);
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn debug_output_keeps_the_secret() {
        let secret = LinkSecret::from_bytes([0x5a; 32]);
        let keys = secret.keys(&room("standup"));
        let shown = format!("{secret:?} {keys:?}");
        assert!(!shown.contains("90") && !shown.contains("5a"), "{shown}");
    }
}
