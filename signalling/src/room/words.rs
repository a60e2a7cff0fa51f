//! What is said to a room, and what it wants said.

use std::collections::BTreeSet;

use conclave_protocol::{
    Epoch, Opaque, ParticipantId, Sequence, StateName,
    signal::{Admission, ErrorCode, GroupState, RuleChange, ServerMessage},
};

/// What a participant says to the room.
#[derive(Debug, Clone)]
pub enum Saying {
    /// Found the group.
    CreateGroup {
        /// The new group, sealed.
        group_info: Opaque,
    },
    /// Move the group on.
    Commit {
        /// The epoch that it was made in.
        epoch: Epoch,
        /// The commit, sealed.
        commit: Opaque,
        /// The group after it, sealed, if it is small.
        group_info: Option<Opaque>,
        /// Whom it brings in.
        admission: Option<Admission>,
        /// What it changes about the call's rules.
        rules: Option<RuleChange>,
    },
    /// Ask to be brought in.
    Knock {
        /// The KeyPackage, sealed.
        key_package: Opaque,
    },
    /// Ask for what an external commit needs.
    AskGroup {
        /// What was shown before and is of no use.
        unusable: Option<StateName>,
    },
    /// What was asked for by [`ServerMessage::ShowGroup`].
    ShowGroup {
        /// The group as it stands.
        group: GroupState,
    },
    /// The keys of this epoch are there.
    EpochReached {
        /// Which epoch.
        epoch: Epoch,
    },
    /// That commit breaks the group's rules.
    CommitRefused {
        /// Which commit.
        sequence: Sequence,
    },
    /// Someone who waits may not come in.
    TurnAway {
        /// Who.
        participant: ParticipantId,
        /// A host's word, sealed.
        note: Opaque,
    },
    /// An application message.
    Send {
        /// The message, sealed.
        message: Opaque,
    },
}

/// Who is to be told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// One participant.
    One(ParticipantId),
    /// Everyone in the room.
    Everyone,
    /// Everyone in the room but one.
    EveryoneBut(ParticipantId),
}

impl Audience {
    /// Whether somebody in the room is meant.
    pub fn includes(self, participant: ParticipantId) -> bool {
        match self {
            Self::One(one) => one == participant,
            Self::Everyone => true,
            Self::EveryoneBut(one) => one != participant,
        }
    }
}

/// What the room wants done.
#[derive(Debug)]
pub enum Output {
    /// Tell someone something.
    Tell(Audience, ServerMessage),
    /// Show these how things stand, as far as they are there. It is not told again: who comes
    /// back is shown how things stand then.
    Show(BTreeSet<ParticipantId>, ServerMessage),
    /// This participant is no longer in the room: say why and close the connection.
    Remove {
        /// Whom.
        participant: ParticipantId,
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people.
        detail: &'static str,
    },
}
