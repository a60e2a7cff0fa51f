//! The bounds that were asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Known;

/// A bound, and whether it holds (a service level objective).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SloOutcome {
    /// As it was asked for, such as `p99<20ms`.
    pub asked: String,
    /// The figure that it bounds.
    pub figure: String,
    /// What was measured, in the unit of the bound.
    pub measured: Known<f64>,
    /// The bound.
    pub bound: f64,
    /// The unit of both.
    pub unit: String,
    /// Whether it holds. What is not known does not hold.
    pub held: bool,
}
