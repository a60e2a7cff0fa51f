//! The MLS group (RFC 9420), reduced to what a call does with one.
//!
//! Nothing here decides whether a commit is welcome: [`crate::policy`] does.

mod guest;
mod renewal;
mod shown;
mod stay;

use conclave_protocol::{Epoch, RoomId};
use openmls::prelude::{
    BasicCredential, ContentType, Credential, KeyPackage, LeafNodeIndex, LeafNodeParameters,
    MlsGroup, MlsGroupCreateConfig, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut,
    OpenMlsProvider as _, PreSharedKeyProposal, ProcessedMessageContent, Proposal, Sender,
    StagedCommit, tls_codec::DeserializeBytes as _,
};
use openmls_traits::types::Ciphersuite;
use zeroize::Zeroizing;

use crate::{
    device::StayKey,
    digits::Digits,
    frame::BaseKey,
    identity::Identity,
    knock::KnockName,
    link::{LinkSecret, RoomKeys},
    member::{LeafIndex, Member},
    memory::Acquaintance,
    rules::Rules,
    storage::Snapshot,
    turning_away::TurningAway,
};

pub(crate) use guest::{Guest, Newcomer};
use shown::Shown;
use stay::{Stay, capabilities, join_config};

/// X-Wing, AES-256-GCM, SHA-384, Ed25519: a hybrid of ML-KEM-768 and X25519. The code
/// point is provisional (draft-ietf-mls-pq-ciphersuites), so a change of it is a change
/// of [`conclave_protocol::PROTOCOL_VERSION`].
pub const SUITE: Ciphersuite = Ciphersuite::MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519;

/// The exporter's label for frame keys (RFC 9605 §5.2).
pub const BASE_KEY_LABEL: &str = "SFrame 1.0 Base Key";

/// Messages that others sent just before a commit still open after it.
const PAST_EPOCHS: usize = 3;

/// Up to so many members, a commit takes the group's state along, so that who comes alone
/// can do so at once. 32 members have 60 kB of it; larger groups show it when they are asked.
const CARRIED_UP_TO: usize = 32;

/// Messages are padded to multiples of this, to hide the length of what is written.
const PADDING: usize = 256;

/// MLS did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {detail}")]
pub struct GroupError {
    what: &'static str,
    detail: String,
}

impl GroupError {
    pub(crate) fn new(what: &'static str, detail: &str) -> Self {
        failed(what)(detail)
    }
}

fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> GroupError {
    move |error| GroupError {
        what,
        detail: error.to_string(),
    }
}

fn impossible(what: &'static str, detail: &str) -> GroupError {
    failed(what)(detail)
}

/// The id under which every member keeps the link's pre-shared key. Another link has another
/// one.
pub fn psk_id(room: &RoomId, keys: &RoomKeys) -> Vec<u8> {
    let label = ["conclave 1 link ", room.as_str(), " "].concat();
    [label.as_bytes(), keys.psk_id.as_bytes()].concat()
}

/// The exporter's label for the secret of the link that an epoch begins (RFC 9420 §8.5).
pub const LINK_LABEL: &str = "conclave 1 link";

/// A commit and the group that it makes, as bytes for the server's log.
pub(crate) struct NewEpoch {
    pub(crate) commit: Vec<u8>,
    /// Of a small group only: it has the whole tree in it.
    pub(crate) group_info: Option<Vec<u8>>,
    /// For those whom the commit brings in.
    pub(crate) welcome: Option<Vec<u8>>,
}

/// A commit that MLS holds valid and nobody has agreed to yet.
pub(crate) struct Staged {
    pub(crate) sender: Sender,
    pub(crate) commit: Box<StagedCommit>,
}

/// What is to change about a group.
#[derive(Default)]
pub(crate) struct Changes<'a> {
    pub(crate) added: &'a [Newcomer],
    pub(crate) removed: &'a [LeafIndex],
    pub(crate) rules: Option<&'a Rules>,
}

/// An opened application message.
pub(crate) struct Application {
    pub(crate) leaf: LeafIndex,
    pub(crate) identity: Identity,
    pub(crate) bytes: Vec<u8>,
}

/// This client's stay in a group.
pub(crate) struct Group {
    stay: Stay,
    mls: MlsGroup,
    shown: Shown,
}

impl Group {
    /// Makes a new group with this client as its only member.
    pub(crate) fn found(
        keys: &RoomKeys,
        room: &RoomId,
        key: &StayKey,
        identity: &Identity,
        rules: &Rules,
    ) -> Result<Self, GroupError> {
        let stay = Stay::new(keys, room, key, identity)?;
        let rules = rules.to_extensions();
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(SUITE)
            .capabilities(capabilities())
            .with_group_context_extensions(rules.map_err(failed("writing the rules"))?)
            .padding_size(PADDING)
            .max_past_epochs(PAST_EPOCHS)
            .use_ratchet_tree_extension(true)
            .build();
        let credential = stay.credential.clone();
        let mls = MlsGroup::new(&stay.provider, &stay, &config, credential)
            .map_err(failed("founding the group"))?;
        let by = stay.key().public.clone();
        let epoch = Epoch::FIRST;
        let shown = Shown { epoch, by };
        Ok(Self { stay, mls, shown })
    }

    /// Joins by an external commit with the link's pre-shared key (RFC 9420 §12.4.3.2).
    /// The returned group is the one that stands if the commit is let through.
    pub(crate) fn join(
        keys: &RoomKeys,
        room: &RoomId,
        key: &StayKey,
        identity: &Identity,
        group_info: &[u8],
    ) -> Result<(Self, NewEpoch), GroupError> {
        let what = "joining the group";
        let stay = Stay::new(keys, room, key, identity)?;
        let message =
            MlsMessageIn::tls_deserialize_exact_bytes(group_info).map_err(failed(what))?;
        let MlsMessageBodyIn::GroupInfo(info) = message.extract() else {
            return Err(impossible(what, "the server's copy is not a GroupInfo"));
        };
        if info.ciphersuite() != SUITE {
            return Err(impossible(what, "the group has another cipher suite"));
        }
        let epoch = Epoch::new(info.epoch().as_u64());
        let signer = shown::signer(&info).ok_or_else(|| impossible(what, "it has no signer"))?;
        let leaf = LeafNodeParameters::builder()
            .with_capabilities(capabilities())
            .build();
        let provider = &stay.provider;
        let (mls, bundle) = MlsGroup::external_commit_builder()
            .with_config(join_config())
            // A call is shorter than any lifetime, and clocks differ.
            .skip_lifetime_validation()
            .build_group(provider, info, stay.credential.clone())
            .map_err(failed(what))?
            .add_psk_proposal(PreSharedKeyProposal::new(stay.link_key()?))
            .leaf_node_parameters(leaf)
            .load_psks(provider.storage())
            .map_err(failed(what))?
            .build(provider.rand(), provider.crypto(), &stay, |_| true)
            .map_err(failed(what))?
            .finalize(provider)
            .map_err(failed(what))?;
        let commit = bundle.commit().to_bytes().map_err(failed(what))?;
        let shown = Shown::of(epoch, signer, &mls).map_err(failed(what))?;
        let group = Self { stay, mls, shown };
        let group_info = match group.mls.members().count() <= CARRIED_UP_TO {
            true => Some(group.group_info()?),
            false => None,
        };
        let welcome = None;
        Ok((
            group,
            NewEpoch {
                commit,
                group_info,
                welcome,
            },
        ))
    }

    /// GroupInfo with the tree and the key for external commits.
    pub(crate) fn group_info(&self) -> Result<Vec<u8>, GroupError> {
        let what = "writing the group's state";
        self.mls
            .export_group_info(self.stay.provider.crypto(), &self.stay, true)
            .map_err(failed(what))?
            .to_bytes()
            .map_err(failed(what))
    }

    pub(crate) fn id(&self) -> &[u8] {
        self.mls.group_id().as_slice()
    }

    /// By what this client came in.
    pub(crate) fn shown(&self) -> &Shown {
        &self.shown
    }

    /// The signature key of this client's own stay.
    pub(crate) fn own_stay(&self) -> &[u8] {
        &self.stay.key().public
    }

    /// Everyone in the group, as somebody who comes back would know them again.
    pub(crate) fn acquaintances(&self) -> Result<Vec<Acquaintance>, GroupError> {
        let members = self.mls.members().map(|member| {
            let device = identity(&member.credential)?.device.key;
            let stay = member.signature_key;
            Ok(Acquaintance { device, stay })
        });
        members.collect()
    }

    pub(crate) fn mls(&self) -> &MlsGroup {
        &self.mls
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch::new(self.mls.epoch().as_u64())
    }

    pub(crate) fn own_leaf(&self) -> Result<LeafIndex, GroupError> {
        leaf_index(self.mls.own_leaf_index())
    }

    /// The key that all frame keys of this epoch come from.
    pub(crate) fn base_key(&self) -> Result<BaseKey, GroupError> {
        let what = "exporting the epoch's key";
        let exported = self
            .mls
            .export_secret(
                self.stay.provider.crypto(),
                BASE_KEY_LABEL,
                &[],
                BaseKey::LENGTH,
            )
            .map(Zeroizing::new)
            .map_err(failed(what))?;
        BaseKey::from_slice(&exported).ok_or_else(|| impossible(what, "it has a wrong length"))
    }

    /// Digits that everyone in this epoch has, and nobody else can know or choose.
    pub(crate) fn call_code(&self) -> Digits {
        Digits::from_secret(self.mls.epoch_authenticator().as_slice(), "call")
    }

    /// The rules that the group stands under.
    pub(crate) fn rules(&self) -> Result<Rules, GroupError> {
        Rules::read(self.mls.extensions()).map_err(failed("reading the rules of the call"))
    }

    /// The secret of the link that the own pending commit begins, if it changes the link.
    pub(crate) fn pending_link(&self) -> Result<LinkSecret, GroupError> {
        let what = "changing the link";
        let pending = self.mls.pending_commit();
        let commit = pending.ok_or_else(|| impossible(what, "there is no commit"))?;
        self.link_of(commit)
    }

    /// The secret of the link that a commit begins, if it changes the link. It comes from the
    /// new epoch's keys: every member has it without being told, and nobody else can.
    pub(crate) fn link_of(&self, commit: &StagedCommit) -> Result<LinkSecret, GroupError> {
        let what = "changing the link";
        let Stay { provider, room, .. } = &self.stay;
        let context = room.as_str().as_bytes();
        let secret = commit
            .export_secret(provider.crypto(), LINK_LABEL, context, LinkSecret::LENGTH)
            .map(Zeroizing::new)
            .map_err(failed(what))?;
        LinkSecret::from_slice(&secret).ok_or_else(|| impossible(what, "it has a wrong length"))
    }

    /// From now on newcomers come in with this link's key.
    pub(crate) fn take_link(&mut self, keys: &RoomKeys) -> Result<(), GroupError> {
        self.stay.take_link(keys)
    }

    /// Everyone in the group, by leaf.
    pub(crate) fn members(&self) -> Result<Vec<Member>, GroupError> {
        let own = self.mls.own_leaf_index();
        let rules = self.rules()?;
        let own_device = self.stay.identity.device.key;
        let members = self.mls.members();
        let members = members.map(|member| {
            let identity = identity(&member.credential)?;
            let is_self = member.index == own;
            Ok(Member {
                leaf: leaf_index(member.index)?,
                participant: identity.participant,
                name: identity.name.into(),
                is_self,
                is_host: rules.is_host(&identity.device.key),
                device: identity.device.key,
                pair_code: (!is_self).then(|| own_device.pair_code(&identity.device.key)),
            })
        });
        members.collect()
    }

    /// Fails if someone's device does not vouch for them. To be asked by whoever comes in;
    /// later comers are looked at one by one.
    pub(crate) fn examine_devices(&self) -> Result<(), GroupError> {
        let what = "looking at who is in the group";
        for member in self.mls.members() {
            let identity = identity(&member.credential)?;
            if !identity
                .device
                .holds_for(&self.stay.room, &member.signature_key)
            {
                return Err(impossible(what, "a device does not vouch for its member"));
            }
        }
        Ok(())
    }

    /// Checks a commit as far as MLS does, without applying it.
    pub(crate) fn stage(&mut self, commit: &[u8]) -> Result<Staged, GroupError> {
        let what = "reading the commit";
        let message = MlsMessageIn::tls_deserialize_exact_bytes(commit)
            .map_err(failed(what))?
            .try_into_protocol_message()
            .map_err(failed(what))?;
        let processed = self
            .mls
            .process_message(&self.stay.provider, message)
            .map_err(failed(what))?;
        let sender = processed.sender().clone();
        match processed.into_content() {
            ProcessedMessageContent::StagedCommitMessage(commit) => Ok(Staged { sender, commit }),
            _ => Err(impossible(what, "it is another kind of message")),
        }
    }

    /// Applies a commit.
    pub(crate) fn merge(&mut self, staged: Staged) -> Result<(), GroupError> {
        self.mls
            .merge_staged_commit(&self.stay.provider, *staged.commit)
            .map_err(failed("applying the commit"))
    }

    /// Checks a KeyPackage and who it is from.
    pub(crate) fn newcomer(&self, key_package: &[u8]) -> Result<Newcomer, GroupError> {
        let Stay { provider, room, .. } = &self.stay;
        Newcomer::read(provider.crypto(), room, key_package)
    }

    /// Makes a commit that brings people in, with the link's pre-shared key, takes members
    /// out and changes the rules. It is pending until it is merged or discarded.
    pub(crate) fn change(&mut self, changes: &Changes<'_>) -> Result<NewEpoch, GroupError> {
        let what = "changing the group";
        let removed = changes.removed.iter();
        let removed = removed.map(|leaf| LeafNodeIndex::new(leaf.get()));
        let added = changes.added.iter().map(|it| it.key_package.clone());
        let added: Vec<KeyPackage> = added.collect();
        let rules = changes.rules.map(Rules::to_extensions).transpose();
        let rules = rules.map_err(failed(what))?;
        let link_key = match added.is_empty() {
            true => None,
            false => Some(PreSharedKeyProposal::new(self.stay.link_key()?)),
        };
        let provider = &self.stay.provider;
        let members = self.mls.members().count() + added.len();
        let mut builder = self.mls.commit_builder();
        if let Some(rules) = rules {
            builder = builder
                .propose_group_context_extensions(rules)
                .map_err(failed(what))?;
        }
        let (commit, welcome, group_info) = builder
            .propose_removals(removed)
            .propose_adds(added)
            .add_proposals(link_key.map(|key| Proposal::PreSharedKey(Box::new(key))))
            .load_psks(provider.storage())
            .map_err(failed(what))?
            .use_ratchet_tree_extension(true)
            .create_group_info(members <= CARRIED_UP_TO + changes.removed.len())
            .build(provider.rand(), provider.crypto(), &self.stay, |_| true)
            .map_err(failed(what))?
            .stage_commit(provider)
            .map_err(failed(what))?
            .into_messages();
        let bytes = |message: MlsMessageOut| message.to_bytes().map_err(failed(what));
        Ok(NewEpoch {
            commit: bytes(commit)?,
            group_info: group_info.map(bytes).transpose()?,
            welcome: welcome.map(bytes).transpose()?,
        })
    }

    /// Applies the own pending commit.
    pub(crate) fn merge_pending(&mut self) -> Result<(), GroupError> {
        self.mls
            .merge_pending_commit(&self.stay.provider)
            .map_err(failed("applying the own commit"))
    }

    /// Forgets the own pending commit.
    pub(crate) fn discard_pending(&mut self) -> Result<(), GroupError> {
        self.mls
            .clear_pending_commit(self.stay.provider.storage())
            .map_err(failed("discarding the own commit"))
    }

    /// Encrypts an application message.
    pub(crate) fn encrypt(&mut self, bytes: &[u8]) -> Result<Vec<u8>, GroupError> {
        let what = "encrypting a message";
        self.mls
            .create_message(&self.stay.provider, &self.stay, bytes)
            .map_err(failed(what))?
            .to_bytes()
            .map_err(failed(what))
    }

    /// Opens an application message, and nothing else: a commit that comes this way is
    /// refused before it is looked at.
    pub(crate) fn decrypt(&mut self, message: &[u8]) -> Result<Application, GroupError> {
        let what = "reading a message";
        let message = MlsMessageIn::tls_deserialize_exact_bytes(message)
            .map_err(failed(what))?
            .try_into_protocol_message()
            .map_err(failed(what))?;
        if message.content_type() != ContentType::Application {
            return Err(impossible(what, "it is another kind of message"));
        }
        let processed = self
            .mls
            .process_message(&self.stay.provider, message)
            .map_err(failed(what))?;
        let Sender::Member(leaf) = *processed.sender() else {
            return Err(impossible(what, "its sender is not a member"));
        };
        let identity = identity(processed.credential())?;
        let ProcessedMessageContent::ApplicationMessage(message) = processed.into_content() else {
            return Err(impossible(what, "it is another kind of message"));
        };
        Ok(Application {
            leaf: leaf_index(leaf)?,
            identity,
            bytes: message.into_bytes(),
        })
    }

    /// A word to someone who knocks.
    pub(crate) fn turn_away(&self, knock: &KnockName) -> Result<Vec<u8>, GroupError> {
        let Stay { room, identity, .. } = &self.stay;
        TurningAway::sign(&self.stay, identity, room, knock)
            .map_err(|error| impossible("signing a word", &format!("{error:?}")))
    }

    /// The group's state, to return to it when a commit is annulled.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.stay.provider.storage().snapshot()
    }

    /// Returns to an earlier state of this group.
    pub(crate) fn roll_back(&mut self, snapshot: Snapshot) -> Result<(), GroupError> {
        let what = "returning to the group's earlier state";
        let storage = self.stay.provider.storage();
        storage.restore(snapshot);
        self.mls = MlsGroup::load(storage, self.mls.group_id())
            .map_err(failed(what))?
            .ok_or_else(|| impossible(what, "it is incomplete"))?;
        Ok(())
    }
}

pub(crate) fn leaf_index(index: LeafNodeIndex) -> Result<LeafIndex, GroupError> {
    LeafIndex::new(index.u32())
        .ok_or_else(|| impossible("finding a place in the group", "it is full"))
}

/// What a credential says.
pub(crate) fn identity(credential: &Credential) -> Result<Identity, GroupError> {
    let what = "reading a credential";
    let basic = BasicCredential::try_from(credential.clone()).map_err(failed(what))?;
    serde_json::from_slice(basic.identity()).map_err(failed(what))
}
