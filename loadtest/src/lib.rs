//! Load test for Conclave: bots that are real members of real calls.

pub mod pace;
pub mod peer;
pub mod recording;
pub mod stamp;
pub mod vp8;
