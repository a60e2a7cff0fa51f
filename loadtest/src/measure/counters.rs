//! Sets and spans of frame counters (RFC 9605 §4.3).

use std::collections::BTreeMap;

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
    /// Makes room for one more counter.
    pub fn extend(&mut self, counter: u64) {
        self.first = self.first.min(counter);
        self.last = self.last.max(counter);
    }

    /// How many counters it spans.
    pub fn count(self) -> u64 {
        self.last - self.first + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_new_once() {
        let mut set = CounterSet::default();
        let new = [0, 63, 64, 63, 1_000_000, 0].map(|counter| set.insert(counter));
        assert_eq!(new, [true, true, true, false, true, false]);
    }
}
