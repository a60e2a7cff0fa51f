//! What a room told and has to be able to tell again, until that is too old, too much, or
//! nobody can come back for it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use conclave_protocol::{ParticipantId, session::Position};

use crate::{
    room::Audience,
    store::rooms::{Entry, KeptEntry},
};

/// Whoever is there, or can still come back, has heard what is older.
const OLDEST: Duration = Duration::from_secs(600);

/// For each room. Who misses more joins anew, which costs less.
const MOST_BYTES: usize = 32 << 20;
const MOST_ENTRIES: usize = 10_000;

/// So many numbers are left out at a restart: more than a room ever uses, and few enough for two
/// million restarts among the integers that JavaScript has.
const LEAP: u64 = 1 << 32;

/// An entry that is kept.
struct Kept {
    position: Position,
    audience: Audience,
    bytes: usize,
    since: Instant,
}

/// What is not kept any more. Only those to whom it was told can miss it.
pub(super) struct GivenUp(Vec<(Position, Audience)>);

impl GivenUp {
    /// The last of it that this participant was told.
    pub(super) fn last_told_to(&self, participant: ParticipantId) -> Option<Position> {
        let mut latest_first = self.0.iter().rev();
        let told = latest_first.find(|(_, audience)| audience.includes(participant));
        told.map(|(position, _)| *position)
    }
}

/// Counts what a room tells, and bounds what is kept of it.
pub(super) struct RoomLog {
    position: Position,
    /// What was told up to here is not kept.
    floor: Position,
    kept: VecDeque<Kept>,
    bytes: usize,
    given_up: Vec<(Position, Audience)>,
    /// Not yet kept.
    fresh: Vec<Entry>,
    /// False while nothing of the room is kept that is true: nobody could come back, or the disk
    /// is full.
    pub(super) is_kept: bool,
    /// Something of the room may be on the disk, true or not.
    pub(super) has_rows: bool,
}

impl RoomLog {
    /// Of a room that has told nothing.
    pub(super) const fn new() -> Self {
        Self {
            position: Position::START,
            floor: Position::START,
            kept: VecDeque::new(),
            bytes: 0,
            given_up: Vec::new(),
            fresh: Vec::new(),
            is_kept: false,
            has_rows: false,
        }
    }

    /// As it was kept. What was told after that, while the disk took nothing, is not known: its
    /// numbers are left out, lest somebody who has heard it is taken for one of us.
    pub(super) fn recall(
        position: Position,
        floor: Position,
        entries: Vec<KeptEntry>,
        now: Instant,
    ) -> Self {
        let bytes = entries.iter().map(|entry| entry.bytes).sum();
        let kept = entries.into_iter().map(|entry| Kept {
            position: entry.position,
            audience: entry.audience,
            bytes: entry.bytes,
            since: now,
        });
        Self {
            position: Position::new(position.get() + LEAP),
            floor,
            kept: kept.collect(),
            bytes,
            given_up: Vec::new(),
            fresh: Vec::new(),
            is_kept: true,
            has_rows: true,
        }
    }

    /// The place of what is told next.
    pub(super) fn advance(&mut self) -> Position {
        self.position = self.position.next();
        self.position
    }

    /// How far the room has got.
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// What was told up to here is not kept.
    pub(super) const fn floor(&self) -> Position {
        self.floor
    }

    /// Something is to be kept.
    pub(super) fn push(&mut self, entry: Entry, now: Instant) {
        self.bytes += entry.text.len();
        self.kept.push_back(Kept {
            position: entry.position,
            audience: entry.audience,
            bytes: entry.text.len(),
            since: now,
        });
        self.fresh.push(entry);
    }

    /// Whether this is something that the participant may have been told, as far as that is
    /// still known.
    pub(super) fn may_have_told(&self, participant: ParticipantId, position: Position) -> bool {
        let place = self.kept.binary_search_by_key(&position, |it| it.position);
        let entry = place.ok().and_then(|place| self.kept.get(place));
        position <= self.floor || entry.is_some_and(|it| it.audience.includes(participant))
    }

    /// True when there is something to be kept.
    pub(super) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// What is to be kept now. Moves the floor up where there is too much.
    pub(super) fn take_fresh(&mut self, now: Instant) -> Vec<Entry> {
        while let Some(oldest) = self.kept.front()
            && (self.bytes > MOST_BYTES
                || self.kept.len() > MOST_ENTRIES
                || now.saturating_duration_since(oldest.since) > OLDEST)
        {
            self.floor = oldest.position;
            self.bytes -= oldest.bytes;
            self.given_up.push((oldest.position, oldest.audience));
            self.kept.pop_front();
        }
        let floor = self.floor;
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.retain(|entry| entry.position > floor);
        fresh
    }

    /// What was given up since this was last asked.
    pub(super) fn take_given_up(&mut self) -> GivenUp {
        GivenUp(std::mem::take(&mut self.given_up))
    }

    /// Nothing up to here is kept.
    pub(super) fn start_over(&mut self) {
        self.is_kept = false;
        self.pass();
    }

    /// Nothing up to here has to be kept.
    pub(super) fn pass(&mut self) {
        self.floor = self.position;
        let kept = self.kept.drain(..);
        self.given_up
            .extend(kept.map(|it| (it.position, it.audience)));
        self.bytes = 0;
        self.fresh.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: ParticipantId = ParticipantId::new(1);
    const BOB: ParticipantId = ParticipantId::new(2);

    fn tell(log: &mut RoomLog, bytes: usize, now: Instant) -> Position {
        let position = log.advance();
        let entry = Entry {
            position,
            audience: Audience::Everyone,
            text: "x".repeat(bytes),
        };
        log.push(entry, now);
        position
    }

    #[test]
    fn what_is_too_much_or_too_old_is_given_up_from_the_oldest_on() {
        let now = Instant::now();
        let mut log = RoomLog::new();
        let first = tell(&mut log, MOST_BYTES / 2, now);
        let second = tell(&mut log, MOST_BYTES / 2, now);
        assert_eq!(log.take_fresh(now).len(), 2);
        assert_eq!(log.floor(), Position::START);
        tell(&mut log, 1, now);
        assert_eq!(log.take_fresh(now).len(), 1);
        assert_eq!(log.floor(), first);
        let later = now + OLDEST + Duration::from_secs(1);
        let last = tell(&mut log, 1, later);
        assert_eq!(log.take_fresh(later).len(), 1);
        assert!(second < log.floor() && log.floor() < last);
    }

    #[test]
    fn who_was_not_told_misses_nothing_of_what_is_given_up() {
        let now = Instant::now();
        let mut log = RoomLog::new();
        let mut tell = |audience| {
            let position = log.advance();
            let text = "x".into();
            let entry = Entry {
                position,
                audience,
                text,
            };
            log.push(entry, now);
            position
        };
        let all = tell(Audience::Everyone);
        let not_bob = tell(Audience::EveryoneBut(BOB));
        log.take_fresh(now);
        log.take_fresh(now + OLDEST + Duration::from_secs(1));
        let given_up = log.take_given_up();
        assert_eq!(given_up.last_told_to(ALICE), Some(not_bob));
        assert_eq!(given_up.last_told_to(BOB), Some(all));
        assert_eq!(log.take_given_up().last_told_to(ALICE), None, "once");
    }

    #[test]
    fn what_was_told_to_others_or_never_is_not_taken_for_ones_own_past() {
        let now = Instant::now();
        let mut log = RoomLog::new();
        let first = tell(&mut log, 1, now);
        log.pass();
        let position = log.advance();
        let entry = Entry {
            position,
            audience: Audience::One(ALICE),
            text: "x".into(),
        };
        log.push(entry, now);
        assert!(log.may_have_told(BOB, first), "who knows?");
        assert!(log.may_have_told(ALICE, position));
        assert!(!log.may_have_told(BOB, position));
        assert!(!log.may_have_told(ALICE, position.next()));
    }

    #[test]
    fn after_starting_over_nothing_before_can_be_asked_for() {
        let now = Instant::now();
        let mut log = RoomLog::new();
        let told = tell(&mut log, 1, now);
        log.start_over();
        assert_eq!((log.floor(), log.has_fresh()), (told, false));
    }
}
