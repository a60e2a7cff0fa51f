//! How far a membership has come.

use std::collections::{HashSet, VecDeque};

use conclave_protocol::{Epoch, Opaque, ParticipantId, signal::ClientMessage};

use super::{access::Access, failure::Refusal, hosting::HostRequest, showing::Patience};
use crate::{
    LeafIndex, Member,
    application::Application,
    group::{Group, GroupError, Guest, Newcomer},
    output::Visitor,
    policy::Change,
    rules::Rules,
    storage::Snapshot,
    time::Instant,
};

/// A commit of our own that the server has not answered.
pub(super) struct Request {
    pub(super) epoch: Epoch,
    pub(super) commit: Opaque,
    pub(super) message: ClientMessage,
    pub(super) resend_at: Instant,
    /// How many of the wishes it fulfils.
    pub(super) wishes: usize,
    /// What the link gives access with after it, if it changes the link.
    pub(super) link: Option<Access>,
}

/// The way back from another's commit.
pub(super) struct Undo {
    pub(super) snapshot: Snapshot,
    pub(super) author: ParticipantId,
    pub(super) commit: [u8; 32],
    pub(super) until: Instant,
    /// Hashes of the messages that were opened since: what opens them comes back with the state.
    pub(super) opened: Vec<[u8; 32]>,
    /// What the link gave access with before it, if it changed the link.
    pub(super) access: Option<Access>,
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
    /// Those who wait for a host's word.
    pub(super) lobby: Vec<Newcomer>,
    /// What of the lobby was told last.
    pub(super) shown_lobby: Vec<Visitor>,
    /// The rules that the group stands under.
    pub(super) rules: Rules,
    /// What this client's person wants changed, as a host.
    pub(super) wishes: Vec<HostRequest>,
    /// Own messages on their way: MLS cannot decrypt what oneself encrypted.
    pub(super) own_messages: VecDeque<(Opaque, Application)>,
    /// Hashes of messages that were opened in a state that was gone back from, and could be
    /// opened once more.
    pub(super) opened_before: HashSet<[u8; 32]>,
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
    /// We have knocked at a guarded door, under these rules.
    Waiting(Box<Guest>, Rules),
    /// Our external commit is with the server.
    Joining(Box<Joining>),
    /// In the group.
    Inside(Box<Inside>),
    /// This membership has ended.
    Over,
}

impl Inside {
    pub(super) fn new(group: Group) -> Result<Self, GroupError> {
        Ok(Self {
            rules: group.rules()?,
            group,
            pending: None,
            undo: None,
            newcomers: Vec::new(),
            lobby: Vec::new(),
            shown_lobby: Vec::new(),
            wishes: Vec::new(),
            own_messages: VecDeque::new(),
            opened_before: HashSet::new(),
        })
    }

    /// Merges the pending commit if the server let through the very bytes that were sent.
    /// Gives what the link gives access with from then on, if that has changed.
    pub(super) fn merge_own(
        &mut self,
        commit: &Opaque,
    ) -> Result<(Change, Option<Access>), Refusal> {
        let own = self.pending.take_if(|own| own.commit == *commit);
        let own = own.ok_or(Refusal::NotOurs)?;
        let before = self.group.members()?;
        self.group.merge_pending()?;
        self.undo = None;
        self.wishes.drain(..own.wishes.min(self.wishes.len()));
        if let Some(link) = &own.link {
            self.group.take_link(&link.keys)?;
        }
        let after = self.group.members()?;
        // Whom the commit brings in may have the leaf of somebody whom it takes out (RFC 9420 §12.1.1).
        let place = |member: &Member| (member.leaf, member.participant);
        let stays =
            |it: &(LeafIndex, ParticipantId)| after.iter().any(|member| place(member) == *it);
        let change = Change {
            removed: before.iter().map(place).filter(|it| !stays(it)).collect(),
            ..Change::default()
        };
        Ok((change, own.link))
    }
}
