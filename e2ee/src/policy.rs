//! Which commits a member agrees to. MLS itself would accept all of those refused here.
//!
//! There are two ways in: an external commit of the newcomer's, or a commit by which a
//! member brings in some who knocked. Both have to contain the link's pre-shared key, so
//! that only who has the link can follow into the new epoch. There are two ways out: removal
//! by anyone, once the server says that the participant has left the room, and removal by a
//! host. Hosts alone change the [rules](crate::rules), and keep to them.

use std::collections::BTreeSet;

use conclave_protocol::{ParticipantId, RoomId, RoomLock, signal::RuleChange};
use openmls::{
    prelude::{
        KeyPackage, LeafNode, LeafNodeIndex, MlsGroup, PreSharedKeyProposal, Proposal, Sender,
        StagedCommit,
        tls_codec::{DeserializeBytes as _, Serialize as _},
    },
    schedule::{PreSharedKeyId, Psk},
};

use crate::{
    group::{identity, leaf_index},
    identity::Identity,
    member::LeafIndex,
    rules::{ImpossibleRules, Rules},
};

/// Why a commit that MLS holds valid is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyViolation {
    /// It adds a member without the link's pre-shared key, whom the link did not let in.
    #[error("it adds someone who did not show that they have the link")]
    Added,
    /// An external commit without the link's pre-shared key.
    #[error("someone tried to come in without the link")]
    NoLinkKey,
    /// It mixes in another pre-shared key than the link's.
    #[error("it uses a key that is not the link's")]
    ForeignKey,
    /// It starts the group anew or does something else that no client of this version does.
    #[error("it does something that does not belong into a call")]
    UnknownChange,
    /// It removes somebody who is here, and its author is no host.
    #[error("it removes someone who is still here")]
    RemovedPresent,
    /// It removes several who are here: none of them could object.
    #[error("it removes several people at once")]
    RemovedSeveral,
    /// It changes the rules, and its author is no host.
    #[error("someone who is not a host tried to change the rules of the call")]
    NotAHost,
    /// It puts other extensions in the place of the rules, or rules that cannot follow.
    #[error(transparent)]
    ImpossibleRules(#[from] ImpossibleRules),
    /// It brings in somebody whom the rules keep outside until a host lets them in.
    #[error("someone tried to come in past the hosts")]
    DoorClosed,
    /// It brings in somebody whom a host removed.
    #[error("someone whom a host removed tried to come back")]
    Barred,
    /// Its author told the server something else about the rules than the group.
    #[error("its author told the server something else than the group")]
    Mislabelled,
    /// The newcomer's participant id is a member's already.
    #[error("someone tried to come in as a participant who is here already")]
    DuplicateParticipant,
    /// The newcomer's device does not vouch for them.
    #[error("someone tried to come in with a device that is not theirs")]
    UnprovenDevice,
    /// A member changed the name, id or keys in their own leaf.
    #[error("a member tried to become someone else")]
    IdentityChanged,
    /// The credential is not one of ours.
    #[error("the name of a member cannot be read")]
    UnreadableCredential,
    /// The server names another author than the credential does.
    #[error("the server says that it comes from someone else than it does")]
    AuthorMismatch,
    /// The sender is neither a member nor a newcomer.
    #[error("it comes from outside the group")]
    Outsider,
    /// More members than frames can name.
    #[error("the group has no place left")]
    Full,
}

/// What an acceptable commit does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) removed: Vec<(LeafIndex, ParticipantId)>,
    /// Who of the removed is here, by a host's decision.
    pub(crate) shown_out: Option<ParticipantId>,
    /// True if that is this client.
    pub(crate) removes_us: bool,
    /// The rules after it, if it changes them.
    pub(crate) rules: Option<Rules>,
    /// True if newcomers need another link from then on.
    pub(crate) changes_link: bool,
    /// The author's name.
    pub(crate) author: String,
    pub(crate) by_host: bool,
}

impl Change {
    /// Checks what the author has told the server about the commit. `lock` is that of the
    /// new link, where it can be known: not by whom the commit removes.
    pub(crate) fn examine_announcement(
        &self,
        before: &Rules,
        announced: Option<&RuleChange>,
        lock: Option<&RoomLock>,
    ) -> Result<(), PolicyViolation> {
        let Some(announced) = announced else {
            return match (&self.rules, self.shown_out) {
                (None, None) => Ok(()),
                _ => Err(PolicyViolation::Mislabelled),
            };
        };
        if !self.by_host {
            return Err(PolicyViolation::NotAHost);
        }
        // The author may have named somebody who left while the commit was on its way.
        let is_removed = |id| self.removed.iter().any(|(_, removed)| *removed == id);
        let rules = self.rules.as_ref().unwrap_or(before);
        let is_true = announced.guarded == rules.is_guarded()
            && announced.removed.is_none_or(is_removed)
            && (self.shown_out.is_none() || self.shown_out == announced.removed)
            && announced.lock.is_some() == self.changes_link
            && (self.removes_us || announced.lock.as_ref() == lock);
        is_true.then_some(()).ok_or(PolicyViolation::Mislabelled)
    }
}

/// What the rules need to know besides the commit.
pub(crate) struct Judge<'a> {
    pub(crate) group: &'a MlsGroup,
    pub(crate) room: &'a RoomId,
    /// The id of the link's pre-shared key.
    pub(crate) psk_id: &'a [u8],
    /// Who is in the room, by the server's word, this client included.
    pub(crate) present: &'a BTreeSet<ParticipantId>,
    /// Whose commit it is, by the server's word.
    pub(crate) author: ParticipantId,
    /// The rules that the group stands under.
    pub(crate) rules: &'a Rules,
}

impl Judge<'_> {
    /// Applies the rules.
    pub(crate) fn examine(
        &self,
        sender: &Sender,
        commit: &StagedCommit,
    ) -> Result<Change, PolicyViolation> {
        match sender {
            Sender::NewMemberCommit => self.examine_newcomer(commit),
            Sender::Member(leaf) => self.examine_member(*leaf, commit),
            Sender::External(_) | Sender::NewMemberProposal => Err(PolicyViolation::Outsider),
        }
    }

    fn examine_newcomer(&self, commit: &StagedCommit) -> Result<Change, PolicyViolation> {
        let mut link_keys = 0;
        for queued in commit.queued_proposals() {
            match queued.proposal() {
                Proposal::ExternalInit(_) => {}
                Proposal::PreSharedKey(_) => link_keys += 1,
                Proposal::Add(_) => return Err(PolicyViolation::Added),
                Proposal::Remove(_) => return Err(PolicyViolation::RemovedPresent),
                _ => return Err(PolicyViolation::UnknownChange),
            }
        }
        self.examine_keys(commit)?;
        match link_keys {
            0 => return Err(PolicyViolation::NoLinkKey),
            1 => {}
            _ => return Err(PolicyViolation::ForeignKey),
        }
        let newcomer = commit
            .update_path_leaf_node()
            .ok_or(PolicyViolation::UnreadableCredential)
            .and_then(|leaf| self.examine_leaf(leaf))?;
        if newcomer.participant != self.author {
            return Err(PolicyViolation::AuthorMismatch);
        }
        self.examine_right_to_enter(&newcomer, self.rules.is_host(&newcomer.device.key))?;
        if self.knows(self.author) {
            return Err(PolicyViolation::DuplicateParticipant);
        }
        self.group
            .ext_commit_sender_index(commit)
            .ok()
            .and_then(|leaf| leaf_index(leaf).ok())
            .ok_or(PolicyViolation::Full)?;
        Ok(Change {
            author: newcomer.name.into(),
            ..Change::default()
        })
    }

    /// Whether the rules let someone in, on a host's word or without.
    fn examine_right_to_enter(
        &self,
        newcomer: &Identity,
        by_host: bool,
    ) -> Result<(), PolicyViolation> {
        if self.rules.is_barred(&newcomer.device.key) {
            Err(PolicyViolation::Barred)
        } else if self.rules.is_guarded() && !by_host {
            Err(PolicyViolation::DoorClosed)
        } else {
            Ok(())
        }
    }

    /// Who a newcomer is, if their device says so too.
    fn examine_leaf(&self, leaf: &LeafNode) -> Result<Identity, PolicyViolation> {
        let newcomer =
            identity(leaf.credential()).map_err(|_| PolicyViolation::UnreadableCredential)?;
        let key = leaf.signature_key().as_slice();
        if !newcomer.device.holds_for(self.room, key) {
            return Err(PolicyViolation::UnprovenDevice);
        }
        Ok(newcomer)
    }

    /// No pre-shared key but the link's.
    fn examine_keys(&self, commit: &StagedCommit) -> Result<(), PolicyViolation> {
        let mut keys = commit.psk_proposals();
        if keys.all(|queued| self.is_link_key(queued.psk_proposal())) {
            Ok(())
        } else {
            Err(PolicyViolation::ForeignKey)
        }
    }

    fn knows(&self, participant: ParticipantId) -> bool {
        let mut members = self.group.members();
        members.any(|member| {
            identity(&member.credential).is_ok_and(|known| known.participant == participant)
        })
    }

    /// OpenMLS shows a proposal's key id only in its encoding, which is the proposal's.
    fn is_link_key(&self, proposal: &PreSharedKeyProposal) -> bool {
        proposal
            .tls_serialize_detached()
            .and_then(|bytes| PreSharedKeyId::tls_deserialize_exact_bytes(&bytes))
            .is_ok_and(|id| {
                matches!(id.psk(), Psk::External(external) if external.psk_id() == self.psk_id)
            })
    }

    fn examine_member(
        &self,
        sender: LeafNodeIndex,
        commit: &StagedCommit,
    ) -> Result<Change, PolicyViolation> {
        let member = self
            .group
            .member_at(sender)
            .ok_or(PolicyViolation::UnreadableCredential)?;
        let author =
            identity(&member.credential).map_err(|_| PolicyViolation::UnreadableCredential)?;
        if author.participant != self.author {
            return Err(PolicyViolation::AuthorMismatch);
        }
        if commit.update_path_leaf_node().is_some_and(|leaf| {
            *leaf.credential() != member.credential
                || leaf.signature_key().as_slice() != member.signature_key
        }) {
            return Err(PolicyViolation::IdentityChanged);
        }
        let mut change = Change {
            by_host: self.rules.is_host(&author.device.key),
            author: author.name.into(),
            ..Change::default()
        };
        let mut added = BTreeSet::new();
        let mut link_keys = 0;
        for queued in commit.queued_proposals() {
            match queued.proposal() {
                Proposal::Remove(remove) => self.examine_removal(remove.removed(), &mut change)?,
                Proposal::Add(add) => {
                    if !added.insert(self.examine_addition(add.key_package(), change.by_host)?) {
                        return Err(PolicyViolation::DuplicateParticipant);
                    }
                }
                Proposal::PreSharedKey(_) => link_keys += 1,
                Proposal::GroupContextExtensions(context) if change.by_host => {
                    let rules = Rules::read(context.extensions())?;
                    change.changes_link = rules.follows(self.rules)?;
                    change.rules = Some(rules);
                }
                Proposal::GroupContextExtensions(_) => return Err(PolicyViolation::NotAHost),
                _ => return Err(PolicyViolation::UnknownChange),
            }
        }
        self.examine_keys(commit)?;
        match (added.is_empty(), link_keys) {
            (true, 0) | (false, 1) => {}
            (false, 0) => return Err(PolicyViolation::Added),
            _ => return Err(PolicyViolation::ForeignKey),
        }
        // Whom it brings in would not have the link that it begins.
        if change.changes_link && !added.is_empty() {
            return Err(ImpossibleRules.into());
        }
        let places = LeafIndex::LIMIT as usize;
        if self.group.members().count() + added.len() > places + change.removed.len() {
            return Err(PolicyViolation::Full);
        }
        Ok(change)
    }

    fn examine_addition(
        &self,
        newcomer: &KeyPackage,
        by_host: bool,
    ) -> Result<ParticipantId, PolicyViolation> {
        let newcomer = self.examine_leaf(newcomer.leaf_node())?;
        self.examine_right_to_enter(&newcomer, by_host)?;
        if self.knows(newcomer.participant) {
            return Err(PolicyViolation::DuplicateParticipant);
        }
        Ok(newcomer.participant)
    }

    fn examine_removal(
        &self,
        leaf: LeafNodeIndex,
        change: &mut Change,
    ) -> Result<(), PolicyViolation> {
        let removed = self
            .group
            .member(leaf)
            .and_then(|credential| identity(credential).ok())
            .ok_or(PolicyViolation::UnreadableCredential)?;
        let participant = removed.participant;
        let is_us = leaf == self.group.own_leaf_index();
        if is_us || self.present.contains(&participant) {
            if !change.by_host {
                return Err(PolicyViolation::RemovedPresent);
            }
            if change.shown_out.replace(participant).is_some() {
                return Err(PolicyViolation::RemovedSeveral);
            }
            change.removes_us |= is_us;
        }
        let leaf = leaf_index(leaf).map_err(|_| PolicyViolation::Full)?;
        change.removed.push((leaf, participant));
        Ok(())
    }
}
