//! The invariant of the module, over random switches, losses and reorderings.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const CLOCK: u32 = 90_000;
const FRAME_TICKS: u32 = 3_000;
const FRAME_TIME: Duration = Duration::from_micros(33_333);

/// A run of frames of one source, one packet each.
#[derive(Debug, Clone)]
struct Run {
    first: Position,
    first_picture: u16,
    length: usize,
    lost: Vec<bool>,
    /// Packet i is delivered before its predecessor.
    swapped: Vec<bool>,
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let run = (
        prop_oneof![0u64..200_000, Just(65_530), Just(0)],
        any::<u32>(),
        0u16..0x8000,
        1usize..40,
        prop::collection::vec(prop::bool::weighted(0.1), 40),
        prop::collection::vec(prop::bool::weighted(0.2), 40),
    )
        .prop_map(
            |(sequence, timestamp, first_picture, length, mut lost, mut swapped)| {
                // A switch happens at a key frame's first packet, so that one arrives, first.
                lost[0] = false;
                swapped[0] = false;
                swapped[1] = false;
                Run {
                    first: Position {
                        sequence,
                        timestamp,
                    },
                    first_picture,
                    length,
                    lost,
                    swapped,
                }
            },
        );
    prop::collection::vec(run, 1..8)
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    run: usize,
    index: usize,
    position: Position,
    picture: u16,
}

fn send(runs: &[Run]) -> Vec<Sent> {
    let mut now = Instant::now();
    let mut sequencer = Sequencer::default();
    let mut ids = IdRewriter::default();
    let mut sent = vec![];
    for (run, script) in runs.iter().enumerate() {
        let mut order: Vec<usize> = (0..script.length).collect();
        for i in 1..script.length {
            if script.swapped[i] {
                order.swap(i, i - 1);
            }
        }
        let at = |index: usize| {
            (
                Position {
                    sequence: script.first.sequence + index as u64,
                    timestamp: script
                        .first
                        .timestamp
                        .wrapping_add(FRAME_TICKS * index as u32),
                },
                PictureIds {
                    picture: Some(script.first_picture.wrapping_add(index as u16) & 0x7fff),
                    short: false,
                    tl0: None,
                },
            )
        };
        let (first, first_ids) = at(0);
        sequencer.switch(first, now, CLOCK);
        ids.switch(first_ids);
        for index in order {
            now += FRAME_TIME;
            if script.lost[index] {
                continue;
            }
            let (position, picture) = at(index);
            if let Some(position) = sequencer.place(position, now) {
                sent.push(Sent {
                    run,
                    index,
                    position,
                    picture: ids.place(picture).picture.unwrap(),
                });
            }
        }
    }
    sent
}

proptest! {
    #[test]
    fn the_outgoing_stream_has_no_seams(runs in runs()) {
        let sent = send(&runs);

        let numbers: HashSet<u64> = sent.iter().map(|s| s.position.sequence).collect();
        prop_assert_eq!(numbers.len(), sent.len(), "a number was used twice");
        prop_assert!(sent[0].position.sequence < 65_536);

        let mut ordered = sent.clone();
        ordered.sort_by_key(|s| s.position.sequence);
        for pair in ordered.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let step = b.position.sequence - a.position.sequence;
            let forward = b.position.timestamp.wrapping_sub(a.position.timestamp);
            let pictures = b.picture.wrapping_sub(a.picture) & 0x7fff;
            prop_assert!(a.run <= b.run, "an older source came after a newer one");
            prop_assert!(forward > 0 && forward < u32::MAX / 2, "time went backward");
            if a.run == b.run {
                let apart = (b.index - a.index) as u64;
                prop_assert_eq!(step, apart);
                prop_assert_eq!(u64::from(forward), apart * u64::from(FRAME_TICKS));
                prop_assert_eq!(u64::from(pictures), apart);
            } else {
                prop_assert_eq!(step, 1, "a gap at a switch");
                prop_assert_eq!(pictures, 1, "a jump of the picture id at a switch");
            }
        }
    }
}

#[test]
fn what_is_older_than_the_switch_is_not_sent() {
    let now = Instant::now();
    let mut sequencer = Sequencer::default();
    let position = |sequence| Position {
        sequence,
        timestamp: 0,
    };
    sequencer.switch(position(100), now, CLOCK);
    assert!(sequencer.place(position(99), now).is_none());
    assert!(sequencer.place(position(100), now).is_some());
}

#[test]
fn nothing_is_sent_before_the_first_switch() {
    let mut sequencer = Sequencer::default();
    let position = Position {
        sequence: 1,
        timestamp: 1,
    };
    assert!(sequencer.place(position, Instant::now()).is_none());
}

#[test]
fn time_spent_between_two_sources_passes_in_the_stream_too() {
    let start = Instant::now();
    let mut sequencer = Sequencer::default();
    let position = Position {
        sequence: 70_000,
        timestamp: u32::MAX,
    };
    sequencer.switch(position, start, CLOCK);
    let first = sequencer.place(position, start).unwrap();
    let later = start + Duration::from_secs(10);
    sequencer.switch(position, later, CLOCK);
    let second = sequencer.place(position, later).unwrap();
    assert_eq!(second.sequence, first.sequence + 1);
    assert_eq!(second.timestamp.wrapping_sub(first.timestamp), 900_000);
}
