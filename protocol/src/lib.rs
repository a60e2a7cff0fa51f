//! Everything a Conclave client and its server say to each other.
//!
//! Two conversations, both JSON, both tagged by `type`:
//!
//! * [`signal`]: over the WebSocket, between the client and the front door (join, the
//!   ordered log of group messages, the media offer and answer);
//! * [`control`]: over the data channel named [`control::CHANNEL_LABEL`], between the
//!   client and the SFU (which tracks it wants, which slot carries whom).
//!
//! Beside them [`file`]s are sent and fetched over HTTP.
//!
//! The TypeScript twins in `web/src/protocol` are generated from these types, so the two
//! ends cannot drift. Whatever only members may read travels as [`Opaque`] bytes: the
//! server stores and orders them and has no code to open them.

pub mod control;
pub mod file;
mod id;
mod invite;
mod opaque;
pub mod session;
pub mod signal;

pub use id::{Epoch, InvalidId, Mid, ParticipantId, RoomId, Sequence};
pub use invite::InviteToken;
pub use opaque::{InvalidOpaque, Opaque, RoomAuth, RoomLock, StateName};

/// Version of the conversation. A client that names another one is refused with
/// [`signal::ErrorCode::UnsupportedVersion`]. It also pins the MLS cipher suite, whose
/// post-quantum code point is still provisional.
pub const PROTOCOL_VERSION: u16 = 1;
