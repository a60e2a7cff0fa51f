use std::{sync::Arc, time::Duration};

use conclave_e2ee::StreamContext;
use conclave_protocol::control::PixelSize;

use super::*;
use crate::measure::{
    decoding::Shown,
    frame::{Opened, Sent},
    totals::Measurement,
};

const SECONDS: u64 = 10;

fn camera(leaf: u32, layer: usize) -> StreamKey {
    StreamKey {
        leaf: LeafIndex::new(leaf).unwrap(),
        epoch: Epoch::new(3),
        context: StreamContext::CAMERA[layer],
    }
}

fn sent(stream: StreamKey, counter: u64, is_base: bool) -> Sent {
    Sent {
        stream,
        counter,
        packets: 1,
        due: Instant::now(),
        late: Duration::ZERO,
        left_out: 0,
        is_base,
    }
}

/// Of a bot in the window from the beginning.
fn tally() -> Tally {
    let measurement = Arc::new(Measurement::default());
    measurement.window.open(measurement.window.second_begins(0));
    Tally::new(
        measurement,
        Instant::now(),
        PixelSize {
            width: 640,
            height: 360,
        },
    )
}

fn publisher(leaf: u32, counters: std::ops::Range<u64>) -> Tally {
    let mut tally = tally();
    for counter in counters {
        tally.sent(Instant::now(), &sent(camera(leaf, 0), counter, true));
    }
    tally
}

/// Frames by leaf, layer and counter.
fn receiver(frames: impl IntoIterator<Item = (u32, usize, u64)>) -> Tally {
    let mut tally = tally();
    for (leaf, layer, counter) in frames {
        let opened = Opened {
            stream: camera(leaf, layer),
            counter,
            is_key_frame: false,
            stamp: None,
            slot: 7,
            shown: Shown::default(),
        };
        tally.opened(Instant::now(), &opened, None);
    }
    tally
}

/// Publishers and receivers of cameras, in the call all the time.
fn delivery(publishers: &[&Tally], receivers: &[&Tally], slots: usize) -> Delivery {
    let from = Instant::now();
    let until = from + Duration::from_secs(SECONDS);
    let attendance = |sends: &[Source], cameras| Attendance {
        from,
        until,
        sends: vec![(from, sends.to_vec())],
        pages: vec![(from, 0)],
        tiles: cameras,
        slots: [0, cameras, 0],
        number: 0,
        streams: None,
    };
    let mut attendances = vec![attendance(&[Source::Camera], 0); publishers.len()];
    attendances.extend(vec![attendance(&[], slots); receivers.len()]);
    for (attendance, number) in attendances.iter_mut().zip(0..) {
        attendance.number = number;
    }
    by_sent(publishers, receivers, &attendances, &(from..until))
}

#[test]
fn only_frames_sealed_within_the_window_count() {
    let sender = publisher(0, 100..200);
    let all = receiver((90..210).map(|counter| (0, 0, counter)));
    let whole = delivery(&[&sender], &[&all], 2);
    assert_eq!((whole.expected, whole.opened), (100.0, 100));

    let half = receiver((90..150).map(|counter| (0, 0, counter)));
    let ratio = delivery(&[&sender], &[&all, &half], 2).ratio();
    assert_eq!(ratio, Some(0.75));
}

#[test]
fn a_receiver_that_gets_nothing_counts_in_full() {
    let sender = publisher(0, 0..100);
    let some = receiver((0..100).map(|counter| (0, 0, counter)));
    let none = receiver([]);
    let ratio = delivery(&[&sender], &[&some, &none], 2).ratio();
    assert_eq!(ratio, Some(0.5));
}

#[test]
fn no_more_is_expected_than_there_are_slots() {
    let senders = [0, 1, 2].map(|leaf| publisher(leaf, 0..100));
    let two = receiver((0..100).flat_map(|counter| [(0, 0, counter), (2, 0, counter)]));
    let senders: Vec<_> = senders.iter().collect();
    assert_eq!(delivery(&senders, &[&two], 2).ratio(), Some(1.0));
}

#[test]
fn any_size_of_a_frame_will_do_and_each_frame_counts_once() {
    let mut sender = publisher(0, 0..100);
    for counter in 0..100 {
        for layer in [1, 2] {
            sender.sent(Instant::now(), &sent(camera(0, layer), counter, true));
        }
    }
    // Goes over from one size to another, and gets both for a while.
    let frames = (0..60).map(|counter| (0, 2, counter));
    let switching = receiver(frames.chain((40..100).map(|counter| (0, 1, counter))));
    let switched = delivery(&[&sender], &[&switching], 2);
    assert_eq!((switched.expected, switched.opened), (100.0, 100));
}

#[test]
fn temporal_layers_that_are_left_out_are_no_loss() {
    let mut sender = tally();
    for counter in 0..100 {
        sender.sent(
            Instant::now(),
            &sent(camera(0, 0), counter, counter % 4 == 0),
        );
    }
    let base = receiver((0..100).step_by(4).map(|counter| (0, 0, counter)));
    let all = receiver((0..100).map(|counter| (0, 0, counter)));
    let both = delivery(&[&sender], &[&base, &all], 2);
    assert_eq!((both.expected, both.opened), (50.0, 50));
    // But what is missing of the base is.
    let gap = receiver((0..100).filter(|c| *c != 8).map(|counter| (0, 0, counter)));
    assert_eq!(delivery(&[&sender], &[&gap], 2).opened, 24);
}

#[test]
fn by_counters_a_gap_is_what_is_missing() {
    let gap = receiver([10, 11, 14].map(|counter| (0, 0, counter)));
    let delivery = by_counters(&[&gap]);
    assert_eq!((delivery.expected, delivery.opened), (5.0, 3));
    assert_eq!(by_counters(&[]).ratio(), None);
    // Another size is the same track.
    let switching = receiver([(0, 0, 10), (0, 0, 11), (0, 1, 12), (0, 1, 14)]);
    let delivery = by_counters(&[&switching]);
    assert_eq!((delivery.expected, delivery.opened), (5.0, 4));
}
