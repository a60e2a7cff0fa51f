//! When a frame was sent, told inside its sealed payload: 16 bytes after the end of the
//! VP8 data, which decoders ignore. Only meaningful on the machine that made it, since it
//! reads that machine's monotonic clock.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

const MAGIC: &[u8; 8] = b"cnclv-ts";
/// How many bytes a stamp adds to a frame.
pub const STAMP_LEN: usize = MAGIC.len() + size_of::<u64>();

/// A moment of `CLOCK_MONOTONIC`, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64);

/// Ties [`Instant`], which hides its origin, to `CLOCK_MONOTONIC`, which another process
/// on this machine can read too.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock {
    instant: Instant,
    since_boot: Duration,
}

impl MonotonicClock {
    /// Reads both clocks.
    pub fn start() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        Self {
            instant: Instant::now(),
            since_boot: Duration::new(
                time.tv_sec.try_into().unwrap_or_default(),
                time.tv_nsec.try_into().unwrap_or_default(),
            ),
        }
    }

    /// How long ago, at `now`, a frame was stamped.
    pub fn age(self, stamp: Stamp, now: Instant) -> Duration {
        Duration::from_nanos(self.nanoseconds(now).saturating_sub(stamp.0))
    }

    fn nanoseconds(self, at: Instant) -> u64 {
        let since_boot = if at >= self.instant {
            self.since_boot + (at - self.instant)
        } else {
            self.since_boot.saturating_sub(self.instant - at)
        };
        since_boot.as_nanos().try_into().unwrap_or(u64::MAX)
    }
}

/// Appends the time to a frame.
pub fn stamp(frame: &mut Vec<u8>, clock: MonotonicClock, at: Instant) {
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(&clock.nanoseconds(at).to_be_bytes());
}

/// Reads the stamp of a frame, if it bears one.
pub fn read(frame: &[u8]) -> Option<Stamp> {
    let (rest, time) = frame.split_last_chunk::<8>()?;
    rest.ends_with(MAGIC)
        .then(|| Stamp(u64::from_be_bytes(*time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_tells_its_age_to_another_clock() {
        let (writer, reader) = (MonotonicClock::start(), MonotonicClock::start());
        let sent = Instant::now();
        let mut frame = vec![1, 2, 3];
        stamp(&mut frame, writer, sent);
        assert_eq!(frame.len(), 3 + STAMP_LEN);

        let found = reader.age(read(&frame).unwrap(), sent + Duration::from_millis(7));
        let error = found.abs_diff(Duration::from_millis(7));
        assert!(error < Duration::from_millis(1), "{found:?}");
    }

    #[test]
    fn frames_of_others_bear_no_stamp() {
        for frame in [&b""[..], b"\0\0\0\0\0\0\0\0", &[0x5a; 64]] {
            assert_eq!(read(frame), None);
        }
    }
}
