//! The template dependency structure: what the frames of a coded video sequence are like
//! (AV1 RTP §A.8). It comes with the key frame that begins the sequence.

use std::{ops::Range, sync::Arc};

use super::{RawDescriptor, bits::BitReader};
use crate::rewrite::LayerId;

/// Template ids have 6 bits.
const MOST_TEMPLATES: usize = 64;
/// `OperatingPoint`s of AV1 know so many layers of each kind (AV1 §6.4.1).
const MOST_SPATIAL: u8 = 4;
const MOST_TEMPORAL: u8 = 8;
/// An AV1 frame refers to seven others at most.
const MOST_REFERENCES: usize = 8;

/// What a frame is to a decode target (AV1 RTP table A.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indication {
    /// No part of it.
    NotPresent,
    /// Part of it, and no other frame needs it.
    Discardable,
    /// From this frame on the target can be decoded, if this frame can.
    Switch,
    /// Part of it, and needed.
    Required,
}

/// The indications for every decode target, two bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Indications(u64);

/// How many frames before a frame those stand that it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct References {
    distances: [u16; MOST_REFERENCES],
    count: u8,
    /// There are more than are kept here.
    pub(crate) truncated: bool,
}

/// What many frames have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) layer: LayerId,
    pub(crate) indications: Indications,
    pub(crate) references: References,
}

/// A template dependency structure.
#[derive(Debug)]
pub(crate) struct Structure {
    template_offset: u8,
    templates: Vec<Template>,
    /// What each decode target reaches up to.
    targets: Vec<LayerId>,
    /// The targets of which all frames are frames of this one too, one bit each.
    parts: Vec<u32>,
    chains: u32,
    /// The height of each spatial layer in pixels, where it is said.
    heights: Vec<u16>,
    /// Where it stands, so that it can be repeated bit by bit.
    raw: Arc<RawDescriptor>,
    bits: Range<usize>,
}

impl Indications {
    pub(crate) fn read(bits: &mut BitReader<'_>, targets: usize) -> Option<Self> {
        let mut indications = 0;
        for target in 0..targets {
            indications |= u64::from(bits.number(2)?) << (2 * target);
        }
        Some(Self(indications))
    }

    pub(crate) fn of(self, target: usize) -> Indication {
        match self.0 >> (2 * target) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    pub(crate) fn includes(self, target: usize) -> bool {
        self.of(target) != Indication::NotPresent
    }
}

impl References {
    pub(crate) fn push(&mut self, distance: u16) {
        match self.distances.get_mut(usize::from(self.count)) {
            Some(place) => {
                *place = distance;
                self.count += 1;
            }
            None => self.truncated = true,
        }
    }

    pub(crate) fn distances(&self) -> &[u16] {
        &self.distances[..usize::from(self.count)]
    }
}

impl Structure {
    /// Reads a structure; none when it is cut short or breaks the rules.
    pub(crate) fn read(raw: &Arc<RawDescriptor>, bits: &mut BitReader<'_>) -> Option<Self> {
        let begins = bits.position();
        let template_offset = bits.number(6)? as u8;
        let target_count = bits.number(5)? as usize + 1;
        let layers = read_layers(bits)?;
        let mut templates = vec![];
        for layer in layers {
            templates.push(Template {
                layer,
                indications: Indications::read(bits, target_count)?,
                references: References::default(),
            });
        }
        for template in &mut templates {
            while bits.flag()? {
                template.references.push(bits.number(4)? as u16 + 1);
            }
        }
        let chains = bits.number_below(target_count as u32 + 1)?;
        if chains > 0 {
            for _ in 0..target_count {
                bits.number_below(chains)?;
            }
            for _ in 0..templates.len() as u32 * chains {
                bits.number(4)?;
            }
        }
        let mut heights = vec![];
        if bits.flag()? {
            let top = templates.iter().map(|t| t.layer.spatial).max()?;
            for _ in 0..=top {
                bits.number(16)?;
                heights.push((bits.number(16)? as u16).saturating_add(1));
            }
        }
        let targets = (0..target_count)
            .map(|target| reach(&templates, target))
            .collect();
        let parts = (0..target_count)
            .map(|target| parts(&templates, target_count, target))
            .collect();
        Some(Self {
            template_offset,
            templates,
            targets,
            parts,
            chains,
            heights,
            raw: Arc::clone(raw),
            bits: begins..bits.position(),
        })
    }

    pub(crate) fn template(&self, id: u8) -> Option<&Template> {
        let index = id.wrapping_sub(self.template_offset) & 0x3f;
        self.templates.get(usize::from(index))
    }

    pub(crate) fn targets(&self) -> &[LayerId] {
        &self.targets
    }

    pub(crate) fn chains(&self) -> u32 {
        self.chains
    }

    /// How many spatial layers there are.
    pub(crate) fn spatial_layers(&self) -> u8 {
        let top = self.templates.iter().map(|t| t.layer.spatial).max();
        top.map_or(1, |top| top + 1)
    }

    /// The height of a spatial layer in pixels.
    pub(crate) fn height(&self, spatial: u8) -> Option<u16> {
        self.heights.get(usize::from(spatial)).copied()
    }

    /// The decode target that comes closest to what is wanted without going beyond it, the
    /// size of the picture before its motion. The least of all where none does.
    pub(crate) fn target_for(&self, wanted: LayerId) -> usize {
        let reaches =
            |layer: &LayerId| layer.spatial <= wanted.spatial && layer.temporal <= wanted.temporal;
        let all = || self.targets.iter().copied().enumerate();
        let best = all()
            .filter(|(_, layer)| reaches(layer))
            .max_by_key(|(_, layer)| *layer);
        let least = || all().min_by_key(|(_, layer)| *layer);
        best.or_else(least).map_or(0, |(target, _)| target)
    }

    /// The targets that come along with this one since all their frames are its frames, one
    /// bit each.
    pub(crate) fn parts_of(&self, whole: usize) -> u32 {
        self.parts.get(whole).copied().unwrap_or(0)
    }

    /// Every frame of one target is a frame of the other too.
    pub(crate) fn is_part_of(&self, target: usize, whole: usize) -> bool {
        self.parts_of(whole) >> target & 1 == 1
    }

    /// Who gets this spatial layer gets the lower ones along with it, not only in key frames.
    pub(crate) fn carries_lower(&self, spatial: u8) -> bool {
        let target = self.target_for(LayerId {
            spatial,
            temporal: 0,
        });
        let lower = |t: &&Template| t.layer.spatial < spatial && t.layer.temporal == 0;
        self.templates
            .iter()
            .filter(lower)
            .all(|template| template.indications.includes(target))
    }

    pub(crate) fn raw(&self) -> (&[u8], Range<usize>) {
        (self.raw.bytes(), self.bits.clone())
    }
}

fn read_layers(bits: &mut BitReader<'_>) -> Option<Vec<LayerId>> {
    let mut layer = LayerId {
        spatial: 0,
        temporal: 0,
    };
    let mut layers = vec![layer];
    loop {
        match bits.number(2)? {
            0 => {}
            1 => layer.temporal += 1,
            2 => {
                layer.temporal = 0;
                layer.spatial += 1;
            }
            _ => return Some(layers),
        }
        if layers.len() == MOST_TEMPLATES
            || layer.spatial >= MOST_SPATIAL
            || layer.temporal >= MOST_TEMPORAL
        {
            return None;
        }
        layers.push(layer);
    }
}

/// The highest layers of which a target has frames.
fn reach(templates: &[Template], target: usize) -> LayerId {
    let own = || templates.iter().filter(|t| t.indications.includes(target));
    LayerId {
        spatial: own().map(|t| t.layer.spatial).max().unwrap_or(0),
        temporal: own().map(|t| t.layer.temporal).max().unwrap_or(0),
    }
}

fn parts(templates: &[Template], targets: usize, whole: usize) -> u32 {
    let is_part = |target: &usize| {
        templates.iter().all(|template| {
            !template.indications.includes(*target) || template.indications.includes(whole)
        })
    };
    (0..targets)
        .filter(is_part)
        .fold(0, |parts, target| parts | 1 << target)
}
