//! Who is in the group, as its authenticated tree says.

use conclave_protocol::ParticipantId;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{device::DeviceKey, digits::Digits};

/// A member's place in the group's tree (RFC 9420 §4.1.1): the sender in every frame's
/// key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(transparent)]
#[ts(export, type = "number")]
pub struct LeafIndex(u16);

impl LeafIndex {
    /// How many leaves there may be: ten bits of a frame's key id.
    pub const LIMIT: u32 = 1024;

    /// Checks that a leaf has a place in a key id.
    pub const fn new(index: u32) -> Option<Self> {
        if index < Self::LIMIT {
            #[expect(clippy::cast_possible_truncation, reason = "it is below 1024")]
            Some(Self(index as u16))
        } else {
            None
        }
    }

    /// The number that MLS gives.
    pub const fn get(self) -> u32 {
        self.0 as u32
    }
}

/// A member of the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Member {
    /// Their place in the tree.
    pub leaf: LeafIndex,
    /// Their stay in the room, as their credential names it.
    pub participant: ParticipantId,
    /// Their name, as their credential gives it.
    pub name: String,
    /// True for this client's own member.
    pub is_self: bool,
    /// True for those who may remove others, let people in and change the rules.
    pub is_host: bool,
    /// The device that they take part with.
    #[ts(type = "string")]
    pub device: DeviceKey,
    /// Digits that are the same on both sides, as long as both keep their devices; none for
    /// oneself.
    #[ts(type = "string | null")]
    pub pair_code: Option<Digits>,
}
