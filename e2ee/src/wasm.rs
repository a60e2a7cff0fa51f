//! What a browser's workers see of this crate. Only here do types of JavaScript appear.
//!
//! Numbers are checked on the way in: JavaScript has one kind of them.

use std::{collections::HashMap, time::Duration};

use conclave_protocol::{Epoch, signal::ServerMessage};
use wasm_bindgen::prelude::*;

use crate::{
    BaseKey, Codec, DeviceProof, Instant, LeafIndex, LinkSecret, Output, Persona, StreamContext,
};

/// The largest integer that every smaller integer can be told from, `2^53 - 1`.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

fn refuse(error: impl std::fmt::Display) -> JsError {
    JsError::new(&error.to_string())
}

fn instant(now_ms: f64) -> Result<Instant, JsError> {
    Duration::try_from_secs_f64(now_ms / 1000.0)
        .map(Instant::since_origin)
        .map_err(refuse)
}

fn milliseconds(instant: Instant) -> f64 {
    instant.elapsed().as_secs_f64() * 1000.0
}

fn epoch(number: f64) -> Result<Epoch, JsError> {
    if number.fract() == 0.0 && (0.0..=MAX_SAFE_INTEGER).contains(&number) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is an integer from 0 to 2^53 - 1"
        )]
        Ok(Epoch::new(number as u64))
    } else {
        Err(refuse("an epoch is an integer from 0 to 2^53 - 1"))
    }
}

fn base_key(bytes: &[u8]) -> Result<BaseKey, JsError> {
    BaseKey::from_slice(bytes).ok_or_else(|| refuse("a base key has 16 bytes"))
}

fn codec(name: &str) -> Result<Codec, JsError> {
    match name {
        "opus" => Ok(Codec::Opus),
        "vp8" => Ok(Codec::Vp8),
        "vp9" => Ok(Codec::Vp9),
        "av1" => Ok(Codec::Av1),
        "h264" => Ok(Codec::H264),
        _ => Err(refuse("a codec is one of opus, vp8, vp9, av1, h264")),
    }
}

/// Draws the secret of a new room, as the fragment of its link.
#[wasm_bindgen]
pub fn generate_link_secret() -> Result<String, JsError> {
    let secret = LinkSecret::generate().map_err(refuse)?;
    Ok(secret.to_fragment().to_string())
}

/// The signature key of one stay in a call.
#[wasm_bindgen]
pub struct StayKey(crate::StayKey);

#[wasm_bindgen]
impl StayKey {
    /// Draws one.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Result<Self, JsError> {
        crate::StayKey::generate().map(Self).map_err(refuse)
    }

    /// What a device has to sign (Ed25519) to take part with it in a room.
    pub fn claim(&self, room: &str) -> Result<Vec<u8>, JsError> {
        Ok(self.0.claim(&room.parse().map_err(refuse)?))
    }
}

/// A membership in a room's group.
#[wasm_bindgen]
pub struct Membership {
    inner: crate::Membership,
    /// Keys that were announced and not yet fetched.
    keys: HashMap<Epoch, BaseKey>,
}

#[wasm_bindgen]
impl Membership {
    /// A membership that has not begun, of a device that has signed the stay's claim.
    #[wasm_bindgen(constructor)]
    pub fn new(
        room: &str,
        secret_fragment: &str,
        name: &str,
        stay: StayKey,
        device_key: &[u8],
        device_signature: &[u8],
    ) -> Result<Self, JsError> {
        let secret = LinkSecret::from_fragment(secret_fragment).map_err(refuse)?;
        let room = room.parse().map_err(refuse)?;
        let name = name.parse().map_err(refuse)?;
        let proof = DeviceProof::from_bytes(device_key, device_signature).map_err(refuse)?;
        let persona = Persona::new(&room, name, stay.0, proof).map_err(refuse)?;
        Ok(Self {
            inner: crate::Membership::new(room, &secret, persona),
            keys: HashMap::new(),
        })
    }

    /// Goes on in the call that an earlier membership was in, by what that one remembers of it.
    pub fn recall(&mut self, memory: &str) -> Result<(), JsError> {
        self.inner
            .recall(serde_json::from_str(memory).map_err(refuse)?);
        Ok(())
    }

    /// What the next membership of this call has to be given, once there is something. It holds
    /// no secrets, and is nobody else's to read or change.
    pub fn memory(&self) -> Result<Option<String>, JsError> {
        let memory = self.inner.memory().map(serde_json::to_string);
        memory.transpose().map_err(refuse)
    }

    /// What to say to the server first: a `ClientMessage` as JSON.
    pub fn join_message(&self) -> Result<String, JsError> {
        serde_json::to_string(&self.inner.join_message()).map_err(refuse)
    }

    /// Takes in what the server says: a `ServerMessage` as JSON. The clock is the caller's,
    /// in milliseconds.
    pub fn handle(&mut self, now_ms: f64, server_message: &str) -> Result<(), JsError> {
        let message: ServerMessage = serde_json::from_str(server_message).map_err(refuse)?;
        self.inner.handle(instant(now_ms)?, message);
        Ok(())
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now_ms: f64) -> Result<(), JsError> {
        self.inner.handle_timeout(instant(now_ms)?);
        Ok(())
    }

    /// When something will be due, in milliseconds on the caller's clock.
    pub fn next_timeout(&self) -> Option<f64> {
        self.inner.poll_timeout().map(milliseconds)
    }

    /// Lets end what ends with time alone, while the line to the server is broken too.
    pub fn expire(&mut self, now_ms: f64) -> Result<(), JsError> {
        self.inner.expire(instant(now_ms)?);
        Ok(())
    }

    /// When something will end by itself, in milliseconds on the caller's clock.
    pub fn next_expiry(&self) -> Option<f64> {
        self.inner.poll_expiry().map(milliseconds)
    }

    /// Says something to everyone in the group.
    pub fn send_chat(&mut self, text: &str) -> Result<(), JsError> {
        self.inner.send_chat(text).map_err(refuse)
    }

    /// Tells everyone in the group of a file that is stored: a `SharedFile` as JSON.
    pub fn share_file(&mut self, file: &str) -> Result<(), JsError> {
        let file = serde_json::from_str(file).map_err(refuse)?;
        self.inner.share_file(file).map_err(refuse)
    }

    /// Does what a host asks for: a `HostRequest` as JSON.
    pub fn host(&mut self, now_ms: f64, request: &str) -> Result<(), JsError> {
        let request = serde_json::from_str(request).map_err(refuse)?;
        self.inner.host(instant(now_ms)?, request).map_err(refuse)
    }

    /// The secret of the room's link as it is now, as the fragment of the link.
    pub fn link_fragment(&self) -> String {
        self.inner.link().to_fragment().to_string()
    }

    /// The next thing to do or to know: a `MembershipOutput` as JSON. It never contains
    /// key bytes; after `keys_ready`, fetch them with `base_key`.
    pub fn poll(&mut self) -> Result<Option<String>, JsError> {
        let Some(output) = self.inner.poll() else {
            return Ok(None);
        };
        let json = serde_json::to_string(&output).map_err(refuse)?;
        match output {
            Output::KeysReady {
                epoch, base_key, ..
            } => {
                self.keys.insert(epoch, base_key);
            }
            Output::Forget { epoch } => {
                self.keys.remove(&epoch);
            }
            _ => {}
        }
        Ok(Some(json))
    }

    /// The key announced by `keys_ready`, once. The caller wipes it.
    pub fn base_key(&mut self, epoch_number: f64) -> Result<Vec<u8>, JsError> {
        let key = self.keys.remove(&epoch(epoch_number)?);
        key.map(|key| key.as_bytes().to_vec())
            .ok_or_else(|| refuse("there is no key to fetch for this epoch"))
    }
}

/// Seals this client's frames.
#[wasm_bindgen]
#[derive(Default)]
pub struct FrameSealer(crate::FrameSealer);

#[wasm_bindgen]
impl FrameSealer {
    /// A sealer without keys.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the key of an epoch.
    pub fn install(&mut self, epoch_number: f64, leaf: u32, key: &[u8]) -> Result<(), JsError> {
        let leaf = LeafIndex::new(leaf).ok_or_else(|| refuse("a leaf is below 1024"))?;
        self.0.install(epoch(epoch_number)?, leaf, &base_key(key)?);
        Ok(())
    }

    /// Seals with this epoch's key from now on.
    pub fn seal_with(&mut self, epoch_number: f64) -> Result<(), JsError> {
        self.0.seal_with(epoch(epoch_number)?);
        Ok(())
    }

    /// Wipes the key of an epoch.
    pub fn forget(&mut self, epoch_number: f64) -> Result<(), JsError> {
        self.0.forget(epoch(epoch_number)?);
        Ok(())
    }

    /// Seals one frame. Throws `no_key`, `empty`, `malformed` or `failed`.
    pub fn seal(
        &mut self,
        context: u8,
        codec_name: &str,
        frame: &[u8],
    ) -> Result<Vec<u8>, JsError> {
        let context =
            StreamContext::new(context).ok_or_else(|| refuse("a context is at most 8"))?;
        self.0
            .seal(context, codec(codec_name)?, frame)
            .map_err(|error| JsError::new(error.code()))
    }
}

/// A frame as its sender sealed it, with what its key says about it.
#[wasm_bindgen]
pub struct OpenedFrame(crate::OpenedFrame);

#[wasm_bindgen]
impl OpenedFrame {
    /// Who sealed it.
    #[wasm_bindgen(getter)]
    pub fn leaf(&self) -> u32 {
        self.0.leaf.get()
    }

    /// In which epoch: all of its number, though the frame's key id holds the lowest bits only.
    #[wasm_bindgen(getter)]
    pub fn epoch(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "no group sees 2^53 epochs")]
        let number = self.0.epoch.get() as f64;
        number
    }

    /// Which of the sender's streams it belongs to.
    #[wasm_bindgen(getter)]
    pub fn context(&self) -> u8 {
        self.0.context.get()
    }

    /// Its number in that stream.
    #[wasm_bindgen(getter)]
    pub fn counter(&self) -> u64 {
        self.0.counter
    }

    /// The frame.
    pub fn frame(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0.frame)
    }
}

/// Opens the frames of everyone in the group.
#[wasm_bindgen]
#[derive(Default)]
pub struct FrameOpener(crate::FrameOpener);

#[wasm_bindgen]
impl FrameOpener {
    /// An opener without keys.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the key of an epoch.
    pub fn install(&mut self, epoch_number: f64, key: &[u8]) -> Result<(), JsError> {
        self.0.install(epoch(epoch_number)?, &base_key(key)?);
        Ok(())
    }

    /// Wipes the key of an epoch.
    pub fn forget(&mut self, epoch_number: f64) -> Result<(), JsError> {
        self.0.forget(epoch(epoch_number)?);
        Ok(())
    }

    /// Opens one sealed frame. Throws `duplicate`, `empty`, `unknown_epoch`, `forged`,
    /// `too_old` or `malformed`.
    pub fn open(&mut self, codec_name: &str, frame: &[u8]) -> Result<OpenedFrame, JsError> {
        self.0
            .open(codec(codec_name)?, frame)
            .map(OpenedFrame)
            .map_err(|error| JsError::new(error.code()))
    }
}
