//! Why something about a file is not done, and how that is answered.

use bytesize::ByteSize;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_RANGE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};

use crate::answer::{Body, problem_of};

/// Why something about a file is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("say who you are: Authorization: Bearer, with the token of your session in a call")]
    Stranger,
    #[error("a host has to let you in before you share files")]
    NotLetIn,
    #[error("there is no such file in your call: it was never there, or is kept no longer")]
    NoSuchFile,
    #[error("there is nothing here: a file has no chunk of this number")]
    NoSuchChunk,
    #[error("this address does not take that method")]
    WrongMethod,
    #[error("the request cannot be read: it must be a small JSON object with the file's length")]
    Malformed,
    #[error("this chunk has another length: it must have {expected} bytes")]
    WrongLength { expected: u64 },
    #[error("this chunk is stored already, with other bytes: declare another file")]
    OtherBytes,
    #[error("this chunk is being stored: ask in a second which are missing")]
    UnderWay,
    #[error("the file is not complete yet: wait until whoever sends it has finished")]
    Incomplete,
    #[error("only who sent a file can delete it")]
    NotYours,
    #[error("this part lies outside of the file")]
    OutOfRange { bytes: u64 },
    #[error("the bytes did not come in time: send the chunk again")]
    TooSlow,
    #[error("too many transfers at once: wait until others of yours have ended")]
    TooMany,
    #[error("no files can be sent on this server: its operator has switched that off")]
    SwitchedOff,
    #[error("files here have at most {}", ByteSize(*.most))]
    FileTooLarge { most: u64 },
    #[error("your files take up the {} that one participant has: delete one", ByteSize(*.most))]
    ParticipantQuota { most: u64 },
    #[error("this call's files take up the {} that a call has: wait until some expire", ByteSize(*.most))]
    RoomQuota { most: u64 },
    #[error("the server has no room for more files: try again later")]
    ServerQuota,
    #[error("the server's disk is full: try again later. The call is not affected")]
    DiskFull,
    #[error("the server cannot reach what it keeps files in: try again in a few seconds")]
    StoreAway,
    #[error("the file could not be stored or read: see the server's log")]
    Broken,
}

impl Refusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::Stranger => StatusCode::UNAUTHORIZED,
            Self::NoSuchFile | Self::NoSuchChunk => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed | Self::WrongLength { .. } => StatusCode::BAD_REQUEST,
            Self::OtherBytes | Self::UnderWay | Self::Incomplete => StatusCode::CONFLICT,
            Self::NotLetIn | Self::NotYours | Self::SwitchedOff => StatusCode::FORBIDDEN,
            Self::OutOfRange { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::FileTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ParticipantQuota { .. }
            | Self::RoomQuota { .. }
            | Self::ServerQuota
            | Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::StoreAway => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// As a label of metrics, and at the end of the problem's type.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::NotLetIn => "not-let-in",
            Self::NoSuchFile => "no-such-file",
            Self::NoSuchChunk => "no-such-chunk",
            Self::WrongMethod => "wrong-method",
            Self::Malformed => "malformed",
            Self::WrongLength { .. } => "wrong-length",
            Self::OtherBytes => "other-bytes",
            Self::UnderWay => "under-way",
            Self::Incomplete => "incomplete",
            Self::NotYours => "not-yours",
            Self::OutOfRange { .. } => "out-of-range",
            Self::TooSlow => "too-slow",
            Self::TooMany => "too-many",
            Self::SwitchedOff => "switched-off",
            Self::FileTooLarge { .. } => "file-too-large",
            Self::ParticipantQuota { .. } => "participant-quota",
            Self::RoomQuota { .. } => "room-quota",
            Self::ServerQuota => "server-quota",
            Self::DiskFull => "disk-full",
            Self::StoreAway => "store-away",
            Self::Broken => "broken",
        }
    }

    pub(super) fn answer(self) -> Response<Body> {
        let kind = format!("urn:conclave:problem:{}", self.label());
        let mut response = problem_of(&kind, self.status(), &self.to_string());
        let headers = response.headers_mut();
        match self {
            Self::Stranger => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::UnderWay | Self::TooMany => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::StoreAway => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Self::OutOfRange { bytes } => {
                if let Ok(range) = HeaderValue::try_from(format!("bytes */{bytes}")) {
                    headers.insert(CONTENT_RANGE, range);
                }
            }
            _ => {}
        }
        response
    }
}
