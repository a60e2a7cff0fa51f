//! An RTP packet on its way from a track to its subscribers.

use std::{sync::Arc, time::Instant};

use str0m::{
    format::PayloadParams,
    rtp::{ExtensionValues, RtpPacket, Ssrc, VideoOrientation},
};

use crate::rewrite::{Position, dependency::RawDescriptor};

/// What of an RTP packet is the same for every receiver. The rest belongs to the hop over
/// which it came.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    /// The stream that it came on.
    pub(crate) ssrc: Ssrc,
    pub(crate) position: Position,
    pub(crate) marker: bool,
    pub(crate) arrived: Instant,
    /// What the publisher's payload type stands for.
    pub(crate) format: PayloadParams,
    pub(crate) extensions: Extensions,
    /// The dependency descriptor, which is rewritten for each receiver.
    pub(crate) dependency: Option<Arc<RawDescriptor>>,
    pub(crate) payload: Arc<[u8]>,
}

/// The header extensions that are handed on. The others belong to one hop: transport-wide
/// sequence number, send time, MID and RID.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extensions {
    /// In dBov, 0 is loudest (RFC 6464).
    pub(crate) audio_level: Option<i8>,
    pub(crate) voice_activity: Option<bool>,
    pub(crate) video_orientation: Option<VideoOrientation>,
}

impl Packet {
    pub(crate) fn new(packet: &RtpPacket, format: PayloadParams) -> Self {
        let values = &packet.header.ext_vals;
        Self {
            ssrc: packet.header.ssrc,
            position: Position {
                sequence: *packet.seq_no,
                timestamp: packet.header.timestamp,
            },
            marker: packet.header.marker,
            arrived: packet.timestamp,
            format,
            extensions: Extensions {
                audio_level: values.audio_level,
                voice_activity: values.voice_activity,
                video_orientation: values.video_orientation,
            },
            dependency: values.user_values.get_arc::<RawDescriptor>(),
            payload: Arc::clone(&packet.payload),
        }
    }

    /// A copy that shares nothing with this one, for another core: no two count one
    /// reference.
    pub(crate) fn detached(&self) -> Self {
        let copy = |descriptor: &Arc<RawDescriptor>| RawDescriptor::new(descriptor.bytes());
        Self {
            dependency: self.dependency.as_ref().map(copy).map(Arc::new),
            payload: Arc::from(&self.payload[..]),
            ..self.clone()
        }
    }
}

impl Extensions {
    /// As str0m writes them.
    pub(crate) fn values(self) -> ExtensionValues {
        ExtensionValues {
            audio_level: self.audio_level,
            voice_activity: self.voice_activity,
            video_orientation: self.video_orientation,
            ..ExtensionValues::default()
        }
    }
}
