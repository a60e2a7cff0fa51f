//! Commands that make many runs of one.

pub(crate) mod ab;
pub(crate) mod capacity;
