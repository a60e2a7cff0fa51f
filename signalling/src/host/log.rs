//! What a room told and has to be able to tell again, until that is too old, too much, or
//! nobody can come back for it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use conclave_protocol::session::Position;

use crate::store::rooms::Entry;

/// Whoever is there, or can still come back, has heard what is older.
const OLDEST: Duration = Duration::from_secs(600);

/// For each room. Who misses more joins anew, which costs less.
const MOST_BYTES: usize = 32 << 20;
const MOST_ENTRIES: usize = 10_000;

/// An entry that is kept.
struct Kept {
    position: Position,
    bytes: usize,
    since: Instant,
}

/// Counts what a room tells, and bounds what is kept of it.
pub(super) struct RoomLog {
    position: Position,
    /// What was told up to here is not kept.
    floor: Position,
    kept: VecDeque<Kept>,
    bytes: usize,
    /// Not yet kept.
    fresh: Vec<Entry>,
    /// False while nothing of the room is kept: nobody could come back, or the disk is full.
    pub(super) is_kept: bool,
}

impl RoomLog {
    /// Of a room that has told nothing.
    pub(super) const fn new() -> Self {
        Self {
            position: Position::START,
            floor: Position::START,
            kept: VecDeque::new(),
            bytes: 0,
            fresh: Vec::new(),
            is_kept: false,
        }
    }

    /// As it was kept.
    pub(super) fn recall(
        position: Position,
        floor: Position,
        entries: Vec<(Position, usize)>,
        now: Instant,
    ) -> Self {
        let bytes = entries.iter().map(|(_, bytes)| bytes).sum();
        let kept = entries.into_iter().map(|(position, bytes)| Kept {
            position,
            bytes,
            since: now,
        });
        Self {
            position,
            floor,
            kept: kept.collect(),
            bytes,
            fresh: Vec::new(),
            is_kept: true,
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

    /// What is told again begins after this.
    pub(super) const fn floor(&self) -> Position {
        self.floor
    }

    /// Something is to be kept.
    pub(super) fn push(&mut self, entry: Entry, now: Instant) {
        self.bytes += entry.text.len();
        self.kept.push_back(Kept {
            position: entry.position,
            bytes: entry.text.len(),
            since: now,
        });
        self.fresh.push(entry);
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
            self.kept.pop_front();
        }
        let floor = self.floor;
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.retain(|entry| entry.position > floor);
        fresh
    }

    /// Nothing up to here is kept, nor has to be.
    pub(super) fn start_over(&mut self) {
        self.is_kept = false;
        self.floor = self.position;
        self.kept.clear();
        self.bytes = 0;
        self.fresh.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::Audience;

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
    fn after_starting_over_nothing_before_can_be_asked_for() {
        let now = Instant::now();
        let mut log = RoomLog::new();
        let told = tell(&mut log, 1, now);
        log.start_over();
        assert_eq!((log.floor(), log.has_fresh()), (told, false));
    }
}
