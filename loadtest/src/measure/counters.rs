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

    /// Puts all counters of another set in.
    pub fn extend(&mut self, other: &Self) {
        for (word, bits) in &other.0 {
            *self.0.entry(*word).or_default() |= bits;
        }
    }

    /// How many counters are in.
    pub fn len(&self) -> u64 {
        self.0
            .values()
            .map(|bits| u64::from(bits.count_ones()))
            .sum()
    }

    /// True when none is in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many counters are in both sets.
    pub fn count_common(&self, other: &Self) -> u64 {
        let common = |(word, bits): (&u64, &u64)| {
            let both = bits & other.0.get(word).copied().unwrap_or_default();
            u64::from(both.count_ones())
        };
        self.0.iter().map(common).sum()
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
    /// One counter.
    pub fn of(counter: u64) -> Self {
        Self {
            first: counter,
            last: counter,
        }
    }

    /// Reaches as far as this counter too.
    pub fn include(&mut self, counter: u64) {
        self.first = self.first.min(counter);
        self.last = self.last.max(counter);
    }

    pub(crate) fn extend(span: &mut Option<Self>, counter: u64) {
        span.get_or_insert(Self::of(counter)).include(counter);
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
        assert_eq!(set.len(), 6);
    }

    #[test]
    fn sets_are_joined_and_compared() {
        let set = |counters: &[u64]| {
            let mut set = CounterSet::default();
            counters.iter().for_each(|counter| {
                set.insert(*counter);
            });
            set
        };
        let (mut one, other) = (set(&[1, 2, 70]), set(&[2, 70, 200]));
        assert_eq!(one.count_common(&other), 2);
        one.extend(&other);
        assert_eq!(one, set(&[1, 2, 70, 200]));
        assert!(set(&[]).is_empty() && !one.is_empty());
    }
}
