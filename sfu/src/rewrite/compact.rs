//! Closing up numbers that were left out on purpose.

const WORDS: usize = 16;

/// How far back what was left out is remembered.
const REACH: u64 = WORDS as u64 * 64;

/// Marks on the newest numbers of a row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    newest: Option<u64>,
    words: [u64; WORDS],
}

impl Marks {
    /// Makes room for a number if it is the newest. True when it is.
    pub(crate) fn advance(&mut self, number: u64) -> bool {
        let Some(newest) = self.newest else {
            self.newest = Some(number);
            return true;
        };
        if number <= newest {
            return false;
        }
        if number - newest >= REACH {
            self.words = [0; WORDS];
        } else {
            for passed in newest + 1..=number {
                self.words[word(passed)] &= !bit(passed);
            }
        }
        self.newest = Some(number);
        true
    }

    /// A number so old that nothing is known about it is not covered.
    pub(crate) fn covers(&self, number: u64) -> bool {
        self.newest
            .is_some_and(|newest| number <= newest && newest - number < REACH)
    }

    pub(crate) fn mark(&mut self, number: u64) {
        if self.covers(number) {
            self.words[word(number)] |= bit(number);
        }
    }

    pub(crate) fn is_marked(&self, number: u64) -> bool {
        self.covers(number) && self.words[word(number)] & bit(number) != 0
    }

    /// How many numbers after this one are marked.
    fn count_after(&self, number: u64) -> u64 {
        let newest = self.newest.unwrap_or(number);
        let (mut at, mut count) = (number + 1, 0);
        while at <= newest {
            let last = newest.min(at | 63);
            let skipped = at % 64;
            let kept = last - at + 1;
            let mask = (u64::MAX >> (64 - kept)) << skipped;
            count += u64::from((self.words[word(at)] & mask).count_ones());
            at = last + 1;
        }
        count
    }
}

fn word(number: u64) -> usize {
    (number / 64) as usize % WORDS
}

fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

/// Takes numbers out of a row so that the rest closes up. What is missing for another
/// reason stays missing: its place is kept, for it may come late.
#[derive(Debug, Clone, Default)]
pub(crate) struct Compactor {
    left_out: u64,
    marks: Marks,
}

impl Compactor {
    /// How many numbers before this one were left out. None when it was itself, or is so
    /// old that it is not known.
    pub(crate) fn before(&mut self, number: u64) -> Option<u64> {
        self.marks.advance(number);
        if !self.marks.covers(number) || self.marks.is_marked(number) {
            return None;
        }
        Some(self.left_out - self.marks.count_after(number))
    }

    /// How many numbers were left out so far.
    pub(crate) fn count(&self) -> u64 {
        self.left_out
    }

    /// Leaves a number out. When it comes late its place was kept; then the answer is that
    /// of [`Self::before`].
    pub(crate) fn leave_out(&mut self, number: u64) -> Option<u64> {
        if self.marks.advance(number) {
            self.marks.mark(number);
            self.left_out += 1;
            return None;
        }
        self.before(number)
    }
}

/// The number nearest to `near` that ends in these bits.
pub(crate) fn unwrap(near: u64, low: u16, bits: u32) -> u64 {
    let span = 1u64 << bits;
    let ahead = u64::from(low).wrapping_sub(near) & (span - 1);
    if ahead > span / 2 {
        (near + ahead).wrapping_sub(span)
    } else {
        near + ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_late_number_finds_the_place_that_was_kept_for_it() {
        let mut row = Compactor::default();
        assert_eq!(row.before(10), Some(0));
        assert_eq!(row.leave_out(11), None);
        assert_eq!(row.before(13), Some(1), "12 is missing");
        assert_eq!(row.leave_out(14), None);
        assert_eq!(row.before(15), Some(2));
        assert_eq!(row.before(12), Some(1));
        assert_eq!(row.before(11), None, "left out before");
    }

    #[test]
    fn what_is_left_out_late_leaves_a_place_to_fill() {
        let mut row = Compactor::default();
        row.before(10);
        row.before(12);
        assert_eq!(row.leave_out(11), Some(0));
        assert_eq!(row.before(13), Some(0));
    }

    #[test]
    fn numbers_are_told_from_their_low_bits() {
        assert_eq!(unwrap(0x1_0000, 0xffff, 16), 0xffff);
        assert_eq!(unwrap(0xffff, 3, 16), 0x1_0003);
        assert_eq!(unwrap(1000, 1000 & 0x7f, 7), 1000);
    }

    proptest! {
        #[test]
        fn the_count_is_that_of_a_set(
            first in 0u64..100_000,
            steps in prop::collection::vec((1u64..200, any::<bool>()), 1..200),
            back in 0u64..1200,
        ) {
            let mut row = Compactor::default();
            let mut set = BTreeSet::new();
            let mut at = first;
            row.before(at);
            for (step, left_out) in steps {
                at += step;
                if left_out {
                    row.leave_out(at);
                    set.insert(at);
                } else {
                    prop_assert_eq!(row.before(at), Some(set.len() as u64));
                }
            }
            let old = at.saturating_sub(back);
            let expected = (at - old < REACH && !set.contains(&old))
                .then(|| set.range(..old).count() as u64);
            prop_assert_eq!(row.before(old), expected);
        }
    }
}
