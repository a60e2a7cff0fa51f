//! Why a commit is not followed, and why a membership ends.

use conclave_protocol::signal::ErrorCode;

use crate::{
    envelope::EnvelopeError,
    group::GroupError,
    memory::{AnotherCall, Estranged},
    output::Prospect,
    policy::PolicyViolation,
};

/// Why a commit was not followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Policy(#[from] PolicyViolation),
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error(transparent)]
    Mls(#[from] GroupError),
    #[error("it belongs to another time than the server says")]
    WrongEpoch,
    #[error("it was taken back before")]
    Annulled,
    #[error("the server says that it is ours, and it is not")]
    NotOurs,
}

/// Why a newcomer does not come in by the group's state that the server shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableGroup {
    /// It was not sealed by someone with the link, or changed since.
    #[error("the group that the server shows: {0}")]
    Foreign(EnvelopeError),
    /// MLS does not take it: its tree, its signature, or who is in it.
    #[error("the group that the server shows: {0}")]
    Broken(GroupError),
    /// It is of another epoch than the server says.
    #[error("the group that the server shows is older or newer than it says")]
    OtherEpoch,
    /// It was asked for again and again.
    #[error("nobody lets us in, and nobody shows the group: try again")]
    Withheld,
}

/// Why a membership cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("{0}")]
    Envelope(#[from] EnvelopeError),
    #[error("{0}")]
    Mls(#[from] GroupError),
    #[error("{0}")]
    Unusable(#[from] UnusableGroup),
    #[error("the server refused: {0}")]
    Server(String),
    #[error("a member brought us into another group than the server says")]
    WrongWelcome,
    #[error("the others went on with a change that was refused here")]
    LeftBehind,
    #[error("the server takes back what can no longer be taken back")]
    NoWayBack,
    #[error("the server says that we did something that we did not do")]
    NotOurs,
    #[error("the call is locked: nobody comes in until a host unlocks it")]
    Locked,
    #[error("a host removed you from this call before")]
    Barred,
    #[error("{0} removed you from the call")]
    ShownOut(String),
    #[error("{0} did not let you in")]
    TurnedAway(String),
    #[error(
        "the server shows another call than the one that you were in: {0}. Ask the others before you join it"
    )]
    AnotherCall(#[from] AnotherCall),
}

impl From<Estranged> for End {
    fn from(estranged: Estranged) -> Self {
        match estranged {
            Estranged::AnotherCall(why) => why.into(),
            Estranged::Mls(error) => error.into(),
        }
    }
}

impl End {
    /// Whether another membership could fare better.
    pub(super) const fn prospect(&self) -> Prospect {
        match self {
            Self::Locked | Self::Barred | Self::ShownOut(_) | Self::TurnedAway(_) => {
                Prospect::Decided
            }
            Self::AnotherCall(_) => Prospect::AnotherCall,
            _ => Prospect::Retry,
        }
    }
}

/// True for errors after which the server closes the connection.
pub(super) const fn ends_membership(code: ErrorCode) -> bool {
    match code {
        ErrorCode::TooLarge
        | ErrorCode::UnsupportedVersion
        | ErrorCode::WrongSecret
        | ErrorCode::RoomFull
        | ErrorCode::ServerFull
        | ErrorCode::RoomBusy
        | ErrorCode::TooSlow
        | ErrorCode::CommitRefused
        | ErrorCode::Draining
        | ErrorCode::NoSuchRoom
        | ErrorCode::NotInvited
        | ErrorCode::RoomClosed
        | ErrorCode::Removed
        | ErrorCode::ShownOut
        | ErrorCode::LinkChanged
        | ErrorCode::SessionLost
        | ErrorCode::Replaced
        | ErrorCode::ShuttingDown => true,
        ErrorCode::Malformed
        | ErrorCode::TooFast
        | ErrorCode::OutOfOrder
        | ErrorCode::UnacceptableOffer
        | ErrorCode::MediaLost => false,
    }
}
