//! What a [`crate::Membership`] wants done, and what it has to tell.

use conclave_protocol::{Epoch, ParticipantId, Sequence, signal::ClientMessage};
use serde::Serialize;
use ts_rs::TS;

use crate::{
    device::DeviceKey,
    digits::Digits,
    file::SharedFile,
    frame::BaseKey,
    knock::KnockName,
    member::{LeafIndex, Member},
    rules::Door,
};

/// Someone who waits before the guarded door. The device vouches for the name; whether it is
/// theirs, a host has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Visitor {
    /// Their stay in the room.
    pub participant: ParticipantId,
    /// Which knock of theirs it is.
    pub knock: KnockName,
    /// The name that they give.
    pub name: String,
    /// The device that they have.
    #[ts(type = "string")]
    pub device: DeviceKey,
    /// Digits that are the same on both sides.
    #[ts(type = "string")]
    pub pair_code: Digits,
}

/// Whether another membership could fare better than one that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Prospect {
    /// Begin another one.
    Retry,
    /// People have decided that this client is not in the call.
    Decided,
    /// The server shows another call than the one that this client was in. Only its user can
    /// decide to go there, as somebody who comes for the first time.
    AnotherCall,
}

/// What a membership wants done, and what it has to tell.
#[derive(Debug, Clone, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export, rename = "MembershipOutput")]
pub enum Output {
    /// Send this to the server.
    Send {
        /// The message.
        message: ClientMessage,
    },
    /// Install the key of an epoch, to open frames with and, later, to seal them.
    KeysReady {
        /// Which epoch.
        epoch: Epoch,
        /// This client's leaf in it.
        own_leaf: LeafIndex,
        /// The key. It is not part of the JSON form.
        #[serde(skip)]
        #[ts(skip)]
        base_key: BaseKey,
    },
    /// Seal frames with the key of this epoch from now on.
    SealWith {
        /// Which epoch.
        epoch: Epoch,
    },
    /// Wipe the key of an epoch.
    Forget {
        /// Which epoch.
        epoch: Epoch,
    },
    /// Who is in the group now, by leaf.
    Roster {
        /// Everyone.
        members: Vec<Member>,
        /// Digits that are the same for everyone in this epoch of the group: whoever sits in
        /// between two halves of a call cannot make theirs alike.
        #[ts(type = "string")]
        call_code: Digits,
        /// Who may come in, by the call's rules.
        door: Door,
    },
    /// Who waits before the guarded door, for a host to decide.
    Lobby {
        /// Everyone who waits.
        waiting: Vec<Visitor>,
    },
    /// The door is guarded: a host has to let this client in.
    Waiting,
    /// A host asks this client to switch its microphone off.
    MuteAsked {
        /// The host's name.
        by: String,
    },
    /// A host has changed the link: this client's own is a new one from now on.
    LinkChanged,
    /// A line of chat, this client's own included.
    Chat {
        /// Who wrote it.
        leaf: LeafIndex,
        /// Their stay in the room.
        participant: ParticipantId,
        /// Their name, as their credential gives it.
        name: String,
        /// What they wrote.
        text: String,
        /// Its place in the room's log.
        sequence: Sequence,
    },
    /// A file that somebody has sent, this client's own included.
    File {
        /// Who sent it.
        leaf: LeafIndex,
        /// Their stay in the room.
        participant: ParticipantId,
        /// Their name, as their credential gives it.
        name: String,
        /// The file.
        file: SharedFile,
        /// Its place in the room's log.
        sequence: Sequence,
    },
    /// This client is in the group.
    Joined,
    /// These have been in the room for long, by the server's word, and are not in the group:
    /// they cannot come in, or the server keeps commits from this client.
    Outsiders {
        /// Who.
        participants: Vec<ParticipantId>,
    },
    /// A commit broke the rules of the group. This client did not follow it.
    CommitRefused {
        /// Whose commit it was, by the server's word.
        author: ParticipantId,
        /// Which rule it broke, for people.
        reason: String,
    },
    /// Someone without the right link was turned away at the door.
    StrangerRefused,
    /// This membership has come to its end; begin another one to be in the call.
    Failed {
        /// Why, for people.
        reason: String,
        /// Whether another membership could fare better.
        prospect: Prospect,
    },
}
