//! Load test for Conclave and other SFUs: bots that are real participants of real calls.
//!
//! A [`bot::Bot`] is what a browser is: a conversation with the server ([`target`]), peer
//! connections, and on Conclave a member of the MLS group with keys of its own. It plays a
//! recording, seals every frame and opens what it receives. [`run::run`] lets many of them
//! into one call, and [`report::Report`] says what came of it.

pub mod bot;
pub mod capacity;
pub mod cli;
pub mod drive;
mod findings;
pub mod impair;
pub mod measure;
pub mod media;
pub mod progress;
pub mod report;
pub mod run;
pub mod slo;
pub mod stats;
pub mod target;
