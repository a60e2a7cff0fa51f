//! Who waits to be brought into the group, and which member is asked to do it.
//!
//! One member is asked at a time, in turn, and brings in all who wait: a crowd of newcomers
//! costs everybody a few commits, not one for each. Between two batches there is a pause in
//! which the next one gathers, unless it is full already. The first after a quiet time
//! waits for nothing. A state machine without clocks.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use conclave_protocol::{Opaque, ParticipantId, signal::Knock};
use serde::{Deserialize, Serialize};

/// As many as one commit is to bring in.
const AT_ONCE: usize = 25;

/// After this long another member is asked.
const TAKEOVER: Duration = Duration::from_secs(2);

/// So many members are asked to bring in the same newcomer. None of them can if the
/// KeyPackage is not one, and the newcomer has another way.
const MOST_ASKED: u8 = 3;

/// What a commit costs everybody, and what its author has to upload in the Welcome, grows with
/// the group; so does the pause, and the share of either in time stays the same. For 500 members
/// it is two seconds: each needs a hundredth of a core, and 0.9 MB come from somebody else each
/// time.
const PAUSE_FOR_EACH: Duration = Duration::from_millis(4);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    knock: Knock,
    #[serde(skip)]
    asked: u8,
}

#[derive(Debug)]
struct Asked {
    member: ParticipantId,
    until: Instant,
}

/// Who waits, and who is asked. Only the first is kept: whom to ask is a matter of the moment.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Admissions {
    waiting: Vec<Waiting>,
    #[serde(skip)]
    asked: Option<Asked>,
    #[serde(skip)]
    last_asked: Option<ParticipantId>,
    /// Somebody was brought in, and the pause has yet to begin.
    #[serde(skip)]
    is_done: bool,
    #[serde(skip)]
    pause_until: Option<Instant>,
}

impl Admissions {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Those who wait.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Knock> {
        self.waiting.iter().map(|it| &it.knock)
    }

    /// True for someone who waits.
    pub(crate) fn contains(&self, participant: ParticipantId) -> bool {
        self.waiting().any(|knock| knock.participant == participant)
    }

    /// Someone knocks, or knocks anew with another KeyPackage.
    pub(crate) fn knock(&mut self, participant: ParticipantId, key_package: Opaque) {
        self.withdraw(participant);
        self.waiting.push(Waiting {
            knock: Knock {
                participant,
                key_package,
            },
            asked: 0,
        });
    }

    /// Of those who wait only so many may. Those beyond, who came last, wait no longer.
    pub(crate) fn keep_first(&mut self, most: usize) -> Vec<ParticipantId> {
        let beyond = self.waiting.split_off(most.min(self.waiting.len()));
        beyond.into_iter().map(|it| it.knock.participant).collect()
    }

    /// Someone waits no longer: gone, or in the group by another way. If it was the member
    /// who is asked, the next one is.
    pub(crate) fn withdraw(&mut self, participant: ParticipantId) {
        self.waiting
            .retain(|it| it.knock.participant != participant);
        self.asked.take_if(|asked| asked.member == participant);
    }

    /// If this member is asked, another one is to be.
    pub(crate) fn pass_over(&mut self, member: ParticipantId) {
        self.asked.take_if(|asked| asked.member == member);
    }

    /// A commit brings in these, of whom those count who wait.
    pub(crate) fn admit(&mut self, admitted: &[ParticipantId]) -> BTreeSet<ParticipantId> {
        let is_one = |it: &Waiting| admitted.contains(&it.knock.participant);
        let came_in = self.waiting.extract_if(.., |it| is_one(it));
        let came_in: BTreeSet<_> = came_in.map(|it| it.knock.participant).collect();
        if !came_in.is_empty() {
            self.asked = None;
            self.is_done = true;
        }
        came_in
    }

    /// When there will be something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.waiting.is_empty() {
            return None;
        }
        self.asked
            .as_ref()
            .map(|asked| asked.until)
            .or(self.pause_until)
    }

    /// Whom to ask to bring in whom, if it is time. `able` are the members who have the
    /// keys of the current epoch, of all `members` in number.
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        able: &BTreeSet<ParticipantId>,
        members: usize,
    ) -> Option<(ParticipantId, Vec<Knock>)> {
        if std::mem::take(&mut self.is_done) {
            let members = u32::try_from(members).unwrap_or(u32::MAX);
            let pause = PAUSE_FOR_EACH.saturating_mul(members);
            self.pause_until = Some(now + pause.max(SHORTEST_PAUSE));
        }
        self.asked.take_if(|asked| asked.until <= now);
        self.pause_until.take_if(|until| *until <= now);
        let gathers = self.pause_until.is_some() && self.waiting.len() < AT_ONCE;
        if self.asked.is_some() || gathers {
            return None;
        }
        self.waiting.retain(|it| it.asked < MOST_ASKED);
        if self.waiting.is_empty() {
            return None;
        }
        let next = |after| able.range((after, std::ops::Bound::Unbounded)).next();
        let member = match self.last_asked {
            Some(last) => next(std::ops::Bound::Excluded(last)).or_else(|| able.first()),
            None => able.first(),
        };
        let member = *member?;
        self.last_asked = Some(member);
        self.asked = Some(Asked {
            member,
            until: now + TAKEOVER,
        });
        let batch = self.waiting.iter_mut().take(AT_ONCE);
        let knocks = batch.map(|it| {
            it.asked += 1;
            it.knock.clone()
        });
        Some((member, knocks.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn id(number: u64) -> ParticipantId {
        ParticipantId::new(number)
    }

    fn package() -> Opaque {
        Opaque::from(vec![1])
    }

    /// Members 1 to 3, and someone who waits at their door.
    struct Hall {
        admissions: Admissions,
        now: Instant,
        able: BTreeSet<ParticipantId>,
        members: usize,
    }

    impl Hall {
        fn new() -> Self {
            Self {
                admissions: Admissions::default(),
                now: Instant::now(),
                able: [1, 2, 3].map(id).into(),
                members: 3,
            }
        }

        fn knocks(&mut self, numbers: std::ops::Range<u64>) {
            numbers.for_each(|number| self.admissions.knock(id(number), package()));
        }

        fn wait(&mut self, time: Duration) {
            self.now += time;
        }

        /// Who is asked, and to bring in how many.
        fn asks(&mut self) -> Option<(ParticipantId, usize)> {
            let asked = self.admissions.ask(self.now, &self.able, self.members);
            asked.map(|(member, knocks)| (member, knocks.len()))
        }
    }

    #[test]
    fn the_first_who_knocks_waits_for_nothing() {
        let mut hall = Hall::new();
        assert_eq!(hall.asks(), None);
        hall.knocks(10..11);
        assert_eq!(hall.asks(), Some((id(1), 1)));
        assert_eq!(hall.asks(), None, "one at a time");
    }

    #[test]
    fn those_who_come_meanwhile_come_in_together_and_by_another_member() {
        let mut hall = Hall::new();
        hall.knocks(10..11);
        hall.asks();
        hall.knocks(11..15);
        assert_eq!(hall.admissions.admit(&[id(10)]).len(), 1);
        assert_eq!(hall.asks(), None, "a pause");
        hall.wait(99 * MS);
        assert_eq!(hall.asks(), None);
        hall.wait(MS);
        assert_eq!(hall.asks(), Some((id(2), 4)));
    }

    #[test]
    fn a_full_batch_waits_for_nothing() {
        let mut hall = Hall::new();
        hall.members = 100;
        hall.knocks(10..11);
        hall.asks();
        hall.admissions.admit(&[id(10)]);
        hall.knocks(11..35);
        assert_eq!(
            hall.asks(),
            None,
            "24 gather for four milliseconds a member"
        );
        assert_eq!(hall.admissions.poll_timeout(), Some(hall.now + 400 * MS));
        hall.knocks(35..70);
        assert_eq!(hall.asks(), Some((id(2), 25)));
    }

    #[test]
    fn who_does_not_answer_is_passed_over() {
        let mut hall = Hall::new();
        hall.knocks(10..11);
        assert_eq!(hall.asks(), Some((id(1), 1)));
        assert_eq!(hall.admissions.poll_timeout(), Some(hall.now + TAKEOVER));
        hall.wait(TAKEOVER);
        assert_eq!(hall.asks(), Some((id(2), 1)));
        hall.admissions.withdraw(id(2));
        hall.able.remove(&id(2));
        assert_eq!(
            hall.asks(),
            Some((id(3), 1)),
            "who is gone need not be waited for"
        );
    }

    #[test]
    fn after_three_members_a_knock_is_given_up() {
        let mut hall = Hall::new();
        hall.knocks(10..11);
        for member in [1, 2, 3] {
            assert_eq!(hall.asks(), Some((id(member), 1)));
            hall.wait(TAKEOVER);
        }
        hall.knocks(11..12);
        assert_eq!(hall.asks(), Some((id(1), 1)), "only the new one");
        assert_eq!(hall.admissions.len(), 1);
    }

    #[test]
    fn who_does_not_wait_is_not_admitted() {
        let mut hall = Hall::new();
        hall.knocks(10..12);
        hall.admissions.withdraw(id(11));
        let came_in = hall.admissions.admit(&[id(10), id(11), id(99)]);
        assert_eq!(came_in, [id(10)].into());
    }

    #[test]
    fn nobody_is_asked_where_nobody_has_the_keys() {
        let mut hall = Hall::new();
        hall.able.clear();
        hall.knocks(10..11);
        assert_eq!(hall.asks(), None);
        hall.able.insert(id(3));
        assert_eq!(hall.asks(), Some((id(3), 1)));
    }
}
