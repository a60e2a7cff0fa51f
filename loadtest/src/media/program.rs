//! What a bot plays on each of its tracks, and the frames of it, one after the other.

use std::{sync::Arc, time::Duration};

use conclave_protocol::signal::Source;

use super::{
    Codec,
    cadence::{Rank, TemporalLayers},
    generated::{Encoder, VideoSpec, is_key_frame},
    packetize::StreamShape,
    recording::{AudioRecording, VideoRecording},
    voice::{self, Voice, VoiceSpec},
};
use crate::bot::peer::TrackLayout;

/// The level that is told of recorded sounds: a voice at a usual distance.
const RECORDED_LEVEL: i8 = -30;

/// What a bot plays on one of its tracks.
#[derive(Debug, Clone)]
pub struct Program {
    /// The track.
    pub source: Source,
    /// What comes on it.
    pub material: Material,
}

/// What comes on a track.
#[derive(Debug, Clone)]
pub enum Material {
    /// A VP8 recording, again and again.
    RecordedVideo(Arc<VideoRecording>),
    /// An Opus recording, again and again.
    RecordedSound(Arc<AudioRecording>),
    /// Pictures that no camera took.
    GeneratedVideo {
        /// How they are said to be coded.
        codec: Codec,
        /// The largest layer.
        spec: VideoSpec,
        /// Sizes, each a stream of its own: 1 to 3.
        layers: u8,
        /// Frame rates in each of them.
        temporal_layers: TemporalLayers,
    },
    /// Sounds that nobody made.
    Voice(VoiceSpec),
}

impl Program {
    /// What has to be agreed upon with the server.
    pub fn layout(&self) -> TrackLayout {
        let (codec, layers) = match &self.material {
            Material::RecordedVideo(_) => (Codec::Vp8, 1),
            Material::RecordedSound(_) | Material::Voice(_) => (Codec::Opus, 1),
            Material::GeneratedVideo { codec, layers, .. } => (*codec, *layers),
        };
        TrackLayout {
            source: self.source,
            codec,
            layers,
        }
    }

    /// From one frame to the next.
    pub fn interval(&self) -> Duration {
        match &self.material {
            Material::RecordedVideo(recording) => recording.interval,
            Material::RecordedSound(recording) => recording.interval,
            Material::GeneratedVideo { spec, .. } => spec.interval(),
            Material::Voice(_) => voice::INTERVAL,
        }
    }

    pub(crate) fn temporal_layers(&self) -> TemporalLayers {
        match &self.material {
            Material::GeneratedVideo {
                temporal_layers, ..
            } => *temporal_layers,
            _ => TemporalLayers::One,
        }
    }

    /// What the packets of a layer say about it.
    pub(crate) fn shape(&self, layer: u8) -> StreamShape {
        let temporal_layers = self.temporal_layers();
        let (width, height) = match &self.material {
            Material::GeneratedVideo { spec, layers, .. } => {
                let spec = spec.layer(layer, *layers);
                (spec.width, spec.height)
            }
            _ => (0, 0),
        };
        StreamShape {
            width,
            height,
            temporal_layers,
        }
    }

    /// The frames of a layer.
    pub(crate) fn reel(&self, layer: u8, seed: u64) -> Reel {
        match &self.material {
            Material::RecordedVideo(recording) => Reel::Pictures {
                recording: recording.clone(),
                next: 0,
            },
            Material::RecordedSound(recording) => Reel::Sounds {
                recording: recording.clone(),
                next: 0,
            },
            Material::GeneratedVideo {
                codec,
                spec,
                layers,
                temporal_layers,
            } => {
                let spec = spec.layer(layer, *layers);
                Reel::Encoder(Encoder::new(*codec, spec, *temporal_layers, seed))
            }
            Material::Voice(spec) => Reel::Voice(Voice::new(*spec, seed)),
        }
    }
}

/// A frame and how loud it is.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    /// In dBov; of sounds only.
    pub(crate) level: Option<i8>,
}

/// Frames, one after the other.
#[derive(Debug)]
pub(crate) enum Reel {
    Pictures {
        recording: Arc<VideoRecording>,
        next: usize,
    },
    Sounds {
        recording: Arc<AudioRecording>,
        next: usize,
    },
    Encoder(Encoder),
    Voice(Voice),
}

impl Reel {
    /// The next frame, at a moment since the call began. A recording cannot make a key
    /// frame, but it has one every second: the next one of them comes when one is wanted.
    pub(crate) fn frame(&mut self, rank: Rank, at: Duration) -> Frame {
        match self {
            Self::Pictures { recording, next } => {
                let frames = &recording.frames;
                if rank.is_key {
                    *next = frames
                        .iter()
                        .skip(*next)
                        .position(|frame| is_key_frame(Codec::Vp8, frame))
                        .map_or(0, |ahead| *next + ahead);
                }
                let bytes = take(frames, next);
                Frame { bytes, level: None }
            }
            Self::Sounds { recording, next } => Frame {
                bytes: take(&recording.packets, next),
                level: Some(RECORDED_LEVEL),
            },
            Self::Encoder(encoder) => Frame {
                bytes: encoder.frame(rank),
                level: None,
            },
            Self::Voice(voice) => {
                let sound = voice.sound(at);
                Frame {
                    bytes: sound.packet,
                    level: Some(sound.level),
                }
            }
        }
    }
}

fn take(frames: &[Arc<[u8]>], next: &mut usize) -> Vec<u8> {
    let frame = frames.get(*next).map(|frame| frame.to_vec());
    *next = (*next + 1) % frames.len().max(1);
    frame.unwrap_or_default()
}
