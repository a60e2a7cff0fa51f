//! How far apart the first and the last receiver get the same frame. Not every frame is
//! followed, only some that everyone picks alike, so that memory stays bounded however
//! long a run is.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use super::frame::StreamKey;

/// One of so many frames is followed at first.
const ONE_OF: u64 = 16;
/// Frames that are followed at most. When there are more, every other one is given up, and
/// half as many are followed from then on.
const MOST: usize = 4_096;

/// A frame that is followed, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameName(u64);

impl FrameName {
    /// The name of a frame; none if it is not one of those that are followed.
    pub fn of(stream: StreamKey, counter: u64) -> Option<Self> {
        // A stream's frames are picked evenly, the rest is up to chance.
        if !counter.is_multiple_of(ONE_OF) {
            return None;
        }
        // Everyone in this process hashes alike.
        let mut hasher = DefaultHasher::new();
        (stream, counter).hash(&mut hasher);
        Some(Self(hasher.finish()))
    }
}

#[derive(Debug, Clone, Copy)]
struct Arrivals {
    first: Duration,
    last: Duration,
    receivers: u32,
}

/// Who received the followed frames when.
#[derive(Debug, Default)]
pub struct Skew {
    frames: HashMap<FrameName, Arrivals>,
    /// Names with this many leading zeros are followed.
    zeros: u32,
}

impl Skew {
    /// A receiver opened a frame, so long after the run began.
    pub fn arrived(&mut self, name: FrameName, at: Duration) {
        if name.0.leading_zeros() < self.zeros {
            return;
        }
        let arrivals = self.frames.entry(name).or_insert(Arrivals {
            first: at,
            last: at,
            receivers: 0,
        });
        arrivals.first = arrivals.first.min(at);
        arrivals.last = arrivals.last.max(at);
        arrivals.receivers += 1;
        if self.frames.len() > MOST {
            self.zeros += 1;
            let zeros = self.zeros;
            self.frames
                .retain(|name, _| name.0.leading_zeros() >= zeros);
        }
    }

    /// The time from the first to the last receiver, of every frame with more than one.
    pub fn spans(&self) -> impl Iterator<Item = Duration> {
        self.frames
            .values()
            .filter(|arrivals| arrivals.receivers > 1)
            .map(|arrivals| arrivals.last - arrivals.first)
    }
}

#[cfg(test)]
mod tests {
    use conclave_e2ee::{LeafIndex, StreamContext};
    use conclave_protocol::Epoch;

    use super::*;

    fn name(counter: u64) -> FrameName {
        let stream = StreamKey {
            leaf: LeafIndex::new(1).unwrap(),
            epoch: Epoch::new(4),
            context: StreamContext::AUDIO,
        };
        FrameName::of(stream, counter).unwrap()
    }

    #[test]
    fn it_is_the_time_between_the_first_and_the_last_receiver() {
        let mut skew = Skew::default();
        for (counter, milliseconds) in [(0, 7), (0, 4), (0, 9), (16, 100), (32, 5), (32, 5)] {
            skew.arrived(name(counter), Duration::from_millis(milliseconds));
        }
        let mut spans: Vec<_> = skew.spans().map(|span| span.as_millis()).collect();
        spans.sort_unstable();
        // The frame with one receiver has no skew.
        assert_eq!(spans, [0, 5]);
    }

    #[test]
    fn one_frame_of_sixteen_is_followed() {
        let stream = StreamKey {
            leaf: LeafIndex::new(1).unwrap(),
            epoch: Epoch::new(4),
            context: StreamContext::CAMERA[0],
        };
        let followed = (0..160).filter(|counter| FrameName::of(stream, *counter).is_some());
        assert_eq!(followed.count(), 10);
    }

    #[test]
    fn memory_is_bounded_and_frames_are_kept_for_all_receivers_or_none() {
        let mut skew = Skew::default();
        for number in 0..100_000 {
            let name = name(number * ONE_OF);
            for receiver in 0..3 {
                skew.arrived(name, Duration::from_millis(number + receiver));
            }
        }
        let spans: Vec<_> = skew.spans().collect();
        assert!((1_000..=MOST).contains(&spans.len()), "{}", spans.len());
        assert!(spans.iter().all(|span| span.as_millis() == 2));
    }
}
