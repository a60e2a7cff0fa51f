//! What all bots of a run noted together. A bot gathers what it sees in a [`Batch`] of its
//! own, without a lock, and pours it in here once a second; so little is kept for each
//! bot, and those that have left need not be remembered.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use conclave_protocol::Epoch;
use hdrhistogram::Histogram;

use super::{
    rekey::Rekeys,
    skew::{FrameName, Skew},
    timeline::{BotSecond, Timeline},
    window::Window,
};
use crate::media::stamp::Age;

/// The longest duration that is told from longer ones, in nanoseconds.
const LONGEST: u64 = 600_000_000_000;

/// A histogram of durations from 1 ns to ten minutes, with three digits. All of them have
/// the same bounds, so that any two can be added.
pub fn durations() -> Histogram<u64> {
    // Fails only on bounds that are the wrong way round and on more than five digits.
    #[expect(clippy::unwrap_used)]
    Histogram::new_with_bounds(1, LONGEST, 3).unwrap()
}

/// Notes a duration.
pub fn record(histogram: &mut Histogram<u64>, duration: Duration) {
    histogram.saturating_record(duration.as_nanos().try_into().unwrap_or(u64::MAX));
}

/// The window of a run, and what was noted in it: shared by all its bots.
#[derive(Debug)]
pub struct Measurement {
    /// What is measured.
    pub window: Window,
    totals: Mutex<Totals>,
}

impl Default for Measurement {
    fn default() -> Self {
        Self {
            window: Window::new(Instant::now()),
            totals: Mutex::default(),
        }
    }
}

impl Measurement {
    /// What was noted so far. Hold it for moments only: bots wait for it.
    pub fn totals(&self) -> MutexGuard<'_, Totals> {
        // Whoever panicked had at most left out a number.
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How old the frames of one kind were.
#[derive(Debug)]
pub struct Ages {
    /// Since they should have been sent.
    pub from_schedule: Histogram<u64>,
    /// Since they were sent.
    pub from_sending: Histogram<u64>,
    /// By how much that differed from the frame before.
    pub jitter: Histogram<u64>,
}

impl Default for Ages {
    fn default() -> Self {
        Self {
            from_schedule: durations(),
            from_sending: durations(),
            jitter: durations(),
        }
    }
}

/// What all bots noted.
#[derive(Debug)]
pub struct Totals {
    /// Pictures that were due within the window.
    pub video: Ages,
    /// Sounds that were due within the window.
    pub audio: Ages,
    /// How late frames were sent that were due within the window.
    pub send_lateness: Histogram<u64>,
    /// From the first packet or a gap to a key frame, over the whole run.
    pub key_frame_wait: Histogram<u64>,
    /// From the wish to the first frame of another layer, over the whole run.
    pub layer_switch: Histogram<u64>,
    /// Pauses at changes of keys, beyond the usual, over the whole run.
    pub rekey_gap: Histogram<u64>,
    /// Changes of keys, over the whole run.
    pub rekeys: Rekeys,
    /// When receivers got the same frame, of those due within the window.
    pub skew: Skew,
    /// Second by second.
    pub timeline: Timeline,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            video: Ages::default(),
            audio: Ages::default(),
            send_lateness: durations(),
            key_frame_wait: durations(),
            layer_switch: durations(),
            rekey_gap: durations(),
            rekeys: Rekeys::default(),
            skew: Skew::default(),
            timeline: Timeline::default(),
        }
    }
}

/// A frame that was opened and told its age.
#[derive(Debug, Clone, Copy)]
pub struct AgedFrame {
    /// Seen or heard.
    pub is_video: bool,
    /// Whether it was due within the window.
    pub counts: bool,
    /// How old it was.
    pub age: Age,
    /// By how much older or younger than the one before.
    pub jitter: Option<Duration>,
}

/// What one bot noted in one second.
#[derive(Debug, Default)]
pub struct Batch {
    /// Packets and freezes.
    pub bot: BotSecond,
    /// Frames opened.
    pub frames: Vec<AgedFrame>,
    /// How late frames were sent.
    pub lateness: Vec<Duration>,
    /// Frames that are followed, and when they came since the run began.
    pub arrivals: Vec<(FrameName, Duration)>,
    /// Waits for key frames.
    pub key_frame_waits: Vec<Duration>,
    /// Wishes for layers that came true.
    pub layer_switches: Vec<Duration>,
    /// Pauses at changes of keys.
    pub rekey_gaps: Vec<Duration>,
    /// Epochs that it came into, and when since the run began.
    pub epochs: Vec<(Epoch, Duration)>,
}

impl Totals {
    /// Adds what a bot noted in a second, and empties the batch for the next.
    pub fn pour(&mut self, second: u64, batch: &mut Batch) {
        self.timeline.add(second, &std::mem::take(&mut batch.bot));
        for frame in batch.frames.drain(..) {
            if frame.is_video {
                self.timeline.latency(second, frame.age.from_schedule);
            }
            if frame.counts {
                let ages = match frame.is_video {
                    true => &mut self.video,
                    false => &mut self.audio,
                };
                record(&mut ages.from_schedule, frame.age.from_schedule);
                record(&mut ages.from_sending, frame.age.from_sending);
                if let Some(jitter) = frame.jitter {
                    record(&mut ages.jitter, jitter);
                }
            }
        }
        for (durations, histogram) in [
            (&mut batch.lateness, &mut self.send_lateness),
            (&mut batch.key_frame_waits, &mut self.key_frame_wait),
            (&mut batch.layer_switches, &mut self.layer_switch),
            (&mut batch.rekey_gaps, &mut self.rekey_gap),
        ] {
            for duration in durations.drain(..) {
                record(histogram, duration);
            }
        }
        for (name, at) in batch.arrivals.drain(..) {
            self.skew.arrived(name, at);
        }
        for (epoch, at) in batch.epochs.drain(..) {
            self.rekeys.moved(epoch, at);
        }
    }
}
