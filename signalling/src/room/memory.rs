//! What of a room outlives the process, as one text.

use std::collections::BTreeSet;

use conclave_protocol::ParticipantId;

use super::Room;
use crate::limits::RoomSize;

/// What was kept of a room is not what this version keeps.
#[derive(Debug, thiserror::Error)]
#[error("what was kept of a room cannot be read: {0}")]
pub struct Unreadable(#[from] serde_json::Error);

impl Room {
    /// What is to be kept, if it has changed since this was last asked. In it are hashes,
    /// numbers, and bytes that only members can open.
    pub fn take_memory(&mut self) -> Result<Option<String>, Unreadable> {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(None);
        }
        self.memory().map(Some)
    }

    /// What is to be kept.
    pub fn memory(&self) -> Result<String, Unreadable> {
        Ok(serde_json::to_string(self)?)
    }

    /// The room as it was. Members count as having the newest keys: who has not says so, by
    /// asking for what it lacks.
    pub fn recall(memory: &str, capacity: RoomSize) -> Result<Self, Unreadable> {
        let mut room: Self = serde_json::from_str(memory)?;
        room.capacity = capacity;
        Ok(room)
    }

    /// Who is here.
    pub fn present(&self) -> &BTreeSet<ParticipantId> {
        &self.present
    }
}
