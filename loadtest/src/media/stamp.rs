//! When a frame was due and when it was sent, told inside its sealed payload: 24 bytes
//! after the end of the video data, which decoders ignore, or in the padding of an Opus
//! packet (RFC 6716 §3.2.5), which they ignore too. Only meaningful on the machine that
//! made it, since it reads that machine's monotonic clock.
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

/// Puts both times into the padding of an Opus packet. One that is padded already stays as
/// it is.
pub fn stamp_opus(packet: &mut Vec<u8>, clock: MonotonicClock, due: Instant, sent: Instant) {
    const FRAMES_FOLLOW: u8 = 3;
    const VARIABLE: u8 = 0x80;
    const PADDED: u8 = 0x40;
    let [toc, rest @ ..] = packet.as_slice() else {
        return;
    };
    let (count, rest) = match (toc & 3, rest) {
        (0, _) => (1, rest),
        (1, _) => (2, rest),
        (2, _) => (2 | VARIABLE, rest),
        (_, [count, rest @ ..]) if count & PADDED == 0 => (*count, rest),
        _ => return,
    };
    let head = [toc | FRAMES_FOLLOW, count | PADDED, STAMP_LEN as u8];
    *packet = [&head, rest].concat();
    stamp(packet, clock, due, sent);
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
    fn a_stamp_in_an_opus_packet_is_padding() {
        let clock = MonotonicClock::start();
        let now = Instant::now();
        let stamped = |packet: &[u8]| {
            let mut packet = packet.to_vec();
            stamp_opus(&mut packet, clock, now, now);
            packet
        };
        // One frame, two alike, two of their own length, three.
        for (packet, head) in [
            (&[0x48, 7, 8][..], &[0x4b, 0x41, 24, 7, 8][..]),
            (&[0x49, 7, 8], &[0x4b, 0x42, 24, 7, 8]),
            (&[0x4a, 1, 7, 8], &[0x4b, 0xc2, 24, 1, 7, 8]),
            (&[0x4b, 3, 7, 8, 9], &[0x4b, 0x43, 24, 7, 8, 9]),
        ] {
            let found = stamped(packet);
            assert_eq!(found[..head.len()], *head);
            assert_eq!(found.len(), head.len() + STAMP_LEN);
            assert!(read(&found).is_some());
        }
        for packet in [&[0x4b, 0x41, 1, 7, 0][..], &[0x4b], &[]] {
            assert_eq!(stamped(packet), packet);
        }
    }

    #[test]
    fn frames_of_others_bear_no_stamp() {
        for frame in [&b""[..], b"\0\0\0\0\0\0\0\0", &[0x5a; 64]] {
            assert_eq!(read(frame), None);
        }
    }
}
