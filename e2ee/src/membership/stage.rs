//! How far a membership has come.

use std::collections::VecDeque;

use conclave_protocol::{Epoch, Opaque, ParticipantId, signal::ClientMessage};

use super::{failure::Refusal, showing::Patience};
use crate::{
    chat::Line,
    group::{Group, Guest, Newcomer},
    policy::Change,
    storage::Snapshot,
    time::Instant,
};

/// A commit of our own that the server has not answered.
pub(super) struct Request {
    pub(super) epoch: Epoch,
    pub(super) commit: Opaque,
    pub(super) message: ClientMessage,
    pub(super) resend_at: Instant,
}

/// The way back from another's commit.
pub(super) struct Undo {
    pub(super) snapshot: Snapshot,
    pub(super) author: ParticipantId,
    pub(super) commit: [u8; 32],
    pub(super) until: Instant,
}

/// On the way in by an external commit.
pub(super) struct Joining {
    /// The group that the commit makes.
    pub(super) group: Group,
    pub(super) request: Request,
    /// If we knocked before, a member may still bring us in first.
    pub(super) guest: Option<Box<Guest>>,
}

/// What being in the group means.
pub(super) struct Inside {
    pub(super) group: Group,
    pub(super) pending: Option<Request>,
    pub(super) undo: Option<Undo>,
    /// Those whom the server asks this client to bring in.
    pub(super) newcomers: Vec<Newcomer>,
    /// Own lines on their way: MLS cannot decrypt what oneself encrypted.
    pub(super) own_lines: VecDeque<(Opaque, Line)>,
}

pub(super) enum Stage {
    /// Not in the room yet.
    Outside,
    /// Our group waits for the server to say that it stands.
    Founding(Box<Group>),
    /// Between two of the others. Only a failure leaves it like this, and ends in `Over`.
    Between,
    /// We have knocked, and ask for another way in when our patience ends.
    Knocking(Box<Guest>, Patience),
    /// Our external commit is with the server.
    Joining(Box<Joining>),
    /// In the group.
    Inside(Box<Inside>),
    /// This membership has ended.
    Over,
}

impl Inside {
    pub(super) fn new(group: Group) -> Self {
        Self {
            group,
            pending: None,
            undo: None,
            newcomers: Vec::new(),
            own_lines: VecDeque::new(),
        }
    }

    /// Merges the pending commit if the server let through the very bytes that were sent.
    pub(super) fn merge_own(&mut self, commit: &Opaque) -> Result<Change, Refusal> {
        let own = self.pending.take_if(|own| own.commit == *commit);
        if own.is_none() {
            return Err(Refusal::NotOurs);
        }
        let before = self.group.members()?;
        self.group.merge_pending()?;
        self.undo = None;
        let after = self.group.members()?;
        let removed = before.iter().map(|member| member.leaf);
        Ok(Change {
            removed: removed
                .filter(|leaf| after.iter().all(|member| member.leaf != *leaf))
                .collect(),
        })
    }
}
