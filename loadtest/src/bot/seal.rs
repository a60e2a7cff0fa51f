//! Seals and opens frames, or only numbers them, and knows what number each one has, so
//! that it is known what receivers ought to get.

use std::{collections::HashMap, sync::Arc};

use conclave_e2ee::{
    BaseKey, FrameOpener, FrameSealer, LeafIndex, Member, OpenError, OpenedFrame, SealError,
    StreamContext,
};
use conclave_protocol::Epoch;

use super::{
    plain::{NumberReader, Numberer},
    ring::{Guest, KeyRing},
};
use crate::{
    measure::frame::StreamKey,
    media::{Codec, h264},
    target::KeyChange,
};

/// What a bot does to frames between camera and network.
pub enum Frames {
    /// Seals and opens them with the keys of the call.
    Sealed {
        /// For its own.
        sealer: Box<CountingSealer>,
        /// For the others'.
        opener: Box<FrameOpener>,
    },
    /// Opens them with the keys of others, and sends none.
    Guest(Box<Guest>),
    /// Only numbers them.
    Plain {
        /// For its own.
        numberer: Numberer,
        /// For the others'.
        reader: NumberReader,
    },
}

impl Frames {
    /// Seals, once there are keys.
    pub fn sealed() -> Self {
        Self::Sealed {
            sealer: Box::default(),
            opener: Box::default(),
        }
    }

    /// Opens with the keys on a ring, and does not seal.
    pub fn guest(ring: Arc<KeyRing>) -> Self {
        Self::Guest(Box::new(Guest::new(ring)))
    }

    /// Does not seal; numbers the frames of this sender.
    pub fn plain(sender: LeafIndex) -> Self {
        Self::Plain {
            numberer: Numberer::new(sender),
            reader: NumberReader::default(),
        }
    }

    /// Follows a change of keys.
    pub fn change(&mut self, change: &KeyChange) {
        let Self::Sealed { sealer, opener } = self else {
            return;
        };
        match change {
            KeyChange::Install {
                epoch,
                leaf,
                base_key,
            } => {
                sealer.install(*epoch, *leaf, base_key);
                opener.install(*epoch, base_key);
            }
            KeyChange::SealWith(epoch) => sealer.seal_with(*epoch),
            KeyChange::Forget(epoch) => {
                sealer.forget(*epoch);
                opener.forget(*epoch);
            }
        }
    }

    /// Seals one frame; gives the stream that it is part of and its place there.
    pub fn seal(
        &mut self,
        context: StreamContext,
        codec: Codec,
        frame: &[u8],
    ) -> Result<(StreamKey, u64, Vec<u8>), SealError> {
        match self {
            Self::Sealed { sealer, .. } => sealer.seal(context, codec, frame),
            Self::Guest(_) => Err(SealError::NoKey),
            Self::Plain { numberer, .. } => {
                let (stream, counter, numbered) = numberer.number(context, frame);
                Ok((stream, counter, written(codec, numbered)))
            }
        }
    }

    /// Who is in the group, if one who is not in it has heard that it changed.
    pub fn take_news(&mut self) -> Option<Vec<Member>> {
        match self {
            Self::Guest(guest) => guest.take_news(),
            Self::Sealed { .. } | Self::Plain { .. } => None,
        }
    }

    /// Opens one frame.
    pub fn open(&mut self, codec: Codec, frame: &[u8]) -> Result<OpenedFrame, OpenError> {
        match self {
            Self::Sealed { opener, .. } => opener.open(codec, frame),
            Self::Guest(guest) => guest.open(codec, frame),
            Self::Plain { reader, .. } => match codec {
                Codec::H264 => reader.open(&h264::unescaped(frame)),
                _ => reader.open(frame),
            },
        }
    }
}

/// A frame with its number as it goes to packetisers. In those of H.264 nothing may look like
/// a start code, which sealing sees to by itself.
fn written(codec: Codec, numbered: Vec<u8>) -> Vec<u8> {
    match codec {
        Codec::H264 => h264::escaped(&numbered),
        _ => numbered,
    }
}

/// Seals with this member's keys, and knows the number of each frame.
#[derive(Default)]
pub struct CountingSealer {
    sealer: FrameSealer,
    current: Option<(Epoch, LeafIndex)>,
    leaves: HashMap<Epoch, LeafIndex>,
    counters: HashMap<StreamKey, u64>,
}

impl CountingSealer {
    /// Takes the keys of an epoch.
    pub fn install(&mut self, epoch: Epoch, leaf: LeafIndex, key: &BaseKey) {
        self.sealer.install(epoch, leaf, key);
        self.leaves.insert(epoch, leaf);
    }

    /// Seals with this epoch's keys from now on.
    pub fn seal_with(&mut self, epoch: Epoch) {
        self.sealer.seal_with(epoch);
        self.current = self.leaves.get(&epoch).map(|leaf| (epoch, *leaf));
    }

    /// Forgets the keys of an epoch.
    pub fn forget(&mut self, epoch: Epoch) {
        self.sealer.forget(epoch);
        self.leaves.remove(&epoch);
    }

    /// True when frames can be sealed.
    pub fn is_ready(&self) -> bool {
        self.current.is_some()
    }

    /// Seals one frame; gives the stream that it is part of and its place there.
    pub fn seal(
        &mut self,
        context: StreamContext,
        codec: Codec,
        frame: &[u8],
    ) -> Result<(StreamKey, u64, Vec<u8>), SealError> {
        let (epoch, leaf) = self.current.ok_or(SealError::NoKey)?;
        let sealed = self.sealer.seal(context, codec, frame)?;
        let stream = StreamKey {
            leaf,
            epoch,
            context,
        };
        // Every key counts its frames from 0 (RFC 9605 §4.4.3).
        let next = self.counters.entry(stream).or_default();
        let counter = *next;
        *next += 1;
        Ok((stream, counter, sealed))
    }
}
