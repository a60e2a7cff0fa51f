//! Who waits for the group's state, and which member is asked to show it.
//!
//! The state of a large group is too large to come with every commit. It is kept once it has
//! been shown, and good until the next commit. One member is asked at a time, by turns; who
//! does not answer is passed over. A state machine without clocks.

use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Unbounded},
    time::{Duration, Instant},
};

use conclave_protocol::ParticipantId;

/// After this long another member is asked.
const TAKEOVER: Duration = Duration::from_secs(2);

/// So many states of one epoch may be called unusable: each has another member upload one.
const MOST_UNUSABLE: u8 = 4;

#[derive(Debug)]
struct Asked {
    member: ParticipantId,
    until: Instant,
}

/// Who waits, and who is asked.
#[derive(Debug, Default)]
pub(crate) struct Showings {
    waiting: BTreeSet<ParticipantId>,
    asked: Option<Asked>,
    /// Everyone who was asked in this epoch: an answer counts, however late it comes.
    may_answer: BTreeSet<ParticipantId>,
    last_asked: Option<ParticipantId>,
    unusable: u8,
}

impl Showings {
    /// Someone needs the state.
    pub(crate) fn request(&mut self, participant: ParticipantId) {
        self.waiting.insert(participant);
    }

    /// True when nobody waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Someone waits no longer: gone, or in the group. If it was the member who is asked, the
    /// next one is.
    pub(crate) fn withdraw(&mut self, participant: ParticipantId) {
        self.waiting.remove(&participant);
        self.may_answer.remove(&participant);
        self.asked.take_if(|asked| asked.member == participant);
    }

    /// If this member is asked, another one is to be.
    pub(crate) fn pass_over(&mut self, member: ParticipantId) {
        self.asked.take_if(|asked| asked.member == member);
    }

    /// The group is in another epoch: what was asked for is of no use any more.
    pub(crate) fn move_on(&mut self) {
        self.asked = None;
        self.may_answer.clear();
        self.unusable = 0;
    }

    /// Whether a state that somebody cannot use is to be given up for another member's.
    pub(crate) fn give_up(&mut self) -> bool {
        let gives_up = self.unusable < MOST_UNUSABLE;
        self.unusable += u8::from(gives_up);
        gives_up
    }

    /// Whether a member's answer counts. One answer does, to one question.
    pub(crate) fn answer(&mut self, member: ParticipantId) -> bool {
        let counts = self.may_answer.remove(&member);
        if counts {
            self.asked = None;
        }
        counts
    }

    /// Those who wait, to be told the state.
    pub(crate) fn take_waiting(&mut self) -> BTreeSet<ParticipantId> {
        self.asked = None;
        std::mem::take(&mut self.waiting)
    }

    /// When there will be something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let asked = self.asked.as_ref().filter(|_| !self.is_idle())?;
        Some(asked.until)
    }

    /// Whom to ask, if it is time. `able` are the members who have the keys of the current
    /// epoch.
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        able: &BTreeSet<ParticipantId>,
    ) -> Option<ParticipantId> {
        self.asked.take_if(|asked| asked.until <= now);
        if self.is_idle() || self.asked.is_some() {
            return None;
        }
        let after = self.last_asked.map_or(Unbounded, Excluded);
        let next = able.range((after, Unbounded)).next();
        let member = next.or_else(|| able.first()).copied()?;
        self.last_asked = Some(member);
        self.may_answer.insert(member);
        self.asked = Some(Asked {
            member,
            until: now + TAKEOVER,
        });
        Some(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> ParticipantId {
        ParticipantId::new(number)
    }

    /// Members 1 to 3, and 10 who needs the state.
    struct Hall {
        showings: Showings,
        now: Instant,
        able: BTreeSet<ParticipantId>,
    }

    impl Hall {
        fn new() -> Self {
            let mut showings = Showings::default();
            showings.request(id(10));
            Self {
                showings,
                now: Instant::now(),
                able: [1, 2, 3].map(id).into(),
            }
        }

        fn asks(&mut self) -> Option<u64> {
            let asked = self.showings.ask(self.now, &self.able);
            asked.map(|member| {
                let of = |number: &u64| id(*number) == member;
                (0..20).find(of).expect("one of ours")
            })
        }
    }

    #[test]
    fn nobody_is_asked_when_nobody_waits() {
        let mut hall = Hall::new();
        hall.showings.withdraw(id(10));
        assert_eq!(hall.asks(), None);
        assert_eq!(hall.showings.poll_timeout(), None);
    }

    #[test]
    fn one_is_asked_for_all_who_wait() {
        let mut hall = Hall::new();
        assert_eq!(hall.asks(), Some(1));
        hall.showings.request(id(11));
        assert_eq!(hall.asks(), None, "one at a time");
        assert!(hall.showings.answer(id(1)));
        assert_eq!(hall.showings.take_waiting(), [10, 11].map(id).into());
        assert_eq!(hall.asks(), None);
    }

    #[test]
    fn who_does_not_answer_is_passed_over_and_may_still_answer() {
        let mut hall = Hall::new();
        assert_eq!(hall.asks(), Some(1));
        assert_eq!(hall.showings.poll_timeout(), Some(hall.now + TAKEOVER));
        hall.now += TAKEOVER;
        assert_eq!(hall.asks(), Some(2));
        hall.showings.withdraw(id(2));
        hall.able.remove(&id(2));
        assert_eq!(hall.asks(), Some(3), "who is gone is not waited for");
        hall.now += TAKEOVER;
        assert_eq!(hall.asks(), Some(1), "round and round");
        assert!(!hall.showings.answer(id(2)), "is gone");
        assert!(hall.showings.answer(id(3)), "is late");
    }

    #[test]
    fn only_who_was_asked_answers_and_only_once() {
        let mut hall = Hall::new();
        assert!(!hall.showings.answer(id(1)), "was not asked");
        hall.asks();
        assert!(!hall.showings.answer(id(2)), "another was asked");
        assert!(hall.showings.answer(id(1)));
        assert!(!hall.showings.answer(id(1)), "has answered");
    }

    #[test]
    fn with_a_commit_the_question_is_another_one() {
        let mut hall = Hall::new();
        assert_eq!(hall.asks(), Some(1));
        hall.showings.move_on();
        assert!(!hall.showings.answer(id(1)), "to the question before");
        hall.able = [2, 3].map(id).into();
        assert_eq!(hall.asks(), Some(2), "10 still waits");
    }

    #[test]
    fn whoever_calls_everything_unusable_is_not_listened_to_for_ever() {
        let mut hall = Hall::new();
        let given_up = (0..100).filter(|_| hall.showings.give_up()).count();
        assert_eq!(given_up, usize::from(MOST_UNUSABLE));
        hall.showings.move_on();
        assert!(hall.showings.give_up(), "there is another state to refuse");
    }

    #[test]
    fn nobody_is_asked_where_nobody_has_the_keys() {
        let mut hall = Hall::new();
        hall.able.clear();
        assert_eq!(hall.asks(), None);
        hall.able.insert(id(3));
        assert_eq!(hall.asks(), Some(3));
    }
}
