//! What bots play, and how it is cut into packets and put together again.

pub mod assemble;
pub mod av1;
pub(crate) mod bits;
pub mod cadence;
pub(crate) mod dependency;
pub mod generated;
pub mod h264;
pub mod material;
pub mod pace;
pub mod packetize;
pub mod program;
pub mod recording;
pub mod stamp;
pub mod voice;
pub mod vp8;
pub mod vp9;

pub use conclave_e2ee::Codec;
