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
/// Of those who stay, the one whose leaf is nearest to that of who left first removes them
/// at once; a member of rank `n` does it if they are still there after `n` times two seconds.
/// A removal blanks the nodes above the leaf, and the commit of a neighbour fills nearly all of
/// them again. Were it always the same member, the tree would be blank after some removals, and
/// each would weigh as much as the whole group.
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
        let gone: Vec<&Member> = roster.iter().filter(|member| !stays(member)).collect();
        self.since
            .retain(|participant, _| gone.iter().any(|member| member.participant == *participant));
        for member in &gone {
            self.since.entry(member.participant).or_insert(now);
        }
        self.gone = gone.iter().map(|member| member.leaf).collect();
        let first = gone.iter().min_by_key(|member| {
            let since = self.since.get(&member.participant).copied();
            (since, member.leaf)
        });
        let own = roster.iter().find(|member| member.is_self);
        self.rank = match (first, own) {
            (Some(first), Some(own)) => {
                let distance = |member: &Member| member.leaf.get() ^ first.leaf.get();
                let nearer = |it: &&Member| distance(it) < distance(own);
                let before = roster.iter().filter(stays).filter(nearer).count();
                u32::try_from(before).unwrap_or(u32::MAX)
            }
            _ => 0,
        };
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
    fn rank_counts_those_nearer_who_stay() {
        let roster = [
            member(0, false),
            member(1, false),
            member(2, true),
            member(3, false),
            member(4, false),
            member(5, false),
        ];
        let mut departures = Departures::default();
        departures.update(at(1), &roster, |_| true);
        assert_eq!(departures.deadline(), None);
        let without = |gone: &'static [u64]| {
            move |id| !gone.iter().any(|&gone| ParticipantId::new(gone) == id)
        };
        departures.update(at(1), &roster, without(&[5]));
        assert_eq!(
            departures.deadline(),
            Some(at(1 + 2 * 4)),
            "all others are nearer"
        );
        departures.update(at(2), &roster, without(&[1, 5]));
        assert_eq!(departures.deadline(), Some(at(7)), "one less before us");
        departures.update(at(3), &roster, without(&[0, 1, 4, 5]));
        assert_eq!(departures.deadline(), Some(at(3)));
        let leaves: Vec<u32> = departures.gone().iter().map(|leaf| leaf.get()).collect();
        assert_eq!(leaves, [0, 1, 4, 5]);
        departures.update(at(4), &roster, without(&[3]));
        assert_eq!(departures.deadline(), Some(at(4)), "next to us");
        departures.update(at(4), &roster[2..3], |_| false);
        assert_eq!(departures.deadline(), None, "never ourselves");
    }
}
