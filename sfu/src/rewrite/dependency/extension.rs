//! The descriptor as str0m reads and writes it.

use std::sync::Arc;

use str0m::rtp::{Extension, ExtensionSerializer, ExtensionValues};

use super::{
    DependencyFrame, FLAGS_END, MANDATORY_BITS, MANDATORY_BYTES, RawDescriptor, Structure,
    bits::BitWriter,
};

const URI: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// Longer ones do not go into the one-byte form of header extensions (RFC 8285 §4.2).
const LONGEST_ONE_BYTE_FORM: usize = 16;

/// The extension, to be put into a connection's map.
pub(crate) fn dependency_descriptor() -> Extension {
    Extension::with_serializer(URI, Serializer)
}

/// A descriptor on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    raw: Arc<RawDescriptor>,
    number: u16,
    extended: Option<Extended>,
    length: usize,
}

/// What is put into a descriptor that did not have it.
#[derive(Debug)]
struct Extended {
    structure: Option<Arc<Structure>>,
    /// The active decode targets and how many there are.
    active: Option<(u32, u32)>,
    own: std::ops::Range<usize>,
    own_flags: u8,
}

impl Outgoing {
    /// The descriptor of a frame with another number. `active` are the decode targets that
    /// the receiver gets, where it has to be told; `with_structure` when it did not get the
    /// structure that this frame refers to.
    pub(crate) fn new(
        frame: &DependencyFrame,
        number: u16,
        active: Option<u32>,
        with_structure: bool,
    ) -> Self {
        let mut outgoing = Self {
            raw: Arc::clone(&frame.raw),
            number,
            extended: None,
            length: frame.raw.bytes().len(),
        };
        if active.is_some() || with_structure {
            let extended = Extended {
                structure: (with_structure || frame.brings_structure)
                    .then(|| Arc::clone(&frame.structure)),
                active: active.map(|active| (active, frame.structure.targets().len() as u32)),
                own: frame.own.clone(),
                own_flags: frame.own_flags,
            };
            let structure = extended.structure.as_ref();
            let bits = FLAGS_END
                + structure.map_or(0, |structure| structure.raw().1.len())
                + extended.active.map_or(0, |(_, targets)| targets as usize)
                + extended.own.len();
            outgoing.length = bits.div_ceil(8);
            outgoing.extended = Some(extended);
        }
        outgoing
    }

    /// In bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Writes the descriptor; none when there is no room for it.
    pub(crate) fn write(&self, buffer: &mut [u8]) -> Option<usize> {
        let bytes = self.raw.bytes();
        let Some(extended) = &self.extended else {
            let buffer = buffer.get_mut(..bytes.len())?;
            buffer.copy_from_slice(bytes);
            buffer
                .get_mut(1..MANDATORY_BYTES)?
                .copy_from_slice(&self.number.to_be_bytes());
            return Some(bytes.len());
        };
        let mut bits = BitWriter::new(buffer);
        bits.copy(bytes, 0..MANDATORY_BITS - 16)?;
        bits.number(16, u32::from(self.number))?;
        bits.flag(extended.structure.is_some())?;
        bits.flag(extended.active.is_some())?;
        bits.number(3, u32::from(extended.own_flags))?;
        if let Some(structure) = &extended.structure {
            let (from, range) = structure.raw();
            bits.copy(from, range)?;
        }
        if let Some((active, targets)) = extended.active {
            bits.number(targets, active)?;
        }
        bits.copy(bytes, extended.own.clone())?;
        Some(bits.length())
    }
}

#[derive(Debug)]
struct Serializer;

impl ExtensionSerializer for Serializer {
    fn write_to(&self, buf: &mut [u8], ev: &ExtensionValues) -> usize {
        let outgoing = ev.user_values.get::<Outgoing>();
        outgoing.and_then(|o| o.write(buf)).unwrap_or(0)
    }

    fn parse_value(&self, buf: &[u8], ev: &mut ExtensionValues) -> bool {
        if buf.len() < MANDATORY_BYTES {
            return false;
        }
        ev.user_values.set(RawDescriptor::new(buf));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    fn requires_two_byte_form(&self, ev: &ExtensionValues) -> bool {
        let outgoing = ev.user_values.get::<Outgoing>();
        outgoing.is_some_and(|o| o.length() > LONGEST_ONE_BYTE_FORM)
    }
}
