//! Merging the commit that was first, and going back when it is annulled.

use conclave_protocol::{
    Epoch, Opaque, ParticipantId, Sequence,
    signal::{ClientMessage, RuleChange},
};
use sha2::{Digest as _, Sha256};

use super::{End, Inside, Membership, Refusal, Stage, UNDO_WITHIN, access::Access, stage::Undo};
use crate::{
    envelope::Kind,
    group::{Staged, psk_id},
    output::Output,
    policy::{Change, Judge},
    time::Instant,
};

/// A commit as the server brings it.
pub(super) struct Arrival {
    pub(super) sequence: Sequence,
    pub(super) author: ParticipantId,
    /// The epoch that it leads to.
    pub(super) epoch: Epoch,
    pub(super) commit: Opaque,
    /// What its author has told the server about it.
    pub(super) rules: Option<RuleChange>,
}

impl Membership {
    pub(super) fn on_committed(&mut self, now: Instant, arrival: &Arrival) -> Result<(), End> {
        let &Arrival {
            sequence,
            author,
            epoch,
            ref commit,
            ..
        } = arrival;
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
                    self.merge(now, &mut inside, arrival)
                };
                self.stage = Stage::Inside(inside);
                match result {
                    Ok((change, _)) if change.removes_us => Err(End::ShownOut(change.author)),
                    Ok((change, link)) => {
                        if let Some(link) = link {
                            self.former = Some(std::mem::replace(&mut self.access, link));
                            self.outputs.push_back(Output::LinkChanged);
                        }
                        self.arrive(now, !change.removed.is_empty())
                    }
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

    /// Merges another member's or a newcomer's commit, if it keeps to the rules. Gives what
    /// the link gives access with from then on, if that has changed.
    fn merge(
        &self,
        now: Instant,
        inside: &mut Inside,
        arrival: &Arrival,
    ) -> Result<(Change, Option<Access>), Refusal> {
        let Arrival {
            author,
            ref commit,
            ref rules,
            ..
        } = *arrival;
        let commit = self.access.envelope.open(Kind::Commit, commit)?;
        // Of what is in the envelope: anyone with the link can put it into another one.
        let hash = Sha256::digest(&commit).into();
        if self.annulled.contains(&hash) {
            return Err(Refusal::Annulled);
        }
        let group = &mut inside.group;
        let Staged { sender, commit } = group.stage(&commit)?;
        let judge = Judge {
            group: group.mls(),
            room: &self.room,
            psk_id: &psk_id(&self.room, &self.access.keys),
            present: &self.present,
            author,
            rules: &inside.rules,
        };
        let change = judge.examine(&sender, &commit)?;
        let link = match change.changes_link && !change.removes_us {
            true => Some(Access::new(&self.room, group.link_of(&commit)?)),
            false => None,
        };
        let lock = link.as_ref().map(|link| link.keys.room_lock());
        change.examine_announcement(&inside.rules, rules.as_ref(), lock.as_ref())?;
        if change.removes_us {
            return Ok((change, None));
        }
        let snapshot = group.snapshot();
        group.merge(Staged { sender, commit })?;
        let mut access = None;
        if let Some(link) = &link {
            group.take_link(&link.keys)?;
            access = Some(Access::new(&self.room, self.access.secret.clone()));
        }
        inside.pending = None;
        inside.undo = Some(Undo {
            snapshot,
            author,
            commit: hash,
            until: now + UNDO_WITHIN,
            opened: Vec::new(),
            access,
        });
        Ok((change, link))
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
                let undo = inside.undo.take().filter(|undo| now < undo.until);
                let undo = undo.ok_or(End::NoWayBack)?;
                let current = inside.group.epoch();
                if undo.author != author || current != epoch.next() {
                    return Err(End::NoWayBack);
                }
                inside.group.roll_back(undo.snapshot)?;
                inside.group.discard_pending()?;
                inside.pending = None;
                inside.opened_before.extend(undo.opened);
                if let Some(access) = undo.access {
                    inside.group.take_link(&access.keys)?;
                    self.access = access;
                    self.outputs.push_back(Output::LinkChanged);
                }
                self.annulled.insert(undo.commit);
                self.timeline.retract(current, epoch);
                self.update_roster(now)
            }
            _ => Ok(()),
        }
    }
}
