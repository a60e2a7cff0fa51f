//! The `conclave-loadtest` command.

fn main() {}
