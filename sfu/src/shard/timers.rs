//! One heap of deadlines for everything that waits.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

/// Deadlines that may be met a little late are met together, so that what follows from them
/// leaves together.
pub(crate) const GRID: Duration = Duration::from_millis(4);

/// Wakes keys at their deadlines. A deadline that moves later leaves its entry where it is;
/// the entry is put right when it comes up. So a deadline that is pushed back with every
/// packet costs nothing, and the heap holds about one entry for each key.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    heap: BinaryHeap<Reverse<(Instant, K)>>,
    /// Where the grid begins.
    origin: Option<Instant>,
}

/// One key's deadline, kept by its owner.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Deadline {
    wanted: Option<Instant>,
    /// The earliest entry in the heap.
    armed: Option<Instant>,
}

impl Deadline {
    pub(crate) fn is_set(&self) -> bool {
        self.wanted.is_some()
    }
}

impl<K> Default for Timers<K>
where
    K: Ord,
{
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            origin: None,
        }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// The first moment of the grid that is not before a deadline.
    pub(crate) fn on_grid(&mut self, at: Instant, grid: Duration) -> Instant {
        let origin = *self.origin.get_or_insert(at);
        let since = at.saturating_duration_since(origin).as_nanos();
        // Later than any clock will run.
        let (Ok(since), Ok(step)) = (u64::try_from(since), u64::try_from(grid.as_nanos())) else {
            return at;
        };
        at + Duration::from_nanos(since.next_multiple_of(step.max(1)) - since)
    }

    /// Sets, moves or takes back a deadline.
    pub(crate) fn set(&mut self, key: K, deadline: &mut Deadline, at: Option<Instant>) {
        deadline.wanted = at;
        if let Some(at) = at
            && deadline.armed.is_none_or(|armed| at < armed)
        {
            deadline.armed = Some(at);
            self.heap.push(Reverse((at, key)));
        }
    }

    /// When the next entry comes up.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next entry that has come up: its key and its time, for [`Self::is_due`].
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(K, Instant)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse((at, key))| (key, at))
    }

    /// Whether the deadline of a popped entry has come. If it has moved on, the entry is
    /// put back for then.
    pub(crate) fn is_due(
        &mut self,
        key: K,
        popped: Instant,
        deadline: &mut Deadline,
        now: Instant,
    ) -> bool {
        if deadline.armed != Some(popped) {
            return false;
        }
        deadline.armed = None;
        match deadline.wanted {
            Some(wanted) if wanted <= now => {
                deadline.wanted = None;
                true
            }
            wanted => {
                self.set(key, deadline, wanted);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_deadline_pushed_back_again_and_again_is_one_entry() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        let mut deadline = Deadline::default();
        for ms in 10..500 {
            timers.set('a', &mut deadline, Some(at(ms)));
        }
        assert_eq!(timers.heap.len(), 1);
        let (key, popped) = timers.pop(at(10)).unwrap();
        assert!(!timers.is_due(key, popped, &mut deadline, at(10)));
        assert_eq!(timers.next(), Some(at(499)));
        let (key, popped) = timers.pop(at(499)).unwrap();
        assert!(timers.is_due(key, popped, &mut deadline, at(499)));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn an_earlier_deadline_overtakes_and_fires_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        let mut deadline = Deadline::default();
        timers.set('a', &mut deadline, Some(at(100)));
        timers.set('a', &mut deadline, Some(at(50)));
        let mut fired = 0;
        while let Some((key, popped)) = timers.pop(at(200)) {
            fired += u32::from(timers.is_due(key, popped, &mut deadline, at(200)));
        }
        assert_eq!(fired, 1);
    }

    #[test]
    fn deadlines_close_to_each_other_are_met_together_and_never_early() {
        let start = Instant::now();
        let mut timers = Timers::<char>::default();
        assert_eq!(timers.on_grid(start, GRID), start);
        for micros in [1, 2_500, 4_000] {
            let at = start + Duration::from_micros(micros);
            assert_eq!(timers.on_grid(at, GRID), start + GRID);
        }
        let later = start + Duration::from_micros(4_001);
        assert_eq!(timers.on_grid(later, GRID), start + 2 * GRID);
    }

    #[test]
    fn a_deadline_taken_back_does_not_fire() {
        let start = Instant::now();
        let mut timers = Timers::default();
        let mut deadline = Deadline::default();
        timers.set('a', &mut deadline, Some(start));
        timers.set('a', &mut deadline, None);
        let (key, popped) = timers.pop(start).unwrap();
        assert!(!timers.is_due(key, popped, &mut deadline, start));
        assert_eq!(timers.pop(start), None);
    }
}
