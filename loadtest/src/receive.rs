//! Turns received packets into opened frames.

use std::collections::HashMap;

use conclave_e2ee::{Codec, FrameOpener, OpenError};

use crate::{
    peer::IncomingPacket,
    recording::is_vp8_key_frame,
    stamp,
    tally::{Opened, StreamKey},
    vp8::Assembler,
};

/// The sequence numbers of one RTP stream (RFC 3550 appendix A.3).
#[derive(Debug, Clone, Copy)]
struct Sequence {
    first: u64,
    last: u64,
    received: u64,
}

impl Sequence {
    fn lost(self) -> u64 {
        (self.last - self.first + 1).saturating_sub(self.received)
    }
}

#[derive(Debug)]
struct Stream {
    sequence: Sequence,
    assembler: Assembler,
}

/// Receives on all slots.
#[derive(Debug, Default)]
pub struct Receiver {
    streams: HashMap<u32, Stream>,
}

impl Receiver {
    /// Takes a packet; gives the frame that it completes, opened, or why it was not.
    pub fn handle(
        &mut self,
        packet: IncomingPacket,
        opener: &mut FrameOpener,
    ) -> Option<Result<Opened, OpenError>> {
        let number = packet.sequence;
        let stream = self.streams.entry(packet.stream).or_insert_with(|| Stream {
            sequence: Sequence {
                first: number,
                last: number,
                received: 0,
            },
            assembler: Assembler::default(),
        });
        stream.sequence.first = stream.sequence.first.min(number);
        stream.sequence.last = stream.sequence.last.max(number);
        stream.sequence.received += 1;

        let opened = if packet.is_video {
            let frame = stream
                .assembler
                .insert(number, packet.time, packet.marker, packet.payload);
            match frame {
                Ok(frame) => opener.open(Codec::Vp8, &frame?),
                Err(_) => Err(OpenError::Malformed),
            }
        } else {
            opener.open(Codec::Opus, &packet.payload)
        };
        Some(opened.map(|opened| Opened {
            stream: StreamKey {
                leaf: opened.leaf,
                epoch: opened.epoch,
                context: opened.context,
            },
            counter: opened.counter,
            is_key_frame: packet.is_video && is_vp8_key_frame(&opened.frame),
            stamp: stamp::read(&opened.frame).filter(|_| packet.is_video),
        }))
    }

    /// Packets that never came, counted by the gaps in the sequence numbers.
    pub fn lost(&self) -> u64 {
        self.streams
            .values()
            .map(|stream| stream.sequence.lost())
            .sum()
    }
}
