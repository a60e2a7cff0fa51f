//! A host's word to someone who waits before the door and may not come in. They are not in
//! the group, so it is signed as the host's leaf signs, and for this one knock only.

use conclave_protocol::RoomId;
use openmls::prelude::OpenMlsCrypto as _;
use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::signatures::{Signer, SignerError};
use serde::{Deserialize, Serialize};

use crate::{
    device::{DeviceSignature, SCHEME, hexadecimal},
    identity::{DisplayName, Identity},
    knock::KnockName,
    rules::Rules,
};

/// Stands before what is signed.
const CLAIM: &str = "conclave 1 turned away ";

/// Who signs with the key of a stay.
pub(crate) trait StaySigner: Signer {
    /// The key's public half.
    fn public_key(&self) -> &[u8];
}

/// The word, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TurningAway {
    /// Whose word it is.
    identity: Identity,
    /// The signature key of their leaf, in hexadecimal.
    stay: String,
    /// With that key.
    signature: DeviceSignature,
}

impl TurningAway {
    pub(crate) fn sign(
        signer: &impl StaySigner,
        identity: &Identity,
        room: &RoomId,
        knock: &KnockName,
    ) -> Result<Vec<u8>, SignerError> {
        let signature = signer.sign(&claim(room, knock))?;
        let word = Self {
            identity: identity.clone(),
            stay: hexadecimal(signer.public_key()),
            signature: DeviceSignature::from_slice(&signature).ok_or(SignerError::SigningError)?,
        };
        serde_json::to_vec(&word).map_err(|_| SignerError::SigningError)
    }

    /// The name of the host who signed it for this knock; none if no host did.
    pub(crate) fn check(
        word: &[u8],
        room: &RoomId,
        rules: &Rules,
        knock: &KnockName,
    ) -> Option<DisplayName> {
        let Self {
            identity,
            stay,
            signature,
        } = serde_json::from_slice(word).ok()?;
        let stay = crate::device::bytes::<32>(&stay).ok()?;
        let vouched = rules.is_host(&identity.device.key) && identity.device.holds_for(room, &stay);
        let crypto = CryptoProvider::new().ok().filter(|_| vouched)?;
        let claim = claim(room, knock);
        let checked = crypto.verify_signature(SCHEME, &claim, &stay, signature.as_bytes());
        checked.ok().map(|()| identity.name)
    }
}

fn claim(room: &RoomId, knock: &KnockName) -> Vec<u8> {
    [
        CLAIM.as_bytes(),
        room.as_str().as_bytes(),
        b" ",
        knock.as_bytes(),
    ]
    .concat()
}
