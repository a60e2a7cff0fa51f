//! Deleting what nobody may have any more.

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};

use super::{Files, chunks::ChunkError, ledger, now, refusal::Refusal, seconds};
use crate::door::Door;

/// Sweeps until the server stops; first what was left when it last did.
pub(crate) async fn sweep(door: Arc<Door>) {
    let mut due = interval(door.files.limits.swept_every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if let Err(error) = door.files.sweep_strays().await {
        tracing::error!(%error, "files without a record could not be looked for");
    }
    loop {
        tokio::select! {
            () = door.stopping.cancelled() => return,
            _ = due.tick() => {}
        }
        let rooms = Arc::clone(&door.rooms);
        let swept = door.files.sweep(move |room| rooms.is_open(room)).await;
        if let Err(error) = swept {
            tracing::error!(%error, "expired files could not be looked for");
        }
    }
}

impl Files {
    /// Deletes what lies in the folder and stands in no record: after a backup was restored
    /// that is older. A record is always there before the first chunk, and longer than the
    /// last.
    async fn sweep_strays(&self) -> Result<(), ChunkError> {
        for id in self.chunks.files_in_folder().await? {
            match self
                .with_ledger(move |ledger| ledger::is_known(ledger, id))
                .await
            {
                Ok(true) => {}
                Ok(false) => {
                    tracing::info!("a file without a record is deleted");
                    self.chunks.delete(id).await?;
                }
                // It was logged; without the records nothing can be known.
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Deletes the files whose time is up. `is_open` tells whether somebody is in a room.
    pub(super) async fn sweep(
        &self,
        is_open: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<(), Refusal> {
        let limits = self.limits;
        let (due, stored) = self
            .with_ledger(move |ledger| {
                let now = now();
                for room in ledger::rooms(ledger)? {
                    ledger::note_room(ledger, &room, !is_open(&room), now)?;
                }
                let terms = ledger::Terms {
                    unfinished_since: now.saturating_sub(seconds(limits.unfinished)),
                    unbegun_since: now.saturating_sub(seconds(limits.unbegun)),
                    empty_since: now.saturating_sub(seconds(limits.kept_after_call)),
                };
                Ok((
                    ledger::overdue(ledger, terms, now)?,
                    ledger::stored(ledger)?,
                ))
            })
            .await?;
        self.figures.stored.set(stored);
        for id in due {
            self.discard(id).await;
        }
        Ok(())
    }
}
