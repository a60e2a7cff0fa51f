//! Opens the frames of others.

use std::collections::HashMap;

use conclave_protocol::Epoch;
use sframe::{
    error::SframeError,
    frame::{
        EncryptedFrameView,
        validation::{ReplayAttackProtection, ReplayAttackProtectionError, Tolerance},
    },
    key::DecryptionKey,
};

use super::{
    BaseKey, Codec, KeyId, PREFIX_LENGTH, REPLAY_WINDOW, SUITE, StreamContext, associated_data,
};
use crate::member::LeafIndex;

/// Why a frame was not opened. It must then not be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// This frame was opened before. Networks do that; drop it quietly.
    #[error("the frame was received before")]
    Duplicate,
    /// There are no bytes in it: padding. Drop it quietly.
    #[error("the frame is empty")]
    Empty,
    /// No key for its epoch: too early, or too late.
    #[error("there is no key for the frame's epoch")]
    UnknownEpoch,
    /// Not sealed by a member of the group, or changed on the way.
    #[error("the frame was not sealed by a member, or changed on the way")]
    Forged,
    /// So far behind the newest one that it cannot be told from a replay.
    #[error("the frame is too old")]
    TooOld,
    /// Not a sealed frame of this codec.
    #[error("this is not a sealed frame")]
    Malformed,
}

impl OpenError {
    /// The name of the error for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Empty => "empty",
            Self::UnknownEpoch => "unknown_epoch",
            Self::Forged => "forged",
            Self::TooOld => "too_old",
            Self::Malformed => "malformed",
        }
    }
}

impl From<SframeError> for OpenError {
    fn from(error: SframeError) -> Self {
        match error.source_as() {
            Some(ReplayAttackProtectionError::DuplicatedFrame { .. }) => Self::Duplicate,
            Some(ReplayAttackProtectionError::CounterTooOld { .. }) => Self::TooOld,
            Some(ReplayAttackProtectionError::KeyIdMismatch { .. }) | None => Self::Forged,
        }
    }
}

/// A frame as its sender sealed it, with what its key says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedFrame {
    /// Who sealed it. Names come from here, never from the server.
    pub leaf: LeafIndex,
    /// In which epoch.
    pub epoch: Epoch,
    /// Which of the sender's streams it belongs to.
    pub context: StreamContext,
    /// Its number in that stream.
    pub counter: u64,
    /// The frame.
    pub frame: Vec<u8>,
}

struct Stream {
    key: DecryptionKey,
    replay: ReplayAttackProtection,
}

impl Stream {
    fn new(id: u64, base_key: &BaseKey) -> Result<Self, OpenError> {
        let key = DecryptionKey::derive_from(SUITE, id, base_key.as_bytes())?;
        let window = Tolerance::try_new(REPLAY_WINDOW)?;
        Ok(Self {
            key,
            replay: ReplayAttackProtection::new(id, window),
        })
    }

    /// The replay window moves only after the frame has proved authentic. So many bytes of what
    /// the tag covers beside the header are not of the frame.
    fn open(
        &mut self,
        frame: &EncryptedFrameView<'_>,
        prefix: usize,
    ) -> Result<Vec<u8>, OpenError> {
        let mut opened = Vec::new();
        frame.validated_decrypt_into(&self.key, &mut opened, &mut self.replay)?;
        opened.drain(..prefix);
        Ok(opened)
    }
}

struct EpochKeys {
    epoch: Epoch,
    base_key: BaseKey,
    streams: HashMap<u64, Stream>,
}

/// Opens the frames of everyone in the group.
#[derive(Default)]
pub struct FrameOpener {
    /// By what of the epoch is in a key id.
    epochs: HashMap<u8, EpochKeys>,
}

impl FrameOpener {
    /// An opener without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the key of an epoch. An epoch 256 steps older gives way to it, as does
    /// another key for the same epoch.
    pub fn install(&mut self, epoch: Epoch, base_key: &BaseKey) {
        let slot = KeyId::epoch_slot(epoch);
        let known = self.epochs.get(&slot).is_some_and(|keys| {
            keys.epoch == epoch && keys.base_key.as_bytes() == base_key.as_bytes()
        });
        if !known {
            let keys = EpochKeys {
                epoch,
                base_key: base_key.clone(),
                streams: HashMap::new(),
            };
            self.epochs.insert(slot, keys);
        }
    }

    /// Wipes the key of an epoch.
    pub fn forget(&mut self, epoch: Epoch) {
        let slot = KeyId::epoch_slot(epoch);
        if self
            .epochs
            .get(&slot)
            .is_some_and(|keys| keys.epoch == epoch)
        {
            self.epochs.remove(&slot);
        }
    }

    /// Opens one sealed frame.
    pub fn open(&mut self, codec: Codec, sealed: &[u8]) -> Result<OpenedFrame, OpenError> {
        if sealed.is_empty() {
            return Err(OpenError::Empty);
        }
        let (clear, ciphertext) = codec
            .divide_sealed(sealed)
            .map_err(|_| OpenError::Malformed)?;
        let meta_data = associated_data(codec, &clear);
        let prefix = if codec.has_all_encrypted() {
            meta_data.len()
        } else {
            PREFIX_LENGTH
        };
        let view = EncryptedFrameView::try_with_meta_data(ciphertext.as_ref(), &meta_data)
            .map_err(|_| OpenError::Malformed)?;
        let id = view.header().key_id();
        let (context, leaf, slot) = KeyId::parse(id).ok_or(OpenError::Malformed)?;
        let keys = self.epochs.get_mut(&slot);
        let keys = keys.ok_or(OpenError::UnknownEpoch)?;
        let frame = if let Some(stream) = keys.streams.get_mut(&id) {
            stream.open(&view, prefix)?
        } else {
            // Only senders whose frames prove authentic take up room here.
            let mut stream = Stream::new(id, &keys.base_key)?;
            let frame = stream.open(&view, prefix)?;
            keys.streams.insert(id, stream);
            frame
        };
        Ok(OpenedFrame {
            leaf,
            epoch: keys.epoch,
            context,
            counter: view.header().counter(),
            frame,
        })
    }
}
