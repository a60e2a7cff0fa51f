//! What a stay in a group is made of before there is a group.

use conclave_protocol::RoomId;
use openmls::{
    prelude::{
        BasicCredential, Capabilities, CredentialType, CredentialWithKey, MlsGroupJoinConfig,
        OpenMlsCrypto as _, OpenMlsProvider as _, SenderRatchetConfiguration,
    },
    schedule::PreSharedKeyId,
};
use openmls_traits::{
    random::OpenMlsRand as _,
    signatures::{Signer, SignerError},
    types::SignatureScheme,
};

use super::{GroupError, PADDING, PAST_EPOCHS, SUITE, failed, psk_id};
use crate::{
    device::{DeviceKey, StayKey},
    identity::Identity,
    link::DerivedKey,
    storage::Provider,
};

/// Storage and a signature key of one stay.
pub(super) struct Stay {
    pub(super) provider: Provider,
    key: StayKey,
    pub(super) credential: CredentialWithKey,
    pub(super) psk_id: Vec<u8>,
    pub(super) room: RoomId,
    pub(super) device: DeviceKey,
}

impl Stay {
    pub(super) fn new(
        psk: &DerivedKey,
        room: &RoomId,
        key: &StayKey,
        identity: &Identity,
    ) -> Result<Self, GroupError> {
        let provider = Provider::new().map_err(failed("starting the cryptography"))?;
        let encoded = serde_json::to_vec(identity).map_err(failed("writing the credential"))?;
        let credential = CredentialWithKey {
            credential: BasicCredential::new(encoded).into(),
            signature_key: key.public.clone().into(),
        };
        let stay = Self {
            provider,
            key: key.clone(),
            credential,
            psk_id: psk_id(room),
            room: room.clone(),
            device: identity.device.key,
        };
        stay.link_key()?
            .store(&stay.provider, psk.as_bytes())
            .map_err(failed("storing the link's key"))?;
        Ok(stay)
    }

    /// What names the link's key in one commit (RFC 9420 §8.4).
    pub(super) fn link_key(&self) -> Result<PreSharedKeyId, GroupError> {
        let nonce = self.provider.rand().random_vec(SUITE.hash_length());
        let nonce = nonce.map_err(failed("drawing a nonce"))?;
        Ok(PreSharedKeyId::external(self.psk_id.clone(), nonce))
    }
}

impl Signer for Stay {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.provider
            .crypto()
            .sign(SignatureScheme::ED25519, payload, &self.key.secret)
            .map_err(SignerError::CryptoError)
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

pub(super) fn capabilities() -> Capabilities {
    Capabilities::new(
        None,
        Some(&[SUITE]),
        None,
        None,
        Some(&[CredentialType::Basic]),
    )
}

pub(super) fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .padding_size(PADDING)
        .max_past_epochs(PAST_EPOCHS)
        .use_ratchet_tree_extension(true)
        .sender_ratchet_configuration(SenderRatchetConfiguration::default())
        .build()
}
