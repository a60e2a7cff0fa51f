//! AV1 in RTP (the AV1 RTP specification), for frames whose inside is sealed: what stays
//! clear is a sequence header, and one frame unit around the ciphertext.
//!
//! Units travel without their sizes and are told apart by the aggregation header and the
//! lengths of elements; the receiver puts the sizes back.

use super::{
    assemble::{Begins, Piece},
    cadence::Rank,
    dependency::DescriptorWriter,
    packetize::{MAX_PAYLOAD, Payload, StreamShape, even_pieces},
};

/// Z: the first element goes on from the packet before.
const CONTINUES: u8 = 0x80;
/// Y: the last element goes on in the next packet.
const CONTINUED: u8 = 0x40;
/// N: a coded video sequence begins.
const NEW_SEQUENCE: u8 = 0x08;

/// In the header of a unit.
const EXTENSION_FLAG: u8 = 0b100;
const SIZE_FLAG: u8 = 0b10;

/// Room for the aggregation header.
const HEADER: usize = 1;

/// Cuts frames into RTP payloads, with a dependency descriptor for each.
#[derive(Debug)]
pub struct Packetizer {
    descriptors: DescriptorWriter,
}

impl Packetizer {
    /// Begins to count frames at the given number.
    pub fn new(shape: StreamShape, frame_number: u16) -> Self {
        Self {
            descriptors: DescriptorWriter::new(shape, frame_number),
        }
    }

    /// Payloads of about the same size; the last one takes the RTP marker.
    pub fn packetize(&mut self, sealed: &[u8], rank: Rank) -> Vec<Payload> {
        let mut units = units(sealed).unwrap_or_default();
        let last = units.pop().unwrap_or_default();
        // What precedes the frame itself is short, and goes along with its beginning.
        let mut before = Vec::new();
        for unit in &units {
            write_leb128(unit.len(), &mut before);
            before.extend(unit);
        }
        let room = MAX_PAYLOAD - HEADER - before.len().min(MAX_PAYLOAD / 2);
        let pieces = even_pieces(&last, room);
        let count = pieces.len();
        let descriptors = self.descriptors.frame(rank, count);
        pieces
            .zip(descriptors)
            .enumerate()
            .map(|(at, (piece, dependency))| {
                let elements = if at == 0 { units.len() + 1 } else { 1 };
                // W says how many elements there are, and that the last has no length.
                let mut header = (elements.min(3) as u8) << 4;
                if at == 0 && rank.is_key {
                    header |= NEW_SEQUENCE;
                }
                if at > 0 {
                    header |= CONTINUES;
                }
                if at + 1 < count {
                    header |= CONTINUED;
                }
                let mut bytes = vec![header];
                if at == 0 {
                    bytes.extend(&before);
                }
                bytes.extend(piece);
                Payload {
                    bytes: bytes.into(),
                    dependency: Some(dependency),
                }
            })
            .collect()
    }
}

/// What the aggregation header of a payload says; none when there is none. Only the first
/// packet of a key frame says itself that a frame begins; for others the dependency
/// descriptor does, or the end of the frame before.
pub(super) fn describe(payload: &[u8], begins_by_dependency: Option<bool>) -> Option<Piece> {
    let header = *payload.first()?;
    let begins = match begins_by_dependency {
        Some(begins) => Begins::from(begins),
        None if header & CONTINUES != 0 => Begins::No,
        None if header & NEW_SEQUENCE != 0 => Begins::Yes,
        None => Begins::AfterTheEndOfAnother,
    };
    Some(Piece {
        begins,
        ends: false,
        descriptor: 0,
    })
}

/// Puts the units of a frame together again, each with its size; none when the payloads
/// contradict themselves.
pub(super) fn join<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    let mut goes_on = false;
    for payload in payloads {
        let (&header, mut rest) = payload.split_first()?;
        if (header & CONTINUES != 0) != goes_on {
            return None;
        }
        let told = usize::from(header >> 4 & 3);
        let mut element = 0;
        while !rest.is_empty() {
            element += 1;
            let (piece, behind) = if element == told {
                (rest, &[][..])
            } else {
                let (length, behind) = read_leb128(rest)?;
                behind.split_at_checked(length)?
            };
            match units.last_mut() {
                Some(unit) if goes_on => unit.extend(piece),
                _ => units.push(piece.to_vec()),
            }
            goes_on = false;
            rest = behind;
        }
        goes_on = header & CONTINUED != 0;
    }
    if goes_on {
        return None;
    }
    let mut frame = Vec::new();
    for unit in &units {
        let (&header, mut rest) = unit.split_first()?;
        if header & SIZE_FLAG != 0 {
            frame.extend(unit);
            continue;
        }
        frame.push(header | SIZE_FLAG);
        if header & EXTENSION_FLAG != 0 {
            let (&extension, behind) = rest.split_first()?;
            frame.push(extension);
            rest = behind;
        }
        write_leb128(rest.len(), &mut frame);
        frame.extend(rest);
    }
    Some(frame)
}

/// The units of a frame, without their sizes; none when it cannot be taken apart.
fn units(mut frame: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut units = Vec::new();
    while let Some((&header, mut rest)) = frame.split_first() {
        let mut unit = vec![header & !SIZE_FLAG];
        if header & EXTENSION_FLAG != 0 {
            let (&extension, behind) = rest.split_first()?;
            unit.push(extension);
            rest = behind;
        }
        let (payload, behind) = if header & SIZE_FLAG == 0 {
            (rest, &[][..])
        } else {
            let (size, behind) = read_leb128(rest)?;
            behind.split_at_checked(size)?
        };
        unit.extend(payload);
        units.push(unit);
        frame = behind;
    }
    Some(units)
}

/// AV1 specification §4.10.5.
fn read_leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

pub(super) fn write_leb128(mut value: usize, out: &mut Vec<u8>) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::cadence::{Cadence, TemporalLayers};

    /// A sequence header of 3 bytes and a frame of so many.
    fn frame(length: usize) -> Vec<u8> {
        let mut frame = vec![0x0a, 3, 7, 8, 9, 0x32];
        write_leb128(length, &mut frame);
        frame.extend((0..length).map(|at| at as u8));
        frame
    }

    fn packetizer() -> (Packetizer, Cadence) {
        let shape = StreamShape {
            width: 640,
            height: 360,
            temporal_layers: TemporalLayers::One,
        };
        (Packetizer::new(shape, 0), Cadence::new(TemporalLayers::One))
    }

    #[test]
    fn units_travel_without_sizes_and_get_them_back() {
        let (mut packetizer, mut cadence) = packetizer();
        let frame = frame(3_000);
        let packets = packetizer.packetize(&frame, cadence.next(true));
        assert_eq!(packets.len(), 3);
        // Two elements, the second one goes on; the header of three bytes without its size.
        assert_eq!(packets[0].bytes[..7], [0x68, 4, 0x08, 7, 8, 9, 0x30]);
        assert_eq!(packets[1].bytes[0], 0xd0);
        assert_eq!(packets[2].bytes[0], 0x90);
        assert!(packets.iter().all(|p| p.bytes.len() <= MAX_PAYLOAD));
        let joined = join(packets.iter().map(|packet| &packet.bytes[..]));
        assert_eq!(joined, Some(frame));
    }

    #[test]
    fn elements_with_lengths_are_understood() {
        // W is 0: every element has a length.
        let one = [0x40, 2, 0x08, 7, 2, 0x30, 1];
        let two = [0x80, 2, 2, 3];
        let joined = join([&one[..], &two].into_iter());
        assert_eq!(joined.unwrap(), [0x0a, 1, 7, 0x32, 3, 1, 2, 3]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for payloads in [
            &[&[0x90, 1][..]][..],        // goes on from nothing
            &[&[0x50, 0x30]],             // goes on into nothing
            &[&[0x00, 5, 1]],             // longer than it is
            &[&[0x50, 0x30], &[0x10, 1]], // two that do not fit
        ] {
            assert_eq!(join(payloads.iter().copied()), None, "{payloads:?}");
        }
    }
}
