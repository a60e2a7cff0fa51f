//! What hides the group's own messages from the server.
//!
//! MLS leaves a newcomer's commit, KeyPackages and the GroupInfo readable, names included
//! (RFC 9420 §16.4). So all MLS bytes that pass the server are sealed once more, with a key that
//! everyone with the link has: AES-256-GCM, a random nonce before the ciphertext.

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use conclave_protocol::{Opaque, RoomId};

use crate::link::RoomKeys;

const NONCE_LENGTH: usize = 12;

/// What is in an envelope. It is authenticated, so that the server cannot hand out one
/// thing as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A GroupInfo with the ratchet tree.
    GroupInfo,
    /// A commit.
    Commit,
    /// An application message.
    Message,
    /// The KeyPackage of someone who knocks.
    KeyPackage,
    /// A Welcome.
    Welcome,
    /// A host's word to someone who may not come in.
    TurnedAway,
}

impl Kind {
    const fn label(self) -> &'static str {
        match self {
            Self::GroupInfo => "group-info",
            Self::Commit => "commit",
            Self::Message => "message",
            Self::KeyPackage => "key-package",
            Self::Welcome => "welcome",
            Self::TurnedAway => "turned-away",
        }
    }
}

/// Why an envelope could not be made or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Sealed with another link's key, of another kind or room, or tampered with.
    #[error("these bytes were not sealed by someone with this link")]
    Forged,
    /// The operating system or browser gave no random bytes.
    #[error("no random bytes are to be had on this system")]
    NoRandomness,
}

/// Seals and opens envelopes of one room.
pub struct Envelope {
    cipher: Aes256Gcm,
    room: RoomId,
}

impl Envelope {
    /// For this room.
    pub fn new(keys: &RoomKeys, room: RoomId) -> Self {
        Self {
            cipher: Aes256Gcm::new(keys.wrap.as_bytes().into()),
            room,
        }
    }

    fn associated_data(&self, kind: Kind) -> String {
        ["conclave 1 ", kind.label(), " ", self.room.as_str()].concat()
    }

    /// Seals bytes for everyone with the link.
    pub fn seal(&self, kind: Kind, bytes: &[u8]) -> Result<Opaque, EnvelopeError> {
        let mut nonce = [0; NONCE_LENGTH];
        getrandom::fill(&mut nonce).map_err(|_| EnvelopeError::NoRandomness)?;
        let aad = self.associated_data(kind);
        let payload = Payload {
            msg: bytes,
            aad: aad.as_bytes(),
        };
        // Only a plaintext of more than 64 GiB fails here.
        let ciphertext = self
            .cipher
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| EnvelopeError::Forged)?;
        Ok(Opaque::from([&nonce[..], &ciphertext].concat()))
    }

    /// Opens what someone with the link sealed.
    pub fn open(&self, kind: Kind, sealed: &Opaque) -> Result<Vec<u8>, EnvelopeError> {
        let (nonce, ciphertext) = sealed
            .as_bytes()
            .split_first_chunk::<NONCE_LENGTH>()
            .ok_or(EnvelopeError::Forged)?;
        let aad = self.associated_data(kind);
        let payload = Payload {
            msg: ciphertext,
            aad: aad.as_bytes(),
        };
        self.cipher
            .decrypt(&Nonce::from(*nonce), payload)
            .map_err(|_| EnvelopeError::Forged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::LinkSecret;

    fn envelope(secret: u8, room: &str) -> Envelope {
        let room: RoomId = room.parse().unwrap();
        let keys = LinkSecret::from_bytes([secret; 32]).keys(&room);
        Envelope::new(&keys, room)
    }

    #[test]
    fn only_the_same_link_and_kind_opens_it() {
        let ours = envelope(1, "standup");
        let sealed = ours.seal(Kind::Commit, b"commit").unwrap();
        assert_eq!(ours.open(Kind::Commit, &sealed).unwrap(), b"commit");
        assert_eq!(
            ours.open(Kind::GroupInfo, &sealed),
            Err(EnvelopeError::Forged)
        );
        for other in [envelope(2, "standup"), envelope(1, "retro")] {
            assert_eq!(
                other.open(Kind::Commit, &sealed),
                Err(EnvelopeError::Forged)
            );
        }
    }

    #[test]
    fn no_byte_can_be_changed() {
        let ours = envelope(1, "standup");
        let sealed = ours.seal(Kind::Commit, b"x").unwrap();
        for index in 0..sealed.len() {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[index] ^= 1;
            assert_eq!(
                ours.open(Kind::Commit, &Opaque::from(bytes)),
                Err(EnvelopeError::Forged)
            );
        }
        let empty = Opaque::from(Vec::new());
        assert_eq!(ours.open(Kind::Commit, &empty), Err(EnvelopeError::Forged));
    }
}
