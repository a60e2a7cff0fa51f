//! A member who keeps to MLS and to nothing else: what someone with the link could do with
//! a client of their own.

use conclave_e2ee::{
    DeviceKey, Identity,
    envelope::{Envelope, Kind},
    group::{SUITE, psk_id},
    rules::RULES_EXTENSION,
};
use conclave_protocol::{
    Opaque, ParticipantId,
    signal::{GroupState, Knock, ServerMessage},
};
use openmls::{
    prelude::{
        BasicCredential, Capabilities, CredentialType, CredentialWithKey, Extension, ExtensionType,
        Extensions, ExternalSender, KeyPackage, LeafNodeIndex, LeafNodeParameters, Lifetime,
        MlsGroup, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, OpenMlsProvider as _,
        PreSharedKeyProposal, ProcessedMessageContent, ProtocolVersion,
        RequiredCapabilitiesExtension, UnknownExtension, tls_codec::DeserializeBytes as _,
    },
    schedule::PreSharedKeyId,
};
use openmls_libcrux_crypto::Provider;
use openmls_traits::random::OpenMlsRand as _;

use crate::service::Service;

mod key;

pub(crate) use key::Key;

fn capabilities() -> Capabilities {
    Capabilities::new(
        None,
        Some(&[SUITE]),
        Some(&[ExtensionType::Unknown(RULES_EXTENSION)]),
        None,
        Some(&[CredentialType::Basic]),
    )
}

/// What every member has to know.
fn required() -> Extension {
    let rules = ExtensionType::Unknown(RULES_EXTENSION);
    Extension::RequiredCapabilities(RequiredCapabilitiesExtension::new(&[rules], &[], &[]))
}

/// The pre-shared keys that an external commit claims: id and bytes.
pub(crate) type ClaimedKeys = Vec<(Vec<u8>, [u8; 32])>;

/// The link's key, as everybody with the link has it.
pub(crate) fn link_key(service: &Service) -> (Vec<u8>, [u8; 32]) {
    let keys = service.secret.keys(&service.room);
    (psk_id(&service.room, &keys), *keys.psk.as_bytes())
}

pub(crate) fn envelope(service: &Service) -> Envelope {
    Envelope::new(&service.secret.keys(&service.room), service.room.clone())
}

pub(crate) struct RawMember {
    key: Key,
    pub(crate) id: ParticipantId,
    pub(crate) group: MlsGroup,
}

/// A sealed commit and the sealed group after it.
pub(crate) struct RawCommit {
    pub(crate) commit: Opaque,
    pub(crate) group_info: Opaque,
}

impl RawMember {
    /// Makes an external commit with the claimed keys, and does not send it.
    pub(crate) fn knock(
        service: &Service,
        id: ParticipantId,
        name: &str,
        keys: ClaimedKeys,
    ) -> (Self, RawCommit) {
        let state = service.group.clone().expect("there is a group");
        Self::knock_on(service, &state, id, name, keys)
    }

    fn knock_on(
        service: &Service,
        state: &GroupState,
        id: ParticipantId,
        name: &str,
        keys: ClaimedKeys,
    ) -> (Self, RawCommit) {
        Self::knock_on_device(service, state, id, name, Key::new(), keys)
    }

    fn knock_on_device(
        service: &Service,
        state: &GroupState,
        id: ParticipantId,
        name: &str,
        key: Key,
        keys: ClaimedKeys,
    ) -> (Self, RawCommit) {
        let identity = key.identity(&service.room, id, name);
        Self::knock_with(service, state, id, key, &identity, keys)
    }

    /// Comes in by an external commit that keeps to everything but the call's rules, with a
    /// device of one's choice.
    pub(crate) fn barge_in(service: &Service, id: ParticipantId, key: Key) -> RawCommit {
        let state = service.group.clone().expect("there is a group");
        let keys = vec![link_key(service)];
        Self::knock_on_device(service, &state, id, "Mallory", key, keys).1
    }

    fn knock_with(
        service: &Service,
        state: &GroupState,
        id: ParticipantId,
        key: Key,
        identity: &Identity,
        keys: ClaimedKeys,
    ) -> (Self, RawCommit) {
        let envelope = envelope(service);
        let bytes = envelope.open(Kind::GroupInfo, &state.group_info).unwrap();
        let message = MlsMessageIn::tls_deserialize_exact_bytes(&bytes).unwrap();
        let MlsMessageBodyIn::GroupInfo(info) = message.extract() else {
            panic!("not a GroupInfo");
        };
        let provider = &key.provider;
        let proposals: Vec<_> = keys
            .into_iter()
            .map(|(psk_id, psk)| {
                let nonce = provider.rand().random_vec(SUITE.hash_length()).unwrap();
                let id = PreSharedKeyId::external(psk_id, nonce);
                id.store(provider, &psk).unwrap();
                PreSharedKeyProposal::new(id)
            })
            .collect();
        let leaf = LeafNodeParameters::builder()
            .with_capabilities(capabilities())
            .build();
        let (group, bundle) = MlsGroup::external_commit_builder()
            .build_group(provider, info, key.credential(identity))
            .unwrap()
            .add_psk_proposals(proposals)
            .leaf_node_parameters(leaf)
            .load_psks(provider.storage())
            .unwrap()
            .build(provider.rand(), provider.crypto(), &key, |_| true)
            .unwrap()
            .finalize(provider)
            .unwrap();
        let commit = envelope
            .seal(Kind::Commit, &bundle.commit().to_bytes().unwrap())
            .unwrap();
        let member = Self { key, id, group };
        let group_info = member.group_info(service);
        (member, RawCommit { commit, group_info })
    }

    /// Joins as everybody does, and is in the group afterwards.
    pub(crate) fn join(service: &mut Service, name: &str) -> Self {
        let id = service.announce();
        let (member, raw) = Self::knock(service, id, name, vec![link_key(service)]);
        service.submit(id, raw);
        service.settle();
        member
    }

    /// `MLS-Exporter(label, "", 16)` (RFC 9420 §8.5).
    pub(crate) fn export(&self, label: &str) -> Vec<u8> {
        let crypto = self.key.provider.crypto();
        self.group.export_secret(crypto, label, &[], 16).unwrap()
    }

    pub(crate) fn group_info(&self, service: &Service) -> Opaque {
        let info = self
            .group
            .export_group_info(self.key.provider.crypto(), &self.key, true)
            .unwrap();
        envelope(service)
            .seal(Kind::GroupInfo, &info.to_bytes().unwrap())
            .unwrap()
    }

    /// Any commit at all. The group after it is left as it was before: nobody will need it.
    fn commit_with(
        &mut self,
        service: &Service,
        add: impl for<'a> FnOnce(Builder<'a>, &'a Provider) -> Builder<'a>,
    ) -> RawCommit {
        let group_info = self.group_info(service);
        let provider = &self.key.provider;
        let builder = add(
            self.group.commit_builder().force_self_update(true),
            provider,
        );
        let (commit, ..) = builder
            .load_psks(provider.storage())
            .unwrap()
            .build(provider.rand(), provider.crypto(), &self.key, |_| true)
            .unwrap()
            .stage_commit(provider)
            .unwrap()
            .into_messages();
        let commit = envelope(service)
            .seal(Kind::Commit, &commit.to_bytes().unwrap())
            .unwrap();
        RawCommit { commit, group_info }
    }

    /// Brings in someone by a KeyPackage, with these pre-shared keys. What the newcomer
    /// would get comes too.
    pub(crate) fn admit(
        &mut self,
        service: &Service,
        key_packages: Vec<KeyPackage>,
        keys: ClaimedKeys,
    ) -> (RawCommit, Opaque) {
        let group_info = self.group_info(service);
        let provider = &self.key.provider;
        let proposals: Vec<_> = keys
            .into_iter()
            .map(|(psk_id, psk)| {
                let nonce = provider.rand().random_vec(SUITE.hash_length()).unwrap();
                let id = PreSharedKeyId::external(psk_id, nonce);
                id.store(provider, &psk).unwrap();
                psk_proposal(id)
            })
            .collect();
        let (commit, welcome, _) = self
            .group
            .commit_builder()
            .propose_adds(key_packages)
            .add_proposals(proposals)
            .load_psks(provider.storage())
            .unwrap()
            .use_ratchet_tree_extension(true)
            .build(provider.rand(), provider.crypto(), &self.key, |_| true)
            .unwrap()
            .stage_commit(provider)
            .unwrap()
            .into_messages();
        let seal = |kind, message: openmls::prelude::MlsMessageOut| {
            let bytes = message.to_bytes().unwrap();
            envelope(service).seal(kind, &bytes).unwrap()
        };
        let commit = seal(Kind::Commit, commit);
        let welcome = seal(Kind::Welcome, welcome.expect("somebody is brought in"));
        (RawCommit { commit, group_info }, welcome)
    }

    /// Comes in with a credential of its own making.
    pub(crate) fn knock_as(
        service: &Service,
        id: ParticipantId,
        credential: impl FnOnce(&Identity) -> Identity,
    ) -> RawCommit {
        let state = service.group.clone().expect("there is a group");
        let key = Key::new();
        let identity = credential(&key.identity(&service.room, id, "Mallory"));
        let keys = vec![link_key(service)];
        Self::knock_with(service, &state, id, key, &identity, keys).1
    }

    /// Exchanges the key in its leaf, for which its device has not vouched.
    pub(crate) fn change_key(&mut self, service: &Service) -> RawCommit {
        let group_info = self.group_info(service);
        let next = Key::new();
        let credential = self.group.credential().unwrap().clone();
        let signer = openmls::prelude::NewSignerBundle {
            signer: &next,
            credential_with_key: CredentialWithKey {
                credential,
                signature_key: next.public.clone().into(),
            },
        };
        let provider = &self.key.provider;
        let (commit, ..) = self
            .group
            .commit_builder()
            .load_psks(provider.storage())
            .unwrap()
            .build_with_new_signer(
                provider.rand(),
                provider.crypto(),
                &self.key,
                signer,
                |_| true,
            )
            .unwrap()
            .stage_commit(provider)
            .unwrap()
            .into_messages();
        let commit = envelope(service)
            .seal(Kind::Commit, &commit.to_bytes().unwrap())
            .unwrap();
        RawCommit { commit, group_info }
    }

    /// Founds a group of its own, in the same room and with whatever keys.
    pub(crate) fn found_apart(service: &mut Service, name: &str) -> Self {
        let key = Key::new();
        let rules = founders_rules(&key.device());
        Self::found_under(service, name, key, &rules)
    }

    /// The same, with a device and rules of one's choice.
    pub(crate) fn found_under(service: &mut Service, name: &str, key: Key, rules: &str) -> Self {
        let id = service.announce();
        let identity = key.identity(&service.room, id, name);
        let rules = UnknownExtension(rules.as_bytes().to_vec());
        let rules = Extension::Unknown(RULES_EXTENSION, rules);
        let group = MlsGroup::builder()
            .ciphersuite(SUITE)
            .with_capabilities(capabilities())
            .with_group_context_extensions(Extensions::from_vec(vec![required(), rules]).unwrap())
            .build(&key.provider, &key, key.credential(&identity))
            .unwrap();
        Self { key, id, group }
    }

    pub(crate) fn remove(&mut self, service: &Service, leaf: u32) -> RawCommit {
        self.remove_all(service, &[leaf])
    }

    pub(crate) fn remove_all(&mut self, service: &Service, leaves: &[u32]) -> RawCommit {
        let leaves = leaves.iter().map(|leaf| LeafNodeIndex::new(*leaf));
        self.commit_with(service, |builder, _| builder.propose_removals(leaves))
    }

    /// Lets an outsider propose things, by an extension of the group.
    pub(crate) fn change_extensions(&mut self, service: &Service) -> RawCommit {
        let outsider = Key::new();
        let sender = ExternalSender::new(
            outsider.public.clone().into(),
            BasicCredential::new(b"outsider".to_vec()).into(),
        );
        let rules = UnknownExtension(self.rules().into_bytes());
        let rules = Extension::Unknown(RULES_EXTENSION, rules);
        let senders = Extension::ExternalSenders(vec![sender]);
        let extensions = Extensions::from_vec(vec![required(), rules, senders]).unwrap();
        self.commit_with(service, |builder, _| {
            builder
                .propose_group_context_extensions(extensions)
                .unwrap()
        })
    }

    /// The rules of the call, as the group's context has them.
    pub(crate) fn rules(&self) -> String {
        let rules = self.group.extensions().unknown(RULES_EXTENSION);
        String::from_utf8(rules.expect("there are rules").0.clone()).unwrap()
    }

    /// The same rules, with this member's device among the hosts.
    pub(crate) fn rules_with_host(&self) -> String {
        let credential = BasicCredential::try_from(self.group.credential().unwrap().clone());
        let credential = credential.unwrap();
        let identity: Identity = serde_json::from_slice(credential.identity()).unwrap();
        let hosts = format!(r#""hosts":["{}","#, identity.device.key);
        self.rules().replace(r#""hosts":["#, &hosts)
    }

    /// Puts these rules in the place of those that are.
    pub(crate) fn change_rules(&mut self, service: &Service, rules: &str) -> RawCommit {
        let rules = UnknownExtension(rules.as_bytes().to_vec());
        let extension = Extension::Unknown(RULES_EXTENSION, rules);
        let extensions = Extensions::from_vec(vec![required(), extension]).unwrap();
        self.commit_with(service, |builder, _| {
            builder
                .propose_group_context_extensions(extensions)
                .unwrap()
        })
    }

    /// Follows the group to where the others are.
    pub(crate) fn follow(&mut self, service: &Service) {
        for commit in &service.commits {
            let ServerMessage::Committed { epoch, commit, .. } = commit else {
                continue;
            };
            if epoch.get() != self.group.epoch().as_u64() + 1 {
                continue;
            }
            let bytes = envelope(service).open(Kind::Commit, commit).unwrap();
            let message = MlsMessageIn::tls_deserialize_exact_bytes(&bytes).unwrap();
            let message = message.try_into_protocol_message().unwrap();
            let provider = &self.key.provider;
            let processed = self.group.process_message(provider, message).unwrap();
            let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content()
            else {
                panic!("not a commit");
            };
            self.group.merge_staged_commit(provider, *staged).unwrap();
        }
    }

    /// Goes on by its own commit, which the others took.
    pub(crate) fn merge_own(&mut self) {
        self.group.merge_pending_commit(&self.key.provider).unwrap();
    }

    /// Says something that no client of ours would.
    pub(crate) fn say(&mut self, service: &Service, text: &str) -> Opaque {
        let Key { provider, .. } = &self.key;
        let message = self
            .group
            .create_message(provider, &self.key, text.as_bytes());
        let bytes = message.unwrap().to_bytes().unwrap();
        envelope(service).seal(Kind::Message, &bytes).unwrap()
    }

    /// Forgets the commit that was refused.
    pub(crate) fn forget(&mut self) {
        let storage = self.key.provider.storage();
        self.group.clear_pending_commit(storage).unwrap();
    }

    /// Becomes somebody else.
    pub(crate) fn rename(&mut self, service: &Service, name: &str) -> RawCommit {
        let identity = self.key.identity(&service.room, self.id, name);
        let leaf = LeafNodeParameters::builder()
            .with_credential_with_key(self.key.credential(&identity))
            .build();
        self.commit_with(service, |builder, _| builder.leaf_node_parameters(leaf))
    }

    /// Mixes a key into the group that is not the link's.
    pub(crate) fn mix_in(&mut self, service: &Service) -> RawCommit {
        self.commit_with(service, |builder, provider| {
            let nonce = provider.rand().random_vec(SUITE.hash_length()).unwrap();
            let id = PreSharedKeyId::external(link_key(service).0, nonce);
            builder.add_proposal(psk_proposal(id))
        })
    }

    /// A commit that only brings new keys.
    pub(crate) fn refresh(&mut self, service: &Service) -> RawCommit {
        self.commit_with(service, |builder, _| builder)
    }

    /// A proposal on its own, dressed as a commit.
    pub(crate) fn propose_removal(&mut self, service: &Service, leaf: u32) -> RawCommit {
        let group_info = self.group_info(service);
        let (message, _) = self
            .group
            .propose_remove_member(&self.key.provider, &self.key, LeafNodeIndex::new(leaf))
            .unwrap();
        let commit = envelope(service)
            .seal(Kind::Commit, &message.to_bytes().unwrap())
            .unwrap();
        RawCommit { commit, group_info }
    }

    /// Whether it can read an application message.
    pub(crate) fn can_read(&mut self, service: &Service, message: &Opaque) -> bool {
        let bytes = envelope(service).open(Kind::Message, message).unwrap();
        let message = MlsMessageIn::tls_deserialize_exact_bytes(&bytes).unwrap();
        let message = message.try_into_protocol_message().unwrap();
        self.group
            .process_message(&self.key.provider, message)
            .is_ok_and(|processed| {
                matches!(
                    processed.into_content(),
                    ProcessedMessageContent::ApplicationMessage(_)
                )
            })
    }
}

fn founders_rules(host: &DeviceKey) -> String {
    format!(r#"{{"hosts":["{host}"],"door":"open","barred":[],"link":0}}"#)
}

/// The KeyPackage of someone without a client of ours.
pub(crate) fn ghost(service: &Service, id: ParticipantId, name: &str) -> KeyPackage {
    let ghost = Key::new();
    let identity = ghost.identity(&service.room, id, name);
    package(&ghost, &identity)
}

fn package(key: &Key, identity: &Identity) -> KeyPackage {
    package_for(key, identity, Lifetime::init(0, u64::MAX))
}

fn package_for(key: &Key, identity: &Identity, lifetime: Lifetime) -> KeyPackage {
    let package = KeyPackage::builder()
        .leaf_node_capabilities(capabilities())
        .key_package_lifetime(lifetime)
        .build(SUITE, &key.provider, key, key.credential(identity))
        .unwrap();
    package.key_package().clone()
}

/// Someone with the link knocks with a device that vouches for another stay than theirs.
pub(crate) fn unproven_knock(service: &Service, participant: ParticipantId, name: &str) -> Knock {
    let identity = Key::new().identity(&service.room, participant, name);
    seal_knock(service, participant, package(&Key::new(), &identity))
}

/// Someone with the link knocks, with a KeyPackage that is valid for so many seconds from now on,
/// or always.
pub(crate) fn raw_knock(
    service: &Service,
    participant: ParticipantId,
    name: &str,
    seconds: Option<u64>,
) -> Knock {
    let key = Key::new();
    let identity = key.identity(&service.room, participant, name);
    let lifetime = seconds.map_or(Lifetime::init(0, u64::MAX), Lifetime::new);
    seal_knock(service, participant, package_for(&key, &identity, lifetime))
}

fn seal_knock(service: &Service, participant: ParticipantId, package: KeyPackage) -> Knock {
    let bytes = MlsMessageOut::from(package).to_bytes().unwrap();
    let key_package = envelope(service).seal(Kind::KeyPackage, &bytes).unwrap();
    Knock {
        participant,
        key_package,
    }
}

/// What someone who knocks has sealed.
pub(crate) fn knocked(service: &Service, knock: &Knock) -> KeyPackage {
    let bytes = envelope(service)
        .open(Kind::KeyPackage, &knock.key_package)
        .unwrap();
    let message = MlsMessageIn::tls_deserialize_exact_bytes(&bytes).unwrap();
    let MlsMessageBodyIn::KeyPackage(package) = message.extract() else {
        panic!("not a KeyPackage");
    };
    let crypto = Provider::new().unwrap();
    package
        .validate(crypto.crypto(), ProtocolVersion::Mls10)
        .unwrap()
}

type Builder<'a> = openmls::group::CommitBuilder<'a, openmls::group::Initial, &'a mut MlsGroup>;

/// The library has no public way to make one but in an external commit.
fn psk_proposal(id: PreSharedKeyId) -> openmls::prelude::Proposal {
    openmls::prelude::Proposal::PreSharedKey(Box::new(PreSharedKeyProposal::new(id)))
}
