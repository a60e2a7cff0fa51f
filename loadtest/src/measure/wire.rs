//! What came over the wire, before anything repaired it. The header of an RTP packet stays
//! in clear under SRTP (RFC 3711 §3.1), so the datagrams themselves tell what the path
//! lost, doubled and reordered, whatever retransmissions make good later.
//!
//! Sans-IO: it takes datagrams and when they came. What a payload type stands for was
//! agreed on elsewhere, so the caller says it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The length of a header without its options, in bytes (RFC 3550 §5.1).
const FIXED_HEADER: usize = 12;
/// How far back a packet is told from one that came before, in packets.
const MEMORY: u64 = 1_024;

/// What is read of an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    /// Whose stream.
    pub ssrc: u32,
    /// What it carries, as agreed on.
    pub payload_type: u8,
    /// Its place in the stream.
    pub sequence: u16,
    /// RTP time.
    pub time: u32,
}

impl RtpHeader {
    /// Reads a datagram; none if it is no RTP packet but STUN, DTLS (RFC 7983 §7) or RTCP
    /// (RFC 5761 §4).
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let (header, _) = datagram.split_first_chunk::<FIXED_HEADER>()?;
        let [first, second, s1, s2, t1, t2, t3, t4, id1, id2, id3, id4] = *header;
        if !(128..=191).contains(&first) || (192..=223).contains(&second) {
            return None;
        }
        Some(Self {
            ssrc: u32::from_be_bytes([id1, id2, id3, id4]),
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s1, s2]),
            time: u32::from_be_bytes([t1, t2, t3, t4]),
        })
    }
}

/// A kind of RTP packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Packets sent again, in a stream of their own (RFC 4588), and what probes for
    /// bandwidth in its place.
    Retransmission,
}

/// What a payload type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// What the packets are.
    pub kind: WireKind,
    /// Ticks of RTP time in a second.
    pub clock_rate: u32,
}

/// What came of one kind, since the beginning. Two moments are compared with
/// [`Self::since`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WireCounts {
    /// Packets, each counted once.
    pub received: u64,
    /// Packets that the sequence numbers speak of.
    pub expected: u64,
    /// Packets that had come before.
    pub duplicates: u64,
    /// Packets that came after one with a higher number (RFC 4737 §3.3).
    pub reordered: u64,
    /// The estimates of the interarrival jitter (RFC 3550 §6.4.1) after each packet,
    /// added up, in seconds.
    jitter_seconds: f64,
    /// How many they are.
    jitter_samples: u64,
}

impl WireCounts {
    /// Packets that the path lost.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }

    /// Lost by expected; none when nothing was expected.
    pub fn lost_ratio(&self) -> Option<f64> {
        (self.expected > 0).then(|| self.lost() as f64 / self.expected as f64)
    }

    /// The interarrival jitter, on average over all packets. None for retransmissions,
    /// which bear the times of what they repeat.
    pub fn jitter(&self) -> Option<Duration> {
        (self.jitter_samples > 0)
            .then(|| Duration::from_secs_f64(self.jitter_seconds / self.jitter_samples as f64))
    }

    /// What came since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            received: self.received - earlier.received,
            expected: self.expected - earlier.expected,
            duplicates: self.duplicates - earlier.duplicates,
            reordered: self.reordered - earlier.reordered,
            jitter_seconds: (self.jitter_seconds - earlier.jitter_seconds).max(0.0),
            jitter_samples: self.jitter_samples - earlier.jitter_samples,
        }
    }

    /// Adds what came to another.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.expected += other.expected;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
        self.jitter_seconds += other.jitter_seconds;
        self.jitter_samples += other.jitter_samples;
    }
}

/// What came, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WireSummary {
    /// Sound.
    pub audio: WireCounts,
    /// Pictures.
    pub video: WireCounts,
    /// Packets sent again.
    pub retransmission: WireCounts,
}

impl WireSummary {
    /// What came of one kind.
    pub fn of(&self, kind: WireKind) -> &WireCounts {
        match kind {
            WireKind::Audio => &self.audio,
            WireKind::Video => &self.video,
            WireKind::Retransmission => &self.retransmission,
        }
    }

    fn of_mut(&mut self, kind: WireKind) -> &mut WireCounts {
        match kind {
            WireKind::Audio => &mut self.audio,
            WireKind::Video => &mut self.video,
            WireKind::Retransmission => &mut self.retransmission,
        }
    }

    /// What came since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            audio: self.audio.since(&earlier.audio),
            video: self.video.since(&earlier.video),
            retransmission: self.retransmission.since(&earlier.retransmission),
        }
    }

    /// Adds what came to another.
    pub fn add(&mut self, other: &Self) {
        self.audio.add(&other.audio);
        self.video.add(&other.video);
        self.retransmission.add(&other.retransmission);
    }

    /// Sound and pictures together, without what was sent again.
    pub fn media(&self) -> WireCounts {
        let mut media = self.audio;
        media.add(&self.video);
        media
    }
}

/// Which of the last packets came.
#[derive(Debug)]
struct Seen([u64; (MEMORY / 64) as usize]);

impl Seen {
    fn place(number: u64) -> (usize, u64) {
        let at = number % MEMORY;
        ((at / 64) as usize, 1 << (at % 64))
    }

    fn put(&mut self, number: u64) {
        let (word, bit) = Self::place(number);
        self.0[word] |= bit;
    }

    fn forget(&mut self, number: u64) {
        let (word, bit) = Self::place(number);
        self.0[word] &= !bit;
    }

    fn has(&self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        self.0[word] & bit != 0
    }
}

/// The interarrival jitter of one stream (RFC 3550 appendix A.8), in seconds.
#[derive(Debug)]
struct Jitter {
    came: Instant,
    time: u32,
    estimate: f64,
}

impl Jitter {
    fn packet(&mut self, at: Instant, time: u32, clock_rate: u32) -> f64 {
        let apart = at.saturating_duration_since(self.came).as_secs_f64();
        let meant = f64::from(time.wrapping_sub(self.time) as i32) / f64::from(clock_rate.max(1));
        self.estimate += ((apart - meant).abs() - self.estimate) / 16.0;
        (self.came, self.time) = (at, time);
        self.estimate
    }
}

/// One RTP stream.
#[derive(Debug)]
struct Stream {
    /// The highest number so far, without wrapping. Begins high enough to look back.
    highest: u64,
    first: u64,
    seen: Seen,
    jitter: Jitter,
}

/// What one packet was to its stream.
struct Place {
    /// How many numbers it added to those known.
    ahead: u64,
    duplicate: bool,
    reordered: bool,
}

impl Stream {
    fn new(header: &RtpHeader, at: Instant) -> Self {
        let first = (1 << 32) + u64::from(header.sequence);
        Self {
            // The first packet is one ahead of this.
            highest: first - 1,
            first,
            seen: Seen([0; (MEMORY / 64) as usize]),
            jitter: Jitter {
                came: at,
                time: header.time,
                estimate: 0.0,
            },
        }
    }

    /// Finds the place of a packet (RFC 3550 appendix A.1: numbers wrap at 16 bits).
    fn place(&mut self, sequence: u16) -> Place {
        let step = sequence.wrapping_sub(self.highest as u16) as i16;
        let number = self.highest.wrapping_add_signed(step.into());
        if number > self.highest {
            let ahead = number - self.highest;
            let forgotten = ahead.min(MEMORY);
            (number - forgotten + 1..=number).for_each(|number| self.seen.forget(number));
            self.highest = number;
            self.seen.put(number);
            return Place {
                ahead,
                duplicate: false,
                reordered: false,
            };
        }
        let remembered = self.highest - number < MEMORY;
        let duplicate = remembered && self.seen.has(number);
        if remembered {
            self.seen.put(number);
        }
        // The stream may have begun with a packet that overtook others.
        let ahead = self.first.saturating_sub(number);
        self.first = self.first.min(number);
        Place {
            ahead,
            duplicate,
            reordered: !duplicate,
        }
    }
}

/// Watches the datagrams that one bot receives.
#[derive(Debug, Default)]
pub struct WireWatch {
    streams: HashMap<u32, Stream>,
    summary: WireSummary,
}

impl WireWatch {
    /// Notes a datagram. `meaning` tells what its payload type stands for; what it does
    /// not know is not counted, nor is anything but RTP.
    pub fn datagram(
        &mut self,
        at: Instant,
        datagram: &[u8],
        meaning: impl FnOnce(u8) -> Option<Meaning>,
    ) {
        let Some(header) = RtpHeader::read(datagram) else {
            return;
        };
        let Some(meaning) = meaning(header.payload_type) else {
            return;
        };
        let stream = self
            .streams
            .entry(header.ssrc)
            .or_insert_with(|| Stream::new(&header, at));
        let place = stream.place(header.sequence);
        let counts = self.summary.of_mut(meaning.kind);
        counts.expected += place.ahead;
        counts.received += u64::from(!place.duplicate);
        counts.duplicates += u64::from(place.duplicate);
        counts.reordered += u64::from(place.reordered);
        if meaning.kind != WireKind::Retransmission {
            counts.jitter_seconds += stream.jitter.packet(at, header.time, meaning.clock_rate);
            counts.jitter_samples += 1;
        }
    }

    /// What came so far.
    pub fn summary(&self) -> WireSummary {
        self.summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: Meaning = Meaning {
        kind: WireKind::Video,
        clock_rate: 90_000,
    };

    fn packet(payload_type: u8, sequence: u16, time: u32, ssrc: u32) -> Vec<u8> {
        let mut packet = vec![0x90, payload_type];
        packet.extend(sequence.to_be_bytes());
        packet.extend(time.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend([0xbe; 30]);
        packet
    }

    fn meaning(payload_type: u8) -> Option<Meaning> {
        let kind = match payload_type {
            96 => return Some(VIDEO),
            97 => WireKind::Retransmission,
            111 => WireKind::Audio,
            _ => return None,
        };
        Some(Meaning {
            kind,
            clock_rate: 48_000,
        })
    }

    /// What a row of sequence numbers counts as.
    fn row(numbers: impl IntoIterator<Item = u16>) -> WireCounts {
        let mut watch = WireWatch::default();
        let at = Instant::now();
        for number in numbers {
            watch.datagram(at, &packet(96, number, 0, 7), meaning);
        }
        watch.summary().video
    }

    fn counts(numbers: &[u16]) -> (u64, u64, u64, u64) {
        let row = row(numbers.iter().copied());
        (row.received, row.lost(), row.duplicates, row.reordered)
    }

    #[test]
    fn gaps_repeats_and_latecomers_are_told_apart() {
        assert_eq!(counts(&[10, 11, 12]), (3, 0, 0, 0));
        assert_eq!(counts(&[10, 12, 15]), (3, 3, 0, 0), "gaps");
        assert_eq!(counts(&[10, 11, 11, 12, 10]), (3, 0, 2, 0), "repeats");
        assert_eq!(counts(&[10, 12, 11, 13]), (4, 0, 0, 1), "late, not lost");
        assert_eq!(counts(&[10, 12, 11, 11]), (3, 0, 1, 1), "late, and again");
        assert_eq!(counts(&[11, 10, 12]), (3, 0, 0, 1), "late at the beginning");
        assert_eq!(counts(&[11, 8]), (2, 2, 0, 1), "late, and some are missing");
        assert_eq!(counts(&[8, 11, 8]), (2, 2, 1, 0), "the first one again");
    }

    #[test]
    fn numbers_wrap() {
        assert_eq!(counts(&[65_534, 65_535, 0, 1]), (4, 0, 0, 0));
        assert_eq!(counts(&[65_534, 1, 65_535, 1]), (3, 1, 1, 1));
        let twice_round = (0..200_000_u32).map(|number| number as u16);
        let all = row(twice_round.clone());
        assert_eq!((all.received, all.lost(), all.duplicates), (200_000, 0, 0));
        let every_50th_lost = row(twice_round.filter(|number| number % 50 != 1));
        assert!((every_50th_lost.lost_ratio().unwrap() - 0.02).abs() < 1e-3);
    }

    #[test]
    fn a_long_gap_is_no_reason_to_take_old_numbers_for_seen_ones() {
        let gap = (0..2_000).chain(9_000..9_100).chain(8_990..9_000);
        let row = row(gap);
        assert_eq!((row.duplicates, row.reordered), (0, 10));
        assert_eq!((row.received, row.lost()), (2_110, 6_990));
    }

    #[test]
    fn kinds_and_streams_are_counted_apart_and_the_rest_not_at_all() {
        let mut watch = WireWatch::default();
        let at = Instant::now();
        let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[0; 12]].concat();
        let dtls = [22; 40];
        let rtcp = packet(200, 5, 0, 1);
        for datagram in [
            packet(96, 5, 0, 1),
            packet(96, 900, 0, 2),
            packet(96, 902, 0, 2),
            // The marker bit is not of the payload type.
            packet(96 | 0x80, 6, 0, 1),
            packet(97, 5, 0, 3),
            packet(111, 5, 0, 4),
            packet(100, 5, 0, 5),
            stun,
            dtls.to_vec(),
            rtcp,
            packet(96, 5, 0, 1)[..11].to_vec(),
            Vec::new(),
        ] {
            watch.datagram(at, &datagram, meaning);
        }
        let summary = watch.summary();
        assert_eq!((summary.video.received, summary.video.lost()), (4, 1));
        assert_eq!(summary.retransmission.received, 1);
        assert_eq!(summary.audio.received, 1);
        assert_eq!((summary.media().received, summary.media().lost()), (5, 1));
        assert_eq!(summary.retransmission.jitter(), None);
    }

    #[test]
    fn jitter_is_how_unevenly_packets_come() {
        let start = Instant::now();
        let play = |late: fn(u32) -> u64| {
            let mut watch = WireWatch::default();
            for number in 0..2_000_u32 {
                let at = start + Duration::from_millis(20 * u64::from(number) + late(number));
                let time = u32::MAX.wrapping_add(number * 20 * 90);
                watch.datagram(at, &packet(96, number as u16, time, 1), meaning);
            }
            watch.summary().video.jitter().unwrap().as_secs_f64() * 1e3
        };
        assert!(play(|_| 7) < 1e-3, "a steady delay is none");
        // Each is 4 ms nearer to or further from the one before it.
        let jitter = play(|number| u64::from(number % 2) * 4);
        assert!((jitter - 4.0).abs() < 0.1, "{jitter}");
    }

    #[test]
    fn two_moments_are_compared() {
        let mut watch = WireWatch::default();
        let at = Instant::now();
        let mut play = |numbers: &[u16]| {
            for number in numbers {
                watch.datagram(at, &packet(96, *number, 0, 7), meaning);
            }
            watch.summary()
        };
        let before = play(&[1, 2, 4, 4]);
        let after = play(&[5, 8]);
        let between = after.since(&before).video;
        assert_eq!(
            (between.received, between.lost(), between.duplicates),
            (2, 2, 0)
        );
        let mut sum = before;
        sum.add(&after.since(&before));
        assert_eq!(sum, after);
    }
}
