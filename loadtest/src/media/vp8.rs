//! VP8 in RTP (RFC 7741), for frames whose inside is sealed: only the payload descriptor
//! and the order of the packets are looked at.

use std::{collections::BTreeMap, sync::Arc};

/// The longest RTP payload, so that a packet with its headers stays below the 1,200 bytes
/// that browsers send.
const MAX_PAYLOAD: usize = 1_160;
/// Bytes of the descriptor that we write: required, extension, picture id, TL0PICIDX, TID.
const DESCRIPTOR: usize = 6;

/// Packets further back than this are given up.
const REORDER_WINDOW: u64 = 1_024;

/// Cuts frames into RTP payloads, with the descriptor that browsers write: a 15-bit
/// picture id and, as every frame is of the base temporal layer, a TL0PICIDX that counts
/// along.
#[derive(Debug)]
pub struct Packetizer {
    picture_id: u16,
    tl0_picture_index: u8,
}

impl Packetizer {
    /// Begins to count at the given numbers, which should be random.
    pub fn new(picture_id: u16, tl0_picture_index: u8) -> Self {
        Self {
            picture_id,
            tl0_picture_index,
        }
    }

    /// Payloads of about the same size; the last one takes the RTP marker.
    pub fn packetize(&mut self, frame: &[u8]) -> Vec<Arc<[u8]>> {
        let pieces = frame.len().div_ceil(MAX_PAYLOAD - DESCRIPTOR).max(1);
        let [high, low] = (self.picture_id | 0x8000).to_be_bytes();
        let mut descriptor = [0x90, 0xe0, high, low, self.tl0_picture_index, 0];
        let payloads = frame
            .chunks(frame.len().div_ceil(pieces).max(1))
            .map(|piece| {
                let payload = [&descriptor, piece].concat().into();
                descriptor[0] = 0x80;
                payload
            })
            .collect();
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        self.tl0_picture_index = self.tl0_picture_index.wrapping_add(1);
        payloads
    }
}

/// What the descriptor of a payload says (RFC 7741 §4.2).
#[derive(Debug, PartialEq, Eq)]
struct Descriptor {
    begins_frame: bool,
    len: usize,
}

impl Descriptor {
    fn parse(payload: &[u8]) -> Option<Self> {
        let mut bytes = payload.iter();
        let required = bytes.next()?;
        if required & 0x80 != 0 {
            let extension = bytes.next()?;
            if extension & 0x80 != 0 && bytes.next()? & 0x80 != 0 {
                bytes.next()?;
            }
            if extension & 0x40 != 0 {
                bytes.next()?;
            }
            if extension & 0x30 != 0 {
                bytes.next()?;
            }
        }
        Some(Self {
            begins_frame: required & 0x17 == 0x10,
            len: payload.len() - bytes.len(),
        })
    }
}

#[derive(Debug)]
struct Part {
    time: u64,
    begins_frame: bool,
    ends_frame: bool,
    descriptor: usize,
    payload: Arc<[u8]>,
}

/// A frame that is whole, and the sequence numbers of its first and last packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeFrame {
    /// Of the first packet.
    pub first: u64,
    /// Of the last packet.
    pub last: u64,
    /// What they carry together.
    pub frame: Vec<u8>,
}

/// Puts frames together again, in whatever order their packets come. A frame is whole
/// when every packet is there from the one that begins it to the one with the marker.
#[derive(Debug, Default)]
pub struct Assembler {
    parts: BTreeMap<u64, Part>,
}

/// A packet without a readable payload descriptor.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a VP8 packet whose payload descriptor ends early")]
pub struct MalformedPacket;

impl Assembler {
    /// Takes a packet, with its extended sequence number and RTP time; gives the frame
    /// that it makes whole.
    pub fn insert(
        &mut self,
        sequence: u64,
        time: u64,
        marker: bool,
        payload: Arc<[u8]>,
    ) -> Result<Option<WholeFrame>, MalformedPacket> {
        let descriptor = Descriptor::parse(&payload).ok_or(MalformedPacket)?;
        self.parts.insert(
            sequence,
            Part {
                time,
                begins_frame: descriptor.begins_frame,
                ends_frame: marker,
                descriptor: descriptor.len,
                payload,
            },
        );
        let newest = self.parts.last_key_value().map_or(0, |(newest, _)| *newest);
        let oldest = newest.saturating_sub(REORDER_WINDOW);
        if self
            .parts
            .first_key_value()
            .is_some_and(|(first, _)| *first < oldest)
        {
            self.parts = self.parts.split_off(&oldest);
        }
        Ok(self.take_frame_around(sequence, time))
    }

    fn take_frame_around(&mut self, sequence: u64, time: u64) -> Option<WholeFrame> {
        let mut first = sequence;
        while !self.part(first, time)?.begins_frame {
            first = first.checked_sub(1)?;
        }
        let mut last = sequence;
        while !self.part(last, time)?.ends_frame {
            last += 1;
        }
        let mut frame = Vec::new();
        for number in first..=last {
            let part = self.parts.remove(&number)?;
            frame.extend_from_slice(&part.payload[part.descriptor..]);
        }
        Some(WholeFrame { first, last, frame })
    }

    fn part(&self, sequence: u64, time: u64) -> Option<&Part> {
        self.parts.get(&sequence).filter(|part| part.time == time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Vec<u8> {
        (0..len).map(|at| at as u8).collect()
    }

    /// The packets of several frames, numbered, with time and marker.
    fn packets(frames: &[Vec<u8>]) -> Vec<(u64, u64, bool, Arc<[u8]>)> {
        let mut packetizer = Packetizer::new(0x7ffe, 255);
        let mut packets = Vec::new();
        for (time, frame) in frames.iter().enumerate() {
            let payloads = packetizer.packetize(frame);
            let last = payloads.len() - 1;
            for (at, payload) in payloads.into_iter().enumerate() {
                packets.push((packets.len() as u64, time as u64, at == last, payload));
            }
        }
        packets
    }

    fn assemble(
        assembler: &mut Assembler,
        packet: &(u64, u64, bool, Arc<[u8]>),
    ) -> Option<Vec<u8>> {
        let (sequence, time, marker, payload) = packet.clone();
        let whole = assembler.insert(sequence, time, marker, payload).unwrap()?;
        assert!(whole.first <= sequence && sequence <= whole.last);
        Some(whole.frame)
    }

    #[test]
    fn descriptors_count_pictures_and_mark_the_start() {
        let packets = packets(&[frame(2_000), frame(1)]);
        assert_eq!(packets.len(), 3);
        assert_eq!(packets[0].3[..6], [0x90, 0xe0, 0xff, 0xfe, 255, 0]);
        assert_eq!(packets[1].3[..6], [0x80, 0xe0, 0xff, 0xfe, 255, 0]);
        assert_eq!(packets[2].3[..], [0x90, 0xe0, 0xff, 0xff, 0, 0, 0]);
        assert!(packets.iter().all(|packet| packet.3.len() <= MAX_PAYLOAD));
    }

    #[test]
    fn descriptors_of_others_are_understood() {
        for (payload, begins_frame, len) in [
            (&[0x10, 9][..], true, 1),
            (&[0x11, 9], false, 1),
            (&[0x90, 0x80, 0x05, 9], true, 3),
            (&[0x90, 0x80, 0x85, 1, 9], true, 4),
            (&[0x80, 0x20, 0, 9], false, 3),
            (&[0x90, 0xf0, 0x85, 1, 2, 3, 9], true, 6),
        ] {
            assert_eq!(
                Descriptor::parse(payload),
                Some(Descriptor { begins_frame, len })
            );
        }
        for cut in [&[][..], &[0x90], &[0x90, 0x80], &[0x90, 0x80, 0x80]] {
            assert_eq!(Descriptor::parse(cut), None);
        }
    }

    #[test]
    fn every_order_gives_the_same_frames() {
        let frames = [frame(3_000), frame(10), frame(2_500), frame(1_154)];
        let in_order = packets(&frames);
        // Every rotation and its reverse.
        for turn in 0..in_order.len() {
            for reverse in [false, true] {
                let mut shuffled = in_order.clone();
                shuffled.rotate_left(turn);
                if reverse {
                    shuffled.reverse();
                }
                let mut assembler = Assembler::default();
                let mut found: Vec<_> = shuffled
                    .iter()
                    .filter_map(|packet| assemble(&mut assembler, packet))
                    .collect();
                found.sort_by_key(Vec::len);
                let mut expected = frames.to_vec();
                expected.sort_by_key(Vec::len);
                assert_eq!(found, expected);
                assert!(assembler.parts.is_empty());
            }
        }
    }

    #[test]
    fn a_frame_with_a_gap_is_never_given() {
        let packets = packets(&[frame(3_000), frame(3_000)]);
        let mut assembler = Assembler::default();
        let found: Vec<_> = packets
            .iter()
            .filter(|(sequence, ..)| *sequence != 1)
            .filter_map(|packet| assemble(&mut assembler, packet))
            .collect();
        assert_eq!(found, [frame(3_000)]);
    }

    #[test]
    fn halves_of_two_frames_do_not_make_one() {
        // The end of one frame and the start of the next were lost before they were
        // numbered, so no gap shows.
        let packets = packets(&[frame(3_000), frame(3_000)]);
        let mut assembler = Assembler::default();
        for (number, at) in [0, 1, 4, 5].into_iter().enumerate() {
            let (_, time, marker, payload) = packets[at].clone();
            let found = assembler.insert(number as u64, time, marker, payload);
            assert_eq!(found, Ok(None));
        }
    }

    #[test]
    fn what_stays_unfinished_is_forgotten() {
        let mut assembler = Assembler::default();
        let stray: Arc<[u8]> = Arc::from([0x00, 1]);
        for sequence in (0..10_000).step_by(2) {
            assembler
                .insert(sequence, sequence, false, stray.clone())
                .unwrap();
        }
        assert!(assembler.parts.len() as u64 <= REORDER_WINDOW / 2 + 1);
    }
}
