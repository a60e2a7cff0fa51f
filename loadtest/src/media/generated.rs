//! Pictures that no camera took: frames whose sizes come as those of a real-time encoder
//! do, so that no recording is needed and any size and rate can be had. They cannot be
//! decoded; but for what the sealing rule leaves clear they are noise.
//!
//! The sizes: a key frame takes 6 to 10 times what an average frame does. The others
//! scatter around their mean like a logarithmic normal distribution, as motion does. What a
//! key frame took too much is saved on the frames of about a second after it, as encoders
//! with rate control do, so that the rate is kept in the long run. Frames of higher
//! temporal layers, which are close to those that they refer to, are smaller.

use std::{
    f64::consts::TAU,
    fmt::{self, Display},
    str::FromStr,
    sync::OnceLock,
    time::Duration,
};

use super::{
    Codec,
    av1::write_leb128,
    cadence::{Rank, TemporalLayers},
    h264,
};

/// What a key frame takes, by what an average frame does.
const KEY_FRAME: std::ops::Range<f64> = 6.0..10.0;
/// How far the sizes of other frames scatter, as the deviation of their logarithm.
const SCATTER: f64 = 0.35;
/// By temporal layer; their average over a group of four frames is 1.
const LAYER_WEIGHTS: [f64; 3] = [1.6, 1.0, 0.7];
/// Rate control changes a frame by no more than this.
const CONTROL: std::ops::RangeInclusive<f64> = 0.5..=1.5;
/// The smallest frame. Encoders send little less even when nothing moves.
const LEAST: usize = 50;
/// From one size of simulcast to the next smaller one: half the width and height for
/// about a third of the bits, as browsers have it.
const RATE_STEP: f64 = 0.3;

/// How pictures are generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoSpec {
    /// From left to right, in pixels.
    pub width: u16,
    /// From top to bottom, in pixels.
    pub height: u16,
    /// Pictures in a second.
    pub frames_per_second: u16,
    /// On average.
    pub bits_per_second: u64,
}

/// A text that does not say how to generate pictures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VideoSpecError {
    /// It has another form.
    #[error("“{0}” is not WIDTHxHEIGHT@FRAMES,RATE, for instance 640x360@30,1mbit")]
    Form(String),
    /// The rate has another form.
    #[error("“{0}” is no rate: give for instance 800kbit or 1.5mbit")]
    Rate(String),
    /// Nobody sends such pictures.
    #[error("pictures are 16 to 7,680 pixels wide and high, 1 to 120 a second")]
    Size,
    /// The rate is too low.
    #[error(
        "{rate} for {frames} frames a second leaves less than {LEAST} bytes for a frame: give more bits or fewer frames"
    )]
    Poor {
        /// The rate.
        rate: String,
        /// How many frames.
        frames: u16,
    },
}

impl FromStr for VideoSpec {
    type Err = VideoSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = || {
            let (picture, rate) = text.split_once(',')?;
            let (size, frames) = picture.split_once('@')?;
            let (width, height) = size.split_once('x')?;
            let numbers = (
                width.trim().parse().ok()?,
                height.trim().parse().ok()?,
                frames.trim().parse().ok()?,
            );
            Some((numbers, rate.trim()))
        };
        let ((width, height, frames_per_second), rate) =
            parts().ok_or_else(|| VideoSpecError::Form(text.to_owned()))?;
        let bits_per_second =
            parse_rate(rate).ok_or_else(|| VideoSpecError::Rate(rate.to_owned()))?;
        let spec = Self {
            width,
            height,
            frames_per_second,
            bits_per_second,
        };
        let usual = 16..=7_680;
        if !usual.contains(&width)
            || !usual.contains(&height)
            || !(1..=120).contains(&frames_per_second)
        {
            return Err(VideoSpecError::Size);
        }
        spec.check()?;
        Ok(spec)
    }
}

impl Display for VideoSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            width,
            height,
            frames_per_second,
            bits_per_second,
        } = self;
        let rate = rate_text(*bits_per_second);
        write!(f, "{width}x{height}@{frames_per_second},{rate}")
    }
}

fn parse_rate(text: &str) -> Option<u64> {
    let (number, unit) = [("mbit", 1e6), ("kbit", 1e3)]
        .iter()
        .find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, bits)))?;
    let number: f64 = number.trim().parse().ok()?;
    let bits = (number * unit).round();
    (bits.is_finite() && bits > 0.0 && bits < 1e12).then_some(bits as u64)
}

fn rate_text(bits: u64) -> String {
    if bits >= 1_000_000 {
        format!("{}mbit", bits as f64 / 1e6)
    } else {
        format!("{}kbit", bits as f64 / 1e3)
    }
}

impl VideoSpec {
    /// From one picture to the next.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(1) / u32::from(self.frames_per_second.max(1))
    }

    /// That of a simulcast layer of so many, from 0, the smallest.
    pub fn layer(&self, layer: u8, layers: u8) -> Self {
        let steps = u32::from(layers.saturating_sub(layer + 1));
        let rate = self.bits_per_second as f64 * RATE_STEP.powi(steps as i32);
        Self {
            width: (self.width >> steps).max(1),
            height: (self.height >> steps).max(1),
            frames_per_second: self.frames_per_second,
            bits_per_second: rate.round() as u64,
        }
    }

    /// Refuses rates that no encoder could keep.
    pub fn check(&self) -> Result<(), VideoSpecError> {
        if self.bytes_per_frame() < LEAST as f64 {
            return Err(VideoSpecError::Poor {
                rate: rate_text(self.bits_per_second),
                frames: self.frames_per_second,
            });
        }
        Ok(())
    }

    fn bytes_per_frame(&self) -> f64 {
        self.bits_per_second as f64 / 8.0 / f64::from(self.frames_per_second.max(1))
    }
}

/// Makes the frames of one stream.
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
    spec: VideoSpec,
    layers: TemporalLayers,
    chance: fastrand::Rng,
    /// Bytes spent beyond the rate.
    debt: f64,
}

impl Encoder {
    /// The same seed makes the same frames.
    pub fn new(codec: Codec, spec: VideoSpec, layers: TemporalLayers, seed: u64) -> Self {
        Self {
            codec,
            spec,
            layers,
            chance: fastrand::Rng::with_seed(seed),
            debt: 0.0,
        }
    }

    /// The next frame.
    pub fn frame(&mut self, rank: Rank) -> Vec<u8> {
        let size = self.size(rank);
        let mut frame = Vec::with_capacity(size + 32);
        match self.codec {
            Codec::Vp8 if rank.is_key => {
                // RFC 6386 §9.1: the tag, the start code, width and height.
                frame.extend([0x10, 0, 0, 0x9d, 0x01, 0x2a]);
                frame.extend(self.spec.width.to_le_bytes());
                frame.extend(self.spec.height.to_le_bytes());
            }
            Codec::Vp8 => frame.push(0x11),
            // The frame marker of VP9, profile 0, the type of the frame, which is shown.
            Codec::Vp9 => frame.push(if rank.is_key { 0x82 } else { 0x86 }),
            Codec::Av1 => {
                if rank.is_key {
                    // A sequence header, of which only the length is right.
                    frame.extend([0x0a, 0x0b]);
                    frame.extend([0; 11]);
                }
                frame.push(0x32);
                write_leb128(size, &mut frame);
                noise(size, &mut frame);
                return frame;
            }
            Codec::H264 => h264::begin(rank.is_key, self.spec.width, self.spec.height, &mut frame),
            Codec::Opus => {}
        }
        noise(size.saturating_sub(frame.len()), &mut frame);
        frame
    }

    /// How many bytes the next frame takes.
    fn size(&mut self, rank: Rank) -> usize {
        let average = self.spec.bytes_per_frame();
        let size = if rank.is_key {
            let span = KEY_FRAME.end - KEY_FRAME.start;
            average * (KEY_FRAME.start + self.chance.f64() * span)
        } else {
            let weight = match self.layers {
                TemporalLayers::One => 1.0,
                TemporalLayers::Three => LAYER_WEIGHTS[usize::from(rank.temporal.min(2))],
            };
            // What is owed is paid back over a second.
            let second = average * f64::from(self.spec.frames_per_second);
            let control = 1.0 - self.debt / second;
            let control = control.clamp(*CONTROL.start(), *CONTROL.end());
            // The mean of exp(normal) is 1 when that of the normal is half its variance below 0.
            let scatter = (SCATTER * self.normal() - SCATTER * SCATTER / 2.0).exp();
            average * weight * control * scatter
        };
        let size = (size.round() as usize).max(LEAST);
        self.debt += size as f64 - average;
        size
    }

    /// Draws from the normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.chance.f64()).ln()).sqrt();
        radius * (TAU * self.chance.f64()).cos()
    }
}

/// Appends bytes without order.
fn noise(mut length: usize, frame: &mut Vec<u8>) {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut noise = vec![0; 1 << 16];
        fastrand::Rng::with_seed(0).fill(&mut noise);
        noise
    });
    while length > 0 {
        let piece = &noise[..length.min(noise.len())];
        frame.extend_from_slice(piece);
        length -= piece.len();
    }
}

/// True for a frame that can be decoded by itself.
pub fn is_key_frame(codec: Codec, frame: &[u8]) -> bool {
    let Some(first) = frame.first() else {
        return false;
    };
    match codec {
        Codec::Opus => false,
        // RFC 6386 §9.1: the first bit is 0.
        Codec::Vp8 => first & 1 == 0,
        // The bits behind marker, profile and the one for frames that are shown again; in
        // profile 3 one more is before them.
        Codec::Vp9 if first & 0x30 == 0x30 => first & 0x06 == 0,
        Codec::Vp9 => first & 0x0c == 0,
        // A sequence header (AV1 specification §5.3.1) precedes every key frame and nothing
        // else.
        Codec::Av1 => first >> 3 & 0xf == 1,
        Codec::H264 => h264::is_key_frame(frame),
    }
}

#[cfg(test)]
mod tests {
    use conclave_e2ee::{BaseKey, FrameOpener, FrameSealer, LeafIndex, StreamContext};
    use conclave_protocol::Epoch;

    use super::*;
    use crate::media::cadence::Cadence;

    const CODECS: [Codec; 4] = [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264];

    fn spec() -> VideoSpec {
        "640x360@30,1mbit".parse().unwrap()
    }

    /// The sizes of a minute with a key frame every ten seconds.
    fn minute(layers: TemporalLayers, seed: u64) -> Vec<(Rank, f64)> {
        let mut encoder = Encoder::new(Codec::Vp8, spec(), layers, seed);
        let mut cadence = Cadence::new(layers);
        (0..1_800)
            .map(|at| {
                let rank = cadence.next(at % 300 == 0);
                (rank, encoder.frame(rank).len() as f64)
            })
            .collect()
    }

    fn mean(sizes: impl Iterator<Item = f64>) -> f64 {
        let (sum, count) = sizes.fold((0.0, 0), |(sum, count), size| (sum + size, count + 1));
        sum / f64::from(count)
    }

    #[test]
    fn texts_are_understood_and_given_back() {
        let spec = spec();
        assert_eq!((spec.width, spec.height), (640, 360));
        assert_eq!(spec.bits_per_second, 1_000_000);
        for text in [
            "640x360@30,1mbit",
            "1280x720@5,800kbit",
            "320x180@15,1.5mbit",
        ] {
            assert_eq!(text.parse::<VideoSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn impossible_texts_say_what_would_be_possible() {
        for (text, remedy) in [
            ("640x360", "WIDTHxHEIGHT@FRAMES,RATE"),
            ("640x360@30", "WIDTHxHEIGHT@FRAMES,RATE"),
            ("640x-1@30,1mbit", "WIDTHxHEIGHT@FRAMES,RATE"),
            ("640x360@30,1", "800kbit"),
            ("640x360@30,nanmbit", "800kbit"),
            ("8x360@30,1mbit", "16 to 7,680"),
            ("640x360@0,1mbit", "1 to 120"),
            ("640x360@30,10kbit", "more bits or fewer frames"),
        ] {
            let problem = text.parse::<VideoSpec>().unwrap_err().to_string();
            assert!(problem.contains(remedy), "{text}: {problem}");
        }
    }

    #[test]
    fn smaller_layers_have_half_the_size_and_a_third_of_the_rate() {
        let spec: VideoSpec = "1280x720@30,1.7mbit".parse().unwrap();
        let layers: Vec<_> = (0..3).map(|at| spec.layer(at, 3).to_string()).collect();
        let expected = [
            "320x180@30,153kbit",
            "640x360@30,510kbit",
            "1280x720@30,1.7mbit",
        ];
        assert_eq!(layers, expected);
        assert_eq!(spec.layer(0, 1), spec);
    }

    #[test]
    fn the_rate_is_kept_with_and_without_layers() {
        for layers in [TemporalLayers::One, TemporalLayers::Three] {
            let rate = mean(minute(layers, 1).into_iter().map(|(_, size)| size)) * 30.0 * 8.0;
            assert!((rate / 1e6 - 1.0).abs() < 0.02, "{rate}");
        }
    }

    #[test]
    fn key_frames_are_large_and_others_scatter() {
        let average = 1e6 / 8.0 / 30.0;
        let sizes = minute(TemporalLayers::One, 1);
        let keys: Vec<f64> = sizes
            .iter()
            .filter(|(rank, _)| rank.is_key)
            .map(|(_, size)| size / average)
            .collect();
        assert!(
            keys.iter().all(|ratio| KEY_FRAME.contains(ratio)),
            "{keys:?}"
        );
        assert!(keys.iter().any(|ratio| (ratio - keys[0]).abs() > 0.1));
        // Away from key frames, where rate control rests.
        let calm: Vec<f64> = sizes
            .chunks(300)
            .flat_map(|chunk| &chunk[150..])
            .map(|(_, size)| *size)
            .collect();
        let middle = mean(calm.iter().copied());
        let variance = mean(calm.iter().map(|size| (size - middle).powi(2)));
        let scatter = variance.sqrt() / middle;
        assert!((0.3..0.45).contains(&scatter), "{scatter}");
    }

    #[test]
    fn lower_temporal_layers_take_more() {
        let sizes = minute(TemporalLayers::Three, 1);
        let layer = |wanted| {
            let of = sizes
                .iter()
                .filter(|(rank, _)| !rank.is_key && rank.temporal == wanted);
            mean(of.map(|(_, size)| *size))
        };
        assert!(layer(0) > 1.3 * layer(1) && layer(1) > 1.2 * layer(2));
    }

    #[test]
    fn a_seed_is_a_stream() {
        let sizes = |seed| minute(TemporalLayers::One, seed);
        assert_eq!(sizes(1), sizes(1));
        assert_ne!(sizes(1), sizes(2));
    }

    #[test]
    fn frames_can_be_sealed_and_are_what_they_seem() {
        let (epoch, key) = (Epoch::new(1), BaseKey::new([7; 16]));
        let (mut sealer, mut opener) = (FrameSealer::new(), FrameOpener::new());
        sealer.install(epoch, LeafIndex::new(0).unwrap(), &key);
        sealer.seal_with(epoch);
        opener.install(epoch, &key);
        for codec in CODECS {
            let mut encoder = Encoder::new(codec, spec(), TemporalLayers::One, 3);
            let mut cadence = Cadence::new(TemporalLayers::One);
            for at in 0..5 {
                let frame = encoder.frame(cadence.next(at == 0));
                assert_eq!(is_key_frame(codec, &frame), at == 0, "{codec:?}");
                let sealed = sealer.seal(StreamContext::CAMERA[0], codec, &frame);
                let opened = opener.open(codec, &sealed.unwrap()).unwrap();
                assert_eq!(opened.frame, frame);
            }
            assert!(!is_key_frame(codec, &[]));
        }
    }
}
