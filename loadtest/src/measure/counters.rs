//! Sets and spans of frame counters (RFC 9605 §4.3).

use std::{collections::BTreeMap, ops::RangeInclusive};

/// A set of frame counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CounterSet(BTreeMap<u64, u64>);

impl CounterSet {
    /// Puts a counter in; false if it is in already.
    pub fn insert(&mut self, counter: u64) -> bool {
        let word = self.0.entry(counter / 64).or_default();
        let bit = 1 << (counter % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// How many counters of a range are in.
    pub fn count(&self, range: RangeInclusive<u64>) -> u64 {
        let (first, last) = range.into_inner();
        if first > last {
            return 0;
        }
        self.0
            .range(first / 64..=last / 64)
            .map(|(word, bits)| {
                let mut bits = *bits;
                if *word == first / 64 {
                    bits &= u64::MAX << (first % 64);
                }
                if *word == last / 64 {
                    bits &= u64::MAX >> (63 - last % 64);
                }
                u64::from(bits.count_ones())
            })
            .sum()
    }
}

/// From the first to the last counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl Span {
    pub(crate) fn extend(span: &mut Option<Self>, counter: u64) {
        let span = span.get_or_insert(Self {
            first: counter,
            last: counter,
        });
        span.first = span.first.min(counter);
        span.last = span.last.max(counter);
    }

    /// How many counters it spans.
    pub fn count(self) -> u64 {
        self.last - self.first + 1
    }

    /// As a range.
    pub fn range(self) -> RangeInclusive<u64> {
        self.first..=self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_counted_once_and_by_range() {
        let mut set = CounterSet::default();
        for counter in [0, 1, 63, 64, 65, 65, 1_000_000] {
            set.insert(counter);
        }
        for (range, count) in [
            (0..=u64::MAX, 6),
            (1..=64, 3),
            (63..=63, 1),
            (2..=62, 0),
            (66..=1_000_000, 1),
        ] {
            assert_eq!(set.count(range.clone()), count, "{range:?}");
        }
    }
}
