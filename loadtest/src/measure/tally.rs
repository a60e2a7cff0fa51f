//! What one bot saw and did, as numbers.

use std::{collections::HashMap, sync::Arc, time::Instant};

use conclave_e2ee::{LeafIndex, Member, OpenError};
use conclave_protocol::{Epoch, control::PixelSize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    counters::{CounterSet, Span},
    frame::{Opened, Sent, StreamKey},
    skew::FrameName,
    timeline::BotSecond,
    totals::{AgedFrame, Batch, Measurement},
    viewing::{self, Viewing},
};
use crate::media::stamp::Age;

/// The frames that a bot sealed of one stream, of those due within the measured window.
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
    /// Those of the measured window.
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

/// One bot's numbers. Those of the window are of frames that were due within it, and of
/// packets that came within it.
#[derive(Debug)]
pub struct Tally {
    measurement: Arc<Measurement>,
    batch: Batch,
    viewing: Viewing,
    size: PixelSize,
    second: u64,
    second_ends: Instant,
    lost_before: u64,
    /// RTP packets received within the window.
    pub packets: u64,
    /// Their payload.
    pub payload_bytes: u64,
    /// RTP packets received over the whole run.
    pub packets_total: u64,
    /// RTP packets that never came, over the whole run.
    pub packets_lost: LostPackets,
    /// Frames opened of the window.
    pub frames_opened: u64,
    /// Frames opened over the whole run.
    pub frames_opened_total: u64,
    /// The streams opened.
    pub opened: HashMap<StreamKey, OpenedStream>,
    /// Frames not opened.
    pub unopened: Unopened,
    /// RTP packets sent of the window.
    pub packets_sent: u64,
    /// What was sent of the window.
    pub sent: HashMap<StreamKey, SentStream>,
    /// Frames sealed of the window.
    pub frames_sealed: u64,
    /// Frames left out within the window.
    pub left_out: u64,
    /// Key frames that it asked for, over the whole run.
    pub key_frames_asked: u64,
    /// Key frames that it was asked for, over the whole run.
    pub key_frames_wanted: u64,
    senders: Vec<SenderCount>,
    sender_by_leaf: HashMap<LeafIndex, usize>,
}

impl Tally {
    /// Of a bot that sets out now, and wants pictures as large as this.
    pub fn new(measurement: Arc<Measurement>, now: Instant, size: PixelSize) -> Self {
        let second = measurement.window.second(now);
        let second_ends = measurement.window.second_begins(second + 1);
        Self {
            measurement,
            batch: Batch::default(),
            viewing: Viewing::default(),
            size,
            second,
            second_ends,
            lost_before: 0,
            packets: 0,
            payload_bytes: 0,
            packets_total: 0,
            packets_lost: LostPackets::default(),
            frames_opened: 0,
            frames_opened_total: 0,
            opened: HashMap::new(),
            unopened: Unopened::default(),
            packets_sent: 0,
            sent: HashMap::new(),
            frames_sealed: 0,
            left_out: 0,
            key_frames_asked: 0,
            key_frames_wanted: 0,
            senders: Vec::new(),
            sender_by_leaf: HashMap::new(),
        }
    }

    /// Notes that it wants pictures to be as large as this from now on.
    pub fn wishes(&mut self, now: Instant, size: PixelSize) {
        self.turn(now);
        let direction = size.height.cmp(&self.size.height);
        self.size = size;
        self.viewing.wished(now, direction);
    }

    /// Lets time pass: what was noted in a second is handed over after it.
    pub fn turn(&mut self, now: Instant) {
        if now >= self.second_ends {
            self.hand_over(now);
        }
    }

    fn hand_over(&mut self, now: Instant) {
        let window = &self.measurement.window;
        let lost = self.packets_lost.sum();
        self.batch.bot.more_lost = lost as i64 - self.lost_before as i64;
        self.lost_before = lost;
        let stood = self.viewing.stands_still(self.second_ends.min(now));
        self.batch.bot.is_frozen = self.viewing.take_freeze() | stood;
        let current = window.second(now);
        let mut totals = self.measurement.totals();
        totals.pour(self.second, &mut self.batch);
        // Seconds that it slept through.
        for second in self.second + 1..current {
            let slept = BotSecond {
                is_frozen: self.viewing.stands_still(window.second_begins(second + 1)),
                ..BotSecond::default()
            };
            totals.timeline.add(second, &slept);
        }
        self.second = current;
        self.second_ends = window.second_begins(current + 1);
    }

    /// Notes that it leaves.
    pub fn leaves(&mut self, now: Instant) {
        self.turn(now);
        self.hand_over(now);
        self.viewing.close(now, &self.measurement.window);
    }

    /// What it saw of pictures.
    pub fn pictures(&self) -> &viewing::Sums {
        self.viewing.sums()
    }

    /// Whose frames were opened.
    pub fn senders(&self) -> &[SenderCount] {
        &self.senders
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

    /// Notes that it has the keys of an epoch.
    pub fn epoch(&mut self, now: Instant, epoch: Epoch) {
        self.turn(now);
        let at = self.measurement.window.since_origin(now);
        self.batch.epochs.push((epoch, at));
    }

    /// Notes a packet that came.
    pub fn packet(&mut self, now: Instant, payload: usize) {
        self.turn(now);
        let payload = payload as u64;
        self.packets_total += 1;
        self.batch.bot.packets += 1;
        self.batch.bot.payload_bytes += payload;
        if self.measurement.window.contains(now) {
            self.packets += 1;
            self.payload_bytes += payload;
        }
    }

    /// Notes a frame that was sent.
    pub fn sent(&mut self, now: Instant, sent: &Sent) {
        self.turn(now);
        let window = &self.measurement.window;
        if window.contains(sent.due) {
            self.packets_sent += sent.packets;
            self.frames_sealed += 1;
            self.left_out += sent.left_out;
            self.batch.lateness.push(sent.late);
            let stream = self.sent.entry(sent.stream).or_insert_with(|| SentStream {
                span: Span::of(sent.counter),
                base: CounterSet::default(),
            });
            stream.span.include(sent.counter);
            if sent.is_base {
                stream.base.insert(sent.counter);
            }
        }
    }

    /// Notes a frame that was opened, and how long after it was sent, if that is known.
    pub fn opened(&mut self, now: Instant, opened: &Opened, age: Option<Age>) {
        self.turn(now);
        self.frames_opened_total += 1;
        self.sender_of(opened);
        let window = &self.measurement.window;
        let stream = opened.stream;
        let due = age.and_then(|age| now.checked_sub(age.from_schedule));
        let counts = window.contains(due.unwrap_or(now));
        let known = self.opened.entry(stream).or_default();
        known.counters.insert(opened.counter);
        if counts {
            self.frames_opened += 1;
            Span::extend(&mut known.window, opened.counter);
            let name = FrameName::of(stream, opened.counter);
            let arrival = name.map(|name| (name, window.since_origin(now)));
            self.batch.arrivals.extend(arrival);
        }
        let seen = self.viewing.opened(now, opened, age, window);
        self.batch.frames.extend(age.map(|age| AgedFrame {
            is_video: stream.is_video(),
            counts,
            age,
            jitter: seen.jitter,
        }));
        self.batch.key_frame_waits.extend(opened.shown.waited);
        self.batch.layer_switches.extend(seen.layer_switch);
        self.batch.rekey_gaps.extend(seen.rekey_gap);
    }

    fn sender_of(&mut self, opened: &Opened) {
        let place = self.sender_by_leaf.get(&opened.stream.leaf);
        if let Some(sender) = place.and_then(|place| self.senders.get_mut(*place)) {
            if opened.stream.is_video() {
                sender.video_frames += 1;
                sender.video_key_frames += u64::from(opened.is_key_frame);
                sender.stamped_frames += u64::from(opened.stamp.is_some());
            } else {
                sender.audio_frames += 1;
            }
        }
    }

    /// Notes a frame that was not opened. `is_new`: the bot has been in the call for so
    /// short a time that others may not have gone over to an epoch that it has keys of.
    pub fn unopened(&mut self, now: Instant, error: OpenError, is_new: bool) {
        self.turn(now);
        let is_measured = self.measurement.window.contains(now);
        let counts = &mut self.unopened;
        let count = match error {
            OpenError::Duplicate => &mut counts.duplicate,
            OpenError::Empty => &mut counts.empty,
            OpenError::UnknownEpoch if is_measured && !is_new => &mut counts.unknown_epoch,
            OpenError::UnknownEpoch => &mut counts.unknown_epoch_while_joining,
            OpenError::Forged => &mut counts.forged,
            OpenError::TooOld => &mut counts.too_old,
            OpenError::Malformed => &mut counts.malformed,
        };
        *count += 1;
    }

    /// Notes that nothing comes in a slot for now, or something else, by the server's word.
    pub fn interrupted(&mut self, now: Instant, slot: u32) {
        self.turn(now);
        self.viewing.interrupted(slot);
    }
}

#[cfg(test)]
mod tests;
