//! What is noted of single frames.

use std::time::{Duration, Instant};

use conclave_e2ee::{LeafIndex, StreamContext};
use conclave_protocol::{Epoch, signal::Source};

use super::decoding::Shown;
use crate::media::stamp::Stamp;

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
        self.source().is_some_and(Source::is_video)
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
    /// Numbers the RTP streams of the receiver: where it came.
    pub slot: u32,
    /// What a decoder can show now.
    pub shown: Shown,
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
    /// When it should have been sent.
    pub due: Instant,
    /// How far behind the schedule it was.
    pub late: Duration,
    /// Frames left out just before it, as they were too late.
    pub left_out: u64,
    /// It is of the lowest temporal layer.
    pub is_base: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_context_of_media_has_a_source() {
        let stream = |number| StreamKey {
            leaf: LeafIndex::new(0).unwrap(),
            epoch: Epoch::FIRST,
            context: StreamContext::new(number).unwrap(),
        };
        let sources = [0, 1, 2, 3, 4, 5, 6, 7].map(|number| stream(number).source());
        let camera = Source::Camera;
        let screen = Source::Screen;
        let (microphone, sound) = (Source::Microphone, Source::ScreenSound);
        let expected = [
            microphone, camera, camera, camera, screen, screen, screen, sound,
        ];
        assert_eq!(sources, expected.map(Some));
    }
}
