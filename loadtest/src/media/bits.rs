//! Writes numbers of any count of bits.

/// Bit fields, the highest bit first.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    pub(super) fn push(&mut self, count: usize, number: u32) {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((number >> bit & 1) as u8) << (7 - self.used % 8);
            }
            self.used += 1;
        }
    }

    /// A number below `values` in as few bits as that takes: `ns(n)` of AV1.
    pub(super) fn push_below(&mut self, values: u32, number: u32) {
        let width = (u32::BITS - values.leading_zeros()) as usize;
        let short = (1 << width) - values;
        if number < short {
            self.push(width - 1, number);
        } else {
            self.push(width, number + short);
        }
    }

    /// A number of any size, the small ones in few bits: `ue(v)` of H.264 (§9.1).
    pub(super) fn push_exp_golomb(&mut self, number: u32) {
        let code = number.saturating_add(1);
        let width = (u32::BITS - code.leading_zeros()) as usize;
        self.push(width - 1, 0);
        self.push(width, code);
    }

    /// Filled up with zeros to whole bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_golomb_codes_are_as_in_the_table() {
        // ITU-T H.264, table 9-2.
        for (number, count, code) in [
            (0, 1, 0b1),
            (1, 3, 0b010),
            (5, 5, 0b00110),
            (7, 7, 0b000_1000),
        ] {
            let (mut bits, mut expected) = (Bits::default(), Bits::default());
            bits.push_exp_golomb(number);
            expected.push(count, code);
            assert_eq!(
                (bits.used, bits.into_bytes()),
                (count, expected.into_bytes())
            );
        }
    }

    #[test]
    fn numbers_below_five_are_those_of_the_specification() {
        let written = |number| {
            let mut bits = Bits::default();
            bits.push_below(5, number);
            (bits.bytes[0], bits.used)
        };
        let expected = [(0x00, 2), (0x40, 2), (0x80, 2), (0xc0, 3), (0xe0, 3)];
        assert_eq!([0, 1, 2, 3, 4].map(written), expected);
    }
}
