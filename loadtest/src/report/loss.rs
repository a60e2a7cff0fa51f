//! What did not arrive.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Known;
use crate::measure::delivery::Basis;

/// What did not arrive. Packets are counted over the whole run, as a gap in sequence
/// numbers may be filled late; frames within the measured window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Loss {
    /// RTP packets of all kinds that receivers received within the measured window.
    pub packets_delivered: u64,
    /// RTP packets that publishers sent within the measured window.
    pub packets_sent: u64,
    /// Packets of all kinds, retransmissions left out.
    pub all: Packets,
    /// Packets with sound.
    pub audio: Known<Packets>,
    /// Packets with pictures.
    pub video: Known<Packets>,
    /// Packets sent again (RFC 4588), in their own sequence.
    pub retransmission: Known<Packets>,
    /// Frames that ought to have been delivered: see [`crate::measure::delivery`].
    pub frames_expected: f64,
    /// Those of them that were.
    pub frames_delivered: u64,
    /// Delivered by expected.
    pub delivered_ratio: Known<f64>,
    /// What the ratio is measured against.
    pub delivered_basis: Basis,
}

/// Packets of one kind at the receivers, by their sequence numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Packets {
    /// Those that came, each once.
    pub received: u64,
    /// Those that did not come when they were due.
    pub lost_on_wire: Known<u64>,
    /// Those that never came, sent again or not.
    pub lost_after_repair: u64,
    /// Those that came once more.
    pub duplicates: Known<u64>,
    /// Those that came after a later one.
    pub reordered: Known<u64>,
    /// Lost after repair, by all that were sent; 0 to 1.
    pub loss_ratio: Known<f64>,
}

impl Packets {
    /// Of the two counts that every loss is told by; the others are not known yet.
    pub fn new(received: u64, lost_after_repair: u64) -> Self {
        let sent = received + lost_after_repair;
        Self {
            received,
            lost_on_wire: Known::no("gaps are counted after repair only"),
            lost_after_repair,
            duplicates: Known::no("packets that come twice are not counted"),
            reordered: Known::no("packets out of order are not counted"),
            loss_ratio: Known::of(
                (sent > 0).then(|| lost_after_repair as f64 / sent as f64),
                "no packet was sent",
            ),
        }
    }
}
