//! What a client sends: frames of video in each layer, and packets of sound.

use std::time::Instant;

use str0m::{
    format::Codec,
    media::{Mid as SdpMid, Pt, Rid},
    rtp::{ExtensionValues, RtpWrite},
};

use super::{
    client::Client,
    media::{self, Stamp},
};

/// The frames of each simulcast layer: how many packets of how many bytes. Twenty a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frames(pub(crate) [(u8, usize); 3]);

impl Frames {
    /// 72, 240 and 528 kbit/s.
    pub(crate) const SMALL: Self = Self([(3, 150), (3, 500), (3, 1_100)]);
    /// 144, 480 and 1,472 kbit/s, about what a browser sends in 180, 360 and 720 lines.
    pub(crate) const HD: Self = Self([(1, 900), (3, 1_000), (8, 1_150)]);

    /// Bits a second of a layer's payloads.
    pub(crate) fn rate(self, layer: usize) -> f64 {
        let (parts, bytes) = self.0[layer];
        f64::from(parts) * bytes as f64 * 8.0 * 20.0
    }
}

/// One outgoing stream.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) mid: SdpMid,
    pub(super) rid: Option<Rid>,
    pub(super) layer: usize,
    pub(super) sequence: u64,
    pub(super) timestamp: u32,
    pub(super) picture: u16,
    pub(super) tl0: u8,
    pub(super) frame: u32,
    /// A key frame comes after so many more frames: encoders take their time.
    pub(super) key_in: Option<u32>,
}

impl Client {
    pub(super) fn payload_type(&self, codec: Codec) -> Pt {
        self.rtc
            .codec_config()
            .find(|p| p.spec().codec == codec)
            .map(str0m::format::PayloadParams::pt)
            .unwrap()
    }

    pub(super) fn send_frame(&mut self, now: Instant) {
        if !self.players.is_empty() {
            self.send_recorded(now);
            return;
        }
        if self.scalable.is_some() {
            self.send_picture(now);
            return;
        }
        let codec = self.codec;
        let payload_type = self.payload_type(codec);
        for sender in &mut self.video {
            if !self.layers_on[sender.layer] {
                continue;
            }
            let is_key = sender.key_in == Some(0);
            sender.key_in = sender.key_in.and_then(|frames| frames.checked_sub(1));
            sender.frame += 1;
            sender.picture = (sender.picture + 1) & 0x7fff;
            sender.tl0 = sender.tl0.wrapping_add(1);
            sender.timestamp = sender.timestamp.wrapping_add(4_500);
            let (parts, bytes) = self.frames.0[sender.layer];
            for part in 0..parts {
                let stamp = Stamp {
                    sender: self.index as u8,
                    layer: sender.layer as u8,
                    is_key,
                    frame: sender.frame,
                    part,
                    parts,
                };
                let payload = if codec == Codec::H264 {
                    media::h264(stamp, bytes)
                } else {
                    media::vp8(stamp, sender.picture, sender.tl0, bytes)
                };
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
                    .marker(part + 1 == parts)
                    .nackable(true),
                );
            }
        }
    }

    pub(super) fn send_audio(&mut self, now: Instant) {
        let payload_type = self.payload_type(Codec::Opus);
        let Some(sender) = &mut self.sound else {
            return;
        };
        sender.frame += 1;
        sender.sequence += 1;
        sender.timestamp = sender.timestamp.wrapping_add(960);
        let stamp = Stamp {
            sender: self.index as u8,
            layer: 0,
            is_key: false,
            frame: sender.frame,
            part: 0,
            parts: 1,
        };
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(sender.mid, None).unwrap();
        let values = ExtensionValues {
            audio_level: Some(self.level),
            voice_activity: Some(self.level > -50),
            ..ExtensionValues::default()
        };
        stream.write_rtp(
            RtpWrite::new(
                payload_type,
                sender.sequence.into(),
                sender.timestamp,
                now,
                media::audio(stamp),
            )
            .ext_vals(values),
        );
    }
}
