//! What the bots of a scenario play. Where a recording is needed and none is named,
//! `scripts/media.sh`, which is part of this program, makes one with ffmpeg, once.

use std::{
    collections::HashMap,
    env,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use conclave_protocol::signal::Source;

use super::{
    generated::VideoSpec,
    program::{Material, Program},
    recording::{AudioRecording, RecordingError, VideoRecording},
    voice::{Floor, VoiceSpec},
};
use crate::scenario::{
    Scenario,
    group::{Group, Picture, Video},
};

/// What cameras show when nothing else is said.
const USUAL_CAMERA: VideoSpec = VideoSpec {
    width: 640,
    height: 360,
    frames_per_second: 30,
    bits_per_second: 1_000_000,
};
/// What screens show when nothing else is said.
const USUAL_SCREEN: VideoSpec = VideoSpec {
    width: 1_920,
    height: 1_080,
    frames_per_second: 10,
    bits_per_second: 1_500_000,
};

const SCRIPT: &str = include_str!("../../../scripts/media.sh");

/// Why there is nothing to play.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// A recording cannot be played.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Nowhere to put recordings.
    #[error("neither XDG_CACHE_HOME nor HOME is set: name recordings with --video and --audio")]
    NoPlace,
    /// The shell did not run.
    #[error("cannot make recordings, since sh does not run: {0}")]
    Shell(io::Error),
    /// The script failed.
    #[error("cannot make recordings: {0} Or name recordings with --video and --audio")]
    Making(String),
}

/// The recordings that a scenario plays, read once.
#[derive(Debug, Default)]
pub struct Library {
    videos: HashMap<PathBuf, Arc<VideoRecording>>,
    sounds: HashMap<PathBuf, Arc<AudioRecording>>,
    /// What cameras and microphones play that nothing is named for; generated where there
    /// is none.
    usual: Option<(Arc<VideoRecording>, Arc<AudioRecording>)>,
}

impl Library {
    /// Reads the recordings that are named. When others are in the call, browsers may be
    /// among them: then what is not named is played from recordings that can be decoded,
    /// made when they are not there yet.
    pub fn load(scenario: &Scenario, others_are_in_the_call: bool) -> Result<Self, MaterialError> {
        let mut library = Self::default();
        let mut all_named = true;
        for group in &scenario.bots {
            for picture in [&group.camera, &group.screen].into_iter().flatten() {
                match &picture.video {
                    Some(Video::File(path)) if !library.videos.contains_key(path) => {
                        let recording = Arc::new(VideoRecording::read(path)?);
                        library.videos.insert(path.clone(), recording);
                    }
                    Some(_) => {}
                    None => all_named = false,
                }
            }
            if let Some(microphone) = &group.microphone {
                match &microphone.audio {
                    Some(path) if !library.sounds.contains_key(path) => {
                        let recording = Arc::new(AudioRecording::read(path)?);
                        library.sounds.insert(path.clone(), recording);
                    }
                    Some(_) => {}
                    None => all_named = false,
                }
            }
        }
        if others_are_in_the_call && !all_named {
            let made = make(&cache()?)?;
            let video = VideoRecording::read(&made.join("meeting.ivf"))?;
            let sound = AudioRecording::read(&made.join("voice.ogg"))?;
            library.usual = Some((Arc::new(video), Arc::new(sound)));
        }
        Ok(library)
    }

    /// What one of a group plays.
    pub fn programs(&self, group: &Group, index: usize) -> Vec<Program> {
        let program = |source| Program {
            source,
            material: match source {
                Source::Camera => self.picture(group.camera.as_ref(), USUAL_CAMERA),
                Source::Screen => self.picture(group.screen.as_ref(), USUAL_SCREEN),
                Source::Microphone | Source::ScreenSound => self.sound(group, index),
            },
        };
        group.sources().into_iter().map(program).collect()
    }

    fn picture(&self, picture: Option<&Picture>, usual: VideoSpec) -> Material {
        let picture = picture.cloned().unwrap_or_default();
        let recorded = match &picture.video {
            Some(Video::File(path)) => self.videos.get(path),
            Some(Video::Generated(_)) => None,
            None if picture.is_recordable() => self.usual.as_ref().map(|(video, _)| video),
            None => None,
        };
        let spec = match picture.video {
            Some(Video::Generated(spec)) => spec,
            _ => usual,
        };
        match recorded {
            Some(recording) => Material::RecordedVideo(recording.clone()),
            None => Material::GeneratedVideo {
                codec: picture.codec.into(),
                spec,
                layers: picture.layers,
                temporal_layers: picture.temporal_layers,
            },
        }
    }

    fn sound(&self, group: &Group, index: usize) -> Material {
        let microphone = group.microphone.clone().unwrap_or_default();
        let recorded = match &microphone.audio {
            Some(path) => self.sounds.get(path),
            None => self.usual.as_ref().map(|(_, sound)| sound),
        };
        match recorded {
            Some(recording) => Material::RecordedSound(recording.clone()),
            None => Material::Voice(VoiceSpec {
                talk: microphone.talk,
                floor: microphone.speakers.map(|speakers| Floor {
                    speakers,
                    turn: microphone.turn,
                    group: group.count,
                    place: index,
                }),
            }),
        }
    }
}

fn cache() -> Result<PathBuf, MaterialError> {
    let from = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let caches = from("XDG_CACHE_HOME")
        .or_else(|| from("HOME").map(|home| home.join(".cache")))
        .ok_or(MaterialError::NoPlace)?;
    // Another script makes other recordings.
    let mut hasher = DefaultHasher::new();
    SCRIPT.hash(&mut hasher);
    let script = format!("{:016x}", hasher.finish());
    Ok(caches.join("conclave-loadtest").join(script))
}

fn make(directory: &Path) -> Result<PathBuf, MaterialError> {
    let mut shell = Command::new("sh")
        .arg("-s")
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(MaterialError::Shell)?;
    if let Some(mut stdin) = shell.stdin.take() {
        stdin
            .write_all(SCRIPT.as_bytes())
            .map_err(MaterialError::Shell)?;
    }
    let output = shell.wait_with_output().map_err(MaterialError::Shell)?;
    if output.status.success() {
        Ok(directory.to_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(MaterialError::Making(said))
    }
}
