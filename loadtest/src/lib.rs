//! Load test for Conclave: bots that are real members of real calls.
//!
//! A [`bot::Bot`] is what a browser is: a member of the MLS group with keys of its own, a
//! signalling conversation and a peer connection. It plays a recording, seals every frame
//! and opens what it receives. [`scenario::run`] lets many of them into one call, and
//! [`report::Report`] says what came of it.

pub mod bot;
pub mod cli;
pub mod counters;
pub mod delivery;
pub mod drive;
mod findings;
pub mod generator;
pub mod material;
pub mod pace;
pub mod peer;
pub mod progress;
pub mod publish;
pub mod receive;
pub mod recording;
pub mod report;
pub mod scenario;
pub mod seal;
pub mod server;
pub mod stamp;
pub mod tally;
pub mod vp8;
