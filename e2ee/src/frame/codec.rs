//! Which bytes of a frame stay readable, so that browsers can packetise sealed frames and
//! the SFU can tell key frames.
//!
//! | codec | clear |
//! |---|---|
//! | Opus | nothing |
//! | VP8 | the first 10 bytes of a key frame, the first of a delta frame (RFC 6386 §9.1) |
//! | VP9 | nothing: its payload descriptor says what has to be known |
//! | AV1 | a leading sequence header; the rest becomes one synthetic frame OBU |
//! | H.264 | copies of the parameter sets and of the first slice's first 5 bytes |

use std::borrow::Cow;

use super::{av1, h264};

/// How a frame's payload is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 6716.
    Opus,
    /// RFC 6386.
    Vp8,
    /// The VP9 bitstream.
    Vp9,
    /// The AV1 bitstream.
    Av1,
    /// ITU-T H.264, as a byte stream (annex B).
    H264,
}

/// A frame that breaks its codec's rules so far that it cannot be divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// The clear bytes of a sealed frame and its ciphertext.
type Divided<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

const VP8_KEY_CLEAR: usize = 10;
const VP8_DELTA_CLEAR: usize = 1;

impl Codec {
    /// The number under the tag.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Opus => 0,
            Self::Vp8 => 1,
            Self::Vp9 => 2,
            Self::Av1 => 3,
            Self::H264 => 4,
        }
    }

    /// Divides a frame into what stays clear and what is encrypted.
    pub(super) fn divide(self, frame: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Malformed> {
        match self {
            Self::Opus | Self::Vp9 => Ok((Cow::Borrowed(&[]), frame)),
            Self::Vp8 => divide_vp8(frame).map(|(clear, rest)| (Cow::Borrowed(clear), rest)),
            Self::Av1 => av1::divide(frame).map(|(clear, rest)| (Cow::Owned(clear), rest)),
            Self::H264 => h264::clear(frame).map(|clear| (Cow::Owned(clear), frame)),
        }
    }

    /// Divides a sealed frame into the clear bytes and the SFrame ciphertext.
    pub(super) fn divide_sealed(self, sealed: &[u8]) -> Result<Divided<'_>, Malformed> {
        match self {
            Self::Av1 => av1::divide_sealed(sealed)
                .map(|(clear, rest)| (Cow::Owned(clear), Cow::Borrowed(rest))),
            Self::H264 => h264::divide_sealed(sealed)
                .map(|(clear, rest)| (Cow::Owned(clear), Cow::Owned(rest))),
            _ => self
                .divide(sealed)
                .map(|(clear, rest)| (clear, Cow::Borrowed(rest))),
        }
    }

    /// The clear bytes are copies: the frame is whole without them.
    pub(super) const fn has_all_encrypted(self) -> bool {
        matches!(self, Self::H264)
    }

    /// Puts a sealed frame together. `covered` is clear bytes followed by the ciphertext.
    pub(super) fn assemble(self, covered: Vec<u8>, clear_length: usize) -> Vec<u8> {
        match self {
            Self::Av1 => av1::assemble(&covered, clear_length),
            Self::H264 => h264::assemble(&covered, clear_length),
            _ => covered,
        }
    }
}

/// The first bit of a VP8 frame is 0 on key frames, and it is clear in both kinds.
fn divide_vp8(frame: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let first = frame.first().ok_or(Malformed)?;
    let clear = if first & 1 == 0 {
        VP8_KEY_CLEAR
    } else {
        VP8_DELTA_CLEAR
    };
    frame.split_at_checked(clear).ok_or(Malformed)
}
