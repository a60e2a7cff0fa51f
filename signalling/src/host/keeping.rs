//! Having kept what a room did, so that those whose line breaks can come back to it.

use std::time::Instant;

use super::Host;
use crate::store::rooms::RoomChange;

impl Host {
    /// What has to be kept, if anything has. A room to which nobody can come back leaves no
    /// trace.
    pub(super) fn change(&mut self) -> Option<RoomChange> {
        if !self.can_anyone_return() {
            self.ended.clear();
            self.log.start_over();
            self.raise_floors();
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
        let entries = self.log.take_fresh(Instant::now());
        self.raise_floors();
        let guests = self.guests.iter_mut();
        let sessions = guests
            .filter_map(|(id, guest)| guest.session.as_mut()?.take_change(*id, anew))
            .collect();
        Some(RoomChange {
            room: self.id.clone(),
            memory,
            entries,
            position: self.log.position(),
            floor: self.log.floor(),
            sessions,
            ended: std::mem::take(&mut self.ended),
            anew,
        })
    }

    /// Who was told something that is given up has to have heard it to come back; others need
    /// not mind.
    fn raise_floors(&mut self) {
        let given_up = self.log.take_given_up();
        for (id, guest) in &mut self.guests {
            if let (Some(session), Some(last)) = (&mut guest.session, given_up.last_told_to(*id)) {
                session.raise_floor(last);
            }
        }
    }

    /// The call goes on if the disk does not take it: only who breaks off then has to join
    /// anew. It is tried again with whatever happens next.
    pub(super) async fn have_kept(&mut self, change: RoomChange) {
        self.log.has_rows = true;
        match self.registry.store.keep(change).await {
            Ok(()) => self.log.is_kept = true,
            Err(error) => {
                tracing::error!(%error, "a room was not kept: calls go on, but not past a restart");
                self.log.start_over();
                self.raise_floors();
                self.forget_rows().await;
            }
        }
    }

    /// What is on the disk is not true any more, or of use to nobody. If it stays there, this is
    /// tried again.
    pub(super) async fn forget_rows(&mut self) {
        match self.registry.store.forget(&self.id).await {
            Ok(()) => self.log.has_rows = false,
            Err(error) => tracing::error!(%error, "what was kept of a room was not forgotten"),
        }
    }
}
