//! Turns received packets into opened frames, and knows which pictures could be shown.

use std::{borrow::Cow, collections::HashMap, time::Instant};

use conclave_e2ee::OpenError;

use super::{
    early::{EarlyFrames, SealedFrame},
    peer::IncomingPacket,
    seal::Frames,
};
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
    slot: u32,
    is_video: bool,
    sequence: Sequence,
    assembler: Assembler,
    early: EarlyFrames,
    decoding: Decoding,
}

/// What a packet or a key led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Frames that could be opened, and why others could not.
    pub frames: Vec<Result<Opened, OpenError>>,
    /// Whether the sender of the stream is to be asked for a key frame.
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
            slot,
            is_video: packet.is_video(),
            sequence: Sequence {
                first: number,
                last: number,
                received: 0,
            },
            assembler: Assembler::default(),
            early: EarlyFrames::default(),
            decoding: Decoding::new(now, number),
        });
        stream.sequence.first = stream.sequence.first.min(number);
        stream.sequence.last = stream.sequence.last.max(number);
        stream.sequence.received += 1;
        if stream.is_video {
            stream.decoding.packet(now, number);
        }
        let mut received = Vec::new();
        // Those who are no members are not told when a key comes.
        stream.retry(now, frames, &mut received);
        stream.take(now, packet, frames, &mut received);
        Received {
            frames: received,
            wants_key_frame: stream.is_video && stream.decoding.ask(now),
        }
    }

    /// Opens what waited for a key that has come.
    pub fn retry(&mut self, now: Instant, frames: &mut Frames) -> Vec<Result<Opened, OpenError>> {
        let mut received = Vec::new();
        for stream in self.streams.values_mut() {
            stream.retry(now, frames, &mut received);
        }
        received
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
    fn retry(
        &mut self,
        now: Instant,
        frames: &mut Frames,
        received: &mut Vec<Result<Opened, OpenError>>,
    ) {
        for (since, frame) in self.early.take() {
            self.open(now, since, frame, frames, received);
        }
    }

    fn take(
        &mut self,
        now: Instant,
        packet: IncomingPacket,
        frames: &mut Frames,
        received: &mut Vec<Result<Opened, OpenError>>,
    ) {
        let (number, codec) = (packet.sequence, packet.codec);
        if !self.is_video {
            let frame = SealedFrame {
                codec,
                first: number,
                last: number,
                bytes: Cow::Borrowed(&packet.payload),
            };
            return self.open(now, now, frame, frames, received);
        }
        // Padding that probes for bandwidth, or what stands for a packet left out.
        if packet.payload.is_empty() {
            return self.decoding.filler(number);
        }
        let whole = self.assembler.insert(Packet {
            codec,
            sequence: number,
            time: packet.time,
            marker: packet.marker,
            begins: packet.begins,
            payload: packet.payload,
        });
        match whole {
            Ok(None) => {}
            Ok(Some(WholeFrame { first, last, bytes })) => {
                let frame = SealedFrame {
                    codec,
                    first,
                    last,
                    bytes: Cow::Owned(bytes),
                };
                self.open(now, now, frame, frames, received);
            }
            Err(_) => {
                self.decoding.unopened(now, number);
                received.push(Err(OpenError::Malformed));
            }
        }
    }

    fn open(
        &mut self,
        now: Instant,
        since: Instant,
        sealed: SealedFrame<'_>,
        frames: &mut Frames,
        received: &mut Vec<Result<Opened, OpenError>>,
    ) {
        let SealedFrame {
            codec, first, last, ..
        } = sealed;
        let opened = match frames.open(codec, &sealed.bytes) {
            Ok(opened) => opened,
            Err(OpenError::UnknownEpoch) => {
                let gone = self.early.keep(now, since, sealed);
                return self.give_up(now, gone, received);
            }
            Err(error) => {
                // The other errors are of frames that a decoder is done with, or of none.
                if matches!(error, OpenError::Forged | OpenError::Malformed) {
                    self.decoding.unopened(now, last);
                }
                return received.push(Err(error));
            }
        };
        // Nobody goes back to an older key: what still waits is of before this bot's time.
        let gone = self.early.take().into_iter().map(|(_, frame)| frame);
        self.give_up(now, gone.collect(), received);
        let stream = key(&opened);
        let is_key_frame = self.is_video && is_key_frame(codec, &opened.frame);
        let picture = Picture {
            first,
            last,
            content: (stream.leaf, stream.context),
            is_key_frame,
        };
        let shown = match self.is_video {
            true => self.decoding.picture(now, &picture),
            false => Shown::default(),
        };
        received.push(Ok(Opened {
            stream,
            counter: opened.counter,
            is_key_frame,
            stamp: stamp::read(&opened.frame),
            slot: self.slot,
            shown,
        }));
    }

    fn give_up(
        &mut self,
        now: Instant,
        gone: Vec<SealedFrame<'static>>,
        received: &mut Vec<Result<Opened, OpenError>>,
    ) {
        for frame in gone {
            self.decoding.unopened(now, frame.last);
            received.push(Err(OpenError::UnknownEpoch));
        }
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
            Codec,
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
            received.frames.into_iter().next()
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
            let opened = received.frames[0].unwrap();
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

    #[test]
    fn what_comes_before_its_key_is_opened_when_the_key_is_there() {
        let mut rig = rig();
        let next = Epoch::new(3);
        let install = |frames: &mut Frames, base_key| {
            frames.change(&KeyChange::Install {
                epoch: next,
                leaf: LeafIndex::new(1).unwrap(),
                base_key,
            });
        };
        let mut sender = Frames::sealed();
        install(&mut sender, BaseKey::new([4; 16]));
        sender.change(&KeyChange::SealWith(next));
        let own = std::mem::replace(&mut rig.frames, sender);
        let mut packets = rig.packets(&[0x10; 100]);
        packets.extend(rig.packets(&[0x11; 100]));
        rig.frames = own;
        for packet in packets {
            assert_eq!(rig.receive(packet), None);
        }
        let now = rig.start + Duration::from_millis(20);
        assert_eq!(rig.receiver.retry(now, &mut rig.frames), []);
        install(&mut rig.frames, BaseKey::new([4; 16]));
        let opened = rig.receiver.retry(now, &mut rig.frames);
        let counters: Vec<_> = opened.into_iter().map(|it| it.unwrap().counter).collect();
        assert_eq!(counters, [0, 1]);
    }

    #[test]
    fn what_is_of_before_ones_time_is_told_when_something_else_opens() {
        let mut rig = rig();
        let mut stranger = self::rig();
        stranger.frames = Frames::sealed();
        let old = Epoch::new(1);
        stranger.frames.change(&KeyChange::Install {
            epoch: old,
            leaf: LeafIndex::new(1).unwrap(),
            base_key: BaseKey::new([4; 16]),
        });
        stranger.frames.change(&KeyChange::SealWith(old));
        let early = stranger.packets(&[0x10; 100]).remove(0);
        rig.sequence += 1;
        assert_eq!(rig.receive(early), None);
        let packet = rig.packets(&[0x10; 100]).remove(0);
        let received = rig.receiver.handle(rig.start, packet, &mut rig.frames);
        let told: Vec<_> = received.frames.iter().map(Result::is_ok).collect();
        assert_eq!(told, [false, true]);
    }
}
