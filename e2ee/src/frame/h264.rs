//! Just enough of H.264's byte stream (ITU-T H.264 annex B) to carry a sealed frame through
//! packetisers and depacketisers of RFC 6184, which see a frame as NAL units, and tell key
//! frames by their types (table 7-1).
//!
//! The whole frame is encrypted. What is clear is there for the way only, and ends there: the
//! parameter sets, without which receivers take no key frame, and behind them one *carrier*, a
//! unit like the frame's first slice with the ciphertext in the place of the picture:
//!
//! ```text
//! 00 00 00 01  parameter set            for each in front of the first slice
//! 00 00 00 01  header of the first slice
//!              escaped: the four bytes behind that header ‖ SFrame ciphertext ‖ 80
//! ```
//!
//! Those four bytes hold the beginning of the slice header (§7.3.3): the first macroblock, the
//! type and the picture parameter set, which depacketisers read. Escaping (§7.4.1) leaves no
//! start code in a unit, and 80, with which units end (§7.3.2.11), no zero at its end.
//!
//! On the way start codes are taken off (RFC 6184 §5.6 to §5.8) and written anew, with three
//! bytes or four, so what the tag covers has four before every unit. It covers the carrier's
//! four bytes as they were before escaping.

use super::codec::Malformed;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// `nal_unit_type` of a unit's header (§7.3.1).
const KIND: u8 = 0x1f;
const SLICE: u8 = 1;
const KEY_SLICE: u8 = 5;
const SEQUENCE_PARAMETERS: u8 = 7;
const PICTURE_PARAMETERS: u8 = 8;

/// How much of the first slice the carrier repeats behind its header. The numbers that are
/// needed have at most 1, 7 and 17 bits in the first slice of a picture.
const REPEATED: usize = 4;

/// The end of a unit's payload: `rbsp_stop_one_bit`, aligned.
const STOP: u8 = 0x80;

/// Takes the first unit off a byte stream (§B.1.1), without zeros that follow it.
fn read(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let Some((1, behind)) = bytes[zeros..].split_first() else {
        return Err(Malformed);
    };
    if zeros < 2 {
        return Err(Malformed);
    }
    let mut places = behind.windows(3);
    let next = places.position(|bytes| bytes == [0, 0, 1]);
    let unit = &behind[..next.unwrap_or(behind.len())];
    let length = unit.iter().rposition(|byte| *byte != 0).ok_or(Malformed)? + 1;
    Ok(behind.split_at(length))
}

fn write(unit: &[u8], out: &mut Vec<u8>) {
    out.extend(START_CODE);
    out.extend(unit);
}

fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header & KIND)
}

const fn is_parameters(kind: u8) -> bool {
    matches!(kind, SEQUENCE_PARAMETERS | PICTURE_PARAMETERS)
}

const fn is_slice(kind: u8) -> bool {
    matches!(kind, SLICE | KEY_SLICE)
}

/// What is clear of a frame when it is sealed. What lies behind its first slice is not looked at.
pub(super) fn clear(frame: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut clear = Vec::new();
    let mut rest = frame;
    loop {
        let (unit, behind) = read(rest)?;
        if is_slice(kind(unit)) {
            let mut repeated = unit.iter().copied().chain([0; REPEATED]);
            clear.extend(START_CODE);
            clear.extend(repeated.by_ref().take(1 + REPEATED));
            return Ok(clear);
        }
        if is_parameters(kind(unit)) {
            write(unit, &mut clear);
        }
        rest = behind;
    }
}

/// Makes the carrier's inside out of the repeated bytes and the ciphertext behind them.
pub(super) fn assemble(covered: &[u8], clear_length: usize) -> Vec<u8> {
    let (clear, inside) = covered.split_at(clear_length.saturating_sub(REPEATED));
    let mut sealed = Vec::with_capacity(covered.len() + covered.len() / 64 + 1);
    sealed.extend(clear);
    escape(inside, &mut sealed);
    sealed
}

/// Undoes [`assemble`], after start codes may have been rewritten: the clear bytes and the
/// ciphertext.
pub(super) fn divide_sealed(sealed: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
    let mut clear = Vec::new();
    let (mut unit, mut behind) = read(sealed)?;
    while is_parameters(kind(unit)) {
        write(unit, &mut clear);
        (unit, behind) = read(behind)?;
    }
    let (header, inside) = unit.split_first().ok_or(Malformed)?;
    if !is_slice(header & KIND) || !behind.is_empty() {
        return Err(Malformed);
    }
    let mut inside = unescape(inside)?;
    if inside.pop() != Some(STOP) || inside.len() < REPEATED {
        return Err(Malformed);
    }
    let ciphertext = inside.split_off(REPEATED);
    write(&[*header], &mut clear);
    clear.append(&mut inside);
    Ok((clear, ciphertext))
}

/// Writes the inside of a unit and its end, with a 3 wherever it would look like a start code.
fn escape(inside: &[u8], out: &mut Vec<u8>) {
    let mut zeros = 0;
    for byte in inside.iter().copied().chain([STOP]) {
        if zeros == 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        out.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
}

/// Undoes [`escape`], the end left on. There is one way to escape, and no other is taken.
fn unescape(escaped: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut inside = Vec::with_capacity(escaped.len());
    let mut zeros = 0;
    let mut bytes = escaped.iter().copied();
    while let Some(mut byte) = bytes.next() {
        if zeros == 2 && byte <= 3 {
            let escaped = (byte == 3).then(|| bytes.next()).flatten();
            byte = escaped.filter(|byte| *byte <= 3).ok_or(Malformed)?;
            zeros = 0;
        }
        inside.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    Ok(inside)
}

#[cfg(test)]
mod tests;
