//! The device that a member takes part with, known again from call to call.
//!
//! Every stay in a group has a signature key of its own, which is gone with it. A device has
//! a key that lasts, and vouches with it for the stay's key: it signs a *claim* that names
//! the room and the stay's key, so the signature is of no use to anybody else or anywhere
//! else. Browsers keep the device's key where scripts cannot read it and sign there; so this
//! crate sees no more of it than the public half.

use std::{fmt, str::FromStr};

use conclave_protocol::RoomId;
use openmls::prelude::OpenMlsCrypto as _;
use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::types::SignatureScheme;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::digits::Digits;

/// Ed25519 (RFC 8032), as the group's leaves sign too.
pub(crate) const SCHEME: SignatureScheme = SignatureScheme::ED25519;

/// Stands before what a device signs.
const CLAIM: &str = "conclave 1 device ";

/// Stands before what the digits of two devices are made from.
const PAIR: &str = "conclave 1 pair ";

/// Why a device or a stay has no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No random bytes.
    #[error("no signature key can be made on this system: {0}")]
    NoKey(String),
    /// Not signed by that device for this stay.
    #[error("the device did not vouch for this stay: reload the page")]
    Unproven,
    /// Of another length or alphabet.
    #[error("a device's key has 64 and its signature 128 hexadecimal digits")]
    Malformed,
}

/// A device's public key: what it is known by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceKey([u8; 32]);

impl DeviceKey {
    /// Wraps the bytes of a key.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digits that two people compare to know each other's devices again: the same on
    /// either side, for as long as both keep theirs.
    pub fn pair_code(&self, other: &Self) -> Digits {
        let (low, high) = if self <= other {
            (self, other)
        } else {
            (other, self)
        };
        let mut hash = Sha256::new();
        for part in [PAIR.as_bytes(), &low.0, &high.0] {
            hash.update(part);
        }
        Digits::from_secret(&hash.finalize(), "pair")
    }
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({self})")
    }
}

impl FromStr for DeviceKey {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        Ok(Self(bytes(text)?))
    }
}

impl TryFrom<String> for DeviceKey {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl From<DeviceKey> for String {
    fn from(key: DeviceKey) -> Self {
        key.to_string()
    }
}

/// A device's signature on a claim.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceSignature([u8; 64]);

impl DeviceSignature {
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl TryFrom<String> for DeviceSignature {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        Ok(Self(bytes(&text)?))
    }
}

impl From<DeviceSignature> for String {
    fn from(signature: DeviceSignature) -> Self {
        hexadecimal(&signature.0)
    }
}

impl fmt::Debug for DeviceSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceSignature(…)")
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn bytes<const LENGTH: usize>(text: &str) -> Result<[u8; LENGTH], DeviceError> {
    let mut bytes = [0; LENGTH];
    if text.len() != 2 * LENGTH || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(DeviceError::Malformed);
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| DeviceError::Malformed)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| DeviceError::Malformed)?;
    }
    Ok(bytes)
}

/// That a device takes part in a stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceProof {
    /// Which device.
    pub key: DeviceKey,
    /// On the stay's [`StayKey::claim`].
    pub signature: DeviceSignature,
}

impl DeviceProof {
    /// Puts together what a browser has.
    pub fn from_bytes(key: &[u8], signature: &[u8]) -> Result<Self, DeviceError> {
        Ok(Self {
            key: DeviceKey(key.try_into().map_err(|_| DeviceError::Malformed)?),
            signature: DeviceSignature(signature.try_into().map_err(|_| DeviceError::Malformed)?),
        })
    }

    /// Whether the device vouches for a stay with this signature key in this room.
    pub(crate) fn holds_for(&self, room: &RoomId, stay: &[u8]) -> bool {
        CryptoProvider::new().is_ok_and(|crypto| {
            let claim = claim(room, stay);
            let Self { key, signature } = self;
            let checked = crypto.verify_signature(SCHEME, &claim, &key.0, &signature.0);
            checked.is_ok()
        })
    }
}

fn claim(room: &RoomId, stay: &[u8]) -> Vec<u8> {
    [CLAIM.as_bytes(), room.as_str().as_bytes(), b" ", stay].concat()
}

fn key_pair() -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), DeviceError> {
    let no_key = |error: openmls_traits::types::CryptoError| DeviceError::NoKey(error.to_string());
    let crypto = CryptoProvider::new().map_err(no_key)?;
    let (secret, public) = crypto.signature_key_gen(SCHEME).map_err(no_key)?;
    Ok((Zeroizing::new(secret), public))
}

/// The signature key of one stay in a call.
#[derive(Clone)]
pub struct StayKey {
    pub(crate) secret: Zeroizing<Vec<u8>>,
    pub(crate) public: Vec<u8>,
}

impl StayKey {
    /// Draws one.
    pub fn generate() -> Result<Self, DeviceError> {
        let (secret, public) = key_pair()?;
        Ok(Self { secret, public })
    }

    /// What a device has to sign to take part with it in a room.
    pub fn claim(&self, room: &RoomId) -> Vec<u8> {
        claim(room, &self.public)
    }
}

impl fmt::Debug for StayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StayKey(…)")
    }
}

/// The key of a device whose secret half is in this process: a bot's.
pub struct Device {
    secret: Zeroizing<Vec<u8>>,
    key: DeviceKey,
}

impl Device {
    /// A new device.
    pub fn generate() -> Result<Self, DeviceError> {
        let (secret, public) = key_pair()?;
        let key = public.try_into().map_err(|_| DeviceError::Malformed)?;
        Ok(Self {
            secret,
            key: DeviceKey(key),
        })
    }

    /// What it is known by.
    pub fn key(&self) -> DeviceKey {
        self.key
    }

    /// Vouches for a stay in a room.
    pub fn vouch(&self, room: &RoomId, stay: &StayKey) -> Result<DeviceProof, DeviceError> {
        let no_key =
            |error: openmls_traits::types::CryptoError| DeviceError::NoKey(error.to_string());
        let crypto = CryptoProvider::new().map_err(no_key)?;
        let signature = crypto.sign(SCHEME, &stay.claim(room), &self.secret);
        DeviceProof::from_bytes(&self.key.0, &signature.map_err(no_key)?)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomId {
        name.parse().unwrap()
    }

    #[test]
    fn a_device_vouches_for_one_stay_in_one_room() {
        let (device, stay) = (Device::generate().unwrap(), StayKey::generate().unwrap());
        let proof = device.vouch(&room("standup"), &stay).unwrap();
        assert!(proof.holds_for(&room("standup"), &stay.public));
        assert!(!proof.holds_for(&room("retro"), &stay.public));
        let other = StayKey::generate().unwrap();
        assert!(!proof.holds_for(&room("standup"), &other.public));
        let borrowed = DeviceProof {
            key: Device::generate().unwrap().key(),
            ..proof
        };
        assert!(!borrowed.holds_for(&room("standup"), &stay.public));
    }

    #[test]
    fn a_proof_is_written_and_read_back_and_nothing_else_is() {
        let (device, stay) = (Device::generate().unwrap(), StayKey::generate().unwrap());
        let proof = device.vouch(&room("standup"), &stay).unwrap();
        let json = serde_json::to_string(&proof).unwrap();
        assert_eq!(serde_json::from_str::<DeviceProof>(&json).unwrap(), proof);
        for text in ["", "00", &"0".repeat(63), &"G".repeat(64), &"A".repeat(64)] {
            assert_eq!(
                text.parse::<DeviceKey>(),
                Err(DeviceError::Malformed),
                "{text}"
            );
        }
    }

    #[test]
    fn two_devices_have_the_same_digits_on_both_sides_and_no_third_has_them() {
        let [ada, grace, other] = [1, 2, 3].map(|byte| DeviceKey([byte; 32]));
        let code = ada.pair_code(&grace);
        assert_eq!(code, grace.pair_code(&ada));
        assert_ne!(code, ada.pair_code(&other));
        assert_ne!(code, grace.pair_code(&other));
        assert_ne!(ada.pair_code(&ada), code);
    }
}
