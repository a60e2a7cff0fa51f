//! The VP9 payload descriptor (RFC 9628 §4.2), as far as a forwarder needs it.

use std::sync::Arc;

use super::{LayerId, PictureIds};

const PICTURE_ID: u8 = 0x80;
const INTER_PREDICTED: u8 = 0x40;
const LAYERED: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const FRAME_BEGINS: u8 = 0x08;
const FRAME_ENDS: u8 = 0x04;
const HAS_STRUCTURE: u8 = 0x02;

const SWITCH_UP: u8 = 0x10;

/// A picture refers to three others at most.
const MOST_REFERENCES: usize = 3;

/// Where the ids stand in one payload, and what it says about its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vp9Descriptor {
    pub(crate) ids: PictureIds,
    /// None when the stream has no layers.
    pub(crate) layer: Option<LayerId>,
    pub(crate) begins: bool,
    pub(crate) ends: bool,
    /// The frame needs earlier pictures.
    pub(crate) predicted: bool,
    /// Later pictures of higher temporal layers need none of those layers before this one.
    pub(crate) switch_up: bool,
    picture_at: usize,
    tl0_at: usize,
    structure_at: Option<usize>,
}

impl Vp9Descriptor {
    /// Reads the descriptor; none when the payload ends within it.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let flags = *payload.first()?;
        let mut at = 1;
        let mut ids = PictureIds::default();
        let picture_at = at;
        if flags & PICTURE_ID != 0 {
            let high = *payload.get(at)?;
            if high & 0x80 != 0 {
                let low = *payload.get(at + 1)?;
                ids.picture = Some(u16::from(high & 0x7f) << 8 | u16::from(low));
                at += 2;
            } else {
                ids.picture = Some(u16::from(high));
                ids.short = true;
                at += 1;
            }
        }
        let (mut layer, mut switch_up) = (None, false);
        let mut tl0_at = 0;
        if flags & LAYERED != 0 {
            let layers = *payload.get(at)?;
            layer = Some(LayerId {
                spatial: layers >> 1 & 0x07,
                temporal: layers >> 5,
            });
            switch_up = layers & SWITCH_UP != 0;
            at += 1;
            if flags & FLEXIBLE == 0 {
                ids.tl0 = Some(*payload.get(at)?);
                tl0_at = at;
                at += 1;
            }
        }
        let predicted = flags & INTER_PREDICTED != 0;
        if predicted && flags & FLEXIBLE != 0 {
            for _ in 0..MOST_REFERENCES {
                let reference = *payload.get(at)?;
                at += 1;
                if reference & 1 == 0 {
                    break;
                }
            }
        }
        Some(Self {
            ids,
            layer,
            begins: flags & FRAME_BEGINS != 0,
            ends: flags & FRAME_ENDS != 0,
            predicted,
            switch_up,
            picture_at,
            tl0_at,
            structure_at: (flags & HAS_STRUCTURE != 0).then_some(at),
        })
    }

    /// Decoding can begin with this packet.
    pub(crate) fn begins_key_frame(&self) -> bool {
        let is_base = self.layer.is_none_or(|layer| layer.spatial == 0);
        !self.predicted && self.begins && is_base
    }

    /// The heights of all spatial layers in pixels, where this payload tells them.
    pub(crate) fn heights(&self, payload: &[u8]) -> Option<Vec<u16>> {
        let mut bytes = payload.get(self.structure_at?..)?.iter().copied();
        let header = bytes.next()?;
        let (layers, has_sizes) = (usize::from(header >> 5) + 1, header & 0x10 != 0);
        if !has_sizes {
            return None;
        }
        let mut number = || Some(u16::from_be_bytes([bytes.next()?, bytes.next()?]));
        let mut size = || {
            number()?;
            number()
        };
        (0..layers).map(|_| size()).collect()
    }

    /// The payload with other ids in the same places. Shared when nothing changes.
    pub(crate) fn with_ids(&self, payload: &Arc<[u8]>, ids: PictureIds) -> Arc<[u8]> {
        if ids == self.ids {
            return Arc::clone(payload);
        }
        let mut patched: Arc<[u8]> = Arc::from(&payload[..]);
        let Some(bytes) = Arc::get_mut(&mut patched) else {
            return patched;
        };
        if let Some(picture) = ids.picture {
            let [high, low] = picture.to_be_bytes();
            if self.ids.short {
                bytes[self.picture_at] = low & 0x7f;
            } else {
                bytes[self.picture_at] = high | 0x80;
                bytes[self.picture_at + 1] = low;
            }
        }
        if let Some(tl0) = ids.tl0 {
            bytes[self.tl0_at] = tl0;
        }
        patched
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_frame_begins_only_with_the_base_layers_first_packet() {
        let begins = |payload: &[u8]| Vp9Descriptor::parse(payload).map(|d| d.begins_key_frame());
        assert_eq!(begins(&[0x88, 5, 1]), Some(true));
        assert_eq!(begins(&[0x80, 5, 1]), Some(false), "not the first packet");
        assert_eq!(begins(&[0xc8, 5, 1]), Some(false), "predicted");
        assert_eq!(begins(&[0xa8, 5, 0x00, 9, 1]), Some(true));
        assert_eq!(begins(&[0xa8, 5, 0x02, 9, 1]), Some(false), "upper layer");
        assert_eq!(begins(&[0xa8, 5]), None);
    }

    #[test]
    fn layers_and_sizes_are_read() {
        let mut payload = vec![0xae, 0x81, 0x02, 0b0101_0010, 9, 0b0011_0000];
        for number in [320u16, 180, 640, 360] {
            payload.extend(number.to_be_bytes());
        }
        let descriptor = Vp9Descriptor::parse(&payload).unwrap();
        let layer = LayerId {
            spatial: 1,
            temporal: 2,
        };
        assert_eq!(descriptor.layer, Some(layer));
        assert!(descriptor.switch_up && descriptor.begins && descriptor.ends);
        assert!(!descriptor.predicted && !descriptor.begins_key_frame());
        assert_eq!(descriptor.heights(&payload), Some(vec![180, 360]));
        assert_eq!(descriptor.heights(&payload[..12]), None, "cut short");

        let flexible = [
            0x80 | 0x70 | 0x02,
            5,
            0,
            0x03,
            0x02,
            0b0001_0000,
            0,
            9,
            0,
            7,
        ];
        let descriptor = Vp9Descriptor::parse(&flexible).unwrap();
        assert_eq!(descriptor.heights(&flexible), Some(vec![7]));
    }

    #[test]
    fn ids_are_replaced_in_place() {
        let payload: Arc<[u8]> = Arc::from([0xa8, 0x81, 0x02, 0x00, 9, 0xde, 0xad].as_slice());
        let descriptor = Vp9Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.ids.picture, Some(0x0102));
        assert_eq!(descriptor.ids.tl0, Some(9));
        let ids = PictureIds {
            picture: Some(0x7ffe),
            short: false,
            tl0: Some(200),
        };
        let patched = descriptor.with_ids(&payload, ids);
        assert_eq!(patched[..], [0xa8, 0xff, 0xfe, 0x00, 200, 0xde, 0xad]);
        assert!(Arc::ptr_eq(
            &payload,
            &descriptor.with_ids(&payload, descriptor.ids)
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_only_the_ids_change(
            payload in prop::collection::vec(any::<u8>(), 0..24),
            picture in 0u16..0x8000,
            tl0 in any::<u8>(),
        ) {
            let payload: Arc<[u8]> = payload.into();
            if let Some(descriptor) = Vp9Descriptor::parse(&payload) {
                let ids = PictureIds {
                    picture: descriptor.ids.picture.map(|_| if descriptor.ids.short { picture & 0x7f } else { picture }),
                    short: descriptor.ids.short,
                    tl0: descriptor.ids.tl0.map(|_| tl0),
                };
                let patched = descriptor.with_ids(&payload, ids);
                let read = Vp9Descriptor::parse(&patched).unwrap();
                prop_assert_eq!(read, Vp9Descriptor { ids, ..descriptor });
                prop_assert_eq!(read.with_ids(&patched, descriptor.ids), payload);
            }
        }
    }
}
