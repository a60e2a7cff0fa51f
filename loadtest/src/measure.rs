//! What bots saw, what the server spent and how the load test itself fared, as numbers.

pub mod attendance;
pub mod counters;
pub mod delivery;
pub mod generator;
pub mod join;
pub mod process;
pub mod server;
pub mod tally;
pub mod wire;
