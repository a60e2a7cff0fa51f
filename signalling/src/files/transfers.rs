//! Bounds on what is on its way at once, since each transfer holds a chunk in memory; and no
//! two writers of one chunk.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use conclave_protocol::{ParticipantId, RoomId, file::FileId};

use super::{Asker, quota::FileLimits, refusal::Refusal};
use crate::limits::origin_of;

type Chunk = (FileId, u32);

/// Whom a transfer is counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    Participant(ParticipantId),
    Room(RoomId),
    Origin(IpAddr),
}

/// All transfers that are on their way.
pub(super) struct Transfers {
    per_participant: usize,
    together: usize,
    in_all: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: HashMap<Holder, usize>,
    in_all: usize,
    arriving: BTreeSet<Chunk>,
}

/// One transfer. It ends when this is dropped.
pub(super) struct Transfer {
    all: Arc<Transfers>,
    holders: [Holder; 3],
    chunk: Option<Chunk>,
}

impl Transfers {
    pub(super) fn new(limits: &FileLimits) -> Arc<Self> {
        Arc::new(Self {
            per_participant: limits.transfers_per_participant,
            together: limits.transfers_together,
            in_all: limits.transfers,
            state: Mutex::default(),
        })
    }

    /// Begins to send bytes to somebody.
    pub(super) fn leaving(self: &Arc<Self>, asker: &Asker) -> Result<Transfer, Refusal> {
        self.begin(asker, None)
    }

    /// Begins to take a chunk.
    pub(super) fn arriving(
        self: &Arc<Self>,
        asker: &Asker,
        file: FileId,
        number: u32,
    ) -> Result<Transfer, Refusal> {
        self.begin(asker, Some((file, number)))
    }

    /// Whether a chunk of this file is on its way.
    pub(super) fn is_arriving(&self, file: FileId) -> bool {
        let chunks = (file, 0)..=(file, u32::MAX);
        self.state().arriving.range(chunks).next().is_some()
    }

    fn begin(self: &Arc<Self>, asker: &Asker, chunk: Option<Chunk>) -> Result<Transfer, Refusal> {
        let holders = [
            Holder::Participant(asker.participant),
            Holder::Room(asker.room.clone()),
            Holder::Origin(origin_of(asker.address)),
        ];
        let mut state = self.state();
        let is_full = |holder: &Holder| {
            let most = match holder {
                Holder::Participant(_) => self.per_participant,
                Holder::Room(_) | Holder::Origin(_) => self.together,
            };
            state.held.get(holder).is_some_and(|held| *held >= most)
        };
        if state.in_all >= self.in_all || holders.iter().any(is_full) {
            return Err(Refusal::TooMany);
        }
        if let Some(chunk) = chunk
            && !state.arriving.insert(chunk)
        {
            return Err(Refusal::UnderWay);
        }
        for holder in &holders {
            *state.held.entry(holder.clone()).or_default() += 1;
        }
        state.in_all += 1;
        Ok(Transfer {
            all: Arc::clone(self),
            holders,
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
        for holder in &self.holders {
            match state.held.get_mut(holder) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    state.held.remove(holder);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(participant: u64, room: &str, address: [u8; 4]) -> Asker {
        Asker {
            room: room.parse().expect("a room"),
            participant: ParticipantId::new(participant),
            address: address.into(),
        }
    }

    #[test]
    fn transfers_are_bounded_for_each_and_in_all_and_end_when_dropped() {
        let all = Transfers::new(&FileLimits {
            transfers_per_participant: 2,
            transfers: 3,
            ..FileLimits::DEFAULT
        });
        let ada = asker(1, "garden", [192, 0, 2, 1]);
        let grace = asker(2, "garden", [192, 0, 2, 2]);
        let first = all.leaving(&ada).expect("a place");
        let _second = all.leaving(&ada).expect("a place");
        assert_eq!(all.leaving(&ada).err(), Some(Refusal::TooMany));
        let _third = all.leaving(&grace).expect("a place");
        assert_eq!(
            all.leaving(&grace).err(),
            Some(Refusal::TooMany),
            "all are taken"
        );
        drop(first);
        let _fourth = all.leaving(&ada).expect("a place again");
    }

    #[test]
    fn a_room_or_an_address_leaves_places_for_others() {
        let all = Transfers::new(&FileLimits {
            transfers_together: 2,
            ..FileLimits::DEFAULT
        });
        let (here, there, elsewhere) = ([192, 0, 2, 1], [192, 0, 2, 2], [192, 0, 2, 3]);
        let first = all.leaving(&asker(1, "garden", here)).expect("a place");
        let _second = all.leaving(&asker(2, "garden", there)).expect("a place");
        let room = all.leaving(&asker(3, "garden", elsewhere)).err();
        assert_eq!(room, Some(Refusal::TooMany), "the room has its share");
        let _third = all.leaving(&asker(4, "roof", here)).expect("a place");
        let address = all.leaving(&asker(5, "cellar", here)).err();
        assert_eq!(address, Some(Refusal::TooMany), "the address has its share");
        let _fourth = all.leaving(&asker(6, "cellar", there)).expect("a place");
        drop(first);
        let _fifth = all.leaving(&asker(7, "garden", here)).expect("a place");
    }

    #[test]
    fn one_chunk_has_one_writer_at_a_time() {
        let all = Transfers::new(&FileLimits::DEFAULT);
        let (ada, file) = (asker(1, "garden", [192, 0, 2, 1]), FileId::new([1; 16]));
        let first = all.arriving(&ada, file, 0).expect("a place");
        assert_eq!(all.arriving(&ada, file, 0).err(), Some(Refusal::UnderWay));
        let other = all.arriving(&ada, file, 1).expect("another chunk");
        drop(first);
        let again = all.arriving(&ada, file, 0).expect("a place again");
        drop((other, again));
        assert!(!all.is_arriving(file));
        let _last = all.arriving(&ada, file, u32::MAX).expect("a place");
        assert!(all.is_arriving(file));
        assert!(!all.is_arriving(FileId::new([2; 16])));
    }
}
