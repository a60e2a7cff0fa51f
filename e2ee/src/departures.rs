//! Who takes those out of the group who have left the room, and when.

use std::{collections::BTreeMap, time::Duration};

use conclave_protocol::ParticipantId;

use crate::{
    member::{LeafIndex, Member},
    time::Instant,
};

/// How long each rank waits for the one before it.
const TAKEOVER: Duration = Duration::from_secs(2);

/// Members who have left the room and are still in the group's tree.
///
/// Of those who stay, the one with the lowest leaf removes them at once. A member of rank
/// `n` does it if they are still there after `n` times two seconds.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    since: BTreeMap<ParticipantId, Instant>,
    gone: Vec<LeafIndex>,
    rank: u32,
}

impl Departures {
    /// Looks again at who is in the group and who is in the room.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        roster: &[Member],
        is_present: impl Fn(ParticipantId) -> bool,
    ) {
        let stays = |member: &&Member| member.is_self || is_present(member.participant);
        self.rank = 0;
        for member in roster.iter().filter(stays) {
            if member.is_self {
                break;
            }
            self.rank += 1;
        }
        let gone: Vec<&Member> = roster.iter().filter(|member| !stays(member)).collect();
        self.since
            .retain(|participant, _| gone.iter().any(|member| member.participant == *participant));
        for member in &gone {
            self.since.entry(member.participant).or_insert(now);
        }
        self.gone = gone.iter().map(|member| member.leaf).collect();
    }

    /// When this client is to remove them, if nobody else does.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let first = *self.since.values().min()?;
        Some(first + TAKEOVER * self.rank)
    }

    /// Whom to remove.
    pub(crate) fn gone(&self) -> &[LeafIndex] {
        &self.gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(leaf: u32, is_self: bool) -> Member {
        Member {
            leaf: LeafIndex::new(leaf).unwrap(),
            participant: ParticipantId::new(u64::from(leaf)),
            name: String::new(),
            is_self,
            is_host: false,
            device: crate::DeviceKey::from_bytes([0; 32]),
            pair_code: None,
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::since_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn rank_counts_those_before_us_who_stay() {
        let roster = [
            member(0, false),
            member(1, false),
            member(2, true),
            member(3, false),
        ];
        let mut departures = Departures::default();
        departures.update(at(1), &roster, |_| true);
        assert_eq!(departures.deadline(), None);
        let without = |gone: &'static [u64]| {
            move |id| !gone.iter().any(|&gone| ParticipantId::new(gone) == id)
        };
        departures.update(at(1), &roster, without(&[3]));
        assert_eq!(departures.deadline(), Some(at(5)));
        departures.update(at(2), &roster, without(&[1, 3]));
        assert_eq!(departures.deadline(), Some(at(3)), "one less before us");
        departures.update(at(3), &roster, without(&[0, 1, 3]));
        assert_eq!(departures.deadline(), Some(at(1)));
        let leaves: Vec<u32> = departures.gone().iter().map(|leaf| leaf.get()).collect();
        assert_eq!(leaves, [0, 1, 3]);
        departures.update(at(4), &roster[2..3], |_| false);
        assert_eq!(departures.deadline(), None, "never ourselves");
    }
}
