//! Turns received packets into opened frames.

use std::collections::HashMap;

use conclave_e2ee::{Codec, OpenError};

use super::{peer::IncomingPacket, seal::Frames};
use crate::{
    measure::tally::{LostPackets, Opened, StreamKey},
    media::{
        assemble::{Assembler, Packet},
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
        frames: &mut Frames,
    ) -> Option<Result<Opened, OpenError>> {
        let number = packet.sequence;
        let stream = self.streams.entry(packet.stream).or_insert_with(|| Stream {
            is_video: packet.is_video(),
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

        let codec = packet.codec;
        let opened = if codec == Codec::Opus {
            frames.open(codec, &packet.payload)
        } else {
            let frame = stream.assembler.insert(Packet {
                codec,
                sequence: number,
                time: packet.time,
                marker: packet.marker,
                begins: packet.begins,
                payload: packet.payload,
            });
            match frame {
                Ok(frame) => frames.open(codec, &frame?),
                Err(_) => Err(OpenError::Malformed),
            }
        };
        Some(opened.map(|opened| Opened {
            stream: StreamKey {
                leaf: opened.leaf,
                epoch: opened.epoch,
                context: opened.context,
            },
            counter: opened.counter,
            is_key_frame: is_key_frame(codec, &opened.frame),
            stamp: stamp::read(&opened.frame),
        }))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
            self.receiver.handle(packet, &mut self.frames)
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
}
