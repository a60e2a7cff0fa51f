//! The keys of somebody who keeps to MLS and to nothing else.

use conclave_e2ee::{DeviceKey, DeviceProof, Identity};
use conclave_protocol::{ParticipantId, RoomId};
use openmls::prelude::{
    BasicCredential, CredentialWithKey, OpenMlsCrypto as _, OpenMlsProvider as _,
};
use openmls_libcrux_crypto::Provider;
use openmls_traits::{
    signatures::{Signer, SignerError},
    types::SignatureScheme,
};

/// The keys of one stay and of the device on which it is.
pub(crate) struct Key {
    pub(super) provider: Provider,
    secret: Vec<u8>,
    pub(super) public: Vec<u8>,
    device: (Vec<u8>, Vec<u8>),
}

impl Key {
    pub(crate) fn new() -> Self {
        let provider = Provider::new().unwrap();
        let draw = || {
            let crypto = provider.crypto();
            crypto.signature_key_gen(SignatureScheme::ED25519).unwrap()
        };
        let ((secret, public), device) = (draw(), draw());
        Self {
            provider,
            secret,
            public,
            device,
        }
    }

    /// The key of another stay on the same device.
    pub(crate) fn same_device(other: &Self) -> Self {
        let device = other.device.clone();
        Self {
            device,
            ..Self::new()
        }
    }

    /// What the others know the device by.
    pub(crate) fn device(&self) -> DeviceKey {
        DeviceKey::from_bytes(self.device.1.as_slice().try_into().unwrap())
    }

    /// An identity for which a device of one's own vouches.
    pub(super) fn identity(&self, room: &RoomId, id: ParticipantId, name: &str) -> Identity {
        let (secret, public) = &self.device;
        let claim = [
            format!("conclave 1 device {room} ").as_bytes(),
            &self.public,
        ]
        .concat();
        let signature = self
            .provider
            .crypto()
            .sign(SignatureScheme::ED25519, &claim, secret)
            .unwrap();
        Identity {
            participant: id,
            name: name.parse().unwrap(),
            device: DeviceProof::from_bytes(public, &signature).unwrap(),
        }
    }

    pub(super) fn credential(&self, identity: &Identity) -> CredentialWithKey {
        CredentialWithKey {
            credential: BasicCredential::new(serde_json::to_vec(identity).unwrap()).into(),
            signature_key: self.public.clone().into(),
        }
    }
}

impl Signer for Key {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.provider
            .crypto()
            .sign(SignatureScheme::ED25519, payload, &self.secret)
            .map_err(SignerError::CryptoError)
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}
