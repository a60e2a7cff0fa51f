//! What a stay in a group is made of before there is a group.

use conclave_protocol::RoomId;
use openmls::{
    prelude::{
        BasicCredential, Capabilities, CredentialType, CredentialWithKey, ExtensionType,
        MlsGroupJoinConfig, OpenMlsCrypto as _, OpenMlsProvider as _, SenderRatchetConfiguration,
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
    device::StayKey, identity::Identity, link::RoomKeys, rules::RULES_EXTENSION, storage::Provider,
    turning_away::StaySigner,
};

/// Storage and a signature key of one stay.
pub(super) struct Stay {
    pub(super) provider: Provider,
    key: StayKey,
    pub(super) credential: CredentialWithKey,
    pub(super) psk_id: Vec<u8>,
    pub(super) room: RoomId,
    pub(super) identity: Identity,
}

impl Stay {
    pub(super) fn new(
        keys: &RoomKeys,
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
        let mut stay = Self {
            provider,
            key: key.clone(),
            credential,
            psk_id: Vec::new(),
            room: room.clone(),
            identity: identity.clone(),
        };
        stay.take_link(keys)?;
        Ok(stay)
    }

    pub(super) fn key(&self) -> &StayKey {
        &self.key
    }

    /// Newcomers come in with this link's key.
    pub(super) fn take_link(&mut self, keys: &RoomKeys) -> Result<(), GroupError> {
        self.psk_id = psk_id(&self.room, keys);
        self.link_key()?
            .store(&self.provider, keys.psk.as_bytes())
            .map_err(failed("storing the link's key"))
    }

    /// What names the link's key in one commit (RFC 9420 §8.4).
    pub(super) fn link_key(&self) -> Result<PreSharedKeyId, GroupError> {
        let nonce = self.provider.rand().random_vec(SUITE.hash_length());
        let nonce = nonce.map_err(failed("drawing a nonce"))?;
        Ok(PreSharedKeyId::external(self.psk_id.clone(), nonce))
    }
}

impl StaySigner for Stay {
    fn public_key(&self) -> &[u8] {
        &self.key.public
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
        Some(&[ExtensionType::Unknown(RULES_EXTENSION)]),
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
