//! H.264 (ITU-T H.264) in RTP (RFC 6184, packetization mode 1). Constrained Baseline, one
//! slice for each picture.
//!
//! In a bot's hands a frame is a byte stream (annex B) of parameter sets, if it is a key
//! frame, and one slice. The slice is the last unit and its bytes are not escaped yet, so
//! that stamp and number go behind it as behind the frames of other codecs. Sealing makes a
//! unit in order of it; where frames are not sealed, [`escaped`] does.

use super::{
    assemble::{Begins, Piece},
    bits::Bits,
    packetize::{MAX_PAYLOAD, Payload, even_pieces, payload},
};

const START_CODE: [u8; 4] = [0, 0, 0, 1];

// Kinds of units (table 7-1), and of RTP payloads that hold several or a part of one.
const KIND: u8 = 0x1f;
const SLICE: u8 = 1;
const KEY_SLICE: u8 = 5;
const SEQUENCE_PARAMETERS: u8 = 7;
const DELIMITER: u8 = 9;
const SEVERAL: u8 = 24;
const PART: u8 = 28;

/// `nal_ref_idc`: everything that we send is needed by what follows.
const NEEDED: u8 = 0x60;

/// Of a part: it is the first one, it is the last one.
const FIRST: u8 = 0x80;
const LAST: u8 = 0x40;
/// Indicator and header of a part.
const PART_HEADER: usize = 2;

/// Profile and level as SDP tells them (RFC 6184 §8.1): Constrained Baseline, 3.1, the one
/// that every receiver knows.
pub(crate) const PROFILE_LEVEL_ID: u32 = 0x0042_e01f;
const PROFILE: u32 = 66;
const CONSTRAINTS: u32 = 0xe0;
/// Level 3.1 as it is written, the macroblocks that it allows, and a level for what is larger.
const USUAL_LEVEL: (u32, u32) = (31, 3_600);
const LARGE_LEVEL: u32 = 52;

/// The unit of picture parameters that goes with our sequence parameters: CAVLC, one slice
/// group, one reference (§7.3.2.2).
const PICTURE_PARAMETERS: [u8; 4] = [NEEDED | 8, 0xce, 0x38, 0x80];

/// Begins a frame: all of it but the inside of its picture, to which anything can be
/// appended.
pub(super) fn begin(is_key: bool, width: u16, height: u16, frame: &mut Vec<u8>) {
    if is_key {
        frame.extend(START_CODE);
        frame.extend(sequence_parameters(width, height));
        frame.extend(START_CODE);
        frame.extend(PICTURE_PARAMETERS);
    }
    frame.extend(START_CODE);
    // §7.3.3: from the first macroblock on, all of it intra or predicted.
    frame.extend(if is_key {
        [NEEDED | KEY_SLICE, 0x88]
    } else {
        [NEEDED | SLICE, 0x9a]
    });
}

/// §7.3.2.1.
fn sequence_parameters(width: u16, height: u16) -> Vec<u8> {
    let macroblocks = |length: u16| u32::from(length).div_ceil(16);
    let (columns, rows) = (macroblocks(width), macroblocks(height));
    let (level, most) = USUAL_LEVEL;
    let mut bits = Bits::default();
    bits.push(8, u32::from(NEEDED | SEQUENCE_PARAMETERS));
    bits.push(8, PROFILE);
    bits.push(8, CONSTRAINTS);
    bits.push(
        8,
        if columns * rows <= most {
            level
        } else {
            LARGE_LEVEL
        },
    );
    // Its number, the size of frame numbers, no reordering, one reference without gaps.
    for number in [0, 0, 2, 1] {
        bits.push_exp_golomb(number);
    }
    bits.push(1, 0);
    bits.push_exp_golomb(columns.saturating_sub(1));
    bits.push_exp_golomb(rows.saturating_sub(1));
    // Whole frames, direct inference, and a picture that is cropped at the right and bottom,
    // by pairs of samples.
    bits.push(3, 0b111);
    for cropped in [
        0,
        (columns * 16 - u32::from(width)) / 2,
        0,
        (rows * 16 - u32::from(height)) / 2,
    ] {
        bits.push_exp_golomb(cropped);
    }
    // Nothing about how to show it, and the end.
    bits.push(2, 0b01);
    escape(&bits.into_bytes())
}

/// True for a frame whose picture can be decoded by itself.
pub(super) fn is_key_frame(frame: &[u8]) -> bool {
    let (_, slice) = split(frame);
    slice
        .first()
        .is_some_and(|header| header & KIND == KEY_SLICE)
}

/// Payloads of about the same size; the last one takes the RTP marker.
pub(super) fn packetize(frame: &[u8]) -> Vec<Payload> {
    let (mut units, slice) = split(frame);
    let length = |units: &[&[u8]]| units.iter().map(|unit| 2 + unit.len()).sum::<usize>();
    let fits = slice.len() <= MAX_PAYLOAD;
    if !units.is_empty() && length(&units) + length(&[slice]) < MAX_PAYLOAD {
        units.push(slice);
        return vec![several(&units)];
    }
    let mut payloads = Vec::new();
    if !units.is_empty() {
        payloads.push(several(&units));
    }
    match slice.split_first() {
        Some((header, inside)) if !fits => {
            let indicator = header & !KIND | PART;
            let pieces = even_pieces(inside, MAX_PAYLOAD - PART_HEADER);
            let last = pieces.len() - 1;
            payloads.extend(pieces.enumerate().map(|(at, piece)| {
                let mut place = header & KIND;
                place |= if at == 0 { FIRST } else { 0 };
                place |= if at == last { LAST } else { 0 };
                payload(&[indicator, place], piece)
            }));
        }
        _ => payloads.push(payload(&[], slice)),
    }
    payloads
}

/// Several units in one payload, each behind its length (RFC 6184 §5.7.1).
fn several(units: &[&[u8]]) -> Payload {
    let mut bytes = vec![NEEDED | SEVERAL];
    for unit in units {
        bytes.extend((unit.len() as u16).to_be_bytes());
        bytes.extend_from_slice(unit);
    }
    payload(&bytes, &[])
}

/// What a payload says about its place in a frame; none when it ends early or is of a kind
/// that this mode does not have.
pub(super) fn describe(payload: &[u8]) -> Option<Piece> {
    let begins = match payload.first()? & KIND {
        1..SEVERAL => unit_begins(payload)?,
        SEVERAL => unit_begins(payload.get(3..)?)?,
        PART => match *payload.get(1)? {
            place if place & FIRST == 0 => Begins::No,
            place => unit_begins(&[place, *payload.get(2)?])?,
        },
        _ => return None,
    };
    Some(Piece {
        begins,
        ends: false,
        descriptor: 0,
    })
}

/// Whether a frame begins with this unit. Parameters come first, and only before a key
/// frame; other frames are nothing but their slice, which begins at the first macroblock.
fn unit_begins(unit: &[u8]) -> Option<Begins> {
    let is_at_first_macroblock = || Some(unit.get(1)? & 0x80 != 0);
    Some(match unit.first()? & KIND {
        SEQUENCE_PARAMETERS | DELIMITER => Begins::Yes,
        SLICE => Begins::from(is_at_first_macroblock()?),
        KEY_SLICE if !is_at_first_macroblock()? => Begins::No,
        _ => Begins::AfterTheEndOfAnother,
    })
}

/// Puts the units of a frame together again; none when the payloads contradict themselves.
pub(super) fn join<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    let mut part: Option<Vec<u8>> = None;
    for payload in payloads {
        let header = *payload.first()?;
        if (header & KIND != PART) && part.is_some() {
            return None;
        }
        match header & KIND {
            PART => {
                let (&place, piece) = payload.get(1..)?.split_first()?;
                if (place & FIRST != 0) != part.is_none() {
                    return None;
                }
                let unit = part.get_or_insert_with(|| vec![header & !KIND | place & KIND]);
                unit.extend_from_slice(piece);
                if place & LAST != 0 {
                    append(&part.take()?, &mut frame);
                }
            }
            SEVERAL => {
                let mut rest = payload.get(1..)?;
                while !rest.is_empty() {
                    let (length, behind) = rest.split_first_chunk::<2>()?;
                    let length = usize::from(u16::from_be_bytes(*length));
                    let (unit, behind) = behind.split_at_checked(length)?;
                    if unit.is_empty() {
                        return None;
                    }
                    append(unit, &mut frame);
                    rest = behind;
                }
            }
            _ => append(payload, &mut frame),
        }
    }
    part.is_none().then_some(frame)
}

fn append(unit: &[u8], frame: &mut Vec<u8>) {
    frame.extend(START_CODE);
    frame.extend_from_slice(unit);
}

/// The frame with its slice escaped (§7.4.1).
pub(crate) fn escaped(frame: &[u8]) -> Vec<u8> {
    let (_, slice) = split(frame);
    let (before, _) = frame.split_at(frame.len() - slice.len());
    [before, &escape(slice)].concat()
}

/// Undoes [`escaped`].
pub(crate) fn unescaped(frame: &[u8]) -> Vec<u8> {
    let (_, slice) = split(frame);
    let mut restored = frame[..frame.len() - slice.len()].to_vec();
    unescape(slice, &mut restored);
    restored
}

/// The units before the first slice, and all from there on. What is not in units is taken
/// for a slice.
fn split(frame: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut units = Vec::new();
    let Some(mut rest) = frame.strip_prefix(&START_CODE) else {
        return (units, frame);
    };
    while rest
        .first()
        .is_some_and(|header| !(SLICE..=KEY_SLICE).contains(&(header & KIND)))
    {
        let mut places = rest.windows(START_CODE.len());
        let Some(end) = places.position(|bytes| bytes == START_CODE) else {
            break;
        };
        units.push(&rest[..end]);
        rest = &rest[end + START_CODE.len()..];
    }
    (units, rest)
}

/// Puts a 3 wherever bytes would look like a start code.
fn escape(unit: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(unit.len() + 16);
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte <= 3 {
            escaped.push(3);
            zeros = 0;
        }
        escaped.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    escaped
}

fn unescape(unit: &[u8], frame: &mut Vec<u8>) {
    frame.reserve(unit.len());
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        frame.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use str0m::format::detect_h264_keyframe;

    use super::*;

    fn frame(is_key: bool, inside: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        begin(is_key, 640, 360, &mut frame);
        frame.extend(inside);
        frame
    }

    fn kinds(payloads: &[Payload]) -> Vec<u8> {
        let header = |payload: &Payload| payload.bytes[0] & KIND;
        payloads.iter().map(header).collect()
    }

    #[test]
    fn parameters_tell_the_size() {
        // ffmpeg's trace_headers reads the sizes from them, in macroblocks and cropped.
        for (width, height, inside) in [
            (640, 360, &[31, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0x40][..]),
            (320, 180, &[31, 0xda, 0x05, 0x06, 0x7e, 0x74]),
            (1_920, 1_080, &[52, 0xda, 0x01, 0xe0, 0x08, 0x9f, 0x95]),
        ] {
            let unit = sequence_parameters(width, height);
            assert_eq!(unit, [&[0x67, 66, 0xe0], inside].concat());
        }
    }

    #[test]
    fn a_key_frame_is_parameters_and_parts_of_its_slice() {
        let payloads = packetize(&frame(true, &[7; 3_000]));
        assert_eq!(kinds(&payloads), [SEVERAL, PART, PART, PART]);
        let places: Vec<_> = payloads[1..]
            .iter()
            .map(|payload| payload.bytes[1])
            .collect();
        assert_eq!(places, [0x85, 0x05, 0x45]);
        assert!(
            payloads
                .iter()
                .all(|payload| payload.bytes.len() <= MAX_PAYLOAD)
        );
        // Forwarders look where the slice begins.
        let keys = payloads
            .iter()
            .map(|payload| detect_h264_keyframe(&payload.bytes));
        assert_eq!(keys.collect::<Vec<_>>(), [false, true, false, false]);
    }

    #[test]
    fn small_frames_are_one_packet() {
        let payloads = packetize(&frame(true, &[7; 100]));
        assert_eq!(kinds(&payloads), [SEVERAL]);
        assert!(detect_h264_keyframe(&payloads[0].bytes));
        let payloads = packetize(&frame(false, &[7; 100]));
        assert_eq!(kinds(&payloads), [SLICE]);
        assert!(!detect_h264_keyframe(&payloads[0].bytes));
    }

    #[test]
    fn packets_say_where_frames_begin() {
        let begins = |payload: &[u8]| describe(payload).map(|piece| piece.begins);
        for (payload, expected) in [
            (&[0x67, 66][..], Some(Begins::Yes)),
            (&[0x09, 0xf0], Some(Begins::Yes)),
            (&[0x78, 0, 2, 0x67, 66], Some(Begins::Yes)),
            (&[0x41, 0x9a], Some(Begins::Yes)),
            (&[0x41, 0x1a], Some(Begins::No)),
            (&[0x65, 0x88], Some(Begins::AfterTheEndOfAnother)),
            (&[0x65, 0x08], Some(Begins::No)),
            (&[0x7c, 0x81, 0x9a], Some(Begins::Yes)),
            (&[0x7c, 0x01, 0x9a], Some(Begins::No)),
            (&[0x7c, 0x85, 0x88], Some(Begins::AfterTheEndOfAnother)),
            (&[], None),
            (&[0x41], None),
            (&[0x78, 0, 2], None),
            (&[0x7c], None),
            (&[0x7c, 0x81], None),
            // Of another packetization mode.
            (&[0x79, 0, 2, 0x67, 66], None),
        ] {
            assert_eq!(begins(payload), expected, "{payload:02x?}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let joined = |payloads: &[&[u8]]| join(payloads.iter().copied());
        let (first, middle, last) = (
            &[0x7c, 0x81, 1][..],
            &[0x7c, 0x01, 2][..],
            &[0x7c, 0x41, 3][..],
        );
        assert_eq!(
            joined(&[first, middle, last]),
            Some(vec![0, 0, 0, 1, 0x61, 1, 2, 3])
        );
        for payloads in [
            &[middle, last][..],
            &[first, middle],
            &[first, first],
            &[first, &[0x41, 0x9a]],
            &[first, &[0x41, 0x9a], last],
            &[&[0x78, 0, 9, 0x67]],
            &[&[0x78, 0, 0]],
            &[&[]],
        ] {
            assert_eq!(joined(payloads), None, "{payloads:02x?}");
        }
    }

    proptest! {
        #[test]
        fn frames_come_back_and_nothing_in_them_looks_like_a_start_code(
            is_key in any::<bool>(),
            // Mostly what has to be escaped.
            inside in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..4_000),
        ) {
            let frame = frame(is_key, &inside);
            prop_assert_eq!(is_key_frame(&frame), is_key);
            let written = escaped(&frame);
            prop_assert_eq!(is_key_frame(&written), is_key);
            let payloads = packetize(&written);
            for payload in &payloads {
                let unit = &payload.bytes[1..];
                let looks = |bytes: &[u8]| bytes[..2] == [0, 0] && bytes[2] < 3;
                let is_part = payload.bytes[0] & KIND != SEVERAL;
                prop_assert!(!is_part || !unit.windows(3).any(looks));
            }
            let joined = join(payloads.iter().map(|payload| &payload.bytes[..]));
            prop_assert_eq!(joined.as_ref(), Some(&written));
            prop_assert_eq!(unescaped(&written), frame);
        }
    }
}
