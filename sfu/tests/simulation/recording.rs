//! Real video: frames of a recording, cut into packets and put together again.

use std::{
    fmt,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use str0m::{
    format::{Codec, CodecExtra},
    media::MediaData,
    rtp::RtpWrite,
};

use super::client::Client;

/// Bytes of a frame in one packet.
const PART: usize = 1_150;

/// An encoded video.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) path: PathBuf,
    pub(crate) frames: Vec<Vec<u8>>,
    codec: Codec,
}

impl Recording {
    /// Reads one that `scripts/layers.sh` made.
    pub(crate) fn read(name: &str) -> Arc<Self> {
        let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/media/layers");
        let path = made.join(name);
        let file = File::open(&path)
            .unwrap_or_else(|e| panic!("{}: {e}. Run scripts/layers.sh first", path.display()));
        let mut file = BufReader::new(file);
        let codec = match &ivf::read_header(&mut file).unwrap().tag {
            b"VP80" => Codec::Vp8,
            b"VP90" => Codec::Vp9,
            tag => panic!("{}: {tag:?}", path.display()),
        };
        let mut frames = vec![];
        while let Ok(packet) = ivf::read_packet(&mut file) {
            frames.push(packet.data.into_vec());
        }
        Arc::new(Self {
            path,
            frames,
            codec,
        })
    }

    fn is_key(&self, index: usize) -> bool {
        is_key(self.codec, &self.frames[index])
    }
}

/// Whether a frame depends on no other (RFC 6386 §9.1; VP9 bitstream §6.2, profile 0).
fn is_key(codec: Codec, frame: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => frame[0] & 0x01 == 0,
        Codec::Vp9 => frame[0] & 0x0c == 0,
        other => panic!("{other:?} is not recorded"),
    }
}

/// A camera that shows a recording over and over.
#[derive(Debug)]
pub(crate) struct Player {
    recording: Arc<Recording>,
    next: usize,
}

impl Player {
    pub(crate) fn new(recording: &Arc<Recording>) -> Self {
        Self {
            recording: Arc::clone(recording),
            next: 0,
        }
    }

    /// Goes on at the next key frame, as a camera that is asked for one.
    fn skip_to_key_frame(&mut self) {
        while !self.recording.is_key(self.next) {
            self.next = (self.next + 1) % self.recording.frames.len();
        }
    }
}

/// A frame as a subscriber has it.
pub(crate) struct Frame {
    pub(crate) data: Arc<[u8]>,
    pub(crate) is_key: bool,
    /// No packet and no picture is missing before it.
    pub(crate) contiguous: bool,
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    pub(crate) time: u64,
    /// Extended beyond its 15 bits.
    pub(crate) picture: u64,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "picture {} at {} of {} bytes in packets {}..={}, key: {}, contiguous: {}",
            self.picture,
            self.time,
            self.data.len(),
            self.first_sequence,
            self.last_sequence,
            self.is_key,
            self.contiguous
        )
    }
}

impl Frame {
    /// None for sound.
    pub(super) fn of(data: &MediaData) -> Option<Self> {
        let picture = match data.codec_extra {
            CodecExtra::Vp8(extra) => extra.picture_id,
            CodecExtra::Vp9(extra) => extra.picture_id,
            _ => return None,
        };
        Some(Self {
            data: Arc::clone(&data.data),
            is_key: is_key(data.params.spec().codec, &data.data),
            contiguous: data.contiguous,
            first_sequence: **data.seq_range.start(),
            last_sequence: **data.seq_range.end(),
            time: data.time.numer(),
            picture: picture.expect("every frame has a picture id"),
        })
    }
}

/// Descriptors with a 15-bit picture id, TL0PICIDX and one temporal layer (RFC 7741 §4.2,
/// RFC 9628 §4.2).
fn descriptor(codec: Codec, begins: bool, ends: bool, is_key: bool, ids: (u16, u8)) -> Vec<u8> {
    let ([high, low], tl0) = (ids.0.to_be_bytes(), ids.1);
    match codec {
        Codec::Vp8 => {
            let start = if begins { 0x10 } else { 0 };
            vec![0x80 | start, 0xe0, 0x80 | high, low, tl0, 0x20]
        }
        _ => {
            let mut flags = 0xa0;
            for (bit, on) in [(0x40, !is_key), (0x08, begins), (0x04, ends)] {
                flags |= if on { bit } else { 0 };
            }
            vec![flags, 0x80 | high, low, 0, tl0]
        }
    }
}

impl Client {
    /// One frame of the recording in each layer.
    pub(super) fn send_recorded(&mut self, now: Instant) {
        let codec = self.codec;
        let payload_type = self.payload_type(codec);
        for (sender, player) in self.video.iter_mut().zip(&mut self.players) {
            if !self.layers_on[sender.layer] {
                continue;
            }
            if sender.key_in == Some(0) {
                player.skip_to_key_frame();
            }
            sender.key_in = sender.key_in.and_then(|frames| frames.checked_sub(1));
            sender.picture = (sender.picture + 1) & 0x7fff;
            sender.tl0 = sender.tl0.wrapping_add(1);
            sender.timestamp = sender.timestamp.wrapping_add(4_500);
            let is_key = player.recording.is_key(player.next);
            let parts = player.recording.frames[player.next].chunks(PART);
            let last = parts.len() - 1;
            for (part, data) in parts.enumerate() {
                let ids = (sender.picture, sender.tl0);
                let mut payload = descriptor(codec, part == 0, part == last, is_key, ids);
                payload.extend(data);
                sender.sequence += 1;
                let mut direct = self.rtc.direct_api();
                let stream = direct.stream_tx_by_mid(sender.mid, sender.rid).unwrap();
                stream.write_rtp(
                    RtpWrite::new(
                        payload_type,
                        (sender.sequence % 60_000 + 1).into(),
                        sender.timestamp,
                        now,
                        payload,
                    )
                    .marker(part == last)
                    .nackable(true),
                );
            }
            player.next = (player.next + 1) % player.recording.frames.len();
        }
    }
}
