//! Plays recordings into sealed RTP packets.

use std::{sync::Arc, time::Instant};

use conclave_e2ee::{Codec, SealError, StreamContext};
use conclave_protocol::signal::Source;

use super::{
    peer::{OutgoingPacket, TrackLayout},
    seal::Frames,
};
use crate::{
    measure::frame::Sent,
    media::{
        pace::Schedule,
        recording::{AudioRecording, VideoRecording, is_vp8_key_frame},
        stamp::{MonotonicClock, stamp, stamp_opus},
        vp8::Packetizer,
    },
};

/// What a publisher plays.
#[derive(Debug)]
pub struct Recordings {
    /// For the camera.
    pub video: VideoRecording,
    /// For the microphone.
    pub audio: AudioRecording,
}

impl Recordings {
    /// The tracks that these recordings fill.
    pub const TRACKS: [TrackLayout; 2] = [
        TrackLayout {
            source: Source::Microphone,
            codec: Codec::Opus,
            layers: 1,
        },
        TrackLayout {
            source: Source::Camera,
            codec: Codec::Vp8,
            layers: 1,
        },
    ];
}

/// Where a publisher's random numbers begin (RFC 3550 §5.1).
#[derive(Debug, Clone, Copy)]
pub struct Origins {
    /// For the audio and video sequence numbers; below 32,768 so that they do not wrap
    /// before the receiver has seen them.
    pub sequence: [u16; 2],
    /// For the audio and video timestamps.
    pub time: [u32; 2],
    /// For the picture ids.
    pub picture: u16,
}

impl Origins {
    /// Draws them.
    pub fn random() -> Result<Self, getrandom::Error> {
        let (one, two) = (getrandom::u64()?, getrandom::u64()?);
        let [a, b, c, d, e, f, ..] = one.to_be_bytes();
        Ok(Self {
            sequence: [
                u16::from_be_bytes([a, b]) & 0x7fff,
                u16::from_be_bytes([c, d]) & 0x7fff,
            ],
            time: [(two >> 32) as u32, two as u32],
            picture: u16::from_be_bytes([e, f]) & 0x7fff,
        })
    }
}

/// Deliberate damage, to prove that it is noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// None.
    #[default]
    None,
    /// The last byte of every sealed frame is changed.
    SpoilFrames,
}

#[derive(Debug)]
enum Content {
    Video {
        next: usize,
        key_frame_wanted: bool,
        packetizer: Packetizer,
    },
    Audio {
        next: usize,
    },
}

/// One RTP stream on its way: a simulcast camera would be several.
#[derive(Debug)]
struct Track {
    source: Source,
    is_on: bool,
    context: StreamContext,
    codec: Codec,
    clock_rate: u64,
    schedule: Schedule,
    sequence: u64,
    time: u32,
    content: Content,
}

/// Plays one microphone and one camera.
#[derive(Debug)]
pub struct Publisher {
    recordings: Arc<Recordings>,
    clock: MonotonicClock,
    sabotage: Sabotage,
    tracks: [Track; 2],
}

impl Publisher {
    /// Begins to play at `start`.
    pub fn new(
        recordings: Arc<Recordings>,
        origins: Origins,
        clock: MonotonicClock,
        sabotage: Sabotage,
        start: Instant,
    ) -> Self {
        let microphone = Track {
            source: Source::Microphone,
            is_on: true,
            context: StreamContext::AUDIO,
            codec: Codec::Opus,
            clock_rate: 48_000,
            schedule: Schedule::new(start, recordings.audio.interval),
            sequence: origins.sequence[0].into(),
            time: origins.time[0],
            content: Content::Audio { next: 0 },
        };
        let camera = Track {
            source: Source::Camera,
            is_on: true,
            context: StreamContext::CAMERA[0],
            codec: Codec::Vp8,
            clock_rate: 90_000,
            schedule: Schedule::new(start, recordings.video.interval),
            sequence: origins.sequence[1].into(),
            time: origins.time[1],
            content: Content::Video {
                next: 0,
                key_frame_wanted: false,
                packetizer: Packetizer::new(origins.picture, origins.picture as u8),
            },
        };
        Self {
            recordings,
            clock,
            sabotage,
            tracks: [microphone, camera],
        }
    }

    /// When the next frame is due, if any source is on.
    pub fn next_at(&self) -> Option<Instant> {
        let on = self.tracks.iter().filter(|track| track.is_on);
        on.map(|track| track.schedule.next_at()).min()
    }

    /// Sends these sources from now on, and no others. One that was off begins with a key
    /// frame.
    pub fn publish(&mut self, now: Instant, sources: &[Source]) {
        for track in &mut self.tracks {
            let was_on = std::mem::replace(&mut track.is_on, sources.contains(&track.source));
            if track.is_on && !was_on {
                track.schedule.resume(now);
                track.want_key_frame();
            }
        }
    }

    /// A recording cannot make a key frame, but it has one every second: the next picture
    /// is the next one of them.
    pub fn want_key_frame(&mut self, source: Source, _layer: u8) {
        for track in &mut self.tracks {
            if track.source == source {
                track.want_key_frame();
            }
        }
    }

    /// Seals every frame that is due, and gives its packets.
    pub fn play(
        &mut self,
        now: Instant,
        frames: &mut Frames,
    ) -> Result<(Vec<OutgoingPacket>, Vec<Sent>), SealError> {
        let mut packets = Vec::new();
        let mut sent = Vec::new();
        for track in self.tracks.iter_mut().filter(|track| track.is_on) {
            while let Some(due) = track.schedule.take(now) {
                let mut frame = track.next_frame(&self.recordings);
                match track.codec {
                    Codec::Opus => stamp_opus(&mut frame, self.clock, now - due.late, now),
                    _ => stamp(&mut frame, self.clock, now - due.late, now),
                }
                let (stream, counter, mut sealed) =
                    frames.seal(track.context, track.codec, &frame)?;
                if self.sabotage == Sabotage::SpoilFrames
                    && let Some(last) = sealed.last_mut()
                {
                    *last ^= 1;
                }
                let before = packets.len();
                track.packetize(due.number, &sealed, &mut packets);
                sent.push(Sent {
                    stream,
                    counter,
                    packets: (packets.len() - before) as u64,
                    due: now - due.late,
                    late: due.late,
                    left_out: due.left_out,
                });
            }
        }
        Ok((packets, sent))
    }
}

impl Track {
    fn want_key_frame(&mut self) {
        if let Content::Video {
            key_frame_wanted, ..
        } = &mut self.content
        {
            *key_frame_wanted = true;
        }
    }

    fn next_frame(&mut self, recordings: &Recordings) -> Vec<u8> {
        let (frames, next) = match &mut self.content {
            Content::Audio { next } => (&recordings.audio.packets, next),
            Content::Video {
                next,
                key_frame_wanted,
                ..
            } => {
                let frames = &recordings.video.frames;
                if std::mem::take(key_frame_wanted) {
                    *next = frames
                        .iter()
                        .skip(*next)
                        .position(|frame| is_vp8_key_frame(frame))
                        .map_or(0, |ahead| *next + ahead);
                }
                (frames, next)
            }
        };
        let frame = frames.get(*next).map(|frame| frame.to_vec());
        *next = (*next + 1) % frames.len().max(1);
        frame.unwrap_or_default()
    }

    fn packetize(&mut self, number: u64, sealed: &[u8], packets: &mut Vec<OutgoingPacket>) {
        let offset = self.schedule.offset(number).as_nanos() * u128::from(self.clock_rate);
        let time = self.time.wrapping_add((offset / 1_000_000_000) as u32);
        let payloads = match &mut self.content {
            Content::Video { packetizer, .. } => packetizer.packetize(sealed),
            Content::Audio { .. } => vec![Arc::from(sealed)],
        };
        let count = payloads.len();
        for (at, payload) in payloads.into_iter().enumerate() {
            packets.push(OutgoingPacket {
                source: self.source,
                layer: 0,
                sequence: self.sequence,
                time,
                marker: self.source.is_video() && at + 1 == count,
                payload,
            });
            self.sequence += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use conclave_e2ee::{BaseKey, LeafIndex, OpenError};
    use conclave_protocol::Epoch;

    use super::*;
    use crate::{
        measure::frame::StreamKey,
        media::{stamp::STAMP_LEN, vp8::Assembler},
        target::KeyChange,
    };

    const KEY: [u8; 2_000] = [0x10; 2_000];
    const DELTA: [u8; 100] = [0x11; 100];

    fn recordings() -> Arc<Recordings> {
        let frame = |key| -> Arc<[u8]> {
            if key {
                Arc::from(KEY)
            } else {
                Arc::from(DELTA)
            }
        };
        Arc::new(Recordings {
            video: VideoRecording {
                interval: Duration::from_millis(50),
                frames: (0..40).map(|at| frame(at % 20 == 0)).collect(),
            },
            audio: AudioRecording {
                interval: Duration::from_millis(20),
                packets: vec![Arc::from([0x48, 1, 2]); 5],
            },
        })
    }

    struct Rig {
        publisher: Publisher,
        frames: Frames,
        start: Instant,
    }

    fn rig(sabotage: Sabotage) -> Rig {
        let start = Instant::now();
        let origins = Origins {
            sequence: [10, 20],
            time: [u32::MAX, 1_000],
            picture: 7,
        };
        let clock = MonotonicClock::start();
        let publisher = Publisher::new(recordings(), origins, clock, sabotage, start);
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
        fn play(&mut self, milliseconds: u64) -> (Vec<OutgoingPacket>, Vec<Sent>) {
            let now = self.start + Duration::from_millis(milliseconds);
            self.publisher.play(now, &mut self.frames).unwrap()
        }
    }

    #[test]
    fn frames_come_out_sealed_numbered_and_in_time() {
        let mut rig = rig(Sabotage::None);
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
        let numbers: Vec<_> = audio.iter().map(|p| (p.sequence, p.time)).collect();
        assert_eq!(
            numbers,
            [(10, u32::MAX), (11, 959), (12, 1_919), (13, 2_879)]
        );
        for (counter, packet) in audio.iter().enumerate() {
            let opened = rig.frames.open(Codec::Opus, &packet.payload).unwrap();
            assert_eq!(opened.frame[..5], [0x4b, 0x41, STAMP_LEN as u8, 1, 2]);
            assert!(crate::media::stamp::read(&opened.frame).is_some());
            assert_eq!(opened.counter, counter as u64);
        }

        let mut assembler = Assembler::default();
        let video: Vec<_> = packets
            .into_iter()
            .filter(|packet| packet.source == Source::Camera)
            .filter_map(|packet| {
                let OutgoingPacket {
                    sequence,
                    time,
                    marker,
                    payload,
                    ..
                } = packet;
                let frame = assembler.insert(sequence, time.into(), marker, payload);
                frame.unwrap().map(|whole| (time, whole.frame))
            })
            .map(|(time, frame)| (time, rig.frames.open(Codec::Vp8, &frame).unwrap()))
            .collect();
        let seen: Vec<_> = video
            .iter()
            .map(|(time, opened)| (*time, opened.counter, opened.frame.len() - STAMP_LEN))
            .collect();
        assert_eq!(seen, [(1_000, 0, KEY.len()), (5_500, 1, DELTA.len())]);

        // What the publisher says it sent is what a member finds in the frames.
        let said: Vec<_> = sent
            .iter()
            .filter(|sent| sent.stream.is_video())
            .map(|sent| (sent.stream, sent.counter))
            .collect();
        let found: Vec<_> = video
            .iter()
            .map(|(_, opened)| {
                let stream = StreamKey {
                    leaf: opened.leaf,
                    epoch: opened.epoch,
                    context: opened.context,
                };
                (stream, opened.counter)
            })
            .collect();
        assert_eq!(said, found);
    }

    #[test]
    fn a_wanted_key_frame_is_the_next_picture() {
        let mut rig = rig(Sabotage::None);
        rig.play(100);
        rig.publisher.want_key_frame(Source::Camera, 0);
        let (packets, _) = rig.play(150);
        let first = packets
            .iter()
            .find(|packet| packet.source == Source::Camera)
            .unwrap();
        // The first payload byte stays readable and tells a key frame.
        assert!(is_vp8_key_frame(&first.payload[6..]));
        assert_eq!(first.time, 1_000 + 3 * 4_500);
        let (packets, _) = rig.play(200);
        let next = packets
            .iter()
            .find(|packet| packet.source == Source::Camera)
            .unwrap();
        assert!(!is_vp8_key_frame(&next.payload[6..]));
    }

    #[test]
    fn the_recording_loops() {
        let mut rig = rig(Sabotage::None);
        let mut keys = 0;
        for frame in 0..80 {
            let (packets, _) = rig.play(frame * 50);
            keys += packets
                .iter()
                .filter(|p| p.source == Source::Camera && p.payload[0] & 0x10 != 0)
                .filter(|p| is_vp8_key_frame(&p.payload[6..]))
                .count();
        }
        assert_eq!(keys, 4);
    }

    #[test]
    fn spoilt_frames_do_not_open() {
        let mut rig = rig(Sabotage::SpoilFrames);
        let (packets, _) = rig.play(0);
        let opened = rig.frames.open(Codec::Opus, &packets[0].payload);
        assert_eq!(opened, Err(OpenError::Forged));
    }
}
