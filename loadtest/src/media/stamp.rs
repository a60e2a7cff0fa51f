//! When a frame was due and when it was sent, told inside its sealed payload: 24 bytes
//! after the end of the video data, which decoders ignore. A sound would end with a
//! crackle, so sounds are stamped only where nobody but bots listens. Only meaningful on the machine
//! that made it, since it reads that machine's monotonic clock.
//!
//! Both moments are told since a sender that is itself late would hide that its frames
//! waited: latency from the schedule shows it (coordinated omission), latency from sending
//! is the server's part.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

const MAGIC: &[u8; 8] = b"cnclv-ts";
/// How many bytes a stamp adds to a frame.
pub const STAMP_LEN: usize = MAGIC.len() + 2 * size_of::<u64>();

/// Two moments of `CLOCK_MONOTONIC`, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    due: u64,
    sent: u64,
}

/// How old a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// Since it should have been sent.
    pub from_schedule: Duration,
    /// Since it was sent.
    pub from_sending: Duration,
}

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

    /// How old, at `now`, a stamped frame is.
    pub fn age(self, stamp: Stamp, now: Instant) -> Age {
        let now = self.nanoseconds(now);
        let since = |then| Duration::from_nanos(now.saturating_sub(then));
        Age {
            from_schedule: since(stamp.due),
            from_sending: since(stamp.sent),
        }
    }

    /// How long it has run.
    pub fn since_start(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.instant)
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

/// Appends both times to a frame.
pub fn stamp(frame: &mut Vec<u8>, clock: MonotonicClock, due: Instant, sent: Instant) {
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(&clock.nanoseconds(due).to_be_bytes());
    frame.extend_from_slice(&clock.nanoseconds(sent).to_be_bytes());
}

/// Reads the stamp of a frame, if it bears one.
pub fn read(frame: &[u8]) -> Option<Stamp> {
    let (rest, sent) = frame.split_last_chunk::<8>()?;
    let (rest, due) = rest.split_last_chunk::<8>()?;
    rest.ends_with(MAGIC).then(|| Stamp {
        due: u64::from_be_bytes(*due),
        sent: u64::from_be_bytes(*sent),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_tells_its_age_to_another_clock() {
        let (writer, reader) = (MonotonicClock::start(), MonotonicClock::start());
        let sent = Instant::now();
        let mut frame = vec![1, 2, 3];
        let late = Duration::from_millis(2);
        stamp(&mut frame, writer, sent - late, sent);
        assert_eq!(frame.len(), 3 + STAMP_LEN);

        let found = reader.age(read(&frame).unwrap(), sent + Duration::from_millis(7));
        for (age, milliseconds) in [(found.from_sending, 7), (found.from_schedule, 9)] {
            let error = age.abs_diff(Duration::from_millis(milliseconds));
            assert!(error < Duration::from_millis(1), "{found:?}");
        }
    }

    #[test]
    fn frames_of_others_bear_no_stamp() {
        for frame in [&b""[..], b"\0\0\0\0\0\0\0\0", &[0x5a; 64]] {
            assert_eq!(read(frame), None);
        }
    }
}
