//! Just enough of AV1's open bitstream units to keep a packetiser content (AV1
//! specification §5.3).
//!
//! Packetisers drop temporal delimiters and write sizes anew, so what the tag covers is a
//! normal form: no temporal delimiter, every unit with a size in as few bytes as possible.

use super::codec::Malformed;

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const FRAME: u8 = 6;

const EXTENSION_FLAG: u8 = 0b100;
const SIZE_FLAG: u8 = 0b10;

struct Unit<'a> {
    header: u8,
    extension: Option<u8>,
    payload: &'a [u8],
}

impl<'a> Unit<'a> {
    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (&header, mut rest) = bytes.split_first().ok_or(Malformed)?;
        let extension = if header & EXTENSION_FLAG == 0 {
            None
        } else {
            let (&extension, behind) = rest.split_first().ok_or(Malformed)?;
            rest = behind;
            Some(extension)
        };
        let (payload, rest) = if header & SIZE_FLAG == 0 {
            (rest, &[][..])
        } else {
            let (size, behind) = read_leb128(rest)?;
            behind.split_at_checked(size).ok_or(Malformed)?
        };
        let unit = Self {
            header,
            extension,
            payload,
        };
        Ok((unit, rest))
    }

    const fn kind(&self) -> u8 {
        self.header >> 3 & 0xf
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.header | SIZE_FLAG);
        out.extend(self.extension);
        write_leb128(self.payload.len(), out);
        out.extend(self.payload);
    }
}

/// AV1 specification §4.10.5.
fn read_leb128(bytes: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[index + 1..]));
        }
    }
    Err(Malformed)
}

fn write_leb128(mut value: usize, out: &mut Vec<u8>) {
    loop {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits are left")]
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

/// The leading sequence headers in normal form, and everything behind them.
fn leading(mut bytes: &[u8]) -> Result<(Vec<u8>, &[u8]), Malformed> {
    let mut clear = Vec::new();
    while !bytes.is_empty() {
        let (unit, rest) = Unit::read(bytes)?;
        match unit.kind() {
            TEMPORAL_DELIMITER => {}
            SEQUENCE_HEADER => unit.write(&mut clear),
            _ => break,
        }
        bytes = rest;
    }
    Ok((clear, bytes))
}

/// Divides a frame into what stays clear and what is encrypted.
pub(super) fn divide(frame: &[u8]) -> Result<(Vec<u8>, &[u8]), Malformed> {
    leading(frame)
}

/// Puts the ciphertext behind the clear bytes as one synthetic frame OBU.
pub(super) fn assemble(covered: &[u8], clear_length: usize) -> Vec<u8> {
    let (clear, ciphertext) = covered.split_at(clear_length);
    let mut sealed = Vec::with_capacity(covered.len() + 5);
    sealed.extend(clear);
    let unit = Unit {
        header: FRAME << 3,
        extension: None,
        payload: ciphertext,
    };
    unit.write(&mut sealed);
    sealed
}

/// Undoes [`assemble`], after a packetiser may have rewritten sizes.
pub(super) fn divide_sealed(sealed: &[u8]) -> Result<(Vec<u8>, &[u8]), Malformed> {
    let (clear, rest) = leading(sealed)?;
    let (unit, behind) = Unit::read(rest)?;
    if unit.kind() != FRAME || !behind.is_empty() {
        return Err(Malformed);
    }
    Ok((clear, unit.payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A temporal delimiter, a sequence header of 3 bytes, a frame of 2 bytes.
    const KEY: &[u8] = &[0x12, 0, 0x0a, 3, 7, 8, 9, 0x32, 2, 1, 2];

    #[test]
    fn the_sequence_header_stays_clear() {
        let (clear, rest) = divide(KEY).unwrap();
        assert_eq!(clear, [0x0a, 3, 7, 8, 9]);
        assert_eq!(rest, [0x32, 2, 1, 2]);
    }

    #[test]
    fn rewritten_sizes_change_nothing() {
        let covered = [&[0x0a, 3, 7, 8, 9][..], &[0xcc; 200]].concat();
        let sealed = assemble(&covered, 5);
        assert_eq!(&sealed[5..8], [0x32, 0xc8, 0x01]);
        let mut rewritten = vec![0x12, 0, 0x0a, 0x83, 0x00, 7, 8, 9, 0x30];
        rewritten.extend([0xcc; 200]);
        for form in [&sealed, &rewritten] {
            let (clear, ciphertext) = divide_sealed(form).unwrap();
            assert_eq!(clear, [0x0a, 3, 7, 8, 9]);
            assert_eq!(ciphertext, [0xcc; 200]);
        }
    }

    #[test]
    fn cut_units_are_malformed() {
        for bytes in [&[0x0a][..], &[0x0a, 3, 7], &[0x0a, 0x80], &[0x0e, 0, 5, 1]] {
            assert_eq!(divide(bytes), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(divide_sealed(&[0x2a, 0]), Err(Malformed), "another kind");
        assert_eq!(divide_sealed(&[0x32, 0, 1]), Err(Malformed), "a tail");
    }
}
