//! One outgoing stream sewn together from many incoming ones.
//!
//! A slot has one SSRC for the whole call while tracks and simulcast layers come and go in
//! it. The receiver must see one unbroken stream: sequence numbers without seams (a gap is
//! a loss to be asked for again), timestamps that move forward with the clock, and picture
//! ids without jumps (RFC 7741 §4.2, RFC 9628 §4.2).
//!
//! Invariant: all that was sent before a switch is numbered below all that is sent after
//! it, and within one source the distance between two packets is what it was on arrival,
//! less the packets between them that were left out on purpose. So losses and reordering
//! pass through as they are, a layer that is left out does not look like a loss, and
//! nothing is ever sent twice.

mod compact;
pub(crate) mod dependency;
pub(crate) mod descriptor;
mod h264;
mod ids;
mod selection;
pub(crate) mod vp9;

use std::time::{Duration, Instant};

use self::compact::Compactor;

pub(crate) use ids::{FrameNumbers, IdRewriter, PictureIds};
pub(crate) use selection::{Frame, LayerId, Scaling, Selector, Verdict, can_begin};

/// Sequence number and timestamp of a packet (RFC 3550 §5.1), the number extended beyond
/// 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
}

/// Maps the positions of the current source into the outgoing stream.
#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    source: Option<Source>,
    newest: Option<Newest>,
}

/// How the current source is mapped.
#[derive(Debug)]
struct Source {
    /// The first packet that was taken. Older ones belong to nothing the receiver has.
    first: u64,
    sequence_offset: u64,
    timestamp_offset: u32,
    left_out: Compactor,
}

/// The outgoing packet with the highest sequence number so far.
#[derive(Debug, Clone, Copy)]
struct Newest {
    position: Position,
    arrived: Instant,
}

impl Sequencer {
    /// Goes over to another source, of which the packet at `position` is the first to be
    /// sent. `clock_rate` is that of the timestamps, in Hz.
    pub(crate) fn switch(&mut self, position: Position, arrived: Instant, clock_rate: u32) {
        let (sequence, timestamp) = match self.newest {
            Some(newest) => {
                let elapsed = arrived.saturating_duration_since(newest.arrived);
                (
                    newest.position.sequence + 1,
                    newest
                        .position
                        .timestamp
                        .wrapping_add(ticks(elapsed, clock_rate).max(1)),
                )
            }
            // The receiver supposes a rollover counter of 0 (RFC 3711 §3.3.1), so the first
            // number has to be small; half the range is left for what comes reordered.
            None => (position.sequence & 0x7fff, position.timestamp),
        };
        self.source = Some(Source {
            first: position.sequence,
            sequence_offset: sequence.wrapping_sub(position.sequence),
            timestamp_offset: timestamp.wrapping_sub(position.timestamp),
            left_out: Compactor::default(),
        });
    }

    /// Nothing was sent that arrived after this moment.
    pub(crate) fn is_quiet_since(&self, moment: Instant) -> bool {
        self.newest.is_none_or(|newest| newest.arrived < moment)
    }

    /// Where a packet of the current source goes; none when it is from before the switch, or
    /// older than anyone would wait for.
    pub(crate) fn place(&mut self, position: Position, arrived: Instant) -> Option<Position> {
        let placed = self.source.as_mut()?.place(position)?;
        self.note(placed, arrived);
        Some(placed)
    }

    /// A packet of the current source is not sent, and the numbers close up. If it comes so
    /// late that its place was kept, the answer is that place: left empty it would be asked
    /// for again and again.
    pub(crate) fn leave_out(&mut self, position: Position, arrived: Instant) -> Option<Position> {
        let kept = self.source.as_mut()?.leave_out(position)?;
        self.note(kept, arrived);
        Some(kept)
    }

    fn note(&mut self, position: Position, arrived: Instant) {
        if self
            .newest
            .is_none_or(|newest| position.sequence > newest.position.sequence)
        {
            self.newest = Some(Newest { position, arrived });
        }
    }
}

impl Source {
    fn place(&mut self, position: Position) -> Option<Position> {
        if position.sequence < self.first {
            return None;
        }
        let before = self.left_out.before(position.sequence)?;
        Some(self.shifted(position, before))
    }

    fn leave_out(&mut self, position: Position) -> Option<Position> {
        if position.sequence < self.first {
            return None;
        }
        let before = self.left_out.leave_out(position.sequence)?;
        Some(self.shifted(position, before))
    }

    fn shifted(&self, position: Position, left_out: u64) -> Position {
        let sequence = position.sequence.wrapping_add(self.sequence_offset);
        Position {
            sequence: sequence.wrapping_sub(left_out),
            timestamp: position.timestamp.wrapping_add(self.timestamp_offset),
        }
    }
}

/// The length of time in ticks of a clock, wrapped as timestamps are.
fn ticks(elapsed: Duration, clock_rate: u32) -> u32 {
    let ticks = elapsed.as_micros().saturating_mul(u128::from(clock_rate)) / 1_000_000;
    (ticks & u128::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests;
