//! Bounds on what is on its way at once, since each transfer holds a chunk in memory; and no
//! two writers of one chunk.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use conclave_protocol::{ParticipantId, file::FileId};

use super::refusal::Refusal;

type Chunk = (FileId, u32);

/// All transfers that are on their way.
pub(super) struct Transfers {
    per_participant: usize,
    in_all: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_participant: HashMap<ParticipantId, usize>,
    in_all: usize,
    arriving: HashSet<Chunk>,
}

/// One transfer. It ends when this is dropped.
pub(super) struct Transfer {
    all: Arc<Transfers>,
    participant: ParticipantId,
    chunk: Option<Chunk>,
}

impl Transfers {
    pub(super) fn new(per_participant: usize, in_all: usize) -> Arc<Self> {
        Arc::new(Self {
            per_participant,
            in_all,
            state: Mutex::default(),
        })
    }

    /// Begins to send bytes to somebody.
    pub(super) fn leaving(
        self: &Arc<Self>,
        participant: ParticipantId,
    ) -> Result<Transfer, Refusal> {
        self.begin(participant, None)
    }

    /// Begins to take a chunk.
    pub(super) fn arriving(
        self: &Arc<Self>,
        participant: ParticipantId,
        file: FileId,
        number: u32,
    ) -> Result<Transfer, Refusal> {
        self.begin(participant, Some((file, number)))
    }

    fn begin(
        self: &Arc<Self>,
        participant: ParticipantId,
        chunk: Option<Chunk>,
    ) -> Result<Transfer, Refusal> {
        let mut state = self.state();
        let theirs = state.by_participant.get(&participant).copied().unwrap_or(0);
        if theirs >= self.per_participant || state.in_all >= self.in_all {
            return Err(Refusal::TooMany);
        }
        if let Some(chunk) = chunk
            && !state.arriving.insert(chunk)
        {
            return Err(Refusal::UnderWay);
        }
        state.by_participant.insert(participant, theirs + 1);
        state.in_all += 1;
        Ok(Transfer {
            all: Arc::clone(self),
            participant,
            chunk,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counts that a panic left behind only bound more tightly.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let mut state = self.all.state();
        state.in_all = state.in_all.saturating_sub(1);
        if let Some(chunk) = self.chunk {
            state.arriving.remove(&chunk);
        }
        match state.by_participant.get_mut(&self.participant) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                state.by_participant.remove(&self.participant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_are_bounded_for_each_and_in_all_and_end_when_dropped() {
        let all = Transfers::new(2, 3);
        let (ada, grace) = (ParticipantId::new(1), ParticipantId::new(2));
        let first = all.leaving(ada).expect("a place");
        let _second = all.leaving(ada).expect("a place");
        assert_eq!(all.leaving(ada).err(), Some(Refusal::TooMany));
        let _third = all.leaving(grace).expect("a place");
        assert_eq!(
            all.leaving(grace).err(),
            Some(Refusal::TooMany),
            "all are taken"
        );
        drop(first);
        let _fourth = all.leaving(ada).expect("a place again");
    }

    #[test]
    fn one_chunk_has_one_writer_at_a_time() {
        let all = Transfers::new(9, 9);
        let (ada, file) = (ParticipantId::new(1), FileId::new([1; 16]));
        let first = all.arriving(ada, file, 0).expect("a place");
        assert_eq!(all.arriving(ada, file, 0).err(), Some(Refusal::UnderWay));
        let _other = all.arriving(ada, file, 1).expect("another chunk");
        drop(first);
        let _again = all.arriving(ada, file, 0).expect("a place again");
    }
}
