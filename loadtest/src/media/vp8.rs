//! VP8 in RTP (RFC 7741), for frames whose inside is sealed: only the payload descriptor
//! is looked at.

use super::{
    assemble::{Begins, Piece},
    cadence::Rank,
    packetize::{MAX_PAYLOAD, Payload, even_pieces, payload},
};

/// Bytes of the descriptor that we write: required, extension, picture id, TL0PICIDX, TID.
const DESCRIPTOR: usize = 6;

/// X: extensions follow.
const EXTENDED: u8 = 0x80;
/// N: no other frame needs this one.
const NOT_REFERENCED: u8 = 0x20;
/// S: a partition begins, the first when the index behind it is 0.
const BEGINS: u8 = 0x10;
/// Y: only frames of the base layer are needed.
const SYNC: u8 = 0x20;

/// Cuts frames into RTP payloads, with the descriptor that browsers write: a 15-bit
/// picture id, a TL0PICIDX that counts the frames of the base layer, and the layer.
#[derive(Debug)]
pub struct Packetizer {
    picture_id: u16,
    tl0_picture_index: u8,
}

impl Packetizer {
    /// Begins to count at the given numbers, which should be random.
    pub fn new(picture_id: u16, tl0_picture_index: u8) -> Self {
        Self {
            picture_id: picture_id & 0x7fff,
            tl0_picture_index,
        }
    }

    /// Payloads of about the same size; the last one takes the RTP marker.
    pub fn packetize(&mut self, frame: &[u8], rank: Rank) -> Vec<Payload> {
        if rank.temporal == 0 {
            self.tl0_picture_index = self.tl0_picture_index.wrapping_add(1);
        }
        let [high, low] = (self.picture_id | 0x8000).to_be_bytes();
        let required = EXTENDED | if rank.is_droppable { NOT_REFERENCED } else { 0 };
        let layer = rank.temporal << 6 | if rank.syncs { SYNC } else { 0 };
        let mut descriptor = [required | BEGINS, 0xe0, high, low];
        let payloads = even_pieces(frame, MAX_PAYLOAD - DESCRIPTOR)
            .map(|piece| {
                let rest = [self.tl0_picture_index, layer];
                let payload = payload(&[&descriptor[..], &rest].concat(), piece);
                descriptor[0] = required;
                payload
            })
            .collect();
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        payloads
    }
}

/// What the descriptor of a payload says (RFC 7741 §4.2); none when it ends early.
pub(super) fn describe(payload: &[u8]) -> Option<Piece> {
    let mut bytes = payload.iter();
    let required = bytes.next()?;
    if required & EXTENDED != 0 {
        let extension = bytes.next()?;
        if extension & 0x80 != 0 && bytes.next()? & 0x80 != 0 {
            bytes.next()?;
        }
        if extension & 0x40 != 0 {
            bytes.next()?;
        }
        if extension & 0x30 != 0 {
            bytes.next()?;
        }
    }
    Some(Piece {
        begins: Begins::from(required & 0x17 == BEGINS),
        ends: false,
        descriptor: payload.len() - bytes.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::cadence::{Cadence, TemporalLayers};

    #[test]
    fn descriptors_count_pictures_and_mark_the_start() {
        let mut packetizer = Packetizer::new(0x7ffe, 254);
        let mut cadence = Cadence::new(TemporalLayers::One);
        let mut packets = packetizer.packetize(&[7; 2_000], cadence.next(true));
        packets.extend(packetizer.packetize(&[7], cadence.next(false)));
        assert_eq!(packets.len(), 3);
        assert_eq!(packets[0].bytes[..6], [0x90, 0xe0, 0xff, 0xfe, 255, 0]);
        assert_eq!(packets[1].bytes[..6], [0x80, 0xe0, 0xff, 0xfe, 255, 0]);
        assert_eq!(packets[2].bytes[..], [0x90, 0xe0, 0xff, 0xff, 0, 0, 7]);
        assert!(packets.iter().all(|p| p.bytes.len() <= MAX_PAYLOAD));
    }

    #[test]
    fn layers_are_told() {
        let mut packetizer = Packetizer::new(0, 0);
        let mut cadence = Cadence::new(TemporalLayers::Three);
        let told: Vec<_> = (0..5)
            .map(|at| {
                let packet = packetizer.packetize(&[1], cadence.next(at == 0)).remove(0);
                (packet.bytes[0], packet.bytes[4], packet.bytes[5])
            })
            .collect();
        let expected = [
            (0x90, 1, 0x00),
            (0xb0, 1, 0xa0),
            (0x90, 1, 0x60),
            (0xb0, 1, 0x80),
            (0x90, 2, 0x00),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn descriptors_of_others_are_understood() {
        for (payload, begins, descriptor) in [
            (&[0x10, 9][..], true, 1),
            (&[0x11, 9], false, 1),
            (&[0x90, 0x80, 0x05, 9], true, 3),
            (&[0x90, 0x80, 0x85, 1, 9], true, 4),
            (&[0x80, 0x20, 0, 9], false, 3),
            (&[0x90, 0xf0, 0x85, 1, 2, 3, 9], true, 6),
        ] {
            let piece = describe(payload).unwrap();
            assert_eq!(piece.begins, Begins::from(begins));
            assert_eq!(piece.descriptor, descriptor);
        }
        for cut in [&[][..], &[0x90], &[0x90, 0x80], &[0x90, 0x80, 0x80]] {
            assert_eq!(describe(cut), None);
        }
    }
}
