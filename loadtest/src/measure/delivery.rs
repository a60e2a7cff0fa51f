//! How much of what was sent came through.
//!
//! *Packets* are counted where they arrive, in RTP mode, and lost ones by the gaps in
//! their sequence numbers. But an SFU renumbers what it forwards, so a frame that it
//! never forwarded leaves no gap there. `delivered_ratio` therefore counts *frames*:
//!
//! * In a call with only this run's bots ([`Basis::Sent`]), by the second in which each
//!   frame was due, which its stamp tells. If `s` bots send a source in a second, and `f`
//!   frames of it together, a receiver with `n` slots ought to open `min(n, s) × f / s` of
//!   them; of cameras no more than its view shows, and nobody its own. Every layer of a
//!   picture is the same picture. A receiver counts from a second after it came into the
//!   call (how long the first picture takes is told by the times of joining) until a
//!   second before it leaves; one that gets nothing at all counts in full. A frame counts
//!   as opened up to [`DRAIN`] after the end of the second in which it was due.
//! * In a call with others ([`Basis::Counters`]): nobody knows what they sealed. It is
//!   frames opened divided by the counters in their sealed headers from the first to the
//!   last one opened within the window, summed over receivers and streams. A stream that
//!   never began, or that was turned off half-way by its sender or the SFU, is not seen by
//!   this.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Instant,
};

use conclave_protocol::signal::Source;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    counters::Span,
    frame::StreamKey,
    window::{DRAIN, Window},
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

/// A number for each source, in the order of [`Source::ALL`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BySource([u32; Source::ALL.len()]);

impl BySource {
    /// How many there are of each.
    pub fn count<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Self {
        let mut counts = Self::default();
        for source in sources {
            counts.add(*source);
        }
        counts
    }

    fn add(&mut self, source: Source) {
        self.0[source as usize] += 1;
    }

    /// How many there are of one.
    pub fn of(&self, source: Source) -> u32 {
        self.0[source as usize]
    }

    fn total(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }
}

/// What a receiver can get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appetite {
    /// Its slots.
    pub slots: BySource,
    /// Cameras on the pages before the one that it looks at.
    pub skipped: u32,
    /// Cameras on a page.
    pub tiles: u32,
}

impl Appetite {
    /// How many of `others` who send a source it ought to get.
    fn share(&self, source: Source, others: u32) -> u32 {
        let shown = match source {
            Source::Camera => others.saturating_sub(self.skipped).min(self.tiles),
            _ => others,
        };
        shown.min(self.slots.of(source))
    }
}

/// One second of one bot.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    sent: BySource,
    opened: BySource,
    appetite: Appetite,
}

/// What one bot sent and opened in the seconds that are not settled yet.
#[derive(Debug)]
pub struct BotDelivery {
    appetite: Appetite,
    /// The second from which on it counts as a receiver.
    counts_from: Option<u64>,
    /// The second of the first row.
    next: u64,
    rows: VecDeque<Row>,
}

impl BotDelivery {
    /// Begins at `second`.
    pub fn new(second: u64) -> Self {
        Self {
            appetite: Appetite::default(),
            counts_from: None,
            next: second,
            rows: VecDeque::new(),
        }
    }

    /// It is in the call.
    pub fn joined(&mut self, now: Instant, window: &Window) {
        self.counts_from.get_or_insert(window.second(now) + 2);
    }

    /// What it can get from now on.
    pub fn takes(&mut self, appetite: Appetite) {
        self.appetite = appetite;
    }

    /// It sent a frame that was due then.
    pub fn sent(&mut self, due: Instant, stream: StreamKey, window: &Window) {
        if stream.is_lowest_layer()
            && let Some(row) = self.row(window.second(due))
        {
            row.sent.add(stream.source());
        }
    }

    /// It opened a frame that was due then.
    pub fn opened(&mut self, due: Instant, stream: StreamKey, window: &Window) {
        if let Some(row) = self.row(window.second(due)) {
            row.opened.add(stream.source());
        }
    }

    fn row(&mut self, second: u64) -> Option<&mut Row> {
        let place = usize::try_from(second.checked_sub(self.next)?).ok()?;
        if self.rows.len() <= place {
            let row = Row {
                appetite: self.appetite,
                ..Row::default()
            };
            self.rows.resize(place + 1, row);
        }
        self.rows.get_mut(place)
    }

    /// Hands over the seconds whose frames have had their time to arrive.
    pub fn settle(&mut self, now: Instant, window: &Window, sums: &mut DeliverySums) {
        loop {
            let second = self.next;
            let begins = window.second_begins(second);
            let ends = window.end_or(window.second_begins(second + 1));
            if ends <= begins || ends + DRAIN > now {
                return;
            }
            let row = self.rows.pop_front().unwrap_or(Row {
                appetite: self.appetite,
                ..Row::default()
            });
            self.next += 1;
            sums.sent(second, &row.sent);
            let counts = self.counts_from.is_some_and(|from| from <= second);
            if counts && !window.overlap(begins, ends).is_zero() {
                sums.received(second, &row);
            }
        }
    }

    /// It leaves: what it may still have got does not count, what it sent does.
    pub fn leave(&mut self, now: Instant, window: &Window, sums: &mut DeliverySums) {
        self.settle(now, window, sums);
        for (second, row) in (self.next..).zip(self.rows.drain(..)) {
            sums.sent(second, &row.sent);
        }
    }
}

/// Receivers of one second who ought to get the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Alike {
    appetite: Appetite,
    sends: [bool; Source::ALL.len()],
}

#[derive(Debug, Default)]
struct Second {
    sent: BySource,
    senders: BySource,
    opened: u64,
    receivers: Vec<(Alike, u32)>,
}

/// What all bots sent and opened, by the second in which it was due.
#[derive(Debug, Default)]
pub struct DeliverySums(BTreeMap<u64, Second>);

impl DeliverySums {
    fn sent(&mut self, second: u64, sent: &BySource) {
        if sent.total() == 0 {
            return;
        }
        let sums = self.0.entry(second).or_default();
        for (source, count) in sent.0.iter().enumerate() {
            sums.sent.0[source] += count;
            sums.senders.0[source] += u32::from(*count > 0);
        }
    }

    fn received(&mut self, second: u64, row: &Row) {
        let sums = self.0.entry(second).or_default();
        sums.opened += row.opened.total();
        let alike = Alike {
            appetite: row.appetite,
            sends: row.sent.0.map(|sent| sent > 0),
        };
        match sums.receivers.iter_mut().find(|(known, _)| *known == alike) {
            Some((_, count)) => *count += 1,
            None => sums.receivers.push((alike, 1)),
        }
    }

    /// Frames that ought to have been opened, and those that were.
    pub fn by_sent(&self) -> Delivery {
        Delivery {
            basis: Basis::Sent,
            expected: self.0.values().map(Second::expected).sum(),
            opened: self.0.values().map(|second| second.opened).sum(),
        }
    }
}

impl Second {
    fn expected(&self) -> f64 {
        let of = |alike: &Alike| -> f64 {
            let each = Source::ALL.map(|source| {
                let senders = self.senders.of(source);
                let others = senders - u32::from(alike.sends[source as usize]);
                let share = alike.appetite.share(source, others);
                f64::from(share) * f64::from(self.sent.of(source)) / f64::from(senders.max(1))
            });
            each.iter().sum()
        };
        let receivers = self.receivers.iter();
        receivers
            .map(|(alike, count)| of(alike) * f64::from(*count))
            .sum()
    }
}

/// The frames that a bot opened of one stream within the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedSpan {
    /// From the first to the last counter.
    pub span: Span,
    /// How many.
    pub count: u64,
}

impl OpenedSpan {
    /// Notes a frame.
    pub fn note(streams: &mut HashMap<StreamKey, Self>, stream: StreamKey, counter: u64) {
        let span = Span {
            first: counter,
            last: counter,
        };
        let opened = streams.entry(stream).or_insert(Self { span, count: 0 });
        opened.span.extend(counter);
        opened.count += 1;
    }
}

/// By the counters of what was opened, of all receivers.
pub fn by_counters<'a>(opened: impl IntoIterator<Item = &'a OpenedSpan>) -> Delivery {
    let mut delivery = Delivery {
        basis: Basis::Counters,
        expected: 0.0,
        opened: 0,
    };
    for stream in opened {
        delivery.expected += stream.span.count() as f64;
        delivery.opened += stream.count;
    }
    delivery
}

#[cfg(test)]
mod tests;
