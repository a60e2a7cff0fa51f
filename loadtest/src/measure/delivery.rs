//! How much of what was sent came through.
//!
//! *Packets* are counted where they arrive, in RTP mode, and lost ones by the gaps in
//! their sequence numbers. But an SFU renumbers what it forwards, so a frame that it
//! never forwarded leaves no gap there. `delivered_ratio` therefore counts *frames*, by
//! the counters in their sealed headers, which nobody on the way can change:
//!
//! * In a call with only this run's bots ([`Basis::Sent`]): what each publisher sealed
//!   within the measured window is known to the frame, and who was in the call, what was
//!   on and which page was looked at is known to the moment ([`super::attendance`]). So it
//!   is frames opened, out of those sealed within the window, divided by the time of the
//!   streams that receivers ought to have been getting × the frames that a stream had in
//!   that time on average, summed over kinds of source. A receiver that gets nothing at
//!   all counts in full; so does the time that it takes after joining, or after a page is
//!   turned, until pictures come.
//! * In a call with others ([`Basis::Counters`]): nobody knows what they sealed. It is
//!   frames opened divided by the counters from the first to the last one opened within
//!   the window, summed over receivers and streams. A stream that never began, or that
//!   was turned off half-way by its sender or the SFU, is not seen by this.
//!
//! An SFU gives each receiver one size of a simulcast track. The sizes count in step, so a
//! frame was delivered when any size of it was opened. And it may leave higher temporal
//! layers out on purpose, so by the first basis only frames of the base layer count, among
//! those sealed and among those opened; by the second one, what others leave out counts as
//! missing.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    time::Instant,
};

use conclave_e2ee::LeafIndex;
use conclave_protocol::{Epoch, signal::Source};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    attendance::{Attendance, SOURCES, stream_time},
    counters::{CounterSet, Span},
    frame::StreamKey,
    tally::Tally,
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
    fn none(basis: Basis) -> Self {
        Self {
            basis,
            expected: 0.0,
            opened: 0,
        }
    }

    /// Opened by expected; none when nothing was expected.
    pub fn ratio(&self) -> Option<f64> {
        (self.expected > 0.0).then(|| self.opened as f64 / self.expected)
    }
}

/// All sizes of what one member sends of one source in one epoch.
type TrackKey = (LeafIndex, Epoch, Source);

fn track(stream: StreamKey) -> Option<TrackKey> {
    Some((stream.leaf, stream.epoch, stream.source()?))
}

/// By what the publishers sealed, and who was there when.
pub fn by_sent(
    publishers: &[&Tally],
    receivers: &[&Tally],
    attendances: &[Attendance],
    window: &Range<Instant>,
) -> Delivery {
    let mut delivery = Delivery::none(Basis::Sent);
    let mut sealed: BTreeMap<TrackKey, CounterSet> = BTreeMap::new();
    for (stream, sent) in publishers.iter().flat_map(|tally| &tally.sent) {
        if let Some(track) = track(*stream) {
            sealed.entry(track).or_default().extend(&sent.base);
        }
    }
    for source in SOURCES {
        let of = sealed.iter().filter(|((.., sent), _)| *sent == source);
        let frames: u64 = of.map(|(_, counters)| counters.len()).sum();
        let time = stream_time(attendances, source, window);
        if time.sent > 0.0 {
            delivery.expected += frames as f64 * time.due / time.sent;
        }
    }
    for tally in receivers {
        let mut opened: HashMap<TrackKey, CounterSet> = HashMap::new();
        for (stream, frames) in &tally.opened {
            if let Some(track) = track(*stream)
                && sealed.contains_key(&track)
            {
                opened.entry(track).or_default().extend(&frames.counters);
            }
        }
        delivery.opened += opened
            .iter()
            .filter_map(|(track, counters)| Some(counters.count_common(sealed.get(track)?)))
            .sum::<u64>();
    }
    delivery
}

/// By the counters of what was opened.
pub fn by_counters(receivers: &[&Tally]) -> Delivery {
    let mut delivery = Delivery::none(Basis::Counters);
    for tally in receivers {
        let mut tracks: HashMap<TrackKey, (CounterSet, Option<Span>)> = HashMap::new();
        for (stream, frames) in &tally.opened {
            if let Some(track) = track(*stream) {
                let (counters, window) = tracks.entry(track).or_default();
                counters.extend(&frames.counters);
                for end in frames
                    .window
                    .iter()
                    .flat_map(|span| [span.first, span.last])
                {
                    Span::extend(window, end);
                }
            }
        }
        for (counters, window) in tracks.into_values() {
            if let Some(window) = window {
                delivery.expected += window.count() as f64;
                delivery.opened += counters.count(window.range());
            }
        }
    }
    delivery
}

#[cfg(test)]
mod tests;
