//! What one bot saw and did, as numbers.

use std::{collections::HashMap, time::Duration};

use conclave_e2ee::{LeafIndex, Member, OpenError, StreamContext};
use conclave_protocol::{Epoch, signal::Source};
use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::counters::{CounterSet, Span};
use crate::media::stamp::{Age, Stamp};

/// One sealed stream: frames with one key and one row of counters (RFC 9605 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// Whose.
    pub leaf: LeafIndex,
    /// In which epoch.
    pub epoch: Epoch,
    /// Which of theirs.
    pub context: StreamContext,
}

impl StreamKey {
    /// Seen or heard.
    pub fn is_video(self) -> bool {
        self.context != StreamContext::AUDIO && self.context != StreamContext::SCREEN_SOUND
    }

    /// What it shows; none for data.
    pub fn source(self) -> Option<Source> {
        match self.context {
            StreamContext::AUDIO => Some(Source::Microphone),
            StreamContext::SCREEN_SOUND => Some(Source::ScreenSound),
            context if StreamContext::CAMERA.contains(&context) => Some(Source::Camera),
            context if StreamContext::SCREEN.contains(&context) => Some(Source::Screen),
            _ => None,
        }
    }
}

/// The frames that a bot sealed of one stream within the measured window.
#[derive(Debug, Clone)]
pub struct SentStream {
    /// All of them.
    pub span: Span,
    /// Those of the base layer, which no SFU leaves out on purpose.
    pub base: CounterSet,
}

/// The frames that a bot opened of one stream.
#[derive(Debug, Clone, Default)]
pub struct OpenedStream {
    /// All of them.
    pub counters: CounterSet,
    /// Those opened within the measured window.
    pub window: Option<Span>,
}

/// How many frames of a member were opened, over the whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SenderCount {
    /// The name in the member's credential.
    pub name: String,
    /// Sound.
    pub audio_frames: u64,
    /// Pictures, key frames among them.
    pub video_frames: u64,
    /// Pictures that can be decoded by themselves.
    pub video_key_frames: u64,
    /// Pictures with a stamp, which only load-test bots send.
    pub stamped_frames: u64,
}

/// Frames that were not opened, by reason, over the whole run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unopened {
    /// Not sealed by a member, or changed on the way: a failure.
    pub forged: u64,
    /// Not a sealed frame: a failure.
    pub malformed: u64,
    /// No key for its epoch within the measured window: a failure.
    pub unknown_epoch: u64,
    /// No key for its epoch while the call was still gathering, or the bot had just come:
    /// no failure.
    pub unknown_epoch_while_joining: u64,
    /// Came twice: dropped quietly.
    pub duplicate: u64,
    /// Padding: dropped quietly.
    pub empty: u64,
    /// Too far behind to be told from a replay: dropped.
    pub too_old: u64,
}

impl Unopened {
    /// Those that should have been opened.
    pub fn failures(&self) -> u64 {
        self.forged + self.malformed + self.unknown_epoch
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.forged += other.forged;
        self.malformed += other.malformed;
        self.unknown_epoch += other.unknown_epoch;
        self.unknown_epoch_while_joining += other.unknown_epoch_while_joining;
        self.duplicate += other.duplicate;
        self.empty += other.empty;
        self.too_old += other.too_old;
    }
}

/// A frame that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Its stream.
    pub stream: StreamKey,
    /// Its place in the stream.
    pub counter: u64,
    /// A picture that can be decoded by itself.
    pub is_key_frame: bool,
    /// When it was sent, if it says so.
    pub stamp: Option<Stamp>,
}

/// A frame that was sealed and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its stream.
    pub stream: StreamKey,
    /// Its place in the stream.
    pub counter: u64,
    /// In how many packets.
    pub packets: u64,
    /// How far behind the schedule.
    pub late: Duration,
    /// Frames left out just before it, as they were too late.
    pub left_out: u64,
    /// It is of the lowest temporal layer.
    pub is_base: bool,
}

/// RTP packets that never came, by the gaps in their sequence numbers, after what was
/// sent again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LostPackets {
    /// With sound.
    pub audio: u64,
    /// With pictures.
    pub video: u64,
}

impl LostPackets {
    /// All of them.
    pub fn sum(&self) -> u64 {
        self.audio + self.video
    }

    /// Adds what another lost.
    pub fn add(&mut self, other: &Self) {
        self.audio += other.audio;
        self.video += other.video;
    }
}

/// One bot's numbers.
#[derive(Debug)]
pub struct Tally {
    measuring: bool,
    /// RTP packets received within the window.
    pub packets: u64,
    /// Their payload.
    pub payload_bytes: u64,
    /// RTP packets received over the whole run.
    pub packets_total: u64,
    /// RTP packets that never came, over the whole run.
    pub packets_lost: LostPackets,
    /// Frames opened within the window.
    pub frames_opened: u64,
    /// Frames opened over the whole run.
    pub frames_opened_total: u64,
    /// The streams opened.
    pub opened: HashMap<StreamKey, OpenedStream>,
    /// Frames not opened.
    pub unopened: Unopened,
    /// Age of the pictures opened within the window.
    pub video_latency: Latency,
    /// Age of the sounds opened within the window.
    pub audio_latency: Latency,
    /// RTP packets sent within the window.
    pub packets_sent: u64,
    /// What was sent within the window.
    pub sent: HashMap<StreamKey, SentStream>,
    /// How late each frame was sent within the window.
    pub lateness: Histogram<u64>,
    /// Frames left out within the window.
    pub left_out: u64,
    senders: Vec<SenderCount>,
    sender_by_leaf: HashMap<LeafIndex, usize>,
}

/// The longest duration that is told from longer ones, in nanoseconds.
const LONGEST: u64 = 600_000_000_000;

/// A histogram of durations from 1 ns to ten minutes, with three digits. All of them have
/// the same bounds, so that any two can be added.
pub fn durations() -> Histogram<u64> {
    // Fails only on bounds that are the wrong way round and on more than five digits.
    #[expect(clippy::unwrap_used)]
    Histogram::new_with_bounds(1, LONGEST, 3).unwrap()
}

fn record(histogram: &mut Histogram<u64>, duration: Duration) {
    histogram.saturating_record(duration.as_nanos().try_into().unwrap_or(u64::MAX));
}

/// How old frames were when they were opened.
#[derive(Debug, Clone)]
pub struct Latency {
    /// Since they were sent.
    pub from_send: Histogram<u64>,
    /// Since they should have been sent.
    pub from_schedule: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            from_send: durations(),
            from_schedule: durations(),
        }
    }
}

impl Latency {
    fn note(&mut self, age: Age) {
        record(&mut self.from_send, age.from_sending);
        record(&mut self.from_schedule, age.from_schedule);
    }

    /// Takes those of another one too.
    pub fn add(&mut self, other: &Self) {
        // All have the same bounds, so adding cannot fail.
        let _ = self.from_send.add(&other.from_send);
        let _ = self.from_schedule.add(&other.from_schedule);
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            measuring: false,
            packets: 0,
            payload_bytes: 0,
            packets_total: 0,
            packets_lost: LostPackets::default(),
            frames_opened: 0,
            frames_opened_total: 0,
            opened: HashMap::new(),
            unopened: Unopened::default(),
            video_latency: Latency::default(),
            audio_latency: Latency::default(),
            packets_sent: 0,
            sent: HashMap::new(),
            lateness: durations(),
            left_out: 0,
            senders: Vec::new(),
            sender_by_leaf: HashMap::new(),
        }
    }
}

impl Tally {
    /// Opens or closes the measured window.
    pub fn measure(&mut self, measuring: bool) {
        self.measuring = measuring;
    }

    /// Notes who is in the group.
    pub fn roster(&mut self, members: &[Member]) {
        self.sender_by_leaf.clear();
        for member in members {
            let known = self
                .senders
                .iter()
                .position(|sender| sender.name == member.name);
            let place = known.unwrap_or_else(|| {
                self.senders.push(SenderCount {
                    name: member.name.clone(),
                    audio_frames: 0,
                    video_frames: 0,
                    video_key_frames: 0,
                    stamped_frames: 0,
                });
                self.senders.len() - 1
            });
            self.sender_by_leaf.insert(member.leaf, place);
        }
    }

    /// Notes a packet that came.
    pub fn packet(&mut self, payload: usize) {
        self.packets_total += 1;
        if self.measuring {
            self.packets += 1;
            self.payload_bytes += payload as u64;
        }
    }

    /// Notes a frame that was sent.
    pub fn sent(&mut self, sent: &Sent) {
        if !self.measuring {
            return;
        }
        let stream = self.sent.entry(sent.stream).or_insert_with(|| SentStream {
            span: Span::of(sent.counter),
            base: CounterSet::default(),
        });
        stream.span.include(sent.counter);
        if sent.is_base {
            stream.base.insert(sent.counter);
        }
        self.packets_sent += sent.packets;
        self.left_out += sent.left_out;
        record(&mut self.lateness, sent.late);
    }

    /// Notes a frame that was opened, and how long after it was sent, if that is known.
    pub fn opened(&mut self, opened: &Opened, age: Option<Age>) {
        self.frames_opened_total += 1;
        let stream = self.opened.entry(opened.stream).or_default();
        stream.counters.insert(opened.counter);
        if let Some(sender) = self
            .sender_by_leaf
            .get(&opened.stream.leaf)
            .and_then(|place| self.senders.get_mut(*place))
        {
            if opened.stream.is_video() {
                sender.video_frames += 1;
                sender.video_key_frames += u64::from(opened.is_key_frame);
                sender.stamped_frames += u64::from(opened.stamp.is_some());
            } else {
                sender.audio_frames += 1;
            }
        }
        if self.measuring {
            self.frames_opened += 1;
            Span::extend(&mut stream.window, opened.counter);
            if let Some(age) = age {
                if opened.stream.is_video() {
                    self.video_latency.note(age);
                } else {
                    self.audio_latency.note(age);
                }
            }
        }
    }

    /// Notes a frame that was not opened. `is_new`: the bot has been in the call for so
    /// short a time that others may not have gone over to an epoch that it has keys of.
    pub fn unopened(&mut self, error: OpenError, is_new: bool) {
        let counts = &mut self.unopened;
        let count = match error {
            OpenError::Duplicate => &mut counts.duplicate,
            OpenError::Empty => &mut counts.empty,
            OpenError::UnknownEpoch if self.measuring && !is_new => &mut counts.unknown_epoch,
            OpenError::UnknownEpoch => &mut counts.unknown_epoch_while_joining,
            OpenError::Forged => &mut counts.forged,
            OpenError::TooOld => &mut counts.too_old,
            OpenError::Malformed => &mut counts.malformed,
        };
        *count += 1;
    }

    /// Whose frames were opened.
    pub fn senders(&self) -> &[SenderCount] {
        &self.senders
    }
}

#[cfg(test)]
mod tests {
    use conclave_protocol::ParticipantId;

    use super::*;

    fn stream(leaf: u32, context: StreamContext) -> StreamKey {
        StreamKey {
            leaf: LeafIndex::new(leaf).unwrap(),
            epoch: Epoch::new(3),
            context,
        }
    }

    fn opened(counter: u64) -> Opened {
        Opened {
            stream: stream(1, StreamContext::CAMERA[0]),
            counter,
            is_key_frame: counter == 0,
            stamp: None,
        }
    }

    fn sound() -> Opened {
        Opened {
            stream: stream(0, StreamContext::AUDIO),
            ..opened(0)
        }
    }

    #[test]
    fn only_the_window_is_measured() {
        let mut tally = Tally::default();
        let age = Some(Age {
            from_schedule: Duration::from_millis(3),
            from_sending: Duration::from_millis(2),
        });
        tally.opened(&opened(0), age);
        tally.packet(100);
        tally.measure(true);
        tally.opened(&opened(1), age);
        tally.opened(&opened(4), age);
        tally.packet(100);
        tally.measure(false);
        tally.opened(&opened(5), age);

        assert_eq!((tally.packets, tally.packets_total), (1, 2));
        assert_eq!((tally.frames_opened, tally.frames_opened_total), (2, 4));
        assert_eq!(tally.video_latency.from_send.len(), 2);
        assert_eq!(tally.video_latency.from_send.max() / 1_000, 2_000);
        assert_eq!(tally.video_latency.from_schedule.max() / 1_000, 3_000);
        assert!(tally.audio_latency.from_send.is_empty());
        let stream = &tally.opened[&opened(0).stream];
        assert_eq!(stream.window, Some(Span { first: 1, last: 4 }));
        assert_eq!(stream.counters.count(0..=5), 4);
    }

    #[test]
    fn frames_count_for_the_member_whose_key_sealed_them() {
        let mut tally = Tally::default();
        let member = |leaf, name: &str| Member {
            leaf: LeafIndex::new(leaf).unwrap(),
            participant: ParticipantId::new(u64::from(leaf)),
            name: name.to_owned(),
            is_self: false,
        };
        tally.roster(&[member(0, "Ada"), member(1, "Grace")]);
        tally.opened(&opened(0), None);
        // Ada has left, and Edith has not taken her leaf yet.
        tally.roster(&[member(1, "Grace")]);
        tally.opened(&sound(), None);
        tally.roster(&[member(0, "Edith"), member(1, "Grace")]);
        tally.opened(&opened(1), None);
        tally.opened(&sound(), None);
        let counts: Vec<_> = tally
            .senders()
            .iter()
            .map(|sender| {
                (
                    sender.name.as_str(),
                    sender.audio_frames,
                    sender.video_frames,
                    sender.video_key_frames,
                )
            })
            .collect();
        assert_eq!(
            counts,
            [("Ada", 0, 0, 0), ("Grace", 0, 2, 1), ("Edith", 1, 0, 0)]
        );
    }

    #[test]
    fn what_cannot_be_opened_is_a_failure_unless_it_is_usual() {
        let mut tally = Tally::default();
        for error in [
            OpenError::Duplicate,
            OpenError::Empty,
            OpenError::TooOld,
            OpenError::UnknownEpoch,
        ] {
            tally.unopened(error, false);
        }
        assert_eq!(tally.unopened.failures(), 0);
        tally.measure(true);
        tally.unopened(OpenError::UnknownEpoch, true);
        assert_eq!(tally.unopened.failures(), 0);
        for error in [
            OpenError::UnknownEpoch,
            OpenError::Forged,
            OpenError::Malformed,
        ] {
            tally.unopened(error, false);
        }
        assert_eq!(tally.unopened.failures(), 3);
    }
}
