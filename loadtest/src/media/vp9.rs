//! VP9 in RTP (RFC 9628), for frames whose inside is sealed: only the payload descriptor
//! is looked at.

use super::{
    assemble::{Begins, Piece},
    cadence::{Rank, TemporalLayers},
    packetize::{MAX_PAYLOAD, Payload, StreamShape, even_pieces, payload},
};

const PICTURE_ID: u8 = 0x80;
const INTER_PREDICTED: u8 = 0x40;
const LAYERED: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const FRAME_BEGINS: u8 = 0x08;
const FRAME_ENDS: u8 = 0x04;
const HAS_STRUCTURE: u8 = 0x02;
/// U: the way up to higher temporal layers is open. In our groups it always is.
const SWITCH_UP: u8 = 0x10;

/// A picture refers to three others at most.
const MOST_REFERENCES: usize = 3;

/// The longest descriptor that we write: 5 bytes and the structure of a key frame.
const DESCRIPTOR: usize = 5 + 14;

/// The group of pictures of L1T3: temporal layer, U, and how far back the one picture
/// stands that each refers to (RFC 9628 §4.2.1).
const GROUP: [u8; 8] = [
    0x14, 4, // T0, of the picture four back
    0x54, 1, // T2, of the one before
    0x34, 2, // T1, two back
    0x54, 1, // T2
];

/// Cuts frames into RTP payloads in the non-flexible mode, with a 15-bit picture id.
#[derive(Debug)]
pub struct Packetizer {
    shape: StreamShape,
    picture_id: u16,
    tl0_picture_index: u8,
}

impl Packetizer {
    /// Begins to count at the given number, which should be random.
    pub fn new(shape: StreamShape, picture_id: u16) -> Self {
        Self {
            shape,
            picture_id: picture_id & 0x7fff,
            tl0_picture_index: picture_id as u8,
        }
    }

    /// Payloads of about the same size; the last one takes the RTP marker.
    pub fn packetize(&mut self, frame: &[u8], rank: Rank) -> Vec<Payload> {
        let layered = self.shape.temporal_layers == TemporalLayers::Three;
        if rank.temporal == 0 {
            self.tl0_picture_index = self.tl0_picture_index.wrapping_add(1);
        }
        let mut flags = PICTURE_ID;
        if !rank.is_key {
            flags |= INTER_PREDICTED;
        }
        let mut ids = (self.picture_id | 0x8000).to_be_bytes().to_vec();
        if layered {
            flags |= LAYERED;
            ids.push(rank.temporal << 5 | SWITCH_UP);
            ids.push(self.tl0_picture_index);
        }
        let pieces = even_pieces(frame, MAX_PAYLOAD - DESCRIPTOR);
        let last = pieces.len() - 1;
        let payloads = pieces
            .enumerate()
            .map(|(at, piece)| {
                let mut descriptor = vec![flags];
                descriptor.extend(&ids);
                if at == 0 {
                    descriptor[0] |= FRAME_BEGINS;
                    if rank.is_key {
                        descriptor[0] |= HAS_STRUCTURE;
                        descriptor.extend(self.structure());
                    }
                }
                if at == last {
                    descriptor[0] |= FRAME_ENDS;
                }
                payload(&descriptor, piece)
            })
            .collect();
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        payloads
    }

    /// The scalability structure (RFC 9628 §4.2.1): one spatial layer of this size and, with
    /// temporal layers, the group of pictures.
    fn structure(&self) -> Vec<u8> {
        let layered = self.shape.temporal_layers == TemporalLayers::Three;
        let mut structure = vec![if layered { 0x18 } else { 0x10 }];
        structure.extend(self.shape.width.to_be_bytes());
        structure.extend(self.shape.height.to_be_bytes());
        if layered {
            structure.push((GROUP.len() / 2) as u8);
            structure.extend(GROUP);
        }
        structure
    }
}

/// What the descriptor of a payload says; none when it ends early.
pub(super) fn describe(payload: &[u8]) -> Option<Piece> {
    let mut bytes = payload.iter();
    let flags = bytes.next()?;
    if flags & PICTURE_ID != 0 && bytes.next()? & 0x80 != 0 {
        bytes.next()?;
    }
    if flags & LAYERED != 0 {
        bytes.next()?;
        if flags & FLEXIBLE == 0 {
            bytes.next()?;
        }
    }
    if flags & INTER_PREDICTED != 0 && flags & FLEXIBLE != 0 {
        for _ in 0..MOST_REFERENCES {
            if bytes.next()? & 1 == 0 {
                break;
            }
        }
    }
    if flags & HAS_STRUCTURE != 0 {
        let header = bytes.next()?;
        if header & 0x10 != 0 {
            for _ in 0..4 * (usize::from(header >> 5) + 1) {
                bytes.next()?;
            }
        }
        if header & 0x08 != 0 {
            for _ in 0..*bytes.next()? {
                let references = bytes.next()? >> 2 & 3;
                for _ in 0..references {
                    bytes.next()?;
                }
            }
        }
    }
    Some(Piece {
        begins: Begins::from(flags & FRAME_BEGINS != 0),
        ends: flags & FRAME_ENDS != 0,
        descriptor: payload.len() - bytes.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::cadence::Cadence;

    fn shape(temporal_layers: TemporalLayers) -> StreamShape {
        StreamShape {
            width: 640,
            height: 360,
            temporal_layers,
        }
    }

    #[test]
    fn a_key_frame_brings_the_structure_with_its_first_packet() {
        let mut packetizer = Packetizer::new(shape(TemporalLayers::Three), 0x7fff);
        let mut cadence = Cadence::new(TemporalLayers::Three);
        let key = packetizer.packetize(&[9; 2_000], cadence.next(true));
        assert_eq!(key.len(), 2);
        let size = [2, 128, 1, 104];
        let structure = [&[0x18][..], &size, &[4], &GROUP].concat();
        let first = [&[0xaa, 0xff, 0xff, 0x10, 0x00][..], &structure].concat();
        assert_eq!(key[0].bytes[..first.len()], first);
        assert_eq!(key[1].bytes[..5], [0xa4, 0xff, 0xff, 0x10, 0x00]);
        let delta = packetizer.packetize(&[9; 10], cadence.next(false));
        assert_eq!(delta[0].bytes[..6], [0xec, 0x80, 0x00, 0x50, 0x00, 9]);
        for payload in key.iter().chain(&delta) {
            let piece = describe(&payload.bytes).unwrap();
            assert!(payload.bytes[piece.descriptor..].iter().all(|b| *b == 9));
            assert!(payload.bytes.len() <= MAX_PAYLOAD);
        }
    }

    #[test]
    fn without_layers_none_are_told() {
        let mut packetizer = Packetizer::new(shape(TemporalLayers::One), 5);
        let mut cadence = Cadence::new(TemporalLayers::One);
        let key = packetizer.packetize(&[9], cadence.next(true));
        assert_eq!(key[0].bytes[..4], [0x8e, 0x80, 5, 0x10]);
        let delta = packetizer.packetize(&[9], cadence.next(false));
        assert_eq!(delta[0].bytes[..], [0xcc, 0x80, 6, 9]);
    }

    #[test]
    fn descriptors_of_others_are_understood() {
        let flexible = [0xfe, 5, 0x02, 0x03, 0x02, 0b0010_0000, 7];
        for (payload, begins, ends, descriptor) in [
            (&[0x08, 9][..], true, false, 1),
            (&[0x84, 5, 9], false, true, 2),
            (&[0x8c, 0x85, 1, 9], true, true, 3),
            (&[0xa0, 5, 0x02, 7, 9], false, false, 4),
            (&flexible, true, true, 6),
            // Two spatial layers with sizes.
            (&[0x0a, 0x30, 1, 2, 3, 4, 5, 6, 7, 8, 9], true, false, 10),
        ] {
            let piece = describe(payload).unwrap();
            assert_eq!(piece.begins, Begins::from(begins), "{payload:?}");
            assert_eq!((piece.ends, piece.descriptor), (ends, descriptor));
        }
        for cut in [&[][..], &[0x80], &[0x80, 0x80], &[0xa0, 5, 1], &[0x02]] {
            assert_eq!(describe(cut), None, "{cut:?}");
        }
    }
}
