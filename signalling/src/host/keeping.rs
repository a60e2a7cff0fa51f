//! Having kept what a room did, so that those whose line breaks can come back to it.

use std::time::Instant;

use super::Host;
use crate::store::rooms::RoomChange;

impl Host {
    /// What has to be kept, if anything has. A room to which nobody can come back leaves no
    /// trace.
    pub(super) fn change(&mut self) -> Option<RoomChange> {
        let sessions = self.guests.iter_mut();
        let mut sessions: Vec<_> = sessions
            .filter_map(|(id, guest)| Some((*id, guest.session.as_mut()?)))
            .collect();
        if sessions.is_empty() {
            self.ended.clear();
            if self.log.is_kept {
                self.registry.store.forget(&self.id);
            }
            self.log.start_over();
            return None;
        }
        let anew = !self.log.is_kept;
        let memory = if anew {
            self.room.memory().map(Some)
        } else {
            self.room.take_memory()
        };
        let memory = memory.unwrap_or_else(|error| {
            tracing::error!(%error, "a room could not be written as JSON");
            None
        });
        let is_needed = anew
            || memory.is_some()
            || self.log.has_fresh()
            || self.has_new_session
            || !self.ended.is_empty();
        if !is_needed {
            return None;
        }
        self.has_new_session = false;
        let kept = sessions
            .iter_mut()
            .filter_map(|(id, session)| session.take_change(*id, anew))
            .collect();
        Some(RoomChange {
            room: self.id.clone(),
            memory,
            entries: self.log.take_fresh(Instant::now()),
            position: self.log.position(),
            floor: self.log.floor(),
            sessions: kept,
            ended: std::mem::take(&mut self.ended),
            anew,
        })
    }

    /// The call goes on if the disk does not take it: only who breaks off then has to join
    /// anew. It is tried again with whatever happens next.
    pub(super) async fn have_kept(&mut self, change: RoomChange) {
        match self.registry.store.keep(change).await {
            Ok(()) => self.log.is_kept = true,
            Err(error) => {
                tracing::error!(%error, "a room was not kept: calls go on, but not past a restart");
                self.log.start_over();
            }
        }
    }
}
