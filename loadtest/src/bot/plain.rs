//! Frames for servers whose bots have no keys: in the clear, and numbered at their end
//! where a sealed frame has its number in the header.

use std::collections::HashMap;

use conclave_e2ee::{LeafIndex, OpenError, OpenedFrame, StreamContext};
use conclave_protocol::Epoch;

use crate::measure::{counters::CounterSet, frame::StreamKey};

const MAGIC: &[u8; 8] = b"cnclv-nr";
/// The sender's number, its stream, the frame's number, and the mark.
const TRAILER: usize = 4 + 1 + 8 + MAGIC.len();

/// Numbers the frames of one sender.
#[derive(Debug)]
pub struct Numberer {
    sender: LeafIndex,
    next: HashMap<StreamContext, u64>,
}

impl Numberer {
    /// For the sender with this number.
    pub fn new(sender: LeafIndex) -> Self {
        Self {
            sender,
            next: HashMap::new(),
        }
    }

    /// Numbers one frame; gives the stream that it is part of and its place there.
    pub fn number(&mut self, context: StreamContext, frame: &[u8]) -> (StreamKey, u64, Vec<u8>) {
        let next = self.next.entry(context).or_default();
        let counter = *next;
        *next += 1;
        let mut numbered = Vec::with_capacity(frame.len() + TRAILER);
        numbered.extend_from_slice(frame);
        numbered.extend_from_slice(&self.sender.get().to_be_bytes());
        numbered.push(context.get());
        numbered.extend_from_slice(&counter.to_be_bytes());
        numbered.extend_from_slice(MAGIC);
        (key(self.sender, context), counter, numbered)
    }
}

/// Reads the numbers of received frames.
#[derive(Debug, Default)]
pub struct NumberReader {
    seen: HashMap<StreamKey, CounterSet>,
}

impl NumberReader {
    /// Takes the number off a frame.
    pub fn open(&mut self, frame: &[u8]) -> Result<OpenedFrame, OpenError> {
        if frame.is_empty() {
            return Err(OpenError::Empty);
        }
        let opened = parse(frame).ok_or(OpenError::Malformed)?;
        let stream = self.seen.entry(key(opened.leaf, opened.context));
        if stream.or_default().insert(opened.counter) {
            Ok(opened)
        } else {
            Err(OpenError::Duplicate)
        }
    }
}

fn parse(frame: &[u8]) -> Option<OpenedFrame> {
    let rest = frame.strip_suffix(MAGIC)?;
    let (rest, counter) = rest.split_last_chunk::<8>()?;
    let (context, rest) = rest.split_last()?;
    let (rest, sender) = rest.split_last_chunk::<4>()?;
    Some(OpenedFrame {
        leaf: LeafIndex::new(u32::from_be_bytes(*sender))?,
        epoch: Epoch::FIRST,
        context: StreamContext::new(*context)?,
        counter: u64::from_be_bytes(*counter),
        frame: rest.to_vec(),
    })
}

fn key(leaf: LeafIndex, context: StreamContext) -> StreamKey {
    StreamKey {
        leaf,
        epoch: Epoch::FIRST,
        context,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_with_its_number_once() {
        let mut numberer = Numberer::new(LeafIndex::new(7).unwrap());
        numberer.number(StreamContext::AUDIO, b"one");
        let (stream, counter, sent) = numberer.number(StreamContext::AUDIO, b"two");
        let mut reader = NumberReader::default();
        let opened = reader.open(&sent).unwrap();
        assert_eq!(opened.frame, b"two");
        assert_eq!((opened.leaf, opened.counter), (stream.leaf, counter));
        assert_eq!(counter, 1);
        assert_eq!(reader.open(&sent).unwrap_err(), OpenError::Duplicate);
    }

    #[test]
    fn frames_of_others_have_no_number() {
        let mut reader = NumberReader::default();
        assert_eq!(reader.open(&[]).unwrap_err(), OpenError::Empty);
        for frame in [&b"short"[..], MAGIC, &[9; 64]] {
            assert_eq!(reader.open(frame).unwrap_err(), OpenError::Malformed);
        }
    }
}
