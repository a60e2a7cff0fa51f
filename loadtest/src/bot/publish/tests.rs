use std::sync::Arc;

use conclave_e2ee::{BaseKey, LeafIndex, OpenError};
use conclave_protocol::Epoch;

use super::*;
use crate::{
    measure::frame::StreamKey,
    media::{
        assemble::{Assembler, Packet},
        cadence::TemporalLayers,
        generated::is_key_frame,
        program::Material,
        recording::{AudioRecording, VideoRecording},
        stamp::{self, STAMP_LEN},
        voice::VoiceSpec,
    },
    target::KeyChange,
};

const KEY: [u8; 2_000] = [0x10; 2_000];
const DELTA: [u8; 100] = [0x11; 100];
const BOTH: [Source; 2] = [Source::Microphone, Source::Camera];

fn recordings() -> Vec<Program> {
    let frame = |key| -> Arc<[u8]> {
        if key {
            Arc::from(KEY)
        } else {
            Arc::from(DELTA)
        }
    };
    let video = VideoRecording {
        interval: Duration::from_millis(50),
        frames: (0..40).map(|at| frame(at % 20 == 0)).collect(),
    };
    let sound = AudioRecording {
        interval: Duration::from_millis(20),
        packets: vec![Arc::from([0x48, 1, 2]); 5],
    };
    let program = |source, material| Program { source, material };
    vec![
        program(Source::Microphone, Material::RecordedSound(Arc::new(sound))),
        program(Source::Camera, Material::RecordedVideo(Arc::new(video))),
    ]
}

fn camera(codec: Codec, layers: u8, temporal_layers: TemporalLayers) -> Vec<Program> {
    vec![Program {
        source: Source::Camera,
        material: Material::GeneratedVideo {
            codec,
            spec: "1280x720@20,1.7mbit".parse().unwrap(),
            layers,
            temporal_layers,
        },
    }]
}

struct Rig {
    publisher: Publisher,
    frames: Frames,
    start: Instant,
}

fn rig(programs: &[Program], on: &[Source], sabotage: Sabotage) -> Rig {
    let start = Instant::now();
    let craft = Craft {
        clock: MonotonicClock::start(),
        seed: 7,
        sabotage,
    };
    let publisher = Publisher::new(programs, on, craft, start);
    let (epoch, key) = (Epoch::new(5), BaseKey::new([9; 16]));
    let mut frames = Frames::sealed();
    frames.change(&KeyChange::Install {
        epoch,
        leaf: LeafIndex::new(3).unwrap(),
        base_key: key,
    });
    frames.change(&KeyChange::SealWith(epoch));
    Rig {
        publisher,
        frames,
        start,
    }
}

impl Rig {
    fn at(&self, milliseconds: u64) -> Instant {
        self.start + Duration::from_millis(milliseconds)
    }

    fn play(&mut self, milliseconds: u64) -> (Vec<OutgoingPacket>, Vec<Sent>) {
        let now = self.at(milliseconds);
        self.publisher.play(now, &mut self.frames).unwrap()
    }

    /// The frames of one layer of pictures, opened: RTP time, stream, counter, frame.
    fn open(
        &mut self,
        codec: Codec,
        layer: u8,
        packets: &[OutgoingPacket],
    ) -> Vec<(u32, StreamKey, u64, Vec<u8>)> {
        let mut assembler = Assembler::default();
        let of_layer = packets
            .iter()
            .filter(|packet| packet.source.is_video() && packet.layer == layer);
        let mut opened = Vec::new();
        for packet in of_layer {
            let begins = match &packet.extra {
                Extra::Dependency(descriptor) => Some(descriptor[0] & 0x80 != 0),
                _ => None,
            };
            let frame = assembler.insert(Packet {
                codec,
                sequence: packet.sequence,
                time: packet.time.into(),
                marker: packet.marker,
                begins,
                payload: packet.payload.clone(),
            });
            if let Some(frame) = frame.unwrap() {
                let frame = self.frames.open(codec, &frame.bytes).unwrap();
                let stream = StreamKey {
                    leaf: frame.leaf,
                    epoch: frame.epoch,
                    context: frame.context,
                };
                opened.push((packet.time, stream, frame.counter, frame.frame));
            }
        }
        opened
    }
}

fn of_camera(packets: &[OutgoingPacket]) -> &OutgoingPacket {
    let mut packets = packets.iter();
    packets
        .find(|packet| packet.source == Source::Camera)
        .unwrap()
}

#[test]
fn frames_come_out_sealed_numbered_and_in_time() {
    let mut rig = rig(&recordings(), &BOTH, Sabotage::None);
    let (mut packets, mut sent) = rig.play(0);
    for milliseconds in [20, 40, 50, 60] {
        let (more, also) = rig.play(milliseconds);
        packets.extend(more);
        sent.extend(also);
    }
    let audio: Vec<_> = packets
        .iter()
        .filter(|packet| packet.source == Source::Microphone)
        .collect();
    let (sequence, time) = (audio[0].sequence, audio[0].time);
    assert!(sequence < 1 << 15);
    for (counter, packet) in audio.iter().enumerate() {
        assert_eq!(packet.sequence, sequence + counter as u64);
        assert_eq!(packet.time, time.wrapping_add(960 * counter as u32));
        assert_eq!(packet.extra, Extra::Level(-30));
        let opened = rig.frames.open(Codec::Opus, &packet.payload).unwrap();
        // The stamp is padding (RFC 6716 §3.2.5).
        assert_eq!(opened.frame[..5], [0x4b, 0x41, STAMP_LEN as u8, 1, 2]);
        assert_eq!(opened.counter, counter as u64);
    }
    assert_eq!(audio.len(), 4);

    let video = rig.open(Codec::Vp8, 0, &packets);
    let lengths: Vec<_> = video.iter().map(|(.., f)| f.len() - STAMP_LEN).collect();
    assert_eq!(lengths, [KEY.len(), DELTA.len()]);
    assert_eq!(video[1].0.wrapping_sub(video[0].0), 4_500);

    // What the publisher says it sent is what a member finds in the frames.
    let said: Vec<_> = sent
        .iter()
        .filter(|sent| sent.stream.is_video())
        .map(|sent| (sent.stream, sent.counter))
        .collect();
    let found: Vec<_> = video
        .iter()
        .map(|(_, stream, at, _)| (*stream, *at))
        .collect();
    assert_eq!(said, found);
}

#[test]
fn a_wanted_key_frame_is_the_next_picture() {
    let mut rig = rig(&recordings(), &BOTH, Sabotage::None);
    rig.play(0);
    rig.play(400);
    let now = rig.at(400);
    rig.publisher.want_key_frame(now, Source::Camera);
    let (packets, _) = rig.play(450);
    // The first payload byte stays readable and tells a key frame.
    assert!(is_key_frame(Codec::Vp8, &of_camera(&packets).payload[6..]));
    let (packets, _) = rig.play(500);
    assert!(!is_key_frame(Codec::Vp8, &of_camera(&packets).payload[6..]));
    // One that is wanted right after it is the same one.
    let now = rig.at(500);
    rig.publisher.want_key_frame(now, Source::Camera);
    let (packets, _) = rig.play(550);
    assert!(!is_key_frame(Codec::Vp8, &of_camera(&packets).payload[6..]));
}

#[test]
fn the_recording_loops() {
    let mut rig = rig(&recordings(), &BOTH, Sabotage::None);
    let mut keys = 0;
    for frame in 0..80 {
        let (packets, _) = rig.play(frame * 50);
        keys += packets
            .iter()
            .filter(|p| p.source == Source::Camera && p.payload[0] & 0x10 != 0)
            .filter(|p| is_key_frame(Codec::Vp8, &p.payload[6..]))
            .count();
    }
    assert_eq!(keys, 4);
}

#[test]
fn what_is_off_sends_nothing_and_begins_with_a_key_frame() {
    let mut rig = rig(&recordings(), &[Source::Microphone], Sabotage::None);
    let (packets, _) = rig.play(200);
    assert!(packets.iter().all(|p| p.source == Source::Microphone));
    let now = rig.at(210);
    rig.publisher.publish(now, &[Source::Camera]);
    let (packets, sent) = rig.play(260);
    assert!(packets.iter().all(|p| p.source == Source::Camera));
    assert!(is_key_frame(Codec::Vp8, &of_camera(&packets).payload[6..]));
    assert!(sent.iter().all(|sent| sent.left_out == 0));
    let now = rig.at(270);
    rig.publisher.publish(now, &[]);
    assert_eq!(rig.publisher.next_at(), None);
}

#[test]
fn all_sizes_count_in_step_and_get_key_frames_together() {
    let sealed = [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264].map(|codec| (codec, true));
    for (codec, is_sealed) in [sealed.as_slice(), &[(Codec::H264, false)]].concat() {
        let programs = camera(codec, 3, TemporalLayers::One);
        let mut rig = rig(&programs, &[Source::Camera], Sabotage::None);
        if !is_sealed {
            rig.frames = Frames::plain(LeafIndex::new(3).unwrap());
        }
        let (mut packets, mut sent) = rig.play(0);
        for frame in 1..40 {
            if frame == 20 {
                let now = rig.at(frame * 50);
                rig.publisher.want_key_frame(now, Source::Camera);
            }
            let (more, also) = rig.play(frame * 50);
            packets.extend(more);
            sent.extend(also);
        }
        let mut bytes = Vec::new();
        for layer in 0..3 {
            let frames = rig.open(codec, layer, &packets);
            let context = StreamContext::CAMERA[usize::from(layer)];
            assert!(
                frames
                    .iter()
                    .all(|(_, stream, ..)| stream.context == context)
            );
            let counters: Vec<_> = frames.iter().map(|(_, _, counter, _)| *counter).collect();
            assert_eq!(counters, (0..40).collect::<Vec<_>>());
            let keys: Vec<_> = (0..40)
                .filter(|at| is_key_frame(codec, &frames[*at].3))
                .collect();
            assert_eq!(keys, [0, 20], "{codec:?}");
            assert!(
                frames
                    .iter()
                    .all(|(.., frame)| stamp::read(frame).is_some())
            );
            bytes.push(frames.iter().map(|(.., frame)| frame.len()).sum::<usize>());
        }
        assert!(
            bytes[0] * 2 < bytes[1] && bytes[1] * 2 < bytes[2],
            "{bytes:?}"
        );
        assert_eq!(sent.len(), 120);
        assert!(sent.iter().all(|sent| sent.is_base));
    }
}

#[test]
fn which_frames_are_of_the_base_layer_is_told() {
    let programs = camera(Codec::Vp8, 2, TemporalLayers::Three);
    let mut rig = rig(&programs, &[Source::Camera], Sabotage::None);
    let (packets, sent) = rig.play(400);
    let base: Vec<_> = sent
        .iter()
        .filter(|sent| sent.is_base)
        .map(|sent| (sent.stream.context, sent.counter))
        .collect();
    let expected: Vec<_> = [0, 4, 8]
        .into_iter()
        .flat_map(|counter| {
            StreamContext::CAMERA[..2]
                .iter()
                .map(move |c| (*c, counter))
        })
        .collect();
    assert_eq!(base, expected);
    assert!(packets.iter().all(|packet| packet.extra == Extra::None));
}

#[test]
fn voices_have_levels_and_are_stamped() {
    let programs = vec![Program {
        source: Source::Microphone,
        material: Material::Voice(VoiceSpec {
            talk: 0.5,
            floor: None,
        }),
    }];
    let mut rig = rig(&programs, &[Source::Microphone], Sabotage::None);
    let mut levels = Vec::new();
    for at in 0..1_000 {
        let (packets, _) = rig.play(at * 20);
        for packet in packets {
            let Extra::Level(level) = packet.extra else {
                panic!("no level");
            };
            levels.push(level);
            let opened = rig.frames.open(Codec::Opus, &packet.payload).unwrap();
            assert!(stamp::read(&opened.frame).is_some());
        }
    }
    let loud = levels.iter().filter(|level| **level > -50).count();
    assert!((200..800).contains(&loud), "{loud}");
}

#[test]
fn spoilt_frames_do_not_open() {
    let mut rig = rig(&recordings(), &BOTH, Sabotage::SpoilFrames);
    let (packets, _) = rig.play(0);
    let opened = rig.frames.open(Codec::Opus, &packets[0].payload);
    assert_eq!(opened, Err(OpenError::Forged));
}

#[test]
fn a_new_peer_connection_counts_from_the_beginning() {
    let mut rig = rig(&recordings(), &[Source::Microphone], Sabotage::None);
    let mut last = 0;
    // 50 sounds a second pass 65,536 within 22 minutes, wherever they begin.
    for second in 0..1_320 {
        for part in 0..50 {
            let (packets, _) = rig.play(second * 1_000 + part * 20);
            last = packets.iter().map(|it| it.sequence).max().unwrap_or(last);
        }
    }
    assert!(last > u64::from(u16::MAX), "{last}");
    rig.publisher.reconnect();
    let (packets, _) = rig.play(1_320_000);
    let numbers: Vec<u64> = packets.iter().map(|packet| packet.sequence).collect();
    assert!(
        matches!(numbers[..], [number] if number <= 0x7fff),
        "{numbers:?}"
    );
}
