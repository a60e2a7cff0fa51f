//! How well the capacity of the links was used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Known, Spread, Times};

/// How well the capacity of the links was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bandwidth {
    /// RTP payload that all receivers received.
    pub delivered_bits_per_second: f64,
    /// RTP payload that one receiver received.
    pub per_receiver_bits_per_second: Known<Spread>,
    /// What passed the limited links on the way to receivers by what they would have carried
    /// in the measured window, IP headers included.
    pub utilisation_ratio: Known<f64>,
    /// Limits that there were to be used: that of each link, and each step of its rate.
    pub limits: u64,
    /// From the first media, or from a step of the limit, until 80 % of it were used for a
    /// second. Counts those limits of which they ever were, so 800 ms is the least.
    pub time_to_80_percent: Known<Times>,
    /// … and 90 %.
    pub time_to_90_percent: Known<Times>,
    /// The shortest time that a packet waited before a limited link, for each tenth of a
    /// second of the measured window (RFC 8289 §3.2).
    pub standing_queue: Known<Times>,
    /// Jain's index of what receivers with the same link received: 1 when all got the
    /// same, 1/n when one got everything.
    pub fairness_ratio: Known<f64>,
}

/// Jain's fairness index (R. Jain et al., 1984); none when nobody got anything.
pub fn fairness(shares: &[f64]) -> Option<f64> {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    (squares > 0.0).then(|| sum * sum / (shares.len() as f64 * squares))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness_is_one_among_equals_and_falls_to_one_nth() {
        assert_eq!(fairness(&[2.0, 2.0, 2.0]), Some(1.0));
        assert_eq!(fairness(&[0.0, 0.0, 5.0, 0.0]), Some(0.25));
        assert_eq!(fairness(&[0.0, 0.0]), None);
        assert_eq!(fairness(&[]), None);
    }
}
