//! Cuts sealed frames into RTP payloads, each codec in its way.

use std::sync::Arc;

use super::{
    Codec, av1,
    cadence::{Rank, TemporalLayers},
    h264, vp8, vp9,
};

/// The longest RTP payload, so that a packet with its headers stays below the 1,200 bytes
/// that browsers send.
pub(super) const MAX_PAYLOAD: usize = 1_160;

/// One RTP payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// What is behind the RTP header.
    pub bytes: Arc<[u8]>,
    /// The dependency descriptor for the RTP header (AV1 RTP appendix A).
    pub dependency: Option<Arc<[u8]>>,
}

/// What a packetizer has to know of its stream.
#[derive(Debug, Clone, Copy)]
pub struct StreamShape {
    /// From left to right, in pixels.
    pub width: u16,
    /// From top to bottom, in pixels.
    pub height: u16,
    /// How many temporal layers it has.
    pub temporal_layers: TemporalLayers,
}

/// Cuts the frames of one stream of pictures.
#[derive(Debug)]
pub enum Packetizer {
    /// RFC 7741.
    Vp8(vp8::Packetizer),
    /// RFC 9628.
    Vp9(vp9::Packetizer),
    /// The AV1 RTP specification.
    Av1(av1::Packetizer),
    /// RFC 6184.
    H264,
}

impl Packetizer {
    /// Begins to count pictures at the given number, which should be random; none for
    /// sound, which is not cut.
    pub fn new(codec: Codec, shape: StreamShape, origin: u16) -> Option<Self> {
        match codec {
            Codec::Opus => None,
            Codec::Vp8 => Some(Self::Vp8(vp8::Packetizer::new(origin, origin as u8))),
            Codec::Vp9 => Some(Self::Vp9(vp9::Packetizer::new(shape, origin))),
            Codec::Av1 => Some(Self::Av1(av1::Packetizer::new(shape, origin))),
            Codec::H264 => Some(Self::H264),
        }
    }

    /// Payloads of about the same size; the last one takes the RTP marker.
    pub fn packetize(&mut self, sealed: &[u8], rank: Rank) -> Vec<Payload> {
        match self {
            Self::Vp8(packetizer) => packetizer.packetize(sealed, rank),
            Self::Vp9(packetizer) => packetizer.packetize(sealed, rank),
            Self::Av1(packetizer) => packetizer.packetize(sealed, rank),
            Self::H264 => h264::packetize(sealed),
        }
    }
}

/// Pieces of about the same size, none longer than `longest`; at least one.
pub(super) fn even_pieces(bytes: &[u8], longest: usize) -> impl ExactSizeIterator<Item = &[u8]> {
    let count = bytes.len().div_ceil(longest).max(1);
    let each = bytes.len().div_ceil(count);
    (0..count).map(move |at| {
        let from = (at * each).min(bytes.len());
        &bytes[from..(from + each).min(bytes.len())]
    })
}

/// A payload of a descriptor and a piece of the frame.
pub(super) fn payload(descriptor: &[u8], piece: &[u8]) -> Payload {
    Payload {
        bytes: [descriptor, piece].concat().into(),
        dependency: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_even_and_whole(length in 0..20_000_usize, longest in 1..1_500_usize) {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let pieces: Vec<&[u8]> = even_pieces(&bytes, longest).collect();
            prop_assert_eq!(&pieces.concat(), &bytes);
            prop_assert!(pieces.iter().all(|piece| piece.len() <= longest));
            prop_assert!(length == 0 || pieces.iter().all(|piece| !piece.is_empty()));
        }
    }
}
