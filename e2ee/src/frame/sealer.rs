//! Seals this client's frames.

use std::collections::{BTreeMap, HashMap, HashSet};

use conclave_protocol::Epoch;
use sframe::{
    frame::{MediaFrameView, MonotonicCounter},
    key::EncryptionKey,
};
use sha2::{Digest as _, Sha256};

use super::{BaseKey, Codec, KeyId, PREFIX_LENGTH, SUITE, StreamContext, associated_data};
use crate::member::LeafIndex;

/// Why a frame was not sealed. It must then not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no key to seal with: the call's keys have not arrived yet.
    #[error("there is no key to seal with yet")]
    NoKey,
    /// The frame has no bytes, so there is nothing to send.
    #[error("the frame is empty")]
    Empty,
    /// The frame is not of the codec that it is said to be.
    #[error("the frame cannot be divided by its codec's rule")]
    Malformed,
    /// The AEAD failed, or the counter came to its end.
    #[error("the frame could not be encrypted")]
    Failed,
}

impl SealError {
    /// The name of the error for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::Empty => "empty",
            Self::Malformed => "malformed",
            Self::Failed => "failed",
        }
    }
}

struct Stream {
    key: EncryptionKey,
    counter: MonotonicCounter,
}

struct EpochKeys {
    leaf: LeafIndex,
    base_key: BaseKey,
    streams: HashMap<StreamContext, Stream>,
}

impl EpochKeys {
    fn stream(&mut self, context: StreamContext, epoch: Epoch) -> Result<&mut Stream, SealError> {
        use std::collections::hash_map::Entry;
        match self.streams.entry(context) {
            Entry::Occupied(stream) => Ok(stream.into_mut()),
            Entry::Vacant(place) => {
                let id = KeyId::new(context, self.leaf, epoch);
                let key = EncryptionKey::derive_from(SUITE, id.get(), self.base_key.as_bytes())
                    .map_err(|_| SealError::Failed)?;
                Ok(place.insert(Stream {
                    key,
                    counter: MonotonicCounter::default(),
                }))
            }
        }
    }
}

/// Seals this client's frames, each stream with a key and a counter of its own.
///
/// There must be one sealer for one stay in a group: two would count the same nonces.
#[derive(Default)]
pub struct FrameSealer {
    epochs: BTreeMap<Epoch, EpochKeys>,
    sealing: Option<Epoch>,
    /// Hashes of all keys that ever were installed, so that none starts counting twice.
    known: HashSet<[u8; 32]>,
}

impl FrameSealer {
    /// A sealer without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the key of an epoch, in place of another one for that epoch. A key that was
    /// installed before is left as it is, even if it has been forgotten since.
    pub fn install(&mut self, epoch: Epoch, leaf: LeafIndex, base_key: &BaseKey) {
        if !self
            .known
            .insert(Sha256::digest(base_key.as_bytes()).into())
        {
            return;
        }
        let keys = EpochKeys {
            leaf,
            base_key: base_key.clone(),
            streams: HashMap::new(),
        };
        self.epochs.insert(epoch, keys);
    }

    /// Seals with this epoch's key from now on.
    pub fn seal_with(&mut self, epoch: Epoch) {
        self.sealing = Some(epoch);
    }

    /// Wipes the key of an epoch.
    pub fn forget(&mut self, epoch: Epoch) {
        self.epochs.remove(&epoch);
    }

    /// Seals one frame.
    pub fn seal(
        &mut self,
        context: StreamContext,
        codec: Codec,
        frame: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        if frame.is_empty() {
            return Err(SealError::Empty);
        }
        let epoch = self.sealing.ok_or(SealError::NoKey)?;
        let keys = self.epochs.get_mut(&epoch).ok_or(SealError::NoKey)?;
        let stream = keys.stream(context, epoch)?;
        let (clear, secret) = codec.divide(frame).map_err(|_| SealError::Malformed)?;
        // Of AV1's temporal delimiters alone nothing is left.
        if clear.is_empty() && secret.is_empty() {
            return Err(SealError::Empty);
        }
        let meta_data = associated_data(codec, &clear);
        let mut sealed = Vec::new();
        MediaFrameView::try_with_meta_data(&mut stream.counter, secret, &meta_data)
            .and_then(|view| view.encrypt_into(&stream.key, &mut sealed).map(|_| ()))
            .map_err(|_| SealError::Failed)?;
        // What is left is the clear bytes, the SFrame header, the ciphertext, the tag.
        sealed.drain(..PREFIX_LENGTH);
        Ok(codec.assemble(sealed, clear.len()))
    }
}
