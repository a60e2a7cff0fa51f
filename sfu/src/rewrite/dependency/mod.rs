//! The dependency descriptor (AV1 RTP specification, appendix A): a header extension that
//! tells a forwarder which frames need which, without a look into the payload. Made for
//! AV1, and used with other codecs too.
//!
//! What is changed on the way: the frame number, by a constant for each source, so that it
//! goes on over switches (distances to other frames are relative and stay as they are). To
//! a subscriber who does not get all layers the active decode targets are told in every
//! packet, as §A.4 suggests against losses. One whose first frame is not the first of the
//! sequence, as with independent layers in one stream, gets the structure with that frame.
//! Everything else is sent on bit by bit, template ids included.

mod bits;
mod extension;
mod structure;
#[cfg(test)]
mod tests;
#[cfg(test)]
#[path = "../../../tests/simulation/dependency.rs"]
pub(crate) mod written;

use std::{ops::Range, sync::Arc};

use self::bits::BitReader;
use super::LayerId;

pub(crate) use extension::{Outgoing, dependency_descriptor};
pub(crate) use structure::{Indication, Indications, References, Structure};

/// The mandatory fields, and the flags behind them.
const MANDATORY_BYTES: usize = 3;
const MANDATORY_BITS: usize = 24;
const FLAGS_END: usize = MANDATORY_BITS + 5;

/// A descriptor as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawDescriptor(Box<[u8]>);

impl RawDescriptor {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a descriptor says about the frame that a packet belongs to.
#[derive(Debug, Clone)]
pub(crate) struct DependencyFrame {
    pub(crate) raw: Arc<RawDescriptor>,
    pub(crate) structure: Arc<Structure>,
    /// The structure came with this very packet: a coded video sequence begins.
    pub(crate) brings_structure: bool,
    pub(crate) begins: bool,
    pub(crate) ends: bool,
    pub(crate) number: u16,
    pub(crate) layer: LayerId,
    pub(crate) indications: Indications,
    pub(crate) references: References,
    /// The decode targets that the sender produces, one bit each.
    pub(crate) active: u32,
    /// The definitions that are this frame's own.
    own: Range<usize>,
    own_flags: u8,
}

/// Reads the descriptors of one incoming stream.
#[derive(Debug, Default)]
pub(crate) struct DependencyReader {
    structure: Option<Arc<Structure>>,
    /// The number of the frame with which it came.
    since: u16,
    active: u32,
}

impl DependencyReader {
    /// Reads a descriptor. None when it is cut short, breaks the rules, or refers to a
    /// structure that did not come. `in_order` is false for a packet that comes late: what
    /// it says of the stream has been said anew since.
    pub(crate) fn read(
        &mut self,
        raw: &Arc<RawDescriptor>,
        in_order: bool,
    ) -> Option<DependencyFrame> {
        let bytes = raw.bytes();
        let mut bits = BitReader::new(bytes, 0);
        let begins = bits.flag()?;
        let ends = bits.flag()?;
        let template_id = bits.number(6)? as u8;
        let number = bits.number(16)? as u16;
        let (mut brings_structure, mut brings_active, mut own_flags) = (false, false, 0);
        if bytes.len() > MANDATORY_BYTES {
            brings_structure = bits.flag()?;
            brings_active = bits.flag()?;
            own_flags = bits.number(3)? as u8;
        }
        let structure = if brings_structure {
            Arc::new(Structure::read(raw, &mut bits)?)
        } else {
            Arc::clone(self.structure.as_ref()?)
        };
        let targets = structure.targets().len();
        let mut active = if brings_structure {
            u32::MAX >> (32 - targets)
        } else {
            self.active
        };
        if brings_active {
            active = bits.number(targets as u32)?;
        }
        let own_begins = bits.position();
        let template = structure.template(template_id)?;
        let layer = template.layer;
        let (mut indications, mut references) = (template.indications, template.references);
        if own_flags & 0b100 != 0 {
            indications = Indications::read(&mut bits, targets)?;
        }
        if own_flags & 0b010 != 0 {
            references = References::default();
            loop {
                let size = bits.number(2)?;
                if size == 0 {
                    break;
                }
                references.push(bits.number(4 * size)? as u16 + 1);
            }
        }
        if own_flags & 0b001 != 0 {
            for _ in 0..structure.chains() {
                bits.number(8)?;
            }
        }
        // A structure that comes late is still the newest, unless another one came since.
        let is_newest = self.structure.is_none() || number.wrapping_sub(self.since) < 1 << 15;
        if in_order || (brings_structure && is_newest) {
            self.active = active;
        }
        if brings_structure && (in_order || is_newest) {
            self.structure = Some(Arc::clone(&structure));
            self.since = number;
        }
        Some(DependencyFrame {
            raw: Arc::clone(raw),
            structure,
            brings_structure,
            begins,
            ends,
            number,
            layer,
            indications,
            references,
            active,
            own: own_begins..bits.position(),
            own_flags,
        })
    }

    /// The structure that holds now.
    pub(crate) fn structure(&self) -> Option<&Structure> {
        self.structure.as_deref()
    }
}

impl DependencyFrame {
    /// It refers to no other frame.
    pub(crate) fn is_intra(&self) -> bool {
        self.references.distances().is_empty() && !self.references.truncated
    }
}
