//! Recordings: VP8 from an IVF file, Opus from an Ogg file (RFC 7845), read whole.

use std::{
    fs,
    io::{self, Cursor},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{Codec, generated::is_key_frame};

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is not what it should be.
    #[error("{path} cannot be played: {problem}")]
    Unfit {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
}

/// VP8 frames at an even pace.
#[derive(Debug)]
pub struct VideoRecording {
    /// From one frame to the next.
    pub interval: Duration,
    /// Whole frames; the first is a key frame.
    pub frames: Vec<Arc<[u8]>>,
}

/// Opus packets at an even pace.
#[derive(Debug)]
pub struct AudioRecording {
    /// From one packet to the next.
    pub interval: Duration,
    /// Whole packets.
    pub packets: Vec<Arc<[u8]>>,
}

impl VideoRecording {
    /// Reads an IVF file.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        Self::parse(&load(path)?).map_err(|problem| unfit(path, problem))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut file = Cursor::new(bytes);
        let header = ivf::read_header(&mut file).map_err(|_| "not an IVF file".to_owned())?;
        if &header.tag != b"VP80" {
            return Err("not VP8; make it with ffmpeg -c:v libvpx".to_owned());
        }
        let mut frames = Vec::new();
        let mut times = Vec::new();
        while file.position() < bytes.len() as u64 {
            let packet = ivf::read_packet(&mut file)
                .map_err(|_| format!("it ends within frame {}", frames.len()))?;
            times.push(packet.pts);
            frames.push(Arc::<[u8]>::from(packet.data));
        }
        let [first, .., last] = times[..] else {
            return Err("it has fewer than two frames".to_owned());
        };
        let begins = frames.first();
        if !begins.is_some_and(|frame| is_key_frame(Codec::Vp8, frame)) {
            return Err("it does not begin with a key frame".to_owned());
        }
        let ticks = last.saturating_sub(first) as f64 / (times.len() - 1) as f64;
        let tick = f64::from(header.timebase_num) / f64::from(header.timebase_den);
        let seconds = ticks * tick;
        if !(0.001..=1.0).contains(&seconds) {
            return Err("its frames are not between 1 ms and 1 s apart".to_owned());
        }
        Ok(Self {
            interval: Duration::from_secs_f64(seconds),
            frames,
        })
    }
}

impl AudioRecording {
    /// Reads an Ogg file with one Opus stream.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        Self::parse(load(path)?).map_err(|problem| unfit(path, problem))
    }

    fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let mut file = ogg::PacketReader::new(Cursor::new(bytes));
        let mut next = || file.read_packet().map_err(|error| error.to_string());
        let head = next()?.ok_or("it is empty")?;
        if !head.data.starts_with(b"OpusHead") {
            return Err("not Opus in Ogg; make it with ffmpeg -c:a libopus".to_owned());
        }
        next()?.ok_or("it ends before its tags")?;
        let mut packets = Vec::new();
        let mut interval = None;
        while let Some(packet) = next()? {
            let duration = opus_duration(&packet.data).ok_or("it has an empty packet")?;
            if *interval.get_or_insert(duration) != duration {
                return Err("its packets differ in length; make them all 20 ms".to_owned());
            }
            packets.push(Arc::<[u8]>::from(packet.data));
        }
        Ok(Self {
            interval: interval.ok_or("it has no sound")?,
            packets,
        })
    }
}

/// How long an Opus packet sounds, by its first bytes (RFC 6716 §3.1 and §3.2).
fn opus_duration(packet: &[u8]) -> Option<Duration> {
    let toc = *packet.first()?;
    let configuration = toc >> 3;
    let frame = Duration::from_micros(match configuration {
        // SILK: 10, 20, 40, 60 ms.
        0..=11 => [10_000, 20_000, 40_000, 60_000][usize::from(configuration % 4)],
        // Hybrid: 10, 20 ms.
        12..=15 => [10_000, 20_000][usize::from(configuration % 2)],
        // CELT: 2.5, 5, 10, 20 ms.
        _ => [2_500, 5_000, 10_000, 20_000][usize::from(configuration % 4)],
    });
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1)? & 0x3f,
    };
    Some(frame * u32::from(count))
}

fn load(path: &Path) -> Result<Vec<u8>, RecordingError> {
    fs::read(path).map_err(|error| RecordingError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

fn unfit(path: &Path, problem: String) -> RecordingError {
    RecordingError::Unfit {
        path: path.to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = &[0x10, 1, 2];
    const DELTA: &[u8] = &[0x11, 3];

    fn ivf(tag: &[u8; 4], frames: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend(b"DKIF\0\0\x20\0");
        file.extend(tag);
        file.extend([0x40, 1, 0xb4, 0]); // 320x180
        file.extend(20_u32.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend([0; 8]);
        for (pts, frame) in frames.iter().enumerate() {
            file.extend((frame.len() as u32).to_le_bytes());
            file.extend((pts as u64).to_le_bytes());
            file.extend(*frame);
        }
        file
    }

    #[test]
    fn frames_and_pace_of_an_ivf_file() {
        let recording = VideoRecording::parse(&ivf(b"VP80", &[KEY, DELTA, DELTA])).unwrap();
        assert_eq!(recording.interval, Duration::from_millis(50));
        assert_eq!(
            recording
                .frames
                .iter()
                .map(AsRef::as_ref)
                .collect::<Vec<&[u8]>>(),
            [KEY, DELTA, DELTA]
        );
    }

    #[test]
    fn unfit_ivf_files_are_refused() {
        let whole = ivf(b"VP80", &[KEY, DELTA]);
        for (file, problem) in [
            (&b"RIFF"[..], "not an IVF file"),
            (&ivf(b"VP90", &[KEY, DELTA]), "not VP8"),
            (&whole[..whole.len() - 1], "ends within frame 1"),
            (&ivf(b"VP80", &[KEY]), "fewer than two"),
            (&ivf(b"VP80", &[DELTA, KEY]), "begin with a key frame"),
        ] {
            let found = VideoRecording::parse(file).unwrap_err();
            assert!(found.contains(problem), "{found}");
        }
    }

    fn ogg(packets: &[&[u8]]) -> Vec<u8> {
        let mut file = ogg::PacketWriter::new(Vec::new());
        for (at, packet) in packets.iter().enumerate() {
            let end = if at + 1 == packets.len() {
                ogg::PacketWriteEndInfo::EndStream
            } else {
                ogg::PacketWriteEndInfo::EndPage
            };
            file.write_packet(packet.to_vec(), 7, end, 0).unwrap();
        }
        file.into_inner()
    }

    // SILK wideband 20 ms, one frame.
    const SPOKEN: &[u8] = &[9 << 3, 1, 2, 3];

    #[test]
    fn packets_and_pace_of_an_ogg_file() {
        let file = ogg(&[b"OpusHead", b"OpusTags", SPOKEN, SPOKEN]);
        let recording = AudioRecording::parse(file).unwrap();
        assert_eq!(recording.interval, Duration::from_millis(20));
        assert_eq!(recording.packets.len(), 2);
        assert_eq!(&*recording.packets[1], SPOKEN);
    }

    #[test]
    fn unfit_ogg_files_are_refused() {
        for (file, problem) in [
            (ogg(&[b"vorbis", b"tags"]), "not Opus"),
            (ogg(&[b"OpusHead", b"OpusTags"]), "no sound"),
            (
                ogg(&[b"OpusHead", b"OpusTags", SPOKEN, &[10 << 3, 0]]),
                "differ in length",
            ),
        ] {
            let found = AudioRecording::parse(file).unwrap_err();
            assert!(found.contains(problem), "{found}");
        }
    }

    #[test]
    fn opus_durations() {
        for (packet, milliseconds) in [
            (&[9 << 3][..], 20.0),
            (&[3 << 3], 60.0),
            (&[16 << 3], 2.5),
            (&[31 << 3 | 1], 40.0),
            (&[15 << 3 | 3, 3], 60.0),
        ] {
            let expected = Duration::from_secs_f64(milliseconds / 1_000.0);
            assert_eq!(opus_duration(packet), Some(expected));
        }
        assert_eq!(opus_duration(&[]), None);
    }
}
