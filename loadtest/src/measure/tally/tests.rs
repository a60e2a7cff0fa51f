use std::time::Duration;

use conclave_e2ee::StreamContext;
use conclave_protocol::ParticipantId;

use super::*;
use crate::measure::{decoding::Shown, timeline::MachineSecond};

const SMALL: PixelSize = PixelSize {
    width: 320,
    height: 180,
};

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
        slot: 7,
        shown: Shown {
            pictures: 1,
            waited: None,
        },
    }
}

fn sound() -> Opened {
    Opened {
        stream: stream(0, StreamContext::AUDIO),
        ..opened(0)
    }
}

/// The run begins at the first moment; the window is from 10 s to 20 s.
struct Rig {
    start: Instant,
    measurement: Arc<Measurement>,
    tally: Tally,
}

fn rig() -> Rig {
    let measurement = Arc::new(Measurement::default());
    let start = measurement.window.second_begins(0);
    measurement.window.open(start + Duration::from_secs(10));
    measurement.window.close(start + Duration::from_secs(20));
    let tally = Tally::new(measurement.clone(), start, SMALL);
    Rig {
        start,
        measurement,
        tally,
    }
}

impl Rig {
    fn at(&self, milliseconds: u64) -> Instant {
        self.start + Duration::from_millis(milliseconds)
    }

    /// Opens a frame that was due so long before; it was sent 1 ms late.
    fn opens(&mut self, frame: &Opened, at: u64, age: u64) {
        let age = Age {
            from_schedule: Duration::from_millis(age),
            from_sending: Duration::from_millis(age - 1),
        };
        self.tally.opened(self.at(at), frame, Some(age));
    }
}

#[test]
fn frames_count_that_were_due_in_the_window() {
    let mut rig = rig();
    // Due before it, in it, in it and opened after it, after it.
    for (counter, at, age) in [
        (0, 10_001, 2),
        (1, 10_002, 2),
        (4, 20_030, 40),
        (5, 20_030, 30),
    ] {
        rig.opens(&opened(counter), at, age);
    }
    rig.tally.leaves(rig.at(22_000));
    let tally = &rig.tally;
    assert_eq!((tally.frames_opened, tally.frames_opened_total), (2, 4));
    let stream = &tally.opened[&opened(0).stream];
    assert_eq!(stream.window, Some(Span { first: 1, last: 4 }));
    assert_eq!(stream.counters.count(0..=5), 4);
    let totals = rig.measurement.totals();
    let milliseconds = |nanoseconds: u64| (nanoseconds + 500_000) / 1_000_000;
    for (latency, shortest, longest) in [
        (&totals.video.from_schedule, 2, 40),
        (&totals.video.from_sending, 1, 39),
    ] {
        assert_eq!(latency.len(), 2);
        assert_eq!(milliseconds(latency.min()), shortest);
        assert_eq!(milliseconds(latency.max()), longest);
    }
    assert!(totals.audio.from_sending.is_empty());
}

#[test]
fn packets_count_that_come_in_the_window() {
    let mut rig = rig();
    for at in [9_999, 10_000, 19_999, 20_000] {
        rig.tally.packet(rig.at(at), 100);
    }
    let tally = &rig.tally;
    assert_eq!((tally.packets, tally.packets_total), (2, 4));
    assert_eq!(tally.payload_bytes, 200);
}

#[test]
fn frames_sent_count_by_when_they_were_due() {
    let mut rig = rig();
    for (due, late) in [(9_990, 20), (10_000, 0), (19_990, 20), (20_000, 0)] {
        let sent = Sent {
            stream: stream(0, StreamContext::AUDIO),
            counter: 0,
            packets: 3,
            due: rig.at(due),
            late: Duration::from_millis(late),
            left_out: 1,
            is_base: true,
        };
        rig.tally.sent(rig.at(due + late), &sent);
    }
    rig.tally.leaves(rig.at(22_000));
    let tally = &rig.tally;
    assert_eq!((tally.frames_sealed, tally.packets_sent), (2, 6));
    assert_eq!(tally.left_out, 2);
    let lateness = rig.measurement.totals().send_lateness.clone();
    assert_eq!((lateness.len(), lateness.max() / 1_000_000), (2, 20));
}

#[test]
fn each_second_is_told_after_it() {
    let mut rig = rig();
    rig.tally.packet(rig.at(500), 100);
    rig.tally.packets_lost.video = 3;
    rig.tally.packet(rig.at(900), 100);
    for second in 0..4 {
        let mut totals = rig.measurement.totals();
        totals.timeline.sampled(second, MachineSecond::default());
    }
    let seconds = |rig: &Rig| {
        let totals = rig.measurement.totals();
        let seconds = totals.timeline.report(&rig.measurement.window);
        let told = seconds
            .iter()
            .map(|second| (second.packets_per_second as u64, second.packets_lost));
        told.collect::<Vec<_>>()
    };
    assert_eq!(seconds(&rig), [(0, 0); 4]);
    rig.tally.packet(rig.at(1_000), 100);
    assert_eq!(seconds(&rig), [(2, 3), (0, 0), (0, 0), (0, 0)]);
    rig.tally.packet(rig.at(3_100), 100);
    rig.tally.leaves(rig.at(3_200));
    assert_eq!(seconds(&rig), [(2, 3), (1, 0), (0, 0), (1, 0)]);
}

#[test]
fn a_picture_that_stands_still_shows_in_every_second_that_it_does() {
    let mut rig = rig();
    for number in 0..40 {
        rig.opens(&opened(number), number * 50 + 2, 2);
    }
    rig.opens(&opened(90), 4_500, 2);
    for number in 91..120 {
        rig.opens(&opened(number), number * 50, 2);
    }
    rig.tally.leaves(rig.at(5_990));
    let mut totals = rig.measurement.totals();
    for second in 0..6 {
        totals.timeline.sampled(second, MachineSecond::default());
    }
    let seconds = totals.timeline.report(&rig.measurement.window);
    let frozen: Vec<_> = seconds.iter().map(|second| second.frozen).collect();
    assert_eq!(frozen, [0, 0, 1, 1, 1, 0]);
}

#[test]
fn a_larger_picture_is_timed_from_the_wish() {
    const LARGE: PixelSize = PixelSize {
        width: 1_280,
        height: 720,
    };
    let mut rig = rig();
    rig.opens(&opened(0), 11_000, 2);
    rig.tally.wishes(rig.at(12_000), LARGE);
    let mut larger = opened(1);
    larger.stream.context = StreamContext::CAMERA[2];
    rig.opens(&larger, 12_180, 2);
    rig.tally.leaves(rig.at(13_000));
    let switch = &rig.measurement.totals().layer_switch;
    assert_eq!((switch.len(), switch.max() / 1_000_000), (1, 180));
    assert_eq!(rig.tally.pictures().layer_switches, 1);
}

#[test]
fn frames_count_for_the_member_whose_key_sealed_them() {
    let mut tally = rig().tally;
    let now = Instant::now();
    let member = |leaf, name: &str| Member {
        leaf: LeafIndex::new(leaf).unwrap(),
        participant: ParticipantId::new(u64::from(leaf)),
        name: name.to_owned(),
        is_self: false,
        is_host: false,
        device: conclave_e2ee::DeviceKey::from_bytes([1; 32]),
        pair_code: None,
    };
    tally.roster(&[member(0, "Ada"), member(1, "Grace")]);
    tally.opened(now, &opened(0), None);
    // Ada has left, and Edith has not taken her leaf yet.
    tally.roster(&[member(1, "Grace")]);
    tally.opened(now, &sound(), None);
    tally.roster(&[member(0, "Edith"), member(1, "Grace")]);
    tally.opened(now, &opened(1), None);
    tally.opened(now, &sound(), None);
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
    let mut rig = rig();
    let (gathering, measured) = (rig.at(9_000), rig.at(11_000));
    for error in [
        OpenError::Duplicate,
        OpenError::Empty,
        OpenError::TooOld,
        OpenError::UnknownEpoch,
    ] {
        rig.tally.unopened(gathering, error, false);
    }
    assert_eq!(rig.tally.unopened.failures(), 0);
    for error in [
        OpenError::UnknownEpoch,
        OpenError::Forged,
        OpenError::Malformed,
    ] {
        rig.tally.unopened(measured, error, false);
    }
    assert_eq!(rig.tally.unopened.failures(), 3);
    // Those in the call before it may not have gone over to the keys that a newcomer has.
    rig.tally.unopened(measured, OpenError::UnknownEpoch, true);
    assert_eq!(rig.tally.unopened.failures(), 3);
}
