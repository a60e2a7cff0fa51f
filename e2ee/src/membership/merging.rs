//! Merging the commit that was first, and going back when it is annulled.

use conclave_protocol::{Epoch, Opaque, ParticipantId, Sequence, signal::ClientMessage};
use sha2::{Digest as _, Sha256};

use super::{End, Inside, Membership, Refusal, Stage, UNDO_WITHIN, stage::Undo};
use crate::{
    envelope::Kind,
    group::Staged,
    output::Output,
    policy::{Change, Judge},
    time::Instant,
};

impl Membership {
    pub(super) fn on_committed(
        &mut self,
        now: Instant,
        sequence: Sequence,
        author: ParticipantId,
        epoch: Epoch,
        commit: &Opaque,
    ) -> Result<(), End> {
        let ours = self.participant == Some(author);
        match std::mem::replace(&mut self.stage, Stage::Between) {
            Stage::Joining(joining) if ours => {
                let request = &joining.request;
                if request.commit != *commit || request.epoch.next() != epoch {
                    return Err(End::NotOurs);
                }
                self.enter(now, joining.group)
            }
            Stage::Inside(mut inside) => {
                let next = inside.group.epoch().next();
                if epoch > next {
                    return Err(End::LeftBehind);
                }
                let result = if epoch < next {
                    Err(Refusal::WrongEpoch)
                } else if ours {
                    inside.merge_own(commit)
                } else {
                    self.merge(now, &mut inside, author, commit)
                };
                self.stage = Stage::Inside(inside);
                match result {
                    Ok(change) => self.arrive(now, !change.removed.is_empty()),
                    Err(refusal) => {
                        self.outputs.push_back(Output::CommitRefused {
                            author,
                            reason: refusal.to_string(),
                        });
                        self.send(ClientMessage::CommitRefused { sequence });
                        Ok(())
                    }
                }
            }
            other => {
                self.stage = other;
                self.take_heart(now);
                Ok(())
            }
        }
    }

    /// Merges another member's or a newcomer's commit, if it keeps to the rules.
    fn merge(
        &self,
        now: Instant,
        inside: &mut Inside,
        author: ParticipantId,
        commit: &Opaque,
    ) -> Result<Change, Refusal> {
        let hash = Sha256::digest(commit.as_bytes()).into();
        if self.annulled.contains(&hash) {
            return Err(Refusal::Annulled);
        }
        let group = &mut inside.group;
        let Staged { sender, commit } = group.stage(&self.envelope.open(Kind::Commit, commit)?)?;
        let judge = Judge {
            group: group.mls(),
            room: &self.room,
            psk_id: &self.psk_id,
            present: &self.present,
            author,
        };
        let change = judge.examine(&sender, &commit)?;
        let snapshot = group.snapshot();
        group.merge(Staged { sender, commit })?;
        inside.pending = None;
        inside.undo = Some(Undo {
            snapshot,
            author,
            commit: hash,
            until: now + UNDO_WITHIN,
        });
        Ok(change)
    }

    pub(super) fn on_annulled(
        &mut self,
        now: Instant,
        author: ParticipantId,
        epoch: Epoch,
    ) -> Result<(), End> {
        match &mut self.stage {
            // A newcomer's commit that was made on the annulled one comes back as stale.
            Stage::Inside(inside) if inside.group.epoch() != epoch => {
                let undo = inside.undo.take().ok_or(End::NoWayBack)?;
                let current = inside.group.epoch();
                if undo.author != author || current != epoch.next() {
                    return Err(End::NoWayBack);
                }
                inside.group.roll_back(undo.snapshot)?;
                inside.group.discard_pending()?;
                inside.pending = None;
                self.annulled.insert(undo.commit);
                self.timeline.retract(current, epoch);
                self.update_roster(now)
            }
            _ => Ok(()),
        }
    }
}
