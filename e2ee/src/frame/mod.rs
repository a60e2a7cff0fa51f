//! Media frames sealed end to end: SFrame (RFC 9605) with keys from the MLS group.
//!
//! A sealed frame is, in this order: the codec's clear bytes (see [`codec`]), for AV1 the
//! header of a synthetic OBU, then the SFrame header, the ciphertext and the tag; for H.264
//! all this in the form of NAL units. Beside
//! the SFrame header, the tag covers the version of this layout, the codec and the clear
//! bytes. It does not cover SSRC, sequence number or timestamp, which the SFU rewrites.

mod av1;
pub mod codec;
mod h264;
mod key_id;
mod opener;
mod sealer;

use std::fmt;

use sframe::CipherSuite;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use codec::Codec;
pub use key_id::{KeyId, StreamContext};
pub use opener::{FrameOpener, OpenError, OpenedFrame};
pub use sealer::{FrameSealer, SealError};

/// AES_128_GCM_SHA256_128 (RFC 9605 §4.5).
const SUITE: CipherSuite = CipherSuite::AesGcm128Sha256;

/// Version of the layout described above; the tag covers it.
const LAYOUT_VERSION: u8 = 1;

/// How many frames of one sender and context may come out of order (RFC 9605 §9.3).
const REPLAY_WINDOW: usize = 1024;

/// The key of an epoch that all of its frame keys are derived from (RFC 9605 §5.2).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct BaseKey([u8; Self::LENGTH]);

impl BaseKey {
    /// AEAD.Nk of the cipher suite.
    pub const LENGTH: usize = 16;

    /// Wraps known bytes.
    pub const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Takes bytes of the right length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for BaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BaseKey(…)")
    }
}

/// What the tag covers besides the SFrame header.
fn associated_data(codec: Codec, clear: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(PREFIX_LENGTH + clear.len());
    data.extend([LAYOUT_VERSION, codec.number()]);
    data.extend(clear);
    data
}

/// The part of the associated data that does not travel with the frame.
const PREFIX_LENGTH: usize = 2;
