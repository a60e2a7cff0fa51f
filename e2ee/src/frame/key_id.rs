//! The key id in every frame's SFrame header (RFC 9605 §4.3): who sealed it, for what, in
//! which epoch.

use conclave_protocol::Epoch;

use crate::member::LeafIndex;

/// Members go over to a new epoch's key about a second after it has begun, so a newcomer gets
/// frames of epochs before its time. They must not be taken for frames of its own epochs,
/// however many have come and gone in that second.
const EPOCH_BITS: u32 = 8;
const LEAF_BITS: u32 = 10;

/// Which of a member's streams a frame belongs to. Each has a key and a counter of its
/// own, so no two streams can meet in a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamContext(u8);

impl StreamContext {
    /// The microphone.
    pub const AUDIO: Self = Self(0);
    /// The sound of a shared screen.
    pub const SCREEN_SOUND: Self = Self(7);
    /// Data that is not media.
    pub const DATA: Self = Self(8);

    /// The camera's layers, lowest first.
    pub const CAMERA: [Self; 3] = [Self(1), Self(2), Self(3)];
    /// The shared screen's layers, lowest first.
    pub const SCREEN: [Self; 3] = [Self(4), Self(5), Self(6)];

    /// Checks a number for being a context.
    pub const fn new(number: u8) -> Option<Self> {
        if number <= Self::DATA.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number in the key id.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// `context << 18 | leaf << 8 | epoch mod 256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(u64);

impl KeyId {
    /// Puts a key id together.
    pub const fn new(context: StreamContext, leaf: LeafIndex, epoch: Epoch) -> Self {
        Self(
            (context.0 as u64) << (LEAF_BITS + EPOCH_BITS)
                | (leaf.get() as u64) << EPOCH_BITS
                | Self::epoch_slot(epoch) as u64,
        )
    }

    /// The epoch's part of the key id.
    pub const fn epoch_slot(epoch: Epoch) -> u8 {
        (epoch.get() & ((1 << EPOCH_BITS) - 1)) as u8
    }

    /// Takes a key id apart into context, leaf and the epoch's lowest bits.
    pub fn parse(number: u64) -> Option<(StreamContext, LeafIndex, u8)> {
        let context = u8::try_from(number >> (LEAF_BITS + EPOCH_BITS)).ok()?;
        let leaf = u32::try_from(number >> EPOCH_BITS & ((1 << LEAF_BITS) - 1)).ok()?;
        let slot = u8::try_from(number & ((1 << EPOCH_BITS) - 1)).ok()?;
        Some((StreamContext::new(context)?, LeafIndex::new(leaf)?, slot))
    }

    /// The number in the SFrame header.
    pub const fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_have_their_places() {
        let leaf = LeafIndex::new(1023).unwrap();
        let id = KeyId::new(StreamContext::DATA, leaf, Epoch::new(0x1fe));
        assert_eq!(id.get(), 8 << 18 | 1023 << 8 | 0xfe);
        assert_eq!(
            KeyId::parse(id.get()),
            Some((StreamContext::DATA, leaf, 0xfe))
        );
    }

    #[test]
    fn unknown_contexts_are_not_key_ids() {
        assert_eq!(KeyId::parse(9 << 18), None);
        assert_eq!(KeyId::parse(u64::MAX), None);
        assert_eq!(LeafIndex::new(1024), None);
    }
}
