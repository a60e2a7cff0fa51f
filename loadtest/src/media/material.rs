//! Where the recordings come from when none are named: `scripts/media.sh`, which is part
//! of this program, makes them once with ffmpeg.

use std::{
    env,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::recording::{AudioRecording, RecordingError, VideoRecording};
use crate::bot::publish::Recordings;

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

/// Reads the named recordings, and makes those that are not named.
pub fn recordings(video: Option<&Path>, audio: Option<&Path>) -> Result<Recordings, MaterialError> {
    let made = match (video, audio) {
        (Some(_), Some(_)) => PathBuf::new(),
        _ => make(&cache()?)?,
    };
    Ok(Recordings {
        video: VideoRecording::read(video.unwrap_or(&made.join("meeting.ivf")))?,
        audio: AudioRecording::read(audio.unwrap_or(&made.join("voice.ogg")))?,
    })
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
