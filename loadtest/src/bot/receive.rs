//! Turns received packets into opened frames, and knows which pictures could be shown.

use std::{collections::HashMap, time::Instant};

use conclave_e2ee::{Codec, OpenError};

use super::{peer::IncomingPacket, seal::Frames};
use crate::{
    measure::{
        decoding::{Decoding, Picture, Shown},
        frame::{Opened, StreamKey},
        tally::LostPackets,
    },
    media::{
        assemble::{Assembler, Packet, WholeFrame},
        generated::is_key_frame,
        stamp,
    },
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
    is_video: bool,
    sequence: Sequence,
    assembler: Assembler,
    decoding: Decoding,
}

/// What a packet led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The frame that it completes, or why that was not opened.
    pub frame: Option<Result<Opened, OpenError>>,
    /// Whether the sender of its stream is to be asked for a key frame.
    pub wants_key_frame: bool,
}

/// Receives on all slots.
#[derive(Debug, Default)]
pub struct Receiver {
    streams: HashMap<u32, Stream>,
}

impl Receiver {
    /// Takes a packet.
    pub fn handle(
        &mut self,
        now: Instant,
        packet: IncomingPacket,
        frames: &mut Frames,
    ) -> Received {
        let number = packet.sequence;
        let slot = packet.stream;
        let stream = self.streams.entry(slot).or_insert_with(|| Stream {
            is_video: packet.is_video(),
            sequence: Sequence {
                first: number,
                last: number,
                received: 0,
            },
            assembler: Assembler::default(),
            decoding: Decoding::new(now, number),
        });
        stream.sequence.first = stream.sequence.first.min(number);
        stream.sequence.last = stream.sequence.last.max(number);
        stream.sequence.received += 1;

        if !packet.is_video() {
            let opened = frames.open(Codec::Opus, &packet.payload);
            return Received {
                frame: Some(opened.map(|opened| Opened {
                    stream: key(&opened),
                    counter: opened.counter,
                    is_key_frame: false,
                    stamp: stamp::read(&opened.frame),
                    slot,
                    shown: Shown::default(),
                })),
                wants_key_frame: false,
            };
        }
        stream.decoding.packet(now, number);
        Received {
            frame: stream.picture(now, packet, frames),
            wants_key_frame: stream.decoding.ask(now),
        }
    }

    /// Packets that never came, sent again or not, by the gaps in the sequence numbers.
    pub fn lost(&self) -> LostPackets {
        let mut lost = LostPackets::default();
        for stream in self.streams.values() {
            let count = if stream.is_video {
                &mut lost.video
            } else {
                &mut lost.audio
            };
            *count += stream.sequence.lost();
        }
        lost
    }
}

impl Stream {
    fn picture(
        &mut self,
        now: Instant,
        packet: IncomingPacket,
        frames: &mut Frames,
    ) -> Option<Result<Opened, OpenError>> {
        let number = packet.sequence;
        // Padding that probes for bandwidth, or what stands for a packet left out.
        if packet.payload.is_empty() {
            self.decoding.filler(number);
            return None;
        }
        let (slot, codec) = (packet.stream, packet.codec);
        let whole = self.assembler.insert(Packet {
            codec,
            sequence: number,
            time: packet.time,
            marker: packet.marker,
            begins: packet.begins,
            payload: packet.payload,
        });
        let Ok(whole) = whole else {
            self.decoding.unopened(now, number);
            return Some(Err(OpenError::Malformed));
        };
        let WholeFrame { first, last, bytes } = whole?;
        let opened = match frames.open(codec, &bytes) {
            Ok(opened) => opened,
            Err(error) => {
                // The other errors are of frames that a decoder is done with, or of none.
                if matches!(
                    error,
                    OpenError::Forged | OpenError::Malformed | OpenError::UnknownEpoch
                ) {
                    self.decoding.unopened(now, last);
                }
                return Some(Err(error));
            }
        };
        let stream = key(&opened);
        let is_key_frame = is_key_frame(codec, &opened.frame);
        let picture = Picture {
            first,
            last,
            content: (stream.leaf, stream.context),
            is_key_frame,
        };
        Some(Ok(Opened {
            stream,
            counter: opened.counter,
            is_key_frame,
            stamp: stamp::read(&opened.frame),
            slot,
            shown: self.decoding.picture(now, &picture),
        }))
    }
}

fn key(opened: &conclave_e2ee::OpenedFrame) -> StreamKey {
    StreamKey {
        leaf: opened.leaf,
        epoch: opened.epoch,
        context: opened.context,
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use conclave_e2ee::{BaseKey, LeafIndex, StreamContext};
    use conclave_protocol::Epoch;

    use super::*;
    use crate::{
        media::{
            cadence::{Cadence, TemporalLayers},
            packetize::Payload,
            vp8::Packetizer,
        },
        target::KeyChange,
    };

    struct Rig {
        receiver: Receiver,
        frames: Frames,
        packetizer: Packetizer,
        sequence: u64,
        start: Instant,
    }

    fn rig() -> Rig {
        let (epoch, key) = (Epoch::new(2), BaseKey::new([3; 16]));
        let mut frames = Frames::sealed();
        frames.change(&KeyChange::Install {
            epoch,
            leaf: LeafIndex::new(1).unwrap(),
            base_key: key,
        });
        frames.change(&KeyChange::SealWith(epoch));
        Rig {
            receiver: Receiver::default(),
            frames,
            packetizer: Packetizer::new(0, 0),
            sequence: 100,
            start: Instant::now(),
        }
    }

    impl Rig {
        fn packets(&mut self, frame: &[u8]) -> Vec<IncomingPacket> {
            let context = StreamContext::CAMERA[0];
            let sealed = self.frames.seal(context, Codec::Vp8, frame).unwrap().2;
            let rank = Cadence::new(TemporalLayers::One).next(false);
            let payloads = self.packetizer.packetize(&sealed, rank);
            let (first, count) = (self.sequence, payloads.len());
            self.sequence += count as u64;
            let packet = |(at, payload): (usize, Payload)| IncomingPacket {
                stream: 7,
                codec: Codec::Vp8,
                sequence: first + at as u64,
                time: first,
                marker: at + 1 == count,
                begins: None,
                payload: payload.bytes,
            };
            payloads.into_iter().enumerate().map(packet).collect()
        }

        fn receive(&mut self, packet: IncomingPacket) -> Option<Result<Opened, OpenError>> {
            let received = self.receiver.handle(self.start, packet, &mut self.frames);
            received.frame
        }
    }

    #[test]
    fn a_frame_opens_when_its_last_packet_is_there() {
        let mut rig = rig();
        let mut packets = rig.packets(&[0x10; 3_000]);
        packets.reverse();
        let last = packets.pop().unwrap();
        for packet in packets {
            assert_eq!(rig.receive(packet), None);
        }
        let opened = rig.receive(last).unwrap().unwrap();
        assert_eq!((opened.counter, opened.is_key_frame), (0, true));
        assert_eq!((opened.stamp, rig.receiver.lost().sum()), (None, 0));
    }

    #[test]
    fn a_packet_that_never_comes_is_lost_and_so_is_its_frame() {
        let mut rig = rig();
        let mut packets = rig.packets(&[0x10; 3_000]);
        packets.remove(1);
        let next = rig.packets(&[0x11; 100]);
        let opened: Vec<_> = packets
            .into_iter()
            .chain(next)
            .filter_map(|packet| rig.receive(packet))
            .map(|opened| opened.unwrap().counter)
            .collect();
        assert_eq!(opened, [1]);
        assert_eq!(rig.receiver.lost().sum(), 1);
    }

    #[test]
    fn what_does_not_open_is_told() {
        let mut rig = rig();
        let mut packet = rig.packets(&[0x11; 100]).remove(0);
        let mut payload = packet.payload.to_vec();
        *payload.last_mut().unwrap() ^= 1;
        packet.payload = payload.into();
        assert_eq!(rig.receive(packet), Some(Err(OpenError::Forged)));

        let mut packet = rig.packets(&[0x11; 100]).remove(0);
        packet.payload = Arc::from([0x90]);
        assert_eq!(rig.receive(packet), Some(Err(OpenError::Malformed)));
    }

    #[test]
    fn pictures_after_a_lost_one_are_opened_and_not_shown() {
        let mut rig = rig();
        let key = rig.packets(&[0x10; 100]).remove(0);
        let opened = rig.receive(key).unwrap().unwrap();
        assert_eq!(opened.shown.pictures, 1);
        rig.packets(&[0x11; 100]);
        let next = rig.packets(&[0x11; 100]).remove(0);
        let opened = rig.receive(next).unwrap().unwrap();
        assert_eq!((opened.counter, opened.shown.pictures), (2, 0));

        let later = rig.start + Duration::from_secs(1);
        let asks = |rig: &mut Rig, frame: &[u8]| {
            let packet = rig.packets(frame).remove(0);
            let received = rig.receiver.handle(later, packet, &mut rig.frames);
            let opened = received.frame.unwrap().unwrap();
            (received.wants_key_frame, opened.shown.pictures)
        };
        assert_eq!(asks(&mut rig, &[0x11; 100]), (true, 0));
        assert_eq!(asks(&mut rig, &[0x11; 100]), (false, 0));
        assert_eq!(asks(&mut rig, &[0x10; 100]), (false, 1));
    }

    #[test]
    fn an_empty_packet_is_neither_a_frame_nor_a_gap() {
        let mut rig = rig();
        let key = rig.packets(&[0x10; 100]).remove(0);
        rig.receive(key);
        let mut padding = rig.packets(&[0x11; 100]).remove(0);
        padding.payload = Arc::from([]);
        assert_eq!(rig.receive(padding), None);
        let next = rig.packets(&[0x11; 100]).remove(0);
        assert_eq!(rig.receive(next).unwrap().unwrap().shown.pictures, 1);
    }
}
