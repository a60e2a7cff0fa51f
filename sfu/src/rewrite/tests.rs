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
    /// Packet i is of a layer that is not sent on.
    left_out: Vec<bool>,
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let run = (
        prop_oneof![0u64..200_000, Just(65_530), Just(0)],
        any::<u32>(),
        0u16..0x8000,
        1usize..40,
        prop::collection::vec(prop::bool::weighted(0.1), 40),
        prop::collection::vec(prop::bool::weighted(0.2), 40),
        prop::collection::vec(prop::bool::weighted(0.4), 40),
    )
        .prop_map(
            |(sequence, timestamp, first_picture, length, mut lost, mut swapped, mut left_out)| {
                // A switch happens at a key frame's first packet, so that one arrives, first.
                lost[0] = false;
                swapped[0] = false;
                swapped[1] = false;
                left_out[0] = false;
                Run {
                    first: Position {
                        sequence,
                        timestamp,
                    },
                    first_picture,
                    length,
                    lost,
                    swapped,
                    left_out,
                }
            },
        );
    prop::collection::vec(run, 1..8)
}

impl Run {
    fn position(&self, index: usize) -> Position {
        let ticks = FRAME_TICKS.wrapping_mul(index as u32);
        Position {
            sequence: self.first.sequence + index as u64,
            timestamp: self.first.timestamp.wrapping_add(ticks),
        }
    }

    /// What is not left out is the base layer.
    fn ids(&self, index: usize) -> PictureIds {
        PictureIds {
            picture: Some(self.first_picture.wrapping_add(index as u16) & 0x7fff),
            short: false,
            tl0: Some((self.first_picture as u8).wrapping_add(self.base_frames(0, index) as u8)),
        }
    }

    fn frame_number(&self, index: usize) -> u16 {
        self.first_picture
            .wrapping_mul(3)
            .wrapping_add(index as u16)
    }

    fn base_frames(&self, after: usize, up_to: usize) -> usize {
        let left_out = self.left_out[after + 1..=up_to].iter();
        left_out.filter(|left_out| !**left_out).count()
    }
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    run: usize,
    index: usize,
    position: Position,
    /// None when it only fills a place.
    frame: Option<(PictureIds, u16)>,
}

/// What goes out, and which packets of which run closed up.
fn send(runs: &[Run]) -> (Vec<Sent>, HashSet<(usize, usize)>) {
    let mut now = Instant::now();
    let mut sequencer = Sequencer::default();
    let mut ids = IdRewriter::default();
    let mut numbers = FrameNumbers::default();
    let (mut sent, mut closed) = (vec![], HashSet::new());
    for (run, script) in runs.iter().enumerate() {
        let mut order: Vec<usize> = (0..script.length).collect();
        for i in 1..script.length {
            if script.swapped[i] {
                order.swap(i, i - 1);
            }
        }
        sequencer.switch(script.position(0), now, CLOCK);
        ids.switch(script.ids(0));
        numbers.switch(script.frame_number(0));
        for index in order {
            now += FRAME_TIME;
            if script.lost[index] {
                continue;
            }
            let position = script.position(index);
            if script.left_out[index] {
                ids.leave_out(script.ids(index));
                match sequencer.leave_out(position, now) {
                    Some(position) => sent.push(Sent {
                        run,
                        index,
                        position,
                        frame: None,
                    }),
                    None => {
                        closed.insert((run, index));
                    }
                }
            } else if let Some(position) = sequencer.place(position, now) {
                let placed = ids.place(script.ids(index));
                let number = numbers.place(script.frame_number(index));
                sent.push(Sent {
                    run,
                    index,
                    position,
                    frame: Some((placed, number)),
                });
            }
        }
    }
    (sent, closed)
}

proptest! {
    #[test]
    fn the_outgoing_stream_has_no_seams(runs in runs()) {
        let (sent, closed) = send(&runs);
        let apart = |a: Sent, b: Sent| {
            let between = (a.index + 1..b.index).filter(|i| !closed.contains(&(a.run, *i)));
            1 + between.count() as u64
        };

        let numbers: HashSet<u64> = sent.iter().map(|s| s.position.sequence).collect();
        prop_assert_eq!(numbers.len(), sent.len(), "a number was used twice");
        prop_assert!(sent[0].position.sequence < 65_536);

        let mut ordered = sent.clone();
        ordered.sort_by_key(|s| s.position.sequence);
        for pair in ordered.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let step = b.position.sequence - a.position.sequence;
            let forward = b.position.timestamp.wrapping_sub(a.position.timestamp);
            prop_assert!(a.run <= b.run, "an older source came after a newer one");
            prop_assert!(forward > 0 && forward < u32::MAX / 2, "time went backward");
            if a.run == b.run {
                prop_assert_eq!(step, apart(a, b));
                let ticks = (b.index - a.index) as u64 * u64::from(FRAME_TICKS);
                prop_assert_eq!(u64::from(forward), ticks);
            } else {
                prop_assert_eq!(step, 1, "a gap at a switch");
            }
        }

        let frames: Vec<_> = ordered.iter().filter_map(|s| Some((*s, s.frame?))).collect();
        for pair in frames.windows(2) {
            let ((a, (a_ids, a_number)), (b, (b_ids, b_number))) = (pair[0], pair[1]);
            let pictures = b_ids.picture.unwrap().wrapping_sub(a_ids.picture.unwrap()) & 0x7fff;
            let base = b_ids.tl0.unwrap().wrapping_sub(a_ids.tl0.unwrap());
            let number = b_number.wrapping_sub(a_number);
            if a.run == b.run {
                prop_assert_eq!(u64::from(pictures), apart(a, b));
                let run = &runs[a.run];
                prop_assert_eq!(usize::from(base), run.base_frames(a.index, b.index));
                prop_assert_eq!(usize::from(number), b.index - a.index);
            } else {
                prop_assert_eq!((pictures, base, number), (1, 1, 1), "a jump at a switch");
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
