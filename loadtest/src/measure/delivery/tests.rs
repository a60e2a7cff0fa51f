use std::time::Duration;

use conclave_e2ee::{LeafIndex, StreamContext};
use conclave_protocol::Epoch;

use super::*;

fn stream(context: StreamContext) -> StreamKey {
    StreamKey {
        leaf: LeafIndex::new(0).unwrap(),
        epoch: Epoch::new(3),
        context,
    }
}

/// The window is from 10 s to 20 s.
struct Rig {
    start: Instant,
    window: Window,
    sums: DeliverySums,
}

fn rig() -> Rig {
    let start = Instant::now();
    let window = Window::new(start);
    window.open(start + Duration::from_secs(10));
    window.close(start + Duration::from_secs(20));
    Rig {
        start,
        window,
        sums: DeliverySums::default(),
    }
}

fn slots(microphones: u32, cameras: u32) -> Appetite {
    Appetite {
        slots: BySource([microphones, cameras, 0, 0]),
        skipped: 0,
        tiles: cameras,
    }
}

fn takes(appetite: Appetite) -> BotDelivery {
    let mut bot = BotDelivery::new(0);
    bot.takes(appetite);
    bot
}

impl Rig {
    fn at(&self, milliseconds: u64) -> Instant {
        self.start + Duration::from_millis(milliseconds)
    }

    /// 20 pictures a second are due, those in the window count.
    fn sends(&self, bot: &mut BotDelivery, milliseconds: std::ops::Range<u64>) {
        for due in milliseconds.step_by(50) {
            let due = self.at(due);
            if self.window.contains(due) {
                bot.sent(due, stream(StreamContext::CAMERA[0]), &self.window);
            }
        }
    }

    fn opens(&self, bot: &mut BotDelivery, milliseconds: std::ops::Range<u64>) {
        for due in milliseconds.step_by(50) {
            let due = self.at(due);
            if self.window.contains(due) {
                bot.opened(due, stream(StreamContext::CAMERA[2]), &self.window);
            }
        }
    }

    fn leaves(&mut self, mut bot: BotDelivery, milliseconds: u64) {
        let now = self.at(milliseconds);
        bot.leave(now, &self.window, &mut self.sums);
    }

    fn found(&self) -> (f64, u64) {
        let delivery = self.sums.by_sent();
        (delivery.expected, delivery.opened)
    }
}

#[test]
fn what_was_due_in_the_window_counts_if_it_comes_before_the_drain_is_over() {
    let mut rig = rig();
    let mut sender = takes(Appetite::default());
    rig.sends(&mut sender, 0..25_000);
    rig.leaves(sender, 25_000);
    let mut receiver = takes(slots(4, 9));
    receiver.joined(rig.at(1_000), &rig.window);
    rig.opens(&mut receiver, 0..19_800);
    // The last four come after the window, one of them too late.
    rig.opens(&mut receiver, 19_800..19_950);
    let drained = rig.at(21_000);
    receiver.settle(drained, &rig.window, &mut rig.sums);
    rig.opens(&mut receiver, 19_950..20_000);
    rig.leaves(receiver, 25_000);
    assert_eq!(rig.found(), (200.0, 199));
}

#[test]
fn a_receiver_that_gets_nothing_counts_in_full() {
    let mut rig = rig();
    let mut sender = takes(Appetite::default());
    rig.sends(&mut sender, 0..20_000);
    rig.leaves(sender, 21_000);
    for opened in [200, 0] {
        let mut receiver = takes(slots(4, 9));
        receiver.joined(rig.at(1_000), &rig.window);
        rig.opens(&mut receiver, 10_000..10_000 + 50 * opened);
        rig.leaves(receiver, 21_000);
    }
    assert_eq!(rig.found(), (400.0, 200));
    assert_eq!(rig.sums.by_sent().ratio(), Some(0.5));
}

#[test]
fn who_comes_or_goes_half_way_counts_while_it_is_there() {
    let mut rig = rig();
    let mut sender = takes(Appetite::default());
    rig.sends(&mut sender, 0..20_000);
    rig.leaves(sender, 21_000);
    let mut newcomer = takes(slots(4, 9));
    newcomer.joined(rig.at(12_500), &rig.window);
    rig.opens(&mut newcomer, 12_700..20_000);
    rig.leaves(newcomer, 21_000);
    let mut leaver = takes(slots(4, 9));
    leaver.joined(rig.at(1_000), &rig.window);
    rig.opens(&mut leaver, 10_000..15_700);
    rig.leaves(leaver, 15_700);
    // The seconds 14 to 19, and 10 to 13.
    assert_eq!(rig.found(), (200.0, 200));
}

#[test]
fn a_sender_that_is_there_for_a_while_is_expected_for_a_while() {
    let mut rig = rig();
    for from in [10_000, 15_000] {
        let mut sender = takes(Appetite::default());
        rig.sends(&mut sender, from..from + 5_000);
        rig.leaves(sender, from + 5_000);
    }
    let mut receiver = takes(slots(4, 1));
    receiver.joined(rig.at(1_000), &rig.window);
    rig.opens(&mut receiver, 10_000..20_000);
    rig.leaves(receiver, 21_000);
    assert_eq!(rig.found(), (200.0, 200));
}

#[test]
fn no_more_is_expected_than_slots_and_pages_hold_nor_what_is_ones_own() {
    let ten = |appetite: Appetite, sends: bool| {
        let mut rig = rig();
        for _ in 0..9 {
            let mut sender = takes(Appetite::default());
            rig.sends(&mut sender, 10_000..20_000);
            rig.leaves(sender, 21_000);
        }
        let mut bot = takes(appetite);
        bot.joined(rig.at(1_000), &rig.window);
        if sends {
            rig.sends(&mut bot, 10_000..20_000);
        }
        rig.leaves(bot, 21_000);
        rig.found().0 / 200.0
    };
    assert_eq!(ten(slots(4, 4), false), 4.0);
    assert_eq!(ten(slots(4, 25), false), 9.0);
    assert_eq!(ten(slots(4, 25), true), 9.0);
    let second_page = Appetite {
        skipped: 6,
        ..slots(4, 6)
    };
    assert_eq!(ten(second_page, false), 3.0);
    assert_eq!(ten(slots(4, 0), false), 0.0);
}

#[test]
fn layers_of_a_picture_are_one_picture() {
    let mut rig = rig();
    let mut sender = takes(Appetite::default());
    rig.sends(&mut sender, 10_000..11_000);
    for layer in &StreamContext::CAMERA[1..] {
        sender.sent(rig.at(10_500), stream(*layer), &rig.window);
    }
    rig.leaves(sender, 21_000);
    let mut receiver = takes(slots(4, 9));
    receiver.joined(rig.at(1_000), &rig.window);
    rig.leaves(receiver, 21_000);
    assert_eq!(rig.found(), (20.0, 0));
}

#[test]
fn by_counters_a_gap_is_what_is_missing() {
    let mut streams = HashMap::new();
    for counter in [10, 14, 11] {
        OpenedSpan::note(&mut streams, stream(StreamContext::AUDIO), counter);
    }
    let delivery = by_counters(streams.values());
    assert_eq!((delivery.expected, delivery.opened), (5.0, 3));
    assert_eq!(by_counters([]).ratio(), None);
}
