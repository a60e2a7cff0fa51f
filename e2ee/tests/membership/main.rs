//! Memberships against a delivery service in process, an honest one and a malicious one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod client;
mod crowd;
mod devices;
mod filling;
mod full;
mod ghosts;
mod honest;
mod hosts;
mod malicious;
mod raw;
mod returning;
mod service;
mod states;
mod usurpers;
