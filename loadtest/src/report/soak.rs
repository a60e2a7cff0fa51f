//! Whether the server grows while it works.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Known;

/// Whether the server grows while it works, and whether it shrinks again afterwards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Soak {
    /// Resident memory, in bytes.
    pub memory_bytes: Known<Growth>,
    /// Open file descriptors.
    pub file_descriptors: Known<Growth>,
    /// Threads.
    pub threads: Known<Growth>,
}

/// How something grew over the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Growth {
    /// The slope of the least-squares line through the samples of the measured window.
    pub slope: Known<Slope>,
    /// Before anyone had joined.
    pub before: Known<f64>,
    /// After everyone had left.
    pub after: Known<f64>,
}

/// A slope, by ordinary least squares. Samples close in time resemble each other, so the
/// interval counts fewer of them than there are, by the autocorrelation of the residuals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Slope {
    /// Growth in an hour.
    pub per_hour: f64,
    /// Lower end of the 95 % confidence interval.
    pub low_per_hour: f64,
    /// Upper end of the 95 % confidence interval.
    pub high_per_hour: f64,
    /// How many samples there were.
    pub samples: u64,
}
