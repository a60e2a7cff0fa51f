use proptest::prelude::*;

use super::*;
use crate::media::{
    av1::write_leb128,
    cadence::{Cadence, TemporalLayers},
    packetize::{Packetizer, StreamShape},
};

const CODECS: [Codec; 4] = [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264];

/// A frame of about this length, in a shape that the codec's packetizer takes.
fn frame(codec: Codec, length: usize, is_key: bool) -> Vec<u8> {
    let content = (0..length).map(|at| at as u8);
    match codec {
        Codec::Av1 => {
            let mut frame = Vec::new();
            if is_key {
                frame.extend([0x0a, 3, 7, 8, 9]);
            }
            frame.push(0x32);
            write_leb128(length, &mut frame);
            frame.extend(content);
            frame
        }
        Codec::H264 => {
            let mut frame = Vec::new();
            h264::begin(is_key, 640, 360, &mut frame);
            frame.extend(content);
            frame
        }
        _ => content.collect(),
    }
}

/// The packets of several frames, the first of them a key frame.
fn packets(codec: Codec, layers: TemporalLayers, frames: &[Vec<u8>]) -> Vec<Packet> {
    let shape = StreamShape {
        width: 640,
        height: 360,
        temporal_layers: layers,
    };
    let mut packetizer = Packetizer::new(codec, shape, 0x7ffe).unwrap();
    let mut cadence = Cadence::new(layers);
    let mut packets = Vec::new();
    for (time, frame) in frames.iter().enumerate() {
        let payloads = packetizer.packetize(frame, cadence.next(time == 0));
        let last = payloads.len() - 1;
        for (at, payload) in payloads.into_iter().enumerate() {
            packets.push(Packet {
                codec,
                sequence: packets.len() as u64,
                time: time as u64,
                marker: at == last,
                begins: payload.dependency.map(|bytes| bytes[0] & 0x80 != 0),
                payload: payload.bytes,
            });
        }
    }
    packets
}

fn assemble(packets: impl IntoIterator<Item = Packet>) -> Vec<Vec<u8>> {
    let mut assembler = Assembler::default();
    let found = packets
        .into_iter()
        .filter_map(|packet| assembler.insert(packet).unwrap());
    found.map(|frame| frame.bytes).collect()
}

#[test]
fn a_frame_with_a_gap_is_never_given() {
    for codec in CODECS {
        let frames = [frame(codec, 3_000, true), frame(codec, 3_000, false)];
        let packets = packets(codec, TemporalLayers::One, &frames);
        let kept = packets.into_iter().filter(|packet| packet.sequence != 1);
        assert_eq!(assemble(kept), [frames[1].clone()]);
    }
}

#[test]
fn halves_of_two_frames_do_not_make_one() {
    // The end of one frame and the start of the next were lost before they were
    // numbered, so no gap shows.
    for codec in CODECS {
        let frames = [frame(codec, 3_000, true), frame(codec, 3_000, false)];
        let packets = packets(codec, TemporalLayers::One, &frames);
        let last = packets.len() - 1;
        let kept = [0, 1, last - 1, last];
        let kept = kept.into_iter().enumerate().map(|(number, at)| {
            let mut packet = packets[at].clone();
            packet.sequence = number as u64;
            packet
        });
        assert_eq!(assemble(kept), [] as [Vec<u8>; 0]);
    }
}

#[test]
fn av1_without_dependency_descriptors_needs_the_end_of_the_frame_before() {
    let frames = [2_000, 2_000, 2_000, 10].map(|length| frame(Codec::Av1, length, length == 10));
    let mut packets = packets(Codec::Av1, TemporalLayers::One, &frames);
    for packet in &mut packets {
        packet.begins = None;
    }
    assert_eq!(assemble(packets.clone()), frames);
    packets.remove(2);
    let others = [0, 2, 3].map(|at: usize| frames[at].clone());
    assert_eq!(assemble(packets.clone()), others);
    // Whether the fourth is there from its beginning is told by the end of the third.
    packets.retain(|packet| packet.sequence != 5);
    assert_eq!(assemble(packets), [frames[0].clone()]);
}

#[test]
fn what_stays_unfinished_is_forgotten() {
    let mut assembler = Assembler::default();
    for sequence in (0..10_000).step_by(2) {
        let stray = Packet {
            codec: Codec::Vp8,
            sequence,
            time: sequence,
            marker: false,
            begins: None,
            payload: Arc::from([0x00, 1]),
        };
        assembler.insert(stray).unwrap();
    }
    assert!(assembler.parts.len() as u64 <= REORDER_WINDOW / 2 + 1);
    assert!(assembler.ends.is_empty());
}

#[test]
fn unreadable_packets_are_told() {
    for codec in CODECS {
        let mut packet = packets(codec, TemporalLayers::One, &[frame(codec, 5, true)]).remove(0);
        packet.payload = Arc::from([]);
        assert_eq!(Assembler::default().insert(packet), Err(MalformedPacket));
    }
}

proptest! {
    #[test]
    fn whole_frames_come_back_whatever_is_lost_and_in_whatever_order(
        codec in prop::sample::select(&CODECS[..]),
        layers in prop::sample::select(&[TemporalLayers::One, TemporalLayers::Three][..]),
        lengths in prop::collection::vec(1..6_000_usize, 1..8),
        order in any::<prop::sample::Index>(),
        lost in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        seed in any::<u64>(),
    ) {
        let frames: Vec<_> = lengths
            .iter()
            .enumerate()
            .map(|(at, length)| frame(codec, *length, at == 0))
            .collect();
        let mut packets = packets(codec, layers, &frames);
        let lost: Vec<u64> = lost.iter().map(|index| index.index(packets.len()) as u64).collect();
        packets.retain(|packet| !lost.contains(&packet.sequence));
        let broken = |time: u64| {
            let whole = self::packets(codec, layers, &frames);
            whole.iter().any(|packet| packet.time == time && lost.contains(&packet.sequence))
        };
        let mut expected: Vec<_> = (0..frames.len() as u64)
            .filter(|time| !broken(*time))
            .map(|time| frames[time as usize].clone())
            .collect();
        if order.index(2) == 1 {
            fastrand::Rng::with_seed(seed).shuffle(&mut packets);
        }
        let mut found = assemble(packets);
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
    }
}
