//! What all bots did so far, while they run: for the terminal and for Prometheus.
//!
//! Bots add to [`Counts`], which is nothing but atomic numbers, so that nobody who looks
//! makes a bot wait. Who looks takes a [`Snapshot`] and works with that.

mod durations;
pub mod exporter;
mod metrics;
mod recent;

pub use durations::{DurationCounts, Durations};
pub use metrics::text;
pub use recent::{Reading, Recent, Recently};

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use conclave_e2ee::OpenError;

/// What all bots did so far.
#[derive(Debug, Default)]
pub struct Counts {
    joined: AtomicU64,
    failed: AtomicU64,
    left: AtomicU64,
    packets: AtomicU64,
    payload_bytes: AtomicU64,
    missing: AtomicI64,
    frames_sent: AtomicU64,
    audio_frames: AtomicU64,
    video_frames: AtomicU64,
    unopened: [AtomicU64; REASONS.len()],
    latency: Durations,
    lateness: Durations,
}

/// Why frames were not opened, as labels.
pub(crate) const REASONS: [&str; 6] = [
    "forged",
    "malformed",
    "unknown_epoch",
    "duplicate",
    "empty",
    "too_old",
];

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

impl Counts {
    /// A bot is in the call.
    pub fn joined(&self) {
        add(&self.joined, 1);
    }

    /// A bot did not come into the call.
    pub fn failed(&self) {
        add(&self.failed, 1);
    }

    /// A bot is in the call no longer.
    pub fn left(&self) {
        add(&self.left, 1);
    }

    /// A bot received a packet with so many bytes of payload.
    pub fn packet(&self, payload: usize) {
        add(&self.packets, 1);
        add(&self.payload_bytes, payload as u64);
    }

    /// So many packets more are missing at a bot than before; fewer when they came late.
    pub fn missing(&self, more: i64) {
        self.missing.fetch_add(more, Ordering::Relaxed);
    }

    /// A bot sent a frame, so much later than it was due.
    pub fn sent(&self, late: Duration) {
        add(&self.frames_sent, 1);
        self.lateness.record(late);
    }

    /// A bot opened a frame, so long after it was due, if that is known.
    pub fn opened(&self, is_video: bool, latency: Option<Duration>) {
        let frames = if is_video {
            &self.video_frames
        } else {
            &self.audio_frames
        };
        add(frames, 1);
        if let Some(latency) = latency.filter(|_| is_video) {
            self.latency.record(latency);
        }
    }

    /// A bot could not open a frame.
    pub fn unopened(&self, error: OpenError) {
        let [forged, malformed, unknown_epoch, duplicate, empty, too_old] = &self.unopened;
        let count = match error {
            OpenError::Forged => forged,
            OpenError::Malformed => malformed,
            OpenError::UnknownEpoch => unknown_epoch,
            OpenError::Duplicate => duplicate,
            OpenError::Empty => empty,
            OpenError::TooOld => too_old,
        };
        add(count, 1);
    }

    /// All of it at one moment.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            joined: read(&self.joined),
            failed: read(&self.failed),
            left: read(&self.left),
            packets: read(&self.packets),
            payload_bytes: read(&self.payload_bytes),
            missing: self.missing.load(Ordering::Relaxed).max(0) as u64,
            frames_sent: read(&self.frames_sent),
            audio_frames: read(&self.audio_frames),
            video_frames: read(&self.video_frames),
            unopened: self.unopened.each_ref().map(read),
            latency: self.latency.snapshot(),
            lateness: self.lateness.snapshot(),
        }
    }
}

/// [`Counts`] at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Bots that came into the call.
    pub joined: u64,
    /// Bots that could not.
    pub failed: u64,
    /// Bots that are in the call no longer.
    pub left: u64,
    /// RTP packets received.
    pub packets: u64,
    /// Their payload, in bytes.
    pub payload_bytes: u64,
    /// Packets that did not come yet, by their sequence numbers.
    pub missing: u64,
    /// Frames sent.
    pub frames_sent: u64,
    /// Sounds opened.
    pub audio_frames: u64,
    /// Pictures opened.
    pub video_frames: u64,
    /// Frames not opened, in the order of their reasons.
    pub(crate) unopened: [u64; REASONS.len()],
    /// How old pictures were, from their schedule.
    pub latency: DurationCounts,
    /// How late frames were sent.
    pub lateness: DurationCounts,
}

impl Snapshot {
    /// Bots in the call.
    pub fn participants(&self) -> u64 {
        self.joined.saturating_sub(self.left)
    }

    /// Frames that nobody of the call sealed, or that are none.
    pub fn failures(&self) -> u64 {
        let [forged, malformed, ..] = self.unopened;
        forged + malformed
    }

    /// Frames that came without a key to open them, which is usual while bots join.
    pub fn without_key(&self) -> u64 {
        let [_, _, unknown_epoch, ..] = self.unopened;
        unknown_epoch
    }
}

/// Tells once a second how many packets a bot misses.
#[derive(Debug)]
pub struct Losses {
    told: i64,
    next: Instant,
}

impl Losses {
    /// How often.
    const PAUSE: Duration = Duration::from_secs(1);

    /// Of a bot that misses nothing yet.
    pub fn new(now: Instant) -> Self {
        Self {
            told: 0,
            next: now + Self::PAUSE,
        }
    }

    /// Tells, if it is time to.
    pub fn tell(&mut self, now: Instant, counts: &Counts, missing: impl FnOnce() -> u64) {
        if now >= self.next {
            let missing = missing() as i64;
            counts.missing(missing - self.told);
            self.told = missing;
            self.next = now + Self::PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bots_tell_is_added_up() {
        let counts = Counts::default();
        counts.joined();
        counts.joined();
        counts.left();
        counts.failed();
        counts.packet(100);
        counts.opened(true, Some(Duration::from_millis(5)));
        counts.opened(false, Some(Duration::from_millis(1)));
        counts.sent(Duration::from_millis(2));
        counts.unopened(OpenError::Forged);
        counts.unopened(OpenError::UnknownEpoch);
        counts.unopened(OpenError::Duplicate);
        let now = counts.snapshot();
        assert_eq!((now.participants(), now.failed), (1, 1));
        assert_eq!((now.packets, now.payload_bytes), (1, 100));
        assert_eq!(
            (now.audio_frames, now.video_frames, now.frames_sent),
            (1, 1, 1)
        );
        assert_eq!((now.failures(), now.without_key()), (1, 1));
        assert_eq!((now.latency.count(), now.lateness.count()), (1, 1));
    }

    #[test]
    fn packets_that_came_late_are_missing_no_longer() {
        let (counts, start) = (Counts::default(), Instant::now());
        let mut losses = Losses::new(start);
        let mut other = Losses::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        losses.tell(start, &counts, || panic!("not yet"));
        losses.tell(at(1), &counts, || 5);
        other.tell(at(1), &counts, || 1);
        assert_eq!(counts.snapshot().missing, 6);
        losses.tell(at(2), &counts, || 2);
        assert_eq!(counts.snapshot().missing, 3);
    }
}
