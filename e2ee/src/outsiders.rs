//! Who is in the room for long and not in the group.
//!
//! Newcomers come into the group within moments. If somebody does not, either they cannot,
//! or the server keeps the group's commits from this client: the others may have gone on
//! without it. Nobody but the person can find out which.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use conclave_protocol::ParticipantId;

use crate::time::Instant;

/// After this long without any change of the group the person is told.
const PATIENCE: Duration = Duration::from_secs(20);

/// Those who are in the room and not in the group.
#[derive(Debug, Default)]
pub(crate) struct Outsiders {
    since: BTreeMap<ParticipantId, Instant>,
    told: BTreeSet<ParticipantId>,
    /// When the group changed last.
    moved: Instant,
}

impl Outsiders {
    /// The group has gone on: nothing is kept from this client so far.
    pub(crate) fn note_movement(&mut self, now: Instant) {
        self.moved = now;
    }

    /// Looks again at who is outside.
    pub(crate) fn update(&mut self, now: Instant, outside: &BTreeSet<ParticipantId>) {
        self.since
            .retain(|participant, _| outside.contains(participant));
        self.told
            .retain(|participant| outside.contains(participant));
        for participant in outside {
            self.since.entry(*participant).or_insert(now);
        }
    }

    fn due(&self) -> impl Iterator<Item = (ParticipantId, Instant)> {
        let untold = self.since.iter().filter(|(it, _)| !self.told.contains(it));
        untold.map(|(it, since)| (*it, self.moved.max(*since) + PATIENCE))
    }

    /// When somebody will have been outside for too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due().map(|(_, due)| due).min()
    }

    /// Those who have been outside for too long, once.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<ParticipantId> {
        let due = self.due().filter(|(_, due)| *due <= now);
        let due: Vec<_> = due.map(|(participant, _)| participant).collect();
        self.told.extend(&due);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::since_origin(Duration::from_secs(seconds))
    }

    fn ids(numbers: &[u64]) -> BTreeSet<ParticipantId> {
        numbers.iter().copied().map(ParticipantId::new).collect()
    }

    #[test]
    fn who_stays_outside_is_told_of_once() {
        let mut outsiders = Outsiders::default();
        outsiders.update(at(1), &ids(&[7]));
        outsiders.update(at(5), &ids(&[7, 8]));
        assert_eq!(outsiders.deadline(), Some(at(21)));
        assert_eq!(outsiders.take_due(at(20)), []);
        assert_eq!(outsiders.take_due(at(21)), [ParticipantId::new(7)]);
        assert_eq!(outsiders.deadline(), Some(at(25)));
        outsiders.update(at(22), &ids(&[7]));
        assert_eq!(outsiders.deadline(), None, "8 came in, and 7 was told of");
    }

    #[test]
    fn while_the_group_goes_on_nobody_is_told_of() {
        let mut outsiders = Outsiders::default();
        outsiders.update(at(1), &ids(&[7]));
        outsiders.note_movement(at(15));
        assert_eq!(outsiders.deadline(), Some(at(35)));
    }
}
