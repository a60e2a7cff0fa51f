//! How long it takes a group to move to new keys.

use std::{collections::BTreeMap, time::Duration};

use conclave_protocol::Epoch;

#[derive(Debug, Clone, Copy)]
struct Move {
    first: Duration,
    last: Duration,
    members: u64,
}

/// When the bots came into each epoch.
#[derive(Debug, Default)]
pub struct Rekeys(BTreeMap<Epoch, Move>);

/// One change of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rekey {
    /// Bots that made it.
    pub members: u64,
    /// From the first of them, who made the commit, to the last.
    pub took: Duration,
}

impl Rekeys {
    /// A bot has the keys of an epoch, so long after the run began.
    pub fn moved(&mut self, epoch: Epoch, at: Duration) {
        let seen = self.0.entry(epoch).or_insert(Move {
            first: at,
            last: at,
            members: 0,
        });
        seen.first = seen.first.min(at);
        seen.last = seen.last.max(at);
        seen.members += 1;
    }

    /// Every change that more than one bot made.
    pub fn changes(&self) -> impl Iterator<Item = Rekey> {
        let shared = self.0.values().filter(|change| change.members > 1);
        shared.map(|change| Rekey {
            members: change.members,
            took: change.last - change.first,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_lasts_from_the_first_to_the_last_member() {
        let mut rekeys = Rekeys::default();
        for (epoch, milliseconds) in [(0, 0), (1, 10), (1, 14), (2, 30), (2, 21), (2, 25)] {
            rekeys.moved(Epoch::new(epoch), Duration::from_millis(milliseconds));
        }
        let changes: Vec<_> = rekeys
            .changes()
            .map(|change| (change.members, change.took.as_millis()))
            .collect();
        // Who founds the group moves alone.
        assert_eq!(changes, [(2, 4), (3, 9)]);
    }
}
