//! The dependency descriptor (AV1 RTP specification, appendix A): a header extension that
//! tells an SFU which frames need which, as it cannot look into AV1's sealed payload.
//! Written for the streams that bots send; of those that come, only read where a frame
//! begins.

use std::sync::Arc;

use str0m::rtp::{Extension, ExtensionSerializer, ExtensionValues};

use super::{
    bits::Bits,
    cadence::{Rank, TemporalLayers},
    packetize::StreamShape,
};

const URI: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// Longer ones do not go into the one-byte form of header extensions (RFC 8285 §4.2).
const LONGEST_ONE_BYTE_FORM: usize = 16;

/// Bytes that every descriptor has.
const MANDATORY_BYTES: usize = 3;

/// What the frames of one rank have in common (§A.3.2).
struct Template {
    temporal: u8,
    /// One letter for each decode target, as in the specification's examples.
    indications: &'static str,
    /// How far back the frames stand that it refers to.
    references: &'static [u32],
    /// How far back the last frame of the chain stands.
    chain: u32,
}

const fn template(
    temporal: u8,
    indications: &'static str,
    references: &'static [u32],
    chain: u32,
) -> Template {
    Template {
        temporal,
        indications,
        references,
        chain,
    }
}

/// Key frame, other frames.
const L1T1: &[Template] = &[template(0, "S", &[], 0), template(0, "S", &[1], 1)];

/// §A.10.2.1: key frame, T0, T1, the first T2, the second T2.
const L1T3: &[Template] = &[
    template(0, "SSS", &[], 0),
    template(0, "SSS", &[4], 4),
    template(1, "SD-", &[2], 2),
    template(2, "D--", &[1], 1),
    template(2, "D--", &[1], 3),
];

/// Writes the descriptors of one stream.
#[derive(Debug)]
pub(super) struct DescriptorWriter {
    shape: StreamShape,
    number: u16,
}

impl DescriptorWriter {
    /// Begins to count frames at `number`.
    pub(super) fn new(shape: StreamShape, number: u16) -> Self {
        Self { shape, number }
    }

    /// The descriptors of the next frame, one for each of its packets. A key frame's first
    /// packet brings the structure.
    pub(super) fn frame(&mut self, rank: Rank, packets: usize) -> Vec<Arc<[u8]>> {
        let template = match (self.shape.temporal_layers, rank.place) {
            _ if rank.is_key => 0,
            (TemporalLayers::One, _) | (TemporalLayers::Three, 0) => 1,
            (TemporalLayers::Three, 1) => 3,
            (TemporalLayers::Three, 2) => 2,
            (TemporalLayers::Three, _) => 4,
        };
        let descriptors = (0..packets)
            .map(|packet| {
                let mut bits = Bits::default();
                bits.push(1, u32::from(packet == 0));
                bits.push(1, u32::from(packet + 1 == packets));
                bits.push(6, template);
                bits.push(16, self.number.into());
                if rank.is_key && packet == 0 {
                    // The structure is there, all else is as it says.
                    bits.push(5, 0b10000);
                    self.structure(&mut bits);
                }
                bits.into_bytes().into()
            })
            .collect();
        self.number = self.number.wrapping_add(1);
        descriptors
    }

    /// §A.8.2, `template_dependency_structure`. The first template has the id 0.
    fn structure(&self, bits: &mut Bits) {
        let templates = match self.shape.temporal_layers {
            TemporalLayers::One => L1T1,
            TemporalLayers::Three => L1T3,
        };
        let targets = templates.first().map_or(0, |first| first.indications.len()) as u32;
        bits.push(6, 0);
        bits.push(5, targets - 1);
        for pair in templates.windows(2) {
            bits.push(2, u32::from(pair[1].temporal - pair[0].temporal));
        }
        bits.push(2, 3);
        for indication in templates.iter().flat_map(|t| t.indications.chars()) {
            bits.push(2, "-DSR".find(indication).unwrap_or_default() as u32);
        }
        for template in templates {
            for distance in template.references {
                bits.push(1, 1);
                bits.push(4, distance - 1);
            }
            bits.push(1, 0);
        }
        // One chain, which protects every target: that takes no bits.
        bits.push_below(targets + 1, 1);
        for template in templates {
            bits.push(4, template.chain);
        }
        bits.push(1, 1);
        bits.push(16, u32::from(self.shape.width).saturating_sub(1));
        bits.push(16, u32::from(self.shape.height).saturating_sub(1));
    }
}

/// A descriptor on its way through str0m.
#[derive(Debug, Clone)]
pub(crate) struct Descriptor(pub(crate) Arc<[u8]>);

impl Descriptor {
    /// The packet is the first of a frame.
    pub(crate) fn begins_frame(&self) -> bool {
        self.0.first().is_some_and(|flags| flags & 0x80 != 0)
    }
}

/// The extension, to be put into a connection's map.
pub(crate) fn extension() -> Extension {
    Extension::with_serializer(URI, Serializer)
}

#[derive(Debug)]
struct Serializer;

impl ExtensionSerializer for Serializer {
    fn write_to(&self, buffer: &mut [u8], values: &ExtensionValues) -> usize {
        let descriptor = values.user_values.get::<Descriptor>();
        let written = descriptor.and_then(|Descriptor(bytes)| {
            buffer.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(bytes.len())
        });
        written.unwrap_or(0)
    }

    fn parse_value(&self, buffer: &[u8], values: &mut ExtensionValues) -> bool {
        if buffer.len() < MANDATORY_BYTES {
            return false;
        }
        values.user_values.set(Descriptor(buffer.into()));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        let descriptor = values.user_values.get::<Descriptor>();
        descriptor.is_some_and(|Descriptor(bytes)| bytes.len() > LONGEST_ONE_BYTE_FORM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::cadence::Cadence;

    fn writer(temporal_layers: TemporalLayers) -> (DescriptorWriter, Cadence) {
        let shape = StreamShape {
            width: 640,
            height: 360,
            temporal_layers,
        };
        let writer = DescriptorWriter::new(shape, u16::MAX);
        (writer, Cadence::new(temporal_layers))
    }

    fn binary(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:08b}")).collect()
    }

    #[test]
    fn the_structure_of_one_layer_is_as_specified() {
        let (mut writer, mut cadence) = writer(TemporalLayers::One);
        let written = writer.frame(cadence.next(true), 1);
        let expected = [
            "1",                // start of frame
            "1",                // end of frame
            "000000",           // template 0
            "1111111111111111", // frame number
            "10000",            // only the structure
            "000000",           // ids begin at 0
            "00000",            // one decode target
            "00",               // same layer
            "11",               // no more layers
            "10",               // S for the key frame
            "10",               // S for the others
            "0",                // the key frame refers to none
            "1000",             // … one back
            "00",               // …
            "1",                // one chain: ns(2)
            "0000",             // of which the key frame is the first
            "0001",             // and the others are one after
            "1",                // the size
            "0000001001111111", // 639
            "0000000101100111", // 359
        ];
        let expected = expected.concat();
        assert_eq!(binary(&written[0])[..expected.len()], expected);
    }

    #[test]
    fn frames_name_their_template_and_count_on() {
        let (mut writer, mut cadence) = writer(TemporalLayers::Three);
        let key = writer.frame(cadence.next(true), 3);
        assert_eq!(key[0][0], 0x80);
        assert!(key[0].len() > MANDATORY_BYTES);
        assert_eq!(key[1][..], [0x00, 0xff, 0xff]);
        assert_eq!(key[2][..], [0x40, 0xff, 0xff]);
        let others: Vec<_> = (0..4)
            .map(|_| writer.frame(cadence.next(false), 1).remove(0).to_vec())
            .collect();
        let expected = [[0xc3, 0, 0], [0xc2, 0, 1], [0xc4, 0, 2], [0xc1, 0, 3]];
        assert_eq!(others, expected);
    }
}
