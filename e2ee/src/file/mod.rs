//! Files, sealed by whoever sends them: a random key for each, and the STREAM construction
//! (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its Nonce-Reuse
//! Misuse-Resistance") over AES-256-GCM, so that every chunk can be sealed and opened by
//! itself, in any order.
//!
//! A chunk's nonce is prefix (7 bytes) ‖ number (32 bits, big-endian) ‖ 1 for the last chunk, 0
//! for all others; there is no associated data. What the prefix, the key and the file's size are,
//! is told in the [`SharedFile`] that announces it, which is what a receiver holds the chunks to.
//! The layout is in [`conclave_protocol::file`].

mod shared;
mod stream;

pub use shared::{SharedFile, UnfitFile};
pub use stream::{ChunkError, FileKey, FileStream};
