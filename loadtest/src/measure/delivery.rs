//! How much of what was sent came through.
//!
//! *Packets* are counted where they arrive, in RTP mode, and lost ones by the gaps in
//! their sequence numbers. But an SFU renumbers what it forwards, so a frame that it
//! never forwarded leaves no gap there. `delivered_ratio` therefore counts *frames*, by
//! the counters in their sealed headers, which nobody on the way can change:
//!
//! * In a call with only this run's bots ([`Basis::Sent`]): what each publisher sealed
//!   within the measured window is known to the frame. A receiver with `s` slots for a
//!   kind of media ought to get `min(s, publishers)` of them all the time. So it is
//!   frames opened, out of those sealed within the window, divided by
//!   `min(slots, publishers) × frames that a publisher sealed on average`, summed over
//!   receivers and kinds. A receiver that gets nothing at all counts in full.
//! * In a call with others ([`Basis::Counters`]): nobody knows what they sealed. It is
//!   frames opened divided by the counters from the first to the last one opened within
//!   the window, summed over receivers and streams. A stream that never began, or that
//!   was turned off half-way by its sender or the SFU, is not seen by this.

use std::collections::HashMap;

use conclave_protocol::signal::Source;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    counters::Span,
    tally::{StreamKey, Tally},
};

/// What [`Delivery::expected`] was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// What the publishers sealed.
    Sent,
    /// The counters between the first and the last frame opened.
    Counters,
}

/// Frames that ought to have been opened, and those that were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delivery {
    /// Where the first number comes from.
    pub basis: Basis,
    /// Frames that ought to have been opened.
    pub expected: f64,
    /// Those of them that were.
    pub opened: u64,
}

impl Delivery {
    /// Opened by expected; none when nothing was expected.
    pub fn ratio(&self) -> Option<f64> {
        (self.expected > 0.0).then(|| self.opened as f64 / self.expected)
    }
}

/// By what the publishers sealed.
pub fn by_sent(publishers: &[&Tally], receivers: &[(&Tally, &[Source])]) -> Delivery {
    let mut delivery = Delivery {
        basis: Basis::Sent,
        expected: 0.0,
        opened: 0,
    };
    for is_video in [false, true] {
        let sent: HashMap<StreamKey, Span> = publishers
            .iter()
            .flat_map(|tally| &tally.sent)
            .filter(|(stream, _)| stream.is_video() == is_video)
            .map(|(stream, span)| (*stream, *span))
            .collect();
        let senders = publishers
            .iter()
            .filter(|tally| tally.sent.keys().any(|key| key.is_video() == is_video))
            .count();
        if senders == 0 {
            continue;
        }
        let sealed: u64 = sent.values().map(|span| span.count()).sum();
        let each = sealed as f64 / senders as f64;
        for (tally, slots) in receivers {
            // Bots share no screens, so slots for screens stay empty.
            let slots = slots
                .iter()
                .filter(|source| source.is_video() == is_video && **source != Source::Screen)
                .count();
            delivery.expected += each * slots.min(senders) as f64;
            delivery.opened += sent
                .iter()
                .filter_map(|(stream, span)| Some((tally.opened.get(stream)?, span)))
                .map(|(opened, span)| opened.counters.count(span.range()))
                .sum::<u64>();
        }
    }
    delivery
}

/// By the counters of what was opened.
pub fn by_counters(receivers: &[(&Tally, &[Source])]) -> Delivery {
    let windows = receivers
        .iter()
        .flat_map(|(tally, _)| tally.opened.values())
        .filter_map(|stream| Some((stream, stream.window?)));
    let mut delivery = Delivery {
        basis: Basis::Counters,
        expected: 0.0,
        opened: 0,
    };
    for (stream, window) in windows {
        delivery.expected += window.count() as f64;
        delivery.opened += stream.counters.count(window.range());
    }
    delivery
}

#[cfg(test)]
mod tests {
    use conclave_e2ee::{LeafIndex, StreamContext};
    use conclave_protocol::Epoch;

    use super::*;
    use crate::measure::tally::{Opened, Sent};

    const ALL: &[Source] = &[Source::Microphone, Source::Camera, Source::Camera];

    fn camera(leaf: u32) -> StreamKey {
        StreamKey {
            leaf: LeafIndex::new(leaf).unwrap(),
            epoch: Epoch::new(3),
            context: StreamContext::CAMERA[0],
        }
    }

    fn publisher(leaf: u32, counters: std::ops::Range<u64>) -> Tally {
        let mut tally = Tally::default();
        tally.measure(true);
        for counter in counters {
            tally.sent(&Sent {
                stream: camera(leaf),
                counter,
                packets: 1,
                late: std::time::Duration::ZERO,
                left_out: 0,
            });
        }
        tally
    }

    fn receiver(frames: impl IntoIterator<Item = (u32, u64)>) -> Tally {
        let mut tally = Tally::default();
        tally.measure(true);
        for (leaf, counter) in frames {
            let opened = Opened {
                stream: camera(leaf),
                counter,
                is_key_frame: false,
                stamp: None,
            };
            tally.opened(&opened, None);
        }
        tally
    }

    #[test]
    fn only_frames_sealed_within_the_window_count() {
        let sender = publisher(0, 100..200);
        let all = receiver((90..210).map(|counter| (0, counter)));
        let delivery = by_sent(&[&sender], &[(&all, ALL)]);
        assert_eq!((delivery.expected, delivery.opened), (100.0, 100));

        let half = receiver((90..150).map(|counter| (0, counter)));
        let delivery = by_sent(&[&sender], &[(&all, ALL), (&half, ALL)]);
        assert_eq!(delivery.ratio(), Some(0.75));
    }

    #[test]
    fn a_receiver_that_gets_nothing_counts_in_full() {
        let sender = publisher(0, 0..100);
        let some = receiver((0..100).map(|counter| (0, counter)));
        let none = receiver([]);
        let delivery = by_sent(&[&sender], &[(&some, ALL), (&none, ALL)]);
        assert_eq!(delivery.ratio(), Some(0.5));
    }

    #[test]
    fn no_more_is_expected_than_there_are_slots() {
        let senders = [
            publisher(0, 0..100),
            publisher(1, 0..100),
            publisher(2, 0..100),
        ];
        let two = receiver((0..100).flat_map(|counter| [(0, counter), (2, counter)]));
        let publishers: Vec<_> = senders.iter().collect();
        let delivery = by_sent(&publishers, &[(&two, ALL)]);
        assert_eq!(delivery.ratio(), Some(1.0));
    }

    #[test]
    fn by_counters_a_gap_is_what_is_missing() {
        let gap = receiver([10, 11, 14].map(|counter| (0, counter)));
        let delivery = by_counters(&[(&gap, ALL)]);
        assert_eq!((delivery.expected, delivery.opened), (5.0, 3));
        assert_eq!(by_counters(&[]).ratio(), None);
    }
}
