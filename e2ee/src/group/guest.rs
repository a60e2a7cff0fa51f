//! Those who are brought in by a member: from outside, and from inside.

use conclave_protocol::{Epoch, ParticipantId, RoomId};
use openmls::{
    prelude::{
        JoinBuilder, KeyPackage, Lifetime, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut,
        OpenMlsCrypto, ProcessedWelcome, ProtocolVersion, tls_codec::DeserializeBytes as _,
    },
    schedule::Psk,
};

use super::{
    Group, GroupError, SUITE, Shown, failed, identity, impossible,
    stay::{Stay, capabilities, join_config},
};
use crate::{
    device::StayKey,
    identity::{DisplayName, Identity},
    knock::KnockName,
    link::RoomKeys,
    rules::Rules,
    turning_away::TurningAway,
};

/// From when to when a KeyPackage is valid (RFC 9420 §7.2): always. A call is shorter than any
/// lifetime, and clocks differ.
const LIFETIME: (u64, u64) = (0, u64::MAX);

/// Someone whom a member may bring in.
pub(crate) struct Newcomer {
    pub(crate) identity: Identity,
    pub(crate) knock: KnockName,
    pub(super) key_package: KeyPackage,
}

impl Newcomer {
    /// Checks a KeyPackage as far as MLS does, and that the device vouches for it: the others
    /// would refuse a commit with one that does not, and show out who made it.
    pub(super) fn read(
        crypto: &impl OpenMlsCrypto,
        room: &RoomId,
        key_package: &[u8],
    ) -> Result<Self, GroupError> {
        let what = "reading a KeyPackage";
        let knock = KnockName::of(key_package);
        let message =
            MlsMessageIn::tls_deserialize_exact_bytes(key_package).map_err(failed(what))?;
        let MlsMessageBodyIn::KeyPackage(key_package) = message.extract() else {
            return Err(impossible(what, "it is another kind of message"));
        };
        let key_package = key_package
            .validate(crypto, ProtocolVersion::Mls10)
            .map_err(failed(what))?;
        if key_package.ciphersuite() != SUITE {
            return Err(impossible(what, "it is for another cipher suite"));
        }
        // A time that ends would make members refuse whom another one brings in: clocks differ.
        let lifetime = key_package.life_time();
        if (lifetime.not_before(), lifetime.not_after()) != LIFETIME {
            return Err(impossible(what, "it is valid for a while only"));
        }
        let leaf = key_package.leaf_node();
        let identity = identity(leaf.credential())?;
        if !identity
            .device
            .holds_for(room, leaf.signature_key().as_slice())
        {
            return Err(impossible(what, "a device does not vouch for it"));
        }
        Ok(Self {
            identity,
            knock,
            key_package,
        })
    }

    /// Under which id the server knows them.
    pub(crate) fn participant(&self) -> ParticipantId {
        self.identity.participant
    }
}

/// A stay that waits before the door to be brought in.
pub(crate) struct Guest {
    stay: Stay,
    knock: KnockName,
}

impl Guest {
    /// Makes a KeyPackage by which a member can bring this client in.
    pub(crate) fn knock(
        keys: &RoomKeys,
        room: &RoomId,
        key: &StayKey,
        identity: &Identity,
    ) -> Result<(Self, Vec<u8>), GroupError> {
        let what = "knocking";
        let stay = Stay::new(keys, room, key, identity)?;
        let bundle = KeyPackage::builder()
            .leaf_node_capabilities(capabilities())
            .key_package_lifetime(Lifetime::init(LIFETIME.0, LIFETIME.1))
            .build(SUITE, &stay.provider, &stay, stay.credential.clone())
            .map_err(failed(what))?;
        let message = MlsMessageOut::from(bundle.into_key_package());
        let bytes = message.to_bytes().map_err(failed(what))?;
        let knock = KnockName::of(&bytes);
        Ok((Self { stay, knock }, bytes))
    }

    /// The name of the host who turns this client away, if one of these rules' hosts does.
    pub(crate) fn heed(&self, note: &[u8], rules: &Rules) -> Option<DisplayName> {
        TurningAway::check(note, &self.stay.room, rules, &self.knock)
    }

    /// Enters by a Welcome, if it was made with the link's pre-shared key and no other.
    pub(crate) fn enter(self, welcome: &[u8]) -> Result<Group, GroupError> {
        let what = "reading the welcome";
        let Self { stay, .. } = self;
        let message = MlsMessageIn::tls_deserialize_exact_bytes(welcome).map_err(failed(what))?;
        let MlsMessageBodyIn::Welcome(welcome) = message.extract() else {
            return Err(impossible(what, "it is another kind of message"));
        };
        let provider = &stay.provider;
        let processed = ProcessedWelcome::new_from_welcome(provider, &join_config(), welcome)
            .map_err(failed(what))?;
        let is_ours = |id: &Psk| matches!(id, Psk::External(id) if id.psk_id() == stay.psk_id);
        if !matches!(processed.psks(), [id] if is_ours(id.psk())) {
            return Err(impossible(what, "it does not contain the link's key"));
        }
        let staged = JoinBuilder::new(provider, processed)
            .skip_lifetime_validation()
            .build()
            .map_err(failed(what))?;
        let signer = staged.welcome_sender_index();
        let mls = staged.into_group(provider).map_err(failed(what))?;
        if mls.ciphersuite() != SUITE {
            return Err(impossible(what, "the group has another cipher suite"));
        }
        let epoch = Epoch::new(mls.epoch().as_u64());
        let shown = Shown::of(epoch, signer, &mls).map_err(failed(what))?;
        Ok(Group { stay, mls, shown })
    }
}
