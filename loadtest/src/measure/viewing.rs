//! What one receiver sees and hears in each of its slots: freezes, layers, how evenly
//! frames come, and the pause when keys change.
//!
//! A slot is an RTP stream that is received. Whatever was announced is no fault: when the
//! server says that a slot is empty, paused or somebody else's now, or when frames of
//! another sender come in it, the time until the next frame is nobody's freeze.

use std::{
    cmp::Ordering,
    collections::HashMap,
    time::{Duration, Instant},
};

use conclave_e2ee::{LeafIndex, StreamContext};
use conclave_protocol::{Epoch, signal::Source};

use super::{
    frame::Opened,
    motion::{Interval, Motion},
    window::Window,
};
use crate::media::stamp::Age;

/// A change of layer this long after a wish had another reason.
const WISH_LASTS: Duration = Duration::from_secs(10);
/// A viewing has to last this long for its pace to count.
const SHORTEST_VIEWING: Duration = Duration::from_secs(1);

/// What a frame told of its slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// How much its latency differs from that of the frame before it.
    pub jitter: Option<Duration>,
    /// Time from the wish for another layer to this first frame of it.
    pub layer_switch: Option<Duration>,
    /// Time since the last frame under the keys before, less the usual time between two.
    pub rekey_gap: Option<Duration>,
}

/// Sums over the measured window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    /// Pictures that stood still.
    pub freezes: u64,
    /// For how long, within the window.
    pub frozen: Duration,
    /// Time for which a moving picture was to be seen, added up over slots.
    pub watched: Duration,
    /// Times that a slot went over to another layer of the same sender.
    pub layer_switches: u64,
    /// Pictures a second, of each sender in each slot.
    pub paces: Vec<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Wish {
    at: Instant,
    direction: Ordering,
}

#[derive(Debug)]
struct Slot {
    sender: (LeafIndex, Option<Source>),
    layer: StreamContext,
    epoch: Epoch,
    latency: Option<Duration>,
    opened_at: Instant,
    /// The usual time between two frames, in seconds.
    usual: Option<f64>,
    interrupted: bool,
    motion: Motion,
    shown: u64,
    watched: Duration,
    wish: Option<Wish>,
}

/// All slots of a receiver.
#[derive(Debug, Default)]
pub struct Viewing {
    slots: HashMap<u32, Slot>,
    sums: Sums,
    froze: bool,
}

impl Viewing {
    /// Notes a frame.
    pub fn opened(
        &mut self,
        now: Instant,
        opened: &Opened,
        age: Option<Age>,
        window: &Window,
    ) -> Seen {
        let sender = (opened.stream.leaf, opened.stream.source());
        let slot = self
            .slots
            .entry(opened.slot)
            .or_insert_with(|| Slot::new(now, opened));
        if slot.sender != sender {
            let before = std::mem::replace(slot, Slot::new(now, opened));
            self.sums.paces.extend(before.pace());
        }
        let mut seen = Seen {
            jitter: slot.jitter(age),
            rekey_gap: slot.rekey_gap(now, opened.stream.epoch),
            layer_switch: None,
        };
        slot.follow(now);
        if opened.shown.pictures > 0 {
            if let Some(interval) = slot.motion.shown(now) {
                self.froze |= interval.is_freeze;
                self.sums.watch(slot, interval, window);
            }
            if window.contains(now) {
                slot.shown += u64::from(opened.shown.pictures);
            }
            let before = std::mem::replace(&mut slot.layer, opened.stream.context);
            if before != slot.layer && window.contains(now) {
                self.sums.layer_switches += 1;
            }
            seen.layer_switch = slot.wished_for(now, before);
        }
        seen
    }

    /// The server says that nothing comes in a slot for now, or something else.
    pub fn interrupted(&mut self, slot: u32) {
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.interrupted = true;
            slot.motion.interrupt();
        }
    }

    /// Pictures are to be larger or smaller from now on.
    pub fn wished(&mut self, now: Instant, direction: Ordering) {
        let wish = Wish { at: now, direction };
        for slot in self.slots.values_mut() {
            slot.wish = Some(wish).filter(|_| direction != Ordering::Equal);
        }
    }

    /// Whether a picture stands still.
    pub fn stands_still(&self, now: Instant) -> bool {
        let mut slots = self.slots.values();
        slots.any(|slot| slot.motion.until(now).is_some_and(|since| since.is_freeze))
    }

    /// Whether a freeze ended since this was last asked.
    pub fn take_freeze(&mut self) -> bool {
        std::mem::take(&mut self.froze)
    }

    /// Nothing is received any more: what stands still at the end of the window counts.
    pub fn close(&mut self, now: Instant, window: &Window) {
        for (_, mut slot) in self.slots.drain() {
            if let Some(interval) = slot.motion.until(window.end_or(now)) {
                self.sums.watch(&mut slot, interval, window);
            }
            self.sums.paces.extend(slot.pace());
        }
    }

    /// The sums so far.
    pub fn sums(&self) -> &Sums {
        &self.sums
    }
}

impl Sums {
    fn watch(&mut self, slot: &mut Slot, interval: Interval, window: &Window) {
        let within = window.overlap(interval.from, interval.to);
        slot.watched += within;
        self.watched += within;
        if interval.is_freeze && !within.is_zero() {
            self.freezes += 1;
            self.frozen += within;
        }
    }
}

impl Slot {
    fn new(now: Instant, opened: &Opened) -> Self {
        Self {
            sender: (opened.stream.leaf, opened.stream.source()),
            layer: opened.stream.context,
            epoch: opened.stream.epoch,
            latency: None,
            opened_at: now,
            usual: None,
            // Its first frame has none before it.
            interrupted: true,
            motion: Motion::default(),
            shown: 0,
            watched: Duration::ZERO,
            wish: None,
        }
    }

    fn jitter(&mut self, age: Option<Age>) -> Option<Duration> {
        let latency = age?.from_sending;
        let before = self.latency.replace(latency)?;
        Some(latency.abs_diff(before))
    }

    fn rekey_gap(&mut self, now: Instant, epoch: Epoch) -> Option<Duration> {
        if epoch <= self.epoch {
            return None;
        }
        self.epoch = epoch;
        let usual = Duration::from_secs_f64(self.usual.filter(|_| !self.interrupted)?);
        Some(
            now.saturating_duration_since(self.opened_at)
                .saturating_sub(usual),
        )
    }

    /// A frame came: learns the usual time between two.
    fn follow(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.opened_at).as_secs_f64();
        if !std::mem::take(&mut self.interrupted) {
            let usual = self.usual.unwrap_or(since);
            self.usual = Some(usual + (since - usual) / 16.0);
        }
        self.opened_at = now;
    }

    fn wished_for(&mut self, now: Instant, before: StreamContext) -> Option<Duration> {
        let wish = self.wish?;
        if self.layer.get().cmp(&before.get()) != wish.direction {
            return None;
        }
        self.wish = None;
        Some(now.saturating_duration_since(wish.at)).filter(|took| *took <= WISH_LASTS)
    }

    fn pace(&self) -> Option<f64> {
        (self.watched >= SHORTEST_VIEWING).then(|| self.shown as f64 / self.watched.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{decoding::Shown, frame::StreamKey};

    const FRAME: u64 = 50;

    struct Rig {
        start: Instant,
        window: Window,
        viewing: Viewing,
        frame: Opened,
    }

    /// One camera in slot 7; the window is open from the beginning to the 60th second.
    fn rig() -> Rig {
        let start = Instant::now();
        let window = Window::new(start);
        window.open(start);
        window.close(start + Duration::from_secs(60));
        let frame = Opened {
            stream: StreamKey {
                leaf: LeafIndex::new(1).unwrap(),
                epoch: Epoch::new(1),
                context: StreamContext::CAMERA[0],
            },
            counter: 0,
            is_key_frame: false,
            stamp: None,
            slot: 7,
            shown: Shown {
                pictures: 1,
                waited: None,
            },
        };
        Rig {
            start,
            window,
            viewing: Viewing::default(),
            frame,
        }
    }

    impl Rig {
        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }

        fn frame(&mut self, milliseconds: u64) -> Seen {
            let age = Some(Age {
                from_schedule: Duration::from_millis(9),
                from_sending: Duration::from_millis(9),
            });
            self.frame_aged(milliseconds, age)
        }

        fn frame_aged(&mut self, milliseconds: u64, age: Option<Age>) -> Seen {
            let now = self.at(milliseconds);
            self.viewing.opened(now, &self.frame, age, &self.window)
        }

        /// 20 pictures a second from one moment until just before another.
        fn play(&mut self, milliseconds: std::ops::Range<u64>) {
            for at in milliseconds.step_by(FRAME as usize) {
                self.frame(at);
            }
        }

        fn close(&mut self, milliseconds: u64) -> Sums {
            let now = self.at(milliseconds);
            self.viewing.close(now, &self.window);
            self.viewing.sums().clone()
        }
    }

    #[test]
    fn a_stall_is_a_freeze_and_the_pace_shows_it() {
        let mut rig = rig();
        rig.play(0..5_000);
        rig.play(6_000..10_001);
        let sums = rig.close(10_000);
        assert_eq!(sums.freezes, 1);
        // From the last picture at 4,950 ms.
        assert_eq!(sums.frozen, Duration::from_millis(1_050));
        assert_eq!(sums.watched, Duration::from_secs(10));
        assert_eq!(sums.paces, [18.1]);
    }

    #[test]
    fn a_picture_that_never_moves_again_is_frozen_until_the_end() {
        let mut rig = rig();
        rig.play(0..58_001);
        let now = rig.at(58_150);
        assert!(!rig.viewing.stands_still(now));
        let now = rig.at(58_300);
        assert!(rig.viewing.stands_still(now));
        let sums = rig.close(61_000);
        assert_eq!((sums.freezes, sums.frozen), (1, Duration::from_secs(2)));
    }

    #[test]
    fn what_the_server_announces_is_no_freeze() {
        let mut rig = rig();
        rig.play(0..5_000);
        rig.viewing.interrupted(7);
        let now = rig.at(9_000);
        assert!(!rig.viewing.stands_still(now));
        rig.play(20_000..25_001);
        rig.viewing.interrupted(7);
        let sums = rig.close(40_000);
        assert_eq!((sums.freezes, sums.frozen), (0, Duration::ZERO));
        assert_eq!(sums.watched, Duration::from_millis(9_950));
    }

    #[test]
    fn another_sender_in_the_slot_is_no_freeze() {
        let mut rig = rig();
        rig.play(0..5_000);
        rig.frame.stream.leaf = LeafIndex::new(2).unwrap();
        rig.play(8_000..10_001);
        let sums = rig.close(10_000);
        assert_eq!(sums.freezes, 0);
        assert_eq!(sums.watched, Duration::from_millis(4_950 + 2_000));
        assert_eq!(sums.paces.len(), 2);
    }

    #[test]
    fn pictures_that_cannot_be_decoded_do_not_move() {
        let mut rig = rig();
        rig.play(0..5_000);
        rig.frame.shown.pictures = 0;
        rig.play(5_000..7_000);
        rig.frame.shown.pictures = 1;
        rig.play(7_000..8_000);
        let sums = rig.close(7_950);
        assert_eq!((sums.freezes, sums.frozen.as_millis()), (1, 2_050));
    }

    #[test]
    fn outside_the_window_nothing_counts() {
        let mut rig = rig();
        rig.play(0..59_001);
        rig.play(61_000..70_000);
        let sums = rig.close(70_000);
        // Until the end of the window only, and the pictures afterwards not at all.
        assert_eq!((sums.freezes, sums.frozen.as_millis()), (1, 1_000));
        assert_eq!(sums.watched, Duration::from_secs(60));
        assert_eq!(sums.paces, [1_181.0 / 60.0]);
    }

    #[test]
    fn a_wished_layer_is_timed_and_every_switch_counts() {
        let mut rig = rig();
        rig.play(0..1_000);
        let now = rig.at(1_000);
        rig.viewing.wished(now, Ordering::Greater);
        assert_eq!(rig.frame(1_050).layer_switch, None);
        rig.frame.stream.context = StreamContext::CAMERA[2];
        let took = Some(Duration::from_millis(250));
        assert_eq!(rig.frame(1_250).layer_switch, took);
        // Nobody asked for this one.
        rig.frame.stream.context = StreamContext::CAMERA[1];
        assert_eq!(rig.frame(1_300).layer_switch, None);
        let now = rig.at(2_000);
        rig.viewing.wished(now, Ordering::Less);
        // The wrong way, then too late.
        rig.frame.stream.context = StreamContext::CAMERA[2];
        assert_eq!(rig.frame(2_100).layer_switch, None);
        rig.frame.stream.context = StreamContext::CAMERA[0];
        assert_eq!(rig.frame(12_001).layer_switch, None);
        assert_eq!(rig.close(12_001).layer_switches, 4);
    }

    #[test]
    fn jitter_is_the_change_of_latency() {
        let mut rig = rig();
        let age = |milliseconds| {
            Some(Age {
                from_schedule: Duration::ZERO,
                from_sending: Duration::from_millis(milliseconds),
            })
        };
        let jitters = [(0, 10), (50, 13), (100, 5)].map(|(at, latency)| {
            let jitter = rig.frame_aged(at, age(latency)).jitter;
            jitter.map(|jitter| jitter.as_millis())
        });
        assert_eq!(jitters, [None, Some(3), Some(8)]);
        // Frames of two senders have nothing to do with each other.
        rig.frame.stream.leaf = LeafIndex::new(2).unwrap();
        assert_eq!(rig.frame_aged(150, age(90)).jitter, None);
    }

    #[test]
    fn the_gap_at_a_rekey_is_what_exceeds_the_usual_pause() {
        let mut rig = rig();
        rig.play(0..1_000);
        rig.frame.stream.epoch = Epoch::new(2);
        let gap = rig.frame(950 + 180).rekey_gap.unwrap();
        assert_eq!(gap.as_millis(), 130);
        assert_eq!(rig.frame(1_180).rekey_gap, None);
        // A frame of the epoch before comes late: no change of epoch.
        rig.frame.stream.epoch = Epoch::new(1);
        assert_eq!(rig.frame(1_190).rekey_gap, None);
        // After a pause that was announced nobody can say.
        rig.viewing.interrupted(7);
        rig.frame.stream.epoch = Epoch::new(3);
        assert_eq!(rig.frame(9_000).rekey_gap, None);
    }
}
