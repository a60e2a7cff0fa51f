//! Bit fields, the highest bit first (AV1 RTP §A.8.2).

use std::ops::Range;

/// Reads from a slice; every read beyond its end is none.
#[derive(Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The next bit to be read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let flag = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Some(flag)
    }

    /// A number of up to 32 bits.
    pub(crate) fn number(&mut self, bits: u32) -> Option<u32> {
        let mut number = 0;
        for _ in 0..bits {
            number = number << 1 | u32::from(self.flag()?);
        }
        Some(number)
    }

    /// A number below `values`, which is at least 1, in as few bits as that takes: `ns(n)`
    /// of the specification.
    pub(crate) fn number_below(&mut self, values: u32) -> Option<u32> {
        let width = u32::BITS - values.leading_zeros();
        let short = (1 << width) - values;
        let number = self.number(width - 1)?;
        if number < short {
            return Some(number);
        }
        let last = u32::from(self.flag()?);
        Some((number << 1 | last) - short)
    }
}

/// Writes into a slice; none when it is full.
#[derive(Debug)]
pub(crate) struct BitWriter<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> BitWriter<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn flag(&mut self, flag: bool) -> Option<()> {
        let byte = self.bytes.get_mut(self.at / 8)?;
        if self.at.is_multiple_of(8) {
            *byte = 0;
        }
        *byte |= u8::from(flag) << (7 - self.at % 8);
        self.at += 1;
        Some(())
    }

    /// The lowest `bits` bits of a number.
    pub(crate) fn number(&mut self, bits: u32, number: u32) -> Option<()> {
        (0..bits)
            .rev()
            .try_for_each(|bit| self.flag(number >> bit & 1 == 1))
    }

    /// The bits of another slice.
    pub(crate) fn copy(&mut self, bytes: &[u8], range: Range<usize>) -> Option<()> {
        let mut reader = BitReader::new(bytes, range.start);
        range
            .into_iter()
            .try_for_each(|_| self.flag(reader.flag()?))
    }

    /// How many bytes have been begun.
    pub(crate) fn length(&self) -> usize {
        self.at.div_ceil(8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_below_five_are_those_of_the_specification() {
        let read = |bits: u8| BitReader::new(&[bits], 0).number_below(5);
        assert_eq!(read(0b0000_0000), Some(0));
        assert_eq!(read(0b0100_0000), Some(1));
        assert_eq!(read(0b1000_0000), Some(2));
        assert_eq!(read(0b1100_0000), Some(3));
        assert_eq!(read(0b1110_0000), Some(4));
        assert_eq!(BitReader::new(&[], 0).number_below(1), Some(0));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(numbers in prop::collection::vec((1u32..=32, any::<u32>()), 0..20)) {
            let mut bytes = [0xff; 80];
            let mut writer = BitWriter::new(&mut bytes);
            for (bits, number) in &numbers {
                writer.number(*bits, *number).unwrap();
            }
            let length = writer.length();
            let mut reader = BitReader::new(&bytes[..length], 0);
            for (bits, number) in numbers {
                prop_assert_eq!(reader.number(bits), Some(number & (u32::MAX >> (32 - bits))));
            }
            prop_assert!(reader.position().div_ceil(8) == length);
        }
    }
}
