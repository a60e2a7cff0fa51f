//! Which frames of a layered stream a subscriber gets, and when that may change.
//!
//! A decision holds from a sequence number on, at which a frame begins. So all packets of
//! a frame fare alike, those that come late too.

use std::sync::Arc;

use super::{
    Position,
    compact::{Marks, unwrap},
    dependency::{DependencyFrame, Indication, Structure},
};

/// A place among the layers of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct LayerId {
    /// Size: RFC 9628's SID.
    pub(crate) spatial: u8,
    /// Frame rate: the TID of RFC 7741 and RFC 9628.
    pub(crate) temporal: u8,
}

impl LayerId {
    /// More than there is of either kind.
    pub(crate) const ALL: Self = Self {
        spatial: u8::MAX,
        temporal: u8::MAX,
    };
}

/// What a forwarder is told about the frame that a packet belongs to. With spatial layers
/// a frame is that of one layer; those of one moment are a picture.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) layer: LayerId,
    /// This packet is the first of the frame.
    pub(crate) begins: bool,
    /// This packet is the last of the frame.
    pub(crate) ends: bool,
    /// This packet is the first of a picture from which decoding can begin.
    pub(crate) begins_key_frame: bool,
    pub(crate) scaling: Scaling,
}

/// How the layers of a stream hang together, as far as a frame tells.
#[derive(Debug, Clone)]
pub(crate) enum Scaling {
    /// Nothing is told.
    None,
    /// By the payload descriptor of VP8. `sync`: the frame needs none but the base layer
    /// (RFC 7741 §4.2, Y).
    Vp8 { sync: bool },
    /// By the payload descriptor of VP9. `switch_up`: later pictures of higher temporal
    /// layers need none of such layers before this one (RFC 9628 §4.2, U). `predicted`: the
    /// frame needs earlier pictures (P).
    Vp9 { switch_up: bool, predicted: bool },
    /// By the dependency descriptor.
    Dependency(Box<DependencyFrame>),
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Sent. `ends_picture`: it is the last packet that this subscriber gets of a picture.
    Send { ends_picture: bool },
    /// Of a layer that this subscriber does not get.
    LeaveOut,
}

/// So many changes back late packets are judged rightly.
const REMEMBERED: usize = 8;

/// Picks the frames of one incoming stream for one subscriber.
#[derive(Debug)]
pub(crate) struct Selector {
    wanted: LayerId,
    /// What is sent from which sequence number on, the newest first.
    steps: [(u64, Selection); REMEMBERED],
    /// When the newest picture was taken, in the stream's clock.
    timestamp: Option<u32>,
    structure: Option<Arc<Structure>>,
    /// The frames that were sent, by their numbers in the dependency descriptor.
    sent: Marks,
    newest_frame: u64,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Selection {
    /// Up to here.
    layer: LayerId,
    /// The decode target, when there are any.
    target: usize,
}

/// Whether a stream can be begun with this packet for someone who wants these layers.
pub(crate) fn can_begin(wanted: LayerId, frame: &Frame) -> bool {
    match &frame.scaling {
        Scaling::Dependency(frame) => {
            let target = frame.structure.target_for(wanted);
            frame.begins && frame.is_intra() && frame.indications.of(target) == Indication::Switch
        }
        _ => frame.begins_key_frame,
    }
}

impl Selector {
    /// Begins a stream with the packet at `position`, see [`can_begin`].
    pub(crate) fn begin(wanted: LayerId, position: Position, frame: &Frame) -> Self {
        let structure = match &frame.scaling {
            Scaling::Dependency(frame) => Some(Arc::clone(&frame.structure)),
            _ => None,
        };
        let selection = Selection {
            layer: wanted,
            target: structure.as_ref().map_or(0, |s| s.target_for(wanted)),
        };
        Self {
            wanted,
            steps: [(position.sequence, selection); REMEMBERED],
            timestamp: None,
            structure,
            sent: Marks::default(),
            newest_frame: 0,
        }
    }

    /// Heads for other layers. They are taken when the stream allows it.
    pub(crate) fn want(&mut self, wanted: LayerId) {
        self.wanted = wanted;
    }

    /// The layers that are sent.
    pub(crate) fn layer(&self) -> LayerId {
        let selection = self.selection();
        match &self.structure {
            Some(structure) => structure
                .targets()
                .get(selection.target)
                .copied()
                .unwrap_or_default(),
            None => selection.layer,
        }
    }

    /// What is wanted begins with a key frame only.
    pub(crate) fn awaits_key_frame(&self) -> bool {
        let selection = self.selection();
        match &self.structure {
            Some(structure) => {
                let target = structure.target_for(self.wanted);
                let size = |target: usize| structure.targets().get(target).map(|t| t.spatial);
                size(target) != size(selection.target)
                    && !structure.is_part_of(target, selection.target)
            }
            None => self.wanted.spatial > selection.layer.spatial,
        }
    }

    /// Judges a packet of the stream. `in_order` is false for one that comes late.
    pub(crate) fn judge(&mut self, position: Position, in_order: bool, frame: &Frame) -> Verdict {
        if in_order {
            let new_picture = self.timestamp != Some(position.timestamp);
            self.timestamp = Some(position.timestamp);
            // Not in the middle: what comes late of a frame fares as its beginning did.
            if frame.begins {
                self.reconsider(position.sequence, frame, new_picture);
            }
        }
        let selection = self.selection_at(position.sequence);
        let is_sent = match &frame.scaling {
            Scaling::None => true,
            Scaling::Vp8 { .. } => frame.layer.temporal <= selection.layer.temporal,
            Scaling::Vp9 { .. } => {
                frame.layer.spatial <= selection.layer.spatial
                    && frame.layer.temporal <= selection.layer.temporal
            }
            Scaling::Dependency(frame) => frame.indications.includes(selection.target),
        };
        if !is_sent {
            return Verdict::LeaveOut;
        }
        let top = match &frame.scaling {
            Scaling::Dependency(frame) => {
                self.note_sent(frame);
                let top = frame.structure.targets().get(selection.target);
                top.map_or(u8::MAX, |top| top.spatial)
            }
            Scaling::Vp9 { .. } => selection.layer.spatial,
            _ => u8::MAX,
        };
        Verdict::Send {
            ends_picture: frame.ends && frame.layer.spatial == top,
        }
    }

    /// The decode targets that this subscriber gets, when they are fewer than those that
    /// the sender produces.
    pub(crate) fn narrowed(&self, frame: &DependencyFrame, position: Position) -> Option<u32> {
        let target = self.selection_at(position.sequence).target;
        let kept = frame.structure.parts_of(target);
        (frame.active & kept != frame.active).then_some(frame.active & kept)
    }

    fn selection(&self) -> Selection {
        self.steps[0].1
    }

    fn selection_at(&self, sequence: u64) -> Selection {
        let step = self.steps.iter().find(|(from, _)| *from <= sequence);
        step.unwrap_or(&self.steps[REMEMBERED - 1]).1
    }

    fn step(&mut self, from: u64, selection: Selection) {
        if selection != self.selection() {
            self.steps.rotate_right(1);
            self.steps[0] = (from, selection);
        }
    }

    /// Goes closer to what is wanted where this frame allows it.
    fn reconsider(&mut self, sequence: u64, frame: &Frame, new_picture: bool) {
        let mut next = self.selection();
        let wanted = self.wanted;
        match &frame.scaling {
            Scaling::None => {}
            Scaling::Dependency(frame) => {
                next.target = self.next_target(frame, new_picture);
            }
            _ if frame.begins_key_frame => next.layer = wanted,
            Scaling::Vp8 { sync } => {
                next.layer.temporal = next.layer.temporal.min(wanted.temporal);
                let is_next = frame.layer.temporal == next.layer.temporal.saturating_add(1);
                if *sync && is_next && frame.layer.temporal <= wanted.temporal {
                    next.layer.temporal = frame.layer.temporal;
                }
            }
            Scaling::Vp9 {
                switch_up,
                predicted,
            } => {
                if new_picture {
                    next.layer.spatial = next.layer.spatial.min(wanted.spatial);
                    next.layer.temporal = next.layer.temporal.min(wanted.temporal);
                }
                let is_next = frame.layer.spatial == next.layer.spatial.saturating_add(1);
                if !predicted
                    && is_next
                    && frame.layer.spatial <= wanted.spatial
                    && frame.layer.temporal <= next.layer.temporal
                {
                    next.layer.spatial = frame.layer.spatial;
                }
                if *switch_up && frame.layer.temporal <= next.layer.temporal {
                    next.layer.temporal = wanted.temporal;
                }
            }
        }
        self.step(sequence, next);
    }

    fn next_target(&mut self, frame: &DependencyFrame, new_picture: bool) -> usize {
        let structure = &frame.structure;
        let mut current = self.selection().target;
        let is_known = self
            .structure
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, structure));
        if !is_known {
            current = structure.target_for(self.layer());
            self.structure = Some(Arc::clone(structure));
            self.sent = Marks::default();
        }
        let target = structure.target_for(self.wanted);
        let can_fall = new_picture && structure.is_part_of(target, current);
        let can_switch =
            frame.indications.of(target) == Indication::Switch && self.has_all_references(frame);
        if can_fall || can_switch {
            target
        } else {
            current
        }
    }

    fn has_all_references(&self, frame: &DependencyFrame) -> bool {
        let number = self.frame_number(frame);
        !frame.references.truncated
            && frame.references.distances().iter().all(|distance| {
                self.sent
                    .is_marked(number.wrapping_sub(u64::from(*distance)))
            })
    }

    fn note_sent(&mut self, frame: &DependencyFrame) {
        let number = self.frame_number(frame);
        self.newest_frame = self.newest_frame.max(number);
        self.sent.advance(number);
        self.sent.mark(number);
    }

    /// The frame's number beyond 16 bits.
    fn frame_number(&self, frame: &DependencyFrame) -> u64 {
        if self.newest_frame == 0 {
            return 1 << 32 | u64::from(frame.number);
        }
        unwrap(self.newest_frame, frame.number, 16)
    }
}

#[cfg(test)]
mod tests;
