//! Why a commit is not followed, and why a membership ends.

use conclave_protocol::signal::ErrorCode;

use crate::{envelope::EnvelopeError, group::GroupError, policy::PolicyViolation};

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

/// Why a membership cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("{0}")]
    Envelope(#[from] EnvelopeError),
    #[error("{0}")]
    Mls(#[from] GroupError),
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
}

/// True for errors after which the server closes the connection.
pub(super) const fn ends_membership(code: ErrorCode) -> bool {
    match code {
        ErrorCode::TooLarge
        | ErrorCode::UnsupportedVersion
        | ErrorCode::WrongSecret
        | ErrorCode::RoomFull
        | ErrorCode::ServerFull
        | ErrorCode::TooSlow
        | ErrorCode::CommitRefused
        | ErrorCode::ShuttingDown => true,
        ErrorCode::Malformed
        | ErrorCode::TooFast
        | ErrorCode::OutOfOrder
        | ErrorCode::UnacceptableOffer
        | ErrorCode::MediaLost => false,
    }
}
