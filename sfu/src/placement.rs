//! Which shard a participant goes to.

use std::collections::HashMap;

use conclave_protocol::{ParticipantId, RoomId};

use crate::shard::ShardId;

/// A room fills one shard up to this many participants before it spills to another: what
/// stays together costs no copies, what is spread shares the work.
pub(crate) const SPILL: usize = 100;

/// Who is where. Rooms stay on one shard while they are small; the emptiest shard takes a
/// new room, or the next part of a large one.
#[derive(Debug)]
pub(crate) struct Placement {
    spill: usize,
    /// Participants of each shard.
    loads: Vec<usize>,
    participants: HashMap<ParticipantId, (RoomId, ShardId)>,
    /// Participants of each room on each shard, in the order in which it came to be there.
    rooms: HashMap<RoomId, Vec<(ShardId, usize)>>,
}

impl Placement {
    pub(crate) fn new(shards: u8, spill: usize) -> Self {
        Self {
            spill,
            loads: vec![0; usize::from(shards)],
            participants: HashMap::new(),
            rooms: HashMap::new(),
        }
    }

    /// The shard of a newcomer, or of one who comes again.
    pub(crate) fn place(&mut self, participant: ParticipantId, room: &RoomId) -> ShardId {
        match self.participants.get(&participant) {
            Some((old, shard)) if old == room => return *shard,
            Some(_) => self.leave(participant),
            None => {}
        }
        let parts = self.rooms.entry(room.clone()).or_default();
        let with_place = parts.iter().find(|(_, count)| *count < self.spill);
        let shard = match with_place {
            Some((shard, _)) => *shard,
            None => emptiest(&self.loads, parts),
        };
        match parts.iter_mut().find(|(at, _)| *at == shard) {
            Some((_, count)) => *count += 1,
            None => parts.push((shard, 1)),
        }
        self.loads[shard.number()] += 1;
        self.participants.insert(participant, (room.clone(), shard));
        shard
    }

    /// Where a participant is.
    pub(crate) fn find(&self, participant: ParticipantId) -> Option<ShardId> {
        self.participants.get(&participant).map(|(_, shard)| *shard)
    }

    /// The participant is gone.
    pub(crate) fn leave(&mut self, participant: ParticipantId) {
        let Some((room, shard)) = self.participants.remove(&participant) else {
            return;
        };
        self.loads[shard.number()] -= 1;
        if let Some(parts) = self.rooms.get_mut(&room) {
            for (_, count) in parts.iter_mut().filter(|(at, _)| *at == shard) {
                *count -= 1;
            }
            parts.retain(|(_, count)| *count > 0);
            if parts.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }
}

/// The shard with the fewest participants; among equals one that does not have the room
/// yet, then the first.
fn emptiest(loads: &[usize], parts: &[(ShardId, usize)]) -> ShardId {
    let shards = (0..=u8::MAX).map(ShardId::new).zip(loads);
    let weighed = shards.map(|(shard, load)| {
        let is_there = parts.iter().any(|(at, _)| *at == shard);
        (*load, is_there, shard)
    });
    weighed
        .min()
        .map_or(ShardId::default(), |(.., shard)| shard)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomId {
        name.parse().unwrap()
    }

    fn person(number: u64) -> ParticipantId {
        ParticipantId::new(number)
    }

    #[test]
    fn a_small_room_stays_together_and_the_next_goes_elsewhere() {
        let mut placement = Placement::new(3, 4);
        let shards: Vec<_> = (0..4)
            .map(|n| placement.place(person(n), &room("a")))
            .collect();
        assert_eq!(shards, [ShardId::new(0); 4]);
        let next = placement.place(person(10), &room("b"));
        assert_eq!(next, ShardId::new(1));
    }

    #[test]
    fn a_large_room_spills_and_shrinks_again() {
        let mut placement = Placement::new(2, 4);
        for n in 0..12 {
            placement.place(person(n), &room("a"));
        }
        assert_eq!(placement.loads, [6, 6]);
        placement.leave(person(0));
        placement.leave(person(0));
        assert_eq!(placement.loads, [5, 6]);
        assert_eq!(placement.find(person(0)), None);
        for n in 1..12 {
            placement.leave(person(n));
        }
        assert_eq!(placement.loads, [0, 0]);
        assert!(placement.rooms.is_empty() && placement.participants.is_empty());
    }

    #[test]
    fn who_comes_again_comes_to_the_same_shard() {
        let mut placement = Placement::new(2, 4);
        let first = placement.place(person(1), &room("a"));
        placement.place(person(2), &room("b"));
        assert_eq!(placement.place(person(1), &room("a")), first);
        assert_eq!(placement.loads, [1, 1]);
        let elsewhere = placement.place(person(1), &room("b"));
        assert_eq!(elsewhere, ShardId::new(1));
        assert_eq!(placement.loads, [0, 2]);
    }
}
