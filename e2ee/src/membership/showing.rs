//! The group's state, which is too large for every commit: shown when somebody needs it.

use std::time::Duration;

use conclave_protocol::{
    Epoch, StateName,
    signal::{ClientMessage, GroupState},
};
use sha2::{Digest as _, Sha256};

use super::{End, Membership, RESEND_AFTER, Stage, UnusableGroup};
use crate::{envelope::Kind, time::Instant};

/// After this long without a sign that the group goes on, whoever knocks asks for the way in
/// that needs nobody.
const PATIENCE: Duration = Duration::from_secs(5);

/// So often it is asked for in vain. With [`RESEND_AFTER`] that is longer than the server
/// takes to notice that a member is gone, however silently.
const MOST_ASKED: u8 = 6;

/// So many that are of no use are looked at. The members who show them are asked by turns.
const MOST_UNUSABLE: u8 = 3;

/// What is left of the patience of somebody who knocks.
#[derive(Debug)]
pub(super) struct Patience {
    ask_at: Instant,
    asked: u8,
    unusable: u8,
}

impl Patience {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ask_at: now + PATIENCE,
            asked: 0,
            unusable: 0,
        }
    }

    /// When the group's state is asked for.
    pub(super) fn ask_at(&self) -> Instant {
        self.ask_at
    }

    /// It is asked for.
    pub(super) fn asks(&mut self, now: Instant) -> Result<(), UnusableGroup> {
        if self.asked == MOST_ASKED {
            return Err(UnusableGroup::Withheld);
        }
        self.asked += 1;
        self.ask_at = now + RESEND_AFTER;
        Ok(())
    }
}

impl Membership {
    /// The server asks for the group's state: someone needs it to come in alone.
    pub(super) fn show_group(&mut self, epoch: Epoch) -> Result<(), End> {
        let Stage::Inside(inside) = &self.stage else {
            return Ok(());
        };
        // The next epoch's commit may have crossed the question.
        if inside.group.epoch() != epoch {
            return Ok(());
        }
        let info = inside.group.group_info()?;
        let group_info = self.access.envelope.seal(Kind::GroupInfo, &info)?;
        let group = GroupState { epoch, group_info };
        self.send(ClientMessage::ShowGroup { group });
        Ok(())
    }

    /// The group as it stands, for which we have asked. If it is of no use, another member's
    /// may be.
    pub(super) fn on_group(&mut self, now: Instant, state: &GroupState) -> Result<(), End> {
        let (guest, mut patience) = match std::mem::replace(&mut self.stage, Stage::Between) {
            Stage::Knocking(guest, patience) => (guest, patience),
            other => {
                self.stage = other;
                return Ok(());
            }
        };
        match self.read_state(state) {
            Ok((group, new)) => self.join_by(now, state.epoch, group, &new, Some(guest)),
            Err(End::Unusable(why)) => {
                patience.unusable += 1;
                if patience.unusable == MOST_UNUSABLE {
                    return Err(why.into());
                }
                patience.asks(now)?;
                self.stage = Stage::Knocking(guest, patience);
                let hash = Sha256::digest(state.group_info.as_bytes());
                let unusable = Some(StateName::new(hash.into()));
                self.send(ClientMessage::AskGroup { unusable });
                Ok(())
            }
            Err(end) => Err(end),
        }
    }

    /// Someone has come in or gone while we knock: the group is alive.
    pub(super) fn take_heart(&mut self, now: Instant) {
        if let Stage::Knocking(_, patience) = &mut self.stage {
            patience.ask_at = now + PATIENCE;
            patience.asked = 0;
        }
    }
}
