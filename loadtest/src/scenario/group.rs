//! A group of bots that all do the same.

use std::{
    fmt::{self, Display},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::ValueEnum;
use conclave_protocol::{control::PixelSize, signal::Source};
use serde::{Deserialize, Serialize};

use super::spelling;
use crate::media::{
    Codec,
    cadence::TemporalLayers,
    generated::{VideoSpec, VideoSpecError},
};

/// A group of bots that all do the same. What is left out they do not do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Group {
    /// How many.
    pub count: usize,
    /// They send sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microphone: Option<Microphone>,
    /// They send a camera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<Picture>,
    /// They share a screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<Picture>,
    /// How much they can take.
    #[serde(default)]
    pub slots: Slots,
    /// What they look at.
    #[serde(default)]
    pub view: Look,
    /// Only some of them are on at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<Rotation>,
    /// They leave, and others come in their places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churn: Option<Churn>,
}

/// What comes from a microphone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Microphone {
    /// An Opus recording (Ogg) in place of generated sounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<PathBuf>,
    /// The part of the time that they speak, in spurts of a second: 0 to 1. Of generated
    /// sounds only.
    pub talk: f64,
    /// So many of the group have the floor at once; the others are silent meanwhile. All
    /// when it is left out. Of generated sounds only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speakers: Option<usize>,
    /// How long they have it.
    #[serde(with = "spelling::duration")]
    pub turn: Duration,
}

impl Default for Microphone {
    fn default() -> Self {
        Self {
            audio: None,
            talk: 1.0,
            speakers: None,
            turn: Duration::from_secs(8),
        }
    }
}

/// What comes from a camera or a screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Picture {
    /// How it is coded.
    pub codec: VideoCodec,
    /// Sizes of simulcast, each a stream of its own: 1 to 3.
    pub layers: u8,
    /// Frame rates in each of them: 1, or 3 for L1T3.
    #[serde(with = "temporal_layers")]
    pub temporal_layers: TemporalLayers,
    /// Where it comes from; of the largest layer. When it is left out it is generated, and
    /// in a call that others are in, a recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<Video>,
}

impl Default for Picture {
    fn default() -> Self {
        Self {
            codec: VideoCodec::Vp8,
            layers: 1,
            temporal_layers: TemporalLayers::One,
            video: None,
        }
    }
}

/// How pictures are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// RFC 6386.
    Vp8,
    /// The VP9 bitstream.
    Vp9,
    /// The AV1 bitstream.
    Av1,
    /// ITU-T H.264, in Constrained Baseline.
    H264,
}

impl From<VideoCodec> for Codec {
    fn from(codec: VideoCodec) -> Self {
        match codec {
            VideoCodec::Vp8 => Self::Vp8,
            VideoCodec::Vp9 => Self::Vp9,
            VideoCodec::Av1 => Self::Av1,
            VideoCodec::H264 => Self::H264,
        }
    }
}

/// Where pictures come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Video {
    /// Made of noise: `generated:640x360@30,1mbit`.
    Generated(VideoSpec),
    /// A VP8 recording (IVF).
    File(PathBuf),
}

impl FromStr for Video {
    type Err = VideoSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("generated:") {
            Some(spec) => Ok(Self::Generated(spec.parse()?)),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl Display for Video {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generated(spec) => write!(f, "generated:{spec}"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Serialize for Video {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        spelling::text::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Video {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        spelling::text::deserialize(deserializer)
    }
}

mod temporal_layers {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::media::cadence::TemporalLayers;

    pub(super) fn serialize<S: Serializer>(
        layers: &TemporalLayers,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(match layers {
            TemporalLayers::One => 1,
            TemporalLayers::Three => 3,
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<TemporalLayers, D::Error> {
        match u8::deserialize(deserializer)? {
            1 => Ok(TemporalLayers::One),
            3 => Ok(TemporalLayers::Three),
            other => Err(D::Error::custom(format!(
                "{other} temporal layers are not made: give 1 or 3"
            ))),
        }
    }
}

/// How much a bot can take at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Slots {
    /// Cameras.
    pub cameras: usize,
    /// Voices.
    pub microphones: usize,
    /// Screens.
    pub screens: usize,
}

impl Slots {
    /// Of all kinds.
    pub fn total(&self) -> usize {
        self.cameras + self.microphones + self.screens
    }

    /// For this source.
    pub fn of(&self, source: Source) -> usize {
        match source {
            Source::Microphone => self.microphones,
            Source::Camera => self.cameras,
            Source::Screen => self.screens,
            Source::ScreenSound => 0,
        }
    }

    /// One by one.
    pub fn list(&self) -> Vec<Source> {
        let mut slots = vec![Source::Camera; self.cameras];
        slots.extend(vec![Source::Microphone; self.microphones]);
        slots.extend(vec![Source::Screen; self.screens]);
        slots
    }
}

/// What bots look at: a page of the cameras.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Look {
    /// Cameras on a page; as many as there are slots when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiles: Option<usize>,
    /// How large each is shown.
    #[serde(with = "spelling::size")]
    pub size: PixelSize,
    /// How long until the page is turned; never when it is left out.
    #[serde(
        with = "spelling::optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    pub turn: Option<Duration>,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            tiles: None,
            size: PixelSize {
                width: 640,
                height: 360,
            },
            turn: None,
        }
    }
}

/// Only some of a group are on at once, and they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rotation {
    /// How many are on at once.
    pub on: usize,
    /// How long.
    #[serde(with = "spelling::duration")]
    pub every: Duration,
    /// Which of their sources; all when it is left out. The others are always on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<Source>>,
}

impl Rotation {
    /// Whether a source goes off and on with it.
    pub fn turns(&self, source: Source) -> bool {
        self.sources
            .as_ref()
            .is_none_or(|sources| sources.contains(&source))
    }
}

/// Bots leave, and others come in their places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Churn {
    /// How many of the group leave in a second, on average: the times between are
    /// distributed exponentially.
    pub per_second: f64,
    /// How long a place stays empty, on average, distributed in the same way.
    #[serde(with = "spelling::duration", default)]
    pub away: Duration,
}

impl Group {
    /// What they send.
    pub fn sources(&self) -> Vec<Source> {
        let sends = [
            (self.microphone.is_some(), Source::Microphone),
            (self.camera.is_some(), Source::Camera),
            (self.screen.is_some(), Source::Screen),
        ];
        let sent = sends.into_iter().filter(|(sends, _)| *sends);
        sent.map(|(_, source)| source).collect()
    }

    /// Whether they send anything.
    pub fn sends(&self) -> bool {
        !self.sources().is_empty()
    }

    /// Whether they receive anything.
    pub fn receives(&self) -> bool {
        self.slots.total() > 0
    }

    /// Cameras on a page.
    pub fn tiles(&self) -> usize {
        self.view.tiles.unwrap_or(self.slots.cameras)
    }

    /// What is on of the sources of one of them, after so many turns of the rotation.
    pub fn on(&self, index: usize, turns: u64) -> Vec<Source> {
        let mut sources = self.sources();
        if let Some(rotate) = &self.rotate
            && !is_turn_of(index, turns, rotate.on, self.count)
        {
            sources.retain(|source| !rotate.turns(*source));
        }
        sources
    }
}

/// Whether it is the turn of one of `count`, of which `on` are at once.
fn is_turn_of(index: usize, turns: u64, on: usize, count: usize) -> bool {
    let count = count.max(1) as u64;
    let first = turns.wrapping_mul(on as u64) % count;
    (index as u64 + count - first) % count < on as u64
}
