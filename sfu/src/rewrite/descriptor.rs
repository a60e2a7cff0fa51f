//! What a payload descriptor tells a forwarder: where a key frame begins, and which ids
//! have to be rewritten. Behind the descriptor the payload is sealed.

use std::sync::Arc;

use str0m::{
    format::Codec,
    rtp::{Vp8Descriptor, Vp8Patch},
};

use super::{PictureIds, vp9::Vp9Descriptor};

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

/// A descriptor and what it says about key frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inspected {
    pub(crate) descriptor: Descriptor,
    /// This packet is the first of a key frame.
    pub(crate) begins_key_frame: bool,
}

/// N bit of the AV1 aggregation header: a new coded video sequence begins (AV1 RTP §4.4).
const AV1_NEW_SEQUENCE: u8 = 0x08;

/// Reads the descriptor of a payload. One that cannot be read is passed on as it is: it is
/// the receiver's to judge, as is all that is sealed.
pub(crate) fn inspect(codec: Codec, payload: &[u8]) -> Inspected {
    let plain = |begins_key_frame| Inspected {
        descriptor: Descriptor::Plain,
        begins_key_frame,
    };
    match codec {
        Codec::Vp8 => match Vp8Descriptor::parse(payload) {
            Ok(parsed) => Inspected {
                descriptor: Descriptor::Vp8 {
                    parsed,
                    short: has_short_picture_id(payload),
                },
                begins_key_frame: parsed.starts_keyframe(payload),
            },
            Err(_) => plain(false),
        },
        Codec::Vp9 => match Vp9Descriptor::parse(payload) {
            Some(parsed) => Inspected {
                begins_key_frame: parsed.begins_key_frame,
                descriptor: Descriptor::Vp9(parsed),
            },
            None => plain(false),
        },
        Codec::Av1 => plain(
            payload
                .first()
                .is_some_and(|header| header & AV1_NEW_SEQUENCE != 0),
        ),
        _ => plain(false),
    }
}

/// The M bit of the VP8 picture id (RFC 7741 §4.2), which `Vp8Descriptor` does not tell.
fn has_short_picture_id(payload: &[u8]) -> bool {
    let has_extension = payload.first().is_some_and(|b| b & 0x80 != 0);
    let has_picture_id = payload.get(1).is_some_and(|b| b & 0x80 != 0);
    has_extension && has_picture_id && payload.get(2).is_some_and(|b| b & 0x80 == 0)
}

/// A payload ready to be sent.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) payload: Arc<[u8]>,
    /// To be applied when the packet is written out, which saves a copy.
    pub(crate) vp8: Option<Vp8Patch>,
}

impl Descriptor {
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
        let begins = |codec, payload: &[u8]| inspect(codec, payload).begins_key_frame;
        assert!(begins(Codec::Vp8, &[0x10, 0x00, 1, 2]));
        assert!(!begins(Codec::Vp8, &[0x10, 0x01, 1, 2]), "delta frame");
        assert!(!begins(Codec::Vp8, &[0x00, 0x00, 1, 2]), "not the first");
        assert!(begins(Codec::Vp8, &[0x90, 0x80, 0x81, 0x02, 0x00]));
        assert!(begins(Codec::Vp9, &[0x88, 5, 1]));
        assert!(begins(Codec::Av1, &[0x18, 5, 1]));
        assert!(!begins(Codec::Av1, &[0x10, 5, 1]));
        assert!(!begins(Codec::Opus, &[0x18, 0, 0]));
        for codec in [Codec::Vp8, Codec::Vp9, Codec::Av1] {
            assert!(!begins(codec, &[]));
        }
    }

    #[test]
    fn the_width_of_a_vp8_picture_id_is_known() {
        let ids = |payload: &[u8]| inspect(Codec::Vp8, payload).descriptor.ids();
        let long = ids(&[0x90, 0x80, 0x81, 0x02, 0x00]);
        assert_eq!((long.picture, long.short), (Some(0x0102), false));
        let short = ids(&[0x90, 0x80, 0x01, 0x00]);
        assert_eq!((short.picture, short.short), (Some(1), true));
    }
}
