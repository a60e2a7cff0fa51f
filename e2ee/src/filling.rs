//! Who renews their keys, and when, so that removals stay light.
//!
//! Whoever is brought in leaves blank nodes above them, and whoever is taken out does. A commit has a
//! ciphertext for every key below a blank node: in a tree of 500 that nobody has filled, 600 kB
//! for each removal. A commit without proposals fills the way from its author to the root.
//! When it is quiet, members make such commits by turns: whose saves all others most goes first.

use std::{cmp::Reverse, time::Duration};

use crate::{
    member::LeafIndex,
    time::Instant,
    tree::{Renewal, TreeShape},
};

/// Below this a commit weighs little in any tree.
const SMALLEST: usize = 16;

/// For so long nobody has come or gone: whoever knocks is in by then, and whoever left is out.
const QUIET: Duration = Duration::from_secs(10);

/// What following such a commit costs grows with the group: 30 ms of a native client at 500,
/// twice as much of a browser. With this pause it is at most a hundredth of a core.
const PAUSE_FOR_EACH: Duration = Duration::from_millis(12);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// How long each rank waits for the one before it.
const TAKEOVER: Duration = Duration::from_secs(4);

/// So many in a row need not be there: more are not waited for, in this epoch.
const MOST_RANKS: u32 = 16;

/// A renewal has to be made up for by so many later commits of the others.
const PAID_BACK_AFTER: usize = 32;

/// When this client looks at the tree, and when it is its turn.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    quiet_since: Option<Instant>,
    /// The last commit that only filled the tree, or any other.
    last_commit: Option<Instant>,
    members: usize,
    turn: Turn,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The tree has not been looked at in this epoch.
    #[default]
    Unknown,
    /// It is filled, or others come first.
    None,
    At(Instant),
}

impl Filling {
    /// Someone has come into the room or gone from it.
    pub(crate) fn disturb(&mut self, now: Instant) {
        self.quiet_since = Some(now);
        self.turn = Turn::Unknown;
    }

    /// The group is in a new epoch, with so many members.
    pub(crate) fn advance(&mut self, now: Instant, members: usize, has_changed: bool) {
        if has_changed || self.quiet_since.is_none() {
            self.disturb(now);
        }
        self.last_commit = Some(now);
        self.members = members;
        self.turn = Turn::Unknown;
    }

    /// When there is something to look at or to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.members < SMALLEST {
            return None;
        }
        match self.turn {
            Turn::Unknown => {
                let members = u32::try_from(self.members).unwrap_or(u32::MAX);
                let pause = PAUSE_FOR_EACH.saturating_mul(members).max(SHORTEST_PAUSE);
                let quiet = self.quiet_since? + QUIET;
                Some(quiet.max(self.last_commit? + pause))
            }
            Turn::None => None,
            Turn::At(turn) => Some(turn),
        }
    }

    /// Whether this client is to renew its keys now. `shape` is asked for once in an epoch, and
    /// `can_renew` says who is there to do it.
    pub(crate) fn is_due<E>(
        &mut self,
        now: Instant,
        own: LeafIndex,
        shape: impl FnOnce() -> Result<TreeShape, E>,
        can_renew: impl Fn(LeafIndex) -> bool,
    ) -> Result<bool, E> {
        if self.deadline().is_none_or(|due| due > now) {
            return Ok(false);
        }
        if self.turn == Turn::Unknown {
            let rank = rank(&shape()?, own, can_renew);
            self.turn = match rank {
                Some(rank) if rank < MOST_RANKS => Turn::At(now + TAKEOVER * rank),
                _ => Turn::None,
            };
        }
        let is_due = matches!(self.turn, Turn::At(turn) if turn <= now);
        if is_due {
            self.turn = Turn::None;
        }
        Ok(is_due)
    }
}

/// How many come before this member among those who should renew their keys; nothing if it is
/// not one of them.
fn rank(shape: &TreeShape, own: LeafIndex, can_renew: impl Fn(LeafIndex) -> bool) -> Option<u32> {
    let members = shape.members();
    let pays = |renewal: &Renewal| renewal.saved * PAID_BACK_AFTER >= renewal.weight * members;
    let renewals = shape.renewals().into_iter();
    let mut worth: Vec<Renewal> = renewals
        .filter(|it| it.saved > 0 && can_renew(it.leaf) && pays(it))
        .collect();
    worth.sort_by_key(|it| (Reverse(it.saved), it.leaf));
    let rank = worth.iter().position(|it| it.leaf == own)?;
    u32::try_from(rank).ok()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::since_origin(Duration::from_secs(seconds))
    }

    fn leaf(index: usize) -> LeafIndex {
        LeafIndex::new(u32::try_from(index).unwrap()).unwrap()
    }

    fn flat(members: usize) -> TreeShape {
        TreeShape::new(&vec![true; members], &[])
    }

    /// One member's view of a group that has come to this size at the start.
    struct View {
        filling: Filling,
        own: LeafIndex,
        shape: TreeShape,
    }

    impl View {
        fn new(own: usize, shape: TreeShape) -> Self {
            let mut filling = Filling::default();
            filling.advance(at(0), shape.members(), true);
            let own = leaf(own);
            Self {
                filling,
                own,
                shape,
            }
        }

        fn is_due(&mut self, now: Instant) -> bool {
            let shape = || Ok::<_, Infallible>(self.shape.clone());
            let Ok(is_due) = self.filling.is_due(now, self.own, shape, |_| true);
            is_due
        }
    }

    #[test]
    fn a_small_group_needs_none() {
        assert_eq!(View::new(0, flat(SMALLEST - 1)).filling.deadline(), None);
        assert!(View::new(0, flat(SMALLEST)).filling.deadline().is_some());
    }

    #[test]
    fn it_begins_when_it_has_been_quiet_and_not_before() {
        let mut view = View::new(0, flat(500));
        assert_eq!(view.filling.deadline(), Some(at(10)));
        assert!(!view.is_due(at(9)));
        view.filling.disturb(at(9));
        assert!(!view.is_due(at(18)));
        assert!(view.is_due(at(19)));
        assert!(!view.is_due(at(40)), "once in an epoch");
        view.filling.advance(at(40), 500, false);
        assert!(!view.is_due(at(45)));
        assert!(view.is_due(at(46)), "a pause of 12 ms a member");
    }

    #[test]
    fn whose_turn_passes_is_followed_by_the_next() {
        let mut next = View::new(1, flat(500));
        assert!(!next.is_due(at(10)));
        assert_eq!(next.filling.deadline(), Some(at(14)));
        assert!(next.is_due(at(14)));
        let mut last = View::new(499, flat(500));
        assert!(!last.is_due(at(10)));
        assert_eq!(last.filling.deadline(), None);
    }

    #[test]
    fn who_is_not_there_is_passed_over() {
        let shape = flat(500);
        assert_eq!(rank(&shape, leaf(2), |_| true), Some(2));
        assert_eq!(rank(&shape, leaf(2), |it| it.get() > 0), Some(1));
    }

    /// As many commits as are worth it, each by whose turn it is.
    fn fill(shape: &mut TreeShape, mut made: impl FnMut(usize)) -> usize {
        for count in 0.. {
            let renewals = shape.renewals();
            let first = renewals
                .iter()
                .find(|it| rank(shape, it.leaf, |_| true) == Some(0));
            let Some(first) = first else {
                return count;
            };
            made(shape.renew(first.leaf.get() as usize));
        }
        unreachable!()
    }

    #[test]
    fn a_flat_tree_is_filled_by_few_commits_that_get_lighter() {
        for (members, most_commits, mean) in [
            (50, 15, 7.0),
            (150, 20, 11.0),
            (500, 20, 26.0),
            (1000, 35, 28.0),
        ] {
            let mut shape = flat(members);
            let mut weights = Vec::new();
            let commits = fill(&mut shape, |weight| weights.push(weight));
            assert!(commits <= most_commits, "{members}: {commits}");
            assert!(
                shape.mean_weight() <= mean,
                "{members}: {}",
                shape.mean_weight()
            );
            assert_eq!(weights[0], members - 1);
            let all: usize = weights.iter().sum();
            assert!(all <= 5 * members, "{members}: {all}");
            let last = weights.last().unwrap();
            assert!(*last <= members / 8 + 4, "{members}: {last}");
        }
    }

    /// The heaviest of fifty removals in a filled tree of 500, by the member that `who` chooses
    /// of those who stay.
    fn heaviest_removal(step: usize, who: impl Fn(usize) -> Box<dyn Fn(&usize) -> usize>) -> usize {
        let mut shape = flat(500);
        fill(&mut shape, |_| ());
        let leavers = (1..=50).map(|number| number * step % 500);
        let removals = leavers.map(|leaver| {
            shape.remove(leaver);
            let stay = shape
                .renewals()
                .into_iter()
                .map(|it| it.leaf.get() as usize);
            shape.renew(stay.min_by_key(&*who(leaver)).unwrap())
        });
        removals.max().unwrap()
    }

    #[test]
    fn removals_stay_light_when_neighbours_make_them() {
        // Spread over the tree, in three places of it, and side by side.
        for step in [37, 167, 1] {
            let nearest = heaviest_removal(step, |leaver| Box::new(move |leaf| leaf ^ leaver));
            let always_the_first = heaviest_removal(step, |_| Box::new(|leaf| *leaf));
            assert!(nearest <= 40, "{step}: {nearest}");
            assert!(always_the_first >= nearest, "{step}: {always_the_first}");
            if step > 1 {
                assert!(always_the_first > 2 * nearest, "{step}: {always_the_first}");
            }
        }
    }
}
