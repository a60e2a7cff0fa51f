//! The delivery service's view of one MLS group (RFC 9420 §5.2): which epoch it is in, who
//! can be in it, and which commit was first. Everything inside is sealed; this is
//! bookkeeping on numbers and names.

use std::collections::{BTreeSet, VecDeque};

use conclave_protocol::{Epoch, Opaque, ParticipantId, Sequence, StateName, signal::GroupState};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How many annulled commits are remembered, so that a second member's refusal of the same
/// commit, already on its way, is not taken for one of a later commit.
const REMEMBERED_ANNULMENTS: usize = 16;

/// One epoch of the group.
#[derive(Debug, Serialize, Deserialize)]
struct Step {
    epoch: Epoch,
    /// None until a member has shown it.
    group_info: Option<Opaque>,
    /// Members who have not yet said that they have this epoch's keys. Not kept: they say so
    /// often, and nobody is to wait for ever for what was said before a restart.
    #[serde(skip)]
    missing: BTreeSet<ParticipantId>,
}

/// The step that the newest commit left behind, kept while that commit can be annulled.
#[derive(Debug)]
struct Undo {
    step: Step,
    author: ParticipantId,
    sequence: Sequence,
    /// Whom the commit brought in.
    admitted: BTreeSet<ParticipantId>,
    /// Who was a member and is not after it.
    removed: Option<ParticipantId>,
}

/// Who is in and who is out by a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Movement {
    /// Whom it brings in.
    pub(crate) admitted: BTreeSet<ParticipantId>,
    /// Whom it removes though they are here. They have no say in it.
    pub(crate) removed: Option<ParticipantId>,
}

/// A commit that came too late.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Late;

/// What a member's refusal of a commit leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nobody but the author had taken the commit: it never happened, and the group is
    /// back in `epoch`.
    Annulled { author: ParticipantId, epoch: Epoch },
    /// Others had taken the commit: the one who refused it stays behind and counts as out.
    LeftBehind,
    /// Not a refusal of a commit that a member could refuse.
    Void,
}

/// A group as the server knows it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    members: BTreeSet<ParticipantId>,
    step: Step,
    /// Not kept: once the keys' owners have lived through a restart, who has taken the commit is
    /// not known, and what one has taken stands.
    #[serde(skip)]
    undo: Option<Undo>,
    annulled: VecDeque<Sequence>,
}

impl Group {
    /// A new group with its founder in it.
    pub(crate) fn found(founder: ParticipantId, group_info: Opaque) -> Self {
        Self {
            members: BTreeSet::from([founder]),
            step: Step {
                epoch: Epoch::FIRST,
                group_info: Some(group_info),
                missing: BTreeSet::new(),
            },
            undo: None,
            annulled: VecDeque::new(),
        }
    }

    /// What the next commit has to be made on, if it is here.
    pub(crate) fn state(&self) -> Option<GroupState> {
        let group_info = self.step.group_info.clone()?;
        Some(GroupState {
            epoch: self.step.epoch,
            group_info,
        })
    }

    /// A member shows the state.
    pub(crate) fn show(&mut self, group_info: Opaque) {
        self.step.group_info = Some(group_info);
    }

    /// True when the state that is here has this name.
    pub(crate) fn is_shown(&self, name: StateName) -> bool {
        let info = self.step.group_info.as_ref();
        info.is_some_and(|info| StateName::new(Sha256::digest(info.as_bytes()).into()) == name)
    }

    /// Forgets the state; another member is to show theirs.
    pub(crate) fn forget(&mut self) {
        self.step.group_info = None;
    }

    /// The current epoch.
    pub(crate) fn epoch(&self) -> Epoch {
        self.step.epoch
    }

    /// Those who are in it, by what the server has seen.
    pub(crate) fn members(&self) -> &BTreeSet<ParticipantId> {
        &self.members
    }

    /// How many are in it.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Those who have the keys of the current epoch, by what they have said.
    pub(crate) fn able(&self) -> BTreeSet<ParticipantId> {
        self.members
            .difference(&self.step.missing)
            .copied()
            .collect()
    }

    /// True for the founder, the authors of accepted commits and those whom they brought in
    /// who are still here.
    pub(crate) fn contains(&self, participant: ParticipantId) -> bool {
        self.members.contains(&participant)
    }

    /// True when nobody is left who could have the keys.
    pub(crate) fn is_lost(&self) -> bool {
        self.members.is_empty()
    }

    /// True when every member has said that it has the current epoch's keys.
    pub(crate) fn is_complete(&self) -> bool {
        self.step.missing.is_empty()
    }

    /// True when the newest commit cannot be annulled any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.undo.is_none() || self.is_complete()
    }

    /// Moves on by one epoch if the commit was made in the current one. Its author and those
    /// whom it brings in are members from then on, and the author has the new keys.
    /// `sequence` is the place that the commit takes in the log if it is accepted.
    pub(crate) fn commit(
        &mut self,
        author: ParticipantId,
        epoch: Epoch,
        group_info: Option<Opaque>,
        sequence: Sequence,
        Movement { admitted, removed }: Movement,
    ) -> Result<Epoch, Late> {
        if epoch != self.step.epoch {
            return Err(Late);
        }
        self.members.insert(author);
        self.members.extend(&admitted);
        let removed = removed.filter(|removed| self.members.remove(removed));
        let mut missing = self.members.clone();
        missing.remove(&author);
        let next = Step {
            epoch: epoch.next(),
            group_info,
            missing,
        };
        let step = std::mem::replace(&mut self.step, next);
        self.undo = (!self.is_complete()).then_some(Undo {
            step,
            author,
            sequence,
            admitted,
            removed,
        });
        Ok(self.step.epoch)
    }

    /// Notes that a member has the keys of `epoch`. True when it was the last one.
    pub(crate) fn reached(&mut self, participant: ParticipantId, epoch: Epoch) -> bool {
        if epoch != self.step.epoch || !self.step.missing.remove(&participant) {
            return false;
        }
        // Someone took the commit, so it stands. Whom it brought in has no say in that.
        self.undo
            .take_if(|undo| !undo.admitted.contains(&participant));
        self.is_complete()
    }

    /// A member refuses the commit at `sequence`.
    pub(crate) fn refuse(&mut self, participant: ParticipantId, sequence: Sequence) -> Refusal {
        if !self.contains(participant) || self.annulled.contains(&sequence) {
            return Refusal::Void;
        }
        match self.undo.take() {
            Some(undo)
                if undo.sequence == sequence
                    && undo.author != participant
                    && !undo.admitted.contains(&participant) =>
            {
                if self.annulled.len() == REMEMBERED_ANNULMENTS {
                    self.annulled.pop_front();
                }
                self.annulled.push_back(sequence);
                self.step = undo.step;
                self.members.extend(undo.removed);
                self.remove(undo.author);
                for newcomer in undo.admitted {
                    self.remove(newcomer);
                }
                Refusal::Annulled {
                    author: undo.author,
                    epoch: self.step.epoch,
                }
            }
            undo => {
                self.undo = undo;
                self.remove(participant);
                Refusal::LeftBehind
            }
        }
    }

    /// A participant is gone. True when it was the last whose keys were waited for.
    pub(crate) fn leave(&mut self, participant: ParticipantId) -> bool {
        let was_complete = self.is_complete();
        self.remove(participant);
        !was_complete && self.is_complete() && !self.is_lost()
    }

    fn remove(&mut self, participant: ParticipantId) {
        self.members.remove(&participant);
        self.step.missing.remove(&participant);
        if let Some(undo) = &mut self.undo {
            undo.step.missing.remove(&participant);
            undo.removed.take_if(|removed| *removed == participant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: ParticipantId = ParticipantId::new(1);
    const BOB: ParticipantId = ParticipantId::new(2);
    const CAROL: ParticipantId = ParticipantId::new(3);
    const DAVE: ParticipantId = ParticipantId::new(4);

    fn info(byte: u8) -> Option<Opaque> {
        Some(Opaque::from(vec![byte]))
    }

    fn shown(group: &Group) -> Option<Opaque> {
        group.state().map(|state| state.group_info)
    }

    fn place(number: u64) -> Sequence {
        (0..number).fold(Sequence::START, |place, _| place.next())
    }

    /// Alice founded, Bob and Carol came in by the commits 1 and 2, everyone has the keys of
    /// epoch 2.
    fn three() -> Group {
        let mut group = Group::found(ALICE, Opaque::from(vec![0]));
        assert_eq!(
            group.commit(BOB, Epoch::new(0), info(1), place(1), Movement::default()),
            Ok(Epoch::new(1))
        );
        assert!(group.reached(ALICE, Epoch::new(1)));
        assert_eq!(
            group.commit(CAROL, Epoch::new(1), info(2), place(2), Movement::default()),
            Ok(Epoch::new(2))
        );
        assert!(!group.reached(ALICE, Epoch::new(2)));
        assert!(group.reached(BOB, Epoch::new(2)));
        group
    }

    /// [`three`] after a third commit, by `author`.
    fn three_and_a_commit_of(author: ParticipantId) -> Group {
        let mut group = three();
        assert_eq!(
            group.commit(
                author,
                Epoch::new(2),
                info(3),
                place(3),
                Movement::default()
            ),
            Ok(Epoch::new(3))
        );
        group
    }

    #[test]
    fn the_first_commit_of_an_epoch_wins() {
        let mut group = three_and_a_commit_of(BOB);
        for late in [2, 4] {
            assert_eq!(
                group.commit(
                    CAROL,
                    Epoch::new(late),
                    info(9),
                    place(4),
                    Movement::default()
                ),
                Err(Late)
            );
        }
        assert_eq!(shown(&group), info(3));
    }

    #[test]
    fn a_state_is_there_once_it_is_shown_and_known_by_its_name() {
        let mut group = three();
        group
            .commit(BOB, Epoch::new(2), None, place(3), Movement::default())
            .expect("made in the current epoch");
        assert_eq!(group.state(), None);
        group.show(Opaque::from(vec![3]));
        assert_eq!(shown(&group), info(3));
        let name = |byte: u8| StateName::new(Sha256::digest([byte]).into());
        assert!(!group.is_shown(name(2)));
        assert!(group.is_shown(name(3)));
        group.forget();
        assert!(!group.is_shown(name(3)));
        assert_eq!(group.state(), None);
    }

    #[test]
    fn an_epoch_is_complete_once_all_but_the_author_said_so() {
        let mut group = three_and_a_commit_of(ALICE);
        assert!(!group.is_complete());
        assert!(!group.reached(BOB, Epoch::new(2)), "an old epoch");
        assert!(!group.reached(BOB, Epoch::new(3)));
        assert!(!group.reached(BOB, Epoch::new(3)), "said twice");
        assert!(!group.reached(ALICE, Epoch::new(3)), "the author");
        assert!(group.reached(CAROL, Epoch::new(3)));
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let mut group = three_and_a_commit_of(ALICE);
        assert!(!group.reached(BOB, Epoch::new(3)));
        assert!(group.leave(CAROL));
        assert!(!group.leave(BOB), "was complete already");
    }

    #[test]
    fn a_commit_that_nobody_took_is_annulled_by_one_refusal() {
        let mut group = three_and_a_commit_of(CAROL);
        assert_eq!(
            group.refuse(BOB, place(3)),
            Refusal::Annulled {
                author: CAROL,
                epoch: Epoch::new(2)
            }
        );
        assert_eq!(group.epoch(), Epoch::new(2));
        assert_eq!(shown(&group), info(2));
        assert!(!group.contains(CAROL));
        assert!(group.contains(BOB));
    }

    #[test]
    fn a_second_refusal_of_the_same_commit_harms_nobody() {
        let mut group = three_and_a_commit_of(CAROL);
        group.refuse(BOB, place(3));
        // Someone innocent is quicker than Alice's refusal of Carol's commit.
        assert_eq!(
            group.commit(DAVE, Epoch::new(2), info(4), place(4), Movement::default()),
            Ok(Epoch::new(3))
        );
        assert_eq!(group.refuse(ALICE, place(3)), Refusal::Void);
        assert_eq!(group.epoch(), Epoch::new(3));
        assert!(group.contains(ALICE) && group.contains(DAVE));
    }

    #[test]
    fn a_commit_that_someone_took_stands_and_the_refuser_is_out() {
        let mut group = three_and_a_commit_of(CAROL);
        assert!(!group.reached(ALICE, Epoch::new(3)));
        assert_eq!(group.refuse(BOB, place(3)), Refusal::LeftBehind);
        assert_eq!(group.epoch(), Epoch::new(3));
        assert!(!group.contains(BOB));
        assert!(group.is_complete(), "nobody waits for the refuser");
    }

    #[test]
    fn an_older_commit_cannot_be_annulled_any_more() {
        let mut group = three_and_a_commit_of(CAROL);
        group
            .commit(ALICE, Epoch::new(3), info(4), place(4), Movement::default())
            .expect("made in the current epoch");
        assert_eq!(group.refuse(BOB, place(3)), Refusal::LeftBehind);
        assert_eq!(group.epoch(), Epoch::new(4));
    }

    #[test]
    fn strangers_and_authors_annul_nothing() {
        let mut group = three_and_a_commit_of(CAROL);
        assert_eq!(group.refuse(DAVE, place(3)), Refusal::Void);
        assert_eq!(group.refuse(CAROL, place(3)), Refusal::LeftBehind);
        assert_eq!(group.epoch(), Epoch::new(3));
        // The author's own words do not take the others' right away.
        assert!(matches!(
            group.refuse(BOB, place(3)),
            Refusal::Annulled { .. }
        ));
    }

    #[test]
    fn a_group_without_members_is_lost() {
        let mut group = Group::found(ALICE, Opaque::from(vec![0]));
        assert!(!group.leave(ALICE), "nobody is left to be told");
        assert!(group.is_lost());
    }

    #[test]
    fn who_was_brought_in_is_a_member_and_waited_for() {
        let mut group = three();
        let admitted = Movement {
            admitted: BTreeSet::from([DAVE]),
            removed: None,
        };
        let next = group.commit(BOB, Epoch::new(2), info(3), place(3), admitted);
        assert_eq!(next, Ok(Epoch::new(3)));
        assert!(group.contains(DAVE));
        assert_eq!(group.able(), [BOB].into());
        assert!(!group.reached(ALICE, Epoch::new(3)));
        assert!(!group.reached(CAROL, Epoch::new(3)));
        assert!(group.reached(DAVE, Epoch::new(3)));
    }

    #[test]
    fn who_was_brought_in_goes_with_the_commit_and_has_no_say_about_it() {
        let mut group = three();
        let admitted = Movement {
            admitted: BTreeSet::from([DAVE]),
            removed: None,
        };
        group
            .commit(BOB, Epoch::new(2), info(3), place(3), admitted)
            .expect("made in the current epoch");
        assert!(!group.reached(DAVE, Epoch::new(3)));
        assert!(matches!(
            group.refuse(ALICE, place(3)),
            Refusal::Annulled { .. }
        ));
        assert!(!group.contains(DAVE) && !group.contains(BOB));
        assert_eq!(group.able(), [ALICE, CAROL].into());
    }

    #[test]
    fn who_is_removed_has_no_say_in_it() {
        let mut group = three();
        let removal = Movement {
            admitted: BTreeSet::new(),
            removed: Some(CAROL),
        };
        let next = group.commit(ALICE, Epoch::new(2), info(3), place(3), removal);
        assert_eq!(next, Ok(Epoch::new(3)));
        assert!(!group.contains(CAROL) && !group.is_settled());
        assert_eq!(group.refuse(CAROL, place(3)), Refusal::Void);
        assert!(!group.reached(CAROL, Epoch::new(3)));
        assert!(group.reached(BOB, Epoch::new(3)), "Carol is not waited for");
        assert!(group.is_settled());
    }

    #[test]
    fn who_was_removed_is_back_when_the_others_refuse_it() {
        let mut group = three();
        let removal = Movement {
            admitted: BTreeSet::new(),
            removed: Some(CAROL),
        };
        let next = group.commit(ALICE, Epoch::new(2), info(3), place(3), removal);
        assert_eq!(next, Ok(Epoch::new(3)));
        let annulled = Refusal::Annulled {
            author: ALICE,
            epoch: Epoch::new(2),
        };
        assert_eq!(group.refuse(BOB, place(3)), annulled);
        assert!(group.contains(CAROL) && !group.contains(ALICE));
    }

    #[test]
    fn the_word_of_the_only_one_left_stands_at_once() {
        let mut group = Group::found(ALICE, Opaque::from(vec![0]));
        let come = group.commit(BOB, Epoch::new(0), info(1), place(1), Movement::default());
        assert_eq!(come, Ok(Epoch::new(1)));
        assert!(group.reached(ALICE, Epoch::new(1)));
        let removal = Movement {
            admitted: BTreeSet::new(),
            removed: Some(BOB),
        };
        let next = group.commit(ALICE, Epoch::new(1), info(2), place(2), removal);
        assert_eq!(next, Ok(Epoch::new(2)));
        assert!(group.is_settled());
    }
}
