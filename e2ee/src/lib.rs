//! Conclave's end-to-end encryption: who may be in a call, who is, and the keys of their
//! media. Everything here runs in the clients, natively and as WebAssembly; the server has
//! none of it.
//!
//! * [`Link`] and [`LinkSecret`]: the secret that opens a room, and what it yields;
//! * [`Membership`]: the room's MLS group (RFC 9420) as a state machine, with the rules
//!   about who comes in and who is taken out ([`PolicyViolation`]);
//! * [`FrameSealer`] and [`FrameOpener`]: media frames sealed by SFrame (RFC 9605) with
//!   keys from the group;
//! * [`file`]: files, sealed chunk by chunk.

mod application;
mod departures;
mod device;
mod digits;
pub mod envelope;
pub mod file;
mod filling;
pub mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod group;
mod identity;
mod knock;
mod link;
mod member;
mod membership;
mod memory;
mod output;
mod outsiders;
mod policy;
pub mod rules;
mod storage;
mod time;
mod timeline;
mod tree;
mod turning_away;
#[cfg(target_arch = "wasm32")]
pub mod wasm;

pub use application::{ChatError, FileShareError};
pub use device::{Device, DeviceError, DeviceKey, DeviceProof, DeviceSignature, StayKey};
pub use digits::Digits;
pub use file::{FileKey, FileStream, SharedFile};
pub use frame::{
    BaseKey, Codec, FrameOpener, FrameSealer, OpenError, OpenedFrame, SealError, StreamContext,
};
pub use identity::{DisplayName, Identity, InvalidName, Persona};
pub use knock::KnockName;
pub use link::{DerivedKey, Link, LinkError, LinkSecret, RoomKeys};
pub use member::{LeafIndex, Member};
pub use membership::{HostError, HostRequest, Membership, UnusableGroup};
pub use memory::{AnotherCall, Memory};
pub use output::{Output, Prospect, Visitor};
pub use policy::PolicyViolation;
pub use rules::{Door, Loosened};
pub use time::Instant;
