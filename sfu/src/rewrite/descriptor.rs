//! What payload descriptors and the dependency descriptor tell a forwarder: where a key
//! frame begins, of which layer a frame is, and which ids have to be rewritten. Behind the
//! payload descriptor all is sealed.

use std::sync::Arc;

use str0m::{
    format::Codec,
    rtp::{Vp8Descriptor, Vp8Patch},
};

use super::{
    Frame, LayerId, PictureIds, Scaling, dependency::DependencyFrame, h264, vp9::Vp9Descriptor,
};

/// A payload's descriptor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Descriptor {
    Vp8 {
        parsed: Vp8Descriptor,
        short: bool,
    },
    Vp9(Vp9Descriptor),
    /// Nothing in it has to be rewritten.
    Plain,
}

/// A descriptor and what is known about the frame.
#[derive(Debug, Clone)]
pub(crate) struct Inspected {
    pub(crate) descriptor: Descriptor,
    pub(crate) frame: Frame,
}

/// N bit of the AV1 aggregation header: a new coded video sequence begins (AV1 RTP §4.4).
const AV1_NEW_SEQUENCE: u8 = 0x08;

/// Reads the descriptor of a payload. One that cannot be read is passed on as it is: it is
/// the receiver's to judge, as is all that is sealed. The dependency descriptor, where there
/// is one, knows better about layers.
pub(crate) fn inspect(
    codec: Codec,
    payload: &[u8],
    dependency: Option<DependencyFrame>,
) -> Inspected {
    let mut inspected = match codec {
        Codec::Vp8 => inspect_vp8(payload),
        Codec::Vp9 => inspect_vp9(payload),
        Codec::Av1 => Inspected::plain(
            payload
                .first()
                .is_some_and(|header| header & AV1_NEW_SEQUENCE != 0),
        ),
        Codec::H264 => Inspected::plain(h264::begins_key_frame(payload)),
        _ => Inspected::plain(false),
    };
    if let Some(dependency) = dependency {
        let frame = &mut inspected.frame;
        frame.layer = dependency.layer;
        frame.begins = dependency.begins;
        frame.ends = dependency.ends;
        frame.begins_key_frame |= dependency.begins && dependency.brings_structure;
        frame.scaling = Scaling::Dependency(Box::new(dependency));
    }
    inspected
}

fn inspect_vp8(payload: &[u8]) -> Inspected {
    let Ok(parsed) = Vp8Descriptor::parse(payload) else {
        return Inspected::plain(false);
    };
    let fields = Vp8Fields::read(payload).unwrap_or_default();
    Inspected {
        descriptor: Descriptor::Vp8 {
            parsed,
            short: fields.short_picture_id,
        },
        frame: Frame {
            layer: LayerId {
                spatial: 0,
                temporal: fields.temporal.unwrap_or(0),
            },
            begins: fields.begins,
            ends: false,
            begins_key_frame: parsed.starts_keyframe(payload),
            scaling: match fields.temporal {
                Some(_) => Scaling::Vp8 { sync: fields.sync },
                None => Scaling::None,
            },
        },
    }
}

fn inspect_vp9(payload: &[u8]) -> Inspected {
    let Some(parsed) = Vp9Descriptor::parse(payload) else {
        return Inspected::plain(false);
    };
    Inspected {
        descriptor: Descriptor::Vp9(parsed),
        frame: Frame {
            layer: parsed.layer.unwrap_or_default(),
            begins: parsed.begins,
            ends: parsed.ends,
            begins_key_frame: parsed.begins_key_frame(),
            scaling: match parsed.layer {
                Some(_) => Scaling::Vp9 {
                    switch_up: parsed.switch_up,
                    predicted: parsed.predicted,
                },
                None => Scaling::None,
            },
        },
    }
}

impl Inspected {
    fn plain(begins_key_frame: bool) -> Self {
        Self {
            descriptor: Descriptor::Plain,
            frame: Frame {
                layer: LayerId::default(),
                begins: begins_key_frame,
                ends: false,
                begins_key_frame,
                scaling: Scaling::None,
            },
        }
    }
}

/// What `Vp8Descriptor` does not tell of a VP8 payload descriptor (RFC 7741 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Vp8Fields {
    /// S, in the first partition.
    begins: bool,
    /// M is not set.
    short_picture_id: bool,
    /// TID.
    temporal: Option<u8>,
    /// Y.
    sync: bool,
}

impl Vp8Fields {
    fn read(payload: &[u8]) -> Option<Self> {
        let mut bytes = payload.iter().copied();
        let required = bytes.next()?;
        let mut fields = Self {
            begins: required & 0x1f == 0x10,
            ..Self::default()
        };
        if required & 0x80 == 0 {
            return Some(fields);
        }
        let present = bytes.next()?;
        if present & 0x80 != 0 {
            fields.short_picture_id = bytes.next()? & 0x80 == 0;
            if !fields.short_picture_id {
                bytes.next()?;
            }
        }
        if present & 0x40 != 0 {
            bytes.next()?;
        }
        if present & 0x20 != 0 {
            let layer = bytes.next()?;
            fields.temporal = Some(layer >> 6);
            fields.sync = layer & 0x20 != 0;
        }
        Some(fields)
    }
}

/// A payload ready to be sent.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) payload: Arc<[u8]>,
    /// To be applied when the packet is written out, which saves a copy.
    pub(crate) vp8: Option<Vp8Patch>,
}

impl Descriptor {
    /// Whether picture ids close up when frames are left out. In VP9 distances between
    /// pictures say what they refer to (RFC 9628 §4.2, P_DIFF and the picture group).
    pub(crate) fn closes_up(&self) -> bool {
        matches!(self, Self::Vp8 { .. })
    }

    /// The ids that have to be kept continuous.
    pub(crate) fn ids(&self) -> PictureIds {
        match self {
            Self::Vp8 { parsed, short } => PictureIds {
                picture: parsed.picture_id(),
                short: *short,
                tl0: parsed.tl0_pic_idx(),
            },
            Self::Vp9(parsed) => parsed.ids,
            Self::Plain => PictureIds::default(),
        }
    }

    /// The payload with other ids.
    pub(crate) fn with_ids(&self, payload: &Arc<[u8]>, ids: PictureIds) -> Rewritten {
        let (payload, vp8) = match self {
            Self::Vp8 { parsed, .. } if ids != self.ids() => {
                let mut patch = parsed.patch();
                if let Some(picture) = ids.picture {
                    patch = patch.picture_id(picture);
                }
                if let Some(tl0) = ids.tl0 {
                    patch = patch.tl0_pic_idx(tl0);
                }
                (Arc::clone(payload), patch.build().ok())
            }
            Self::Vp9(parsed) => (parsed.with_ids(payload, ids), None),
            Self::Vp8 { .. } | Self::Plain => (Arc::clone(payload), None),
        };
        Rewritten { payload, vp8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_are_seen_in_every_codec() {
        let begins = |codec, payload: &[u8]| inspect(codec, payload, None).frame.begins_key_frame;
        assert!(begins(Codec::Vp8, &[0x10, 0x00, 1, 2]));
        assert!(!begins(Codec::Vp8, &[0x10, 0x01, 1, 2]), "delta frame");
        assert!(!begins(Codec::Vp8, &[0x00, 0x00, 1, 2]), "not the first");
        assert!(begins(Codec::Vp8, &[0x90, 0x80, 0x81, 0x02, 0x00]));
        assert!(begins(Codec::Vp9, &[0x88, 5, 1]));
        assert!(begins(Codec::Av1, &[0x18, 5, 1]));
        assert!(!begins(Codec::Av1, &[0x10, 5, 1]));
        assert!(begins(Codec::H264, &[0x67, 66, 0xe0, 31]));
        assert!(!begins(Codec::H264, &[0x65, 0x88]));
        assert!(!begins(Codec::Opus, &[0x18, 0, 0]));
        for codec in [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264] {
            assert!(!begins(codec, &[]));
        }
    }

    #[test]
    fn the_width_of_a_vp8_picture_id_is_known() {
        let ids = |payload: &[u8]| inspect(Codec::Vp8, payload, None).descriptor.ids();
        let long = ids(&[0x90, 0x80, 0x81, 0x02, 0x00]);
        assert_eq!((long.picture, long.short), (Some(0x0102), false));
        let short = ids(&[0x90, 0x80, 0x01, 0x00]);
        assert_eq!((short.picture, short.short), (Some(1), true));
    }

    #[test]
    fn temporal_layers_of_vp8_are_read() {
        let frame = |payload: &[u8]| inspect(Codec::Vp8, payload, None).frame;
        let layered = frame(&[0x90, 0xe0, 0x81, 0x02, 7, 0b1010_0000, 1]);
        assert_eq!(layered.layer.temporal, 2);
        assert!(layered.begins && matches!(layered.scaling, Scaling::Vp8 { sync: true }));
        let second = frame(&[0x80, 0xe0, 0x01, 7, 0b0100_0000, 1]);
        assert_eq!(second.layer.temporal, 1);
        assert!(!second.begins && matches!(second.scaling, Scaling::Vp8 { sync: false }));
        let plain = frame(&[0x90, 0x80, 0x01, 1]);
        assert!(plain.begins && matches!(plain.scaling, Scaling::None));
    }
}
