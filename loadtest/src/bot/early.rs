//! Frames whose key has not come yet. Media and keys go different ways, and after a removal
//! others seal with the next key at once; a browser keeps such frames for a second, and so
//! does a bot.

use std::{
    borrow::Cow,
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::media::Codec;

/// How long a frame waits for its key.
const PATIENCE: Duration = Duration::from_secs(1);
/// As many frames wait in one stream: more than a second of video.
const MOST: usize = 64;

/// A sealed frame, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFrame<'a> {
    /// How it is coded.
    pub codec: Codec,
    /// The sequence number of its first packet.
    pub first: u64,
    /// That of its last packet.
    pub last: u64,
    /// As it came.
    pub bytes: Cow<'a, [u8]>,
}

impl SealedFrame<'_> {
    fn into_owned(self) -> SealedFrame<'static> {
        SealedFrame {
            bytes: Cow::Owned(self.bytes.into_owned()),
            ..self
        }
    }
}

/// Those of one stream, in the order in which they came.
#[derive(Debug, Default)]
pub struct EarlyFrames(VecDeque<(Instant, SealedFrame<'static>)>);

impl EarlyFrames {
    /// Keeps a frame that has waited since some moment; gives those that have waited too
    /// long.
    pub fn keep(
        &mut self,
        now: Instant,
        since: Instant,
        frame: SealedFrame<'_>,
    ) -> Vec<SealedFrame<'static>> {
        self.0.push_back((since, frame.into_owned()));
        let fresh = |(since, _): &(Instant, SealedFrame<'_>)| {
            now.saturating_duration_since(*since) < PATIENCE
        };
        let stale = self.0.iter().position(fresh).unwrap_or(self.0.len());
        let many = self.0.len().saturating_sub(MOST);
        let gone = self.0.drain(..stale.max(many));
        gone.map(|(_, frame)| frame).collect()
    }

    /// All of them, with the moments since when they wait.
    pub fn take(&mut self) -> Vec<(Instant, SealedFrame<'static>)> {
        self.0.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u64) -> SealedFrame<'static> {
        SealedFrame {
            codec: Codec::Opus,
            first: number,
            last: number,
            bytes: Cow::Borrowed(&[]),
        }
    }

    #[test]
    fn a_frame_is_given_up_after_a_second() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut early = EarlyFrames::default();
        assert_eq!(early.keep(at(0), at(0), frame(0)), []);
        assert_eq!(early.keep(at(999), at(999), frame(1)), []);
        assert_eq!(early.keep(at(1_000), at(1_000), frame(2)), [frame(0)]);
        assert_eq!(early.take(), [(at(999), frame(1)), (at(1_000), frame(2))]);
        assert_eq!(early.keep(at(2_000), at(999), frame(1)), [frame(1)]);
    }

    #[test]
    fn so_are_the_oldest_when_there_are_many() {
        let now = Instant::now();
        let mut early = EarlyFrames::default();
        let gone: Vec<u64> = (0..66)
            .flat_map(|number| early.keep(now, now, frame(number)))
            .map(|frame| frame.first)
            .collect();
        assert_eq!(gone, [0, 1]);
    }
}
