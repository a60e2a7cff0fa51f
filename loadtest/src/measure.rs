//! What bots saw, what the server spent and how the load test itself fared, as numbers.

pub mod attendance;
pub mod counters;
pub mod decoding;
pub mod delivery;
pub mod frame;
pub mod generator;
pub mod join;
pub mod listening;
pub mod motion;
pub mod process;
pub mod rekey;
pub mod server;
pub mod skew;
pub mod syscalls;
pub mod tally;
pub mod timeline;
pub mod totals;
pub mod viewing;
pub mod window;
pub mod wire;
