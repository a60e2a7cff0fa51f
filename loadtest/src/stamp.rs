//! When a frame was sent, told inside its sealed payload: 16 bytes after the end of the
//! VP8 data, which decoders ignore. Only meaningful on the machine that made it, since it
//! reads that machine's monotonic clock.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

const MAGIC: &[u8; 8] = b"cnclv-ts";
/// How many bytes a stamp adds to a frame.
pub const STAMP_LEN: usize = MAGIC.len() + size_of::<u64>();

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

/// How long ago a frame was stamped; none when it bears no stamp.
pub fn age(frame: &[u8], clock: MonotonicClock, now: Instant) -> Option<Duration> {
    let (rest, time) = frame.split_last_chunk::<8>()?;
    if !rest.ends_with(MAGIC) {
        return None;
    }
    let elapsed = clock
        .nanoseconds(now)
        .saturating_sub(u64::from_be_bytes(*time));
    Some(Duration::from_nanos(elapsed))
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

        let found = age(&frame, reader, sent + Duration::from_millis(7)).unwrap();
        let error = found.abs_diff(Duration::from_millis(7));
        assert!(error < Duration::from_millis(1), "{found:?}");
    }

    #[test]
    fn frames_of_others_bear_no_stamp() {
        let clock = MonotonicClock::start();
        for frame in [&b""[..], b"\0\0\0\0\0\0\0\0", &[0x5a; 64]] {
            assert_eq!(age(frame, clock, Instant::now()), None);
        }
    }
}
