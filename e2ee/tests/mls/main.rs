//! The MLS library as this crate uses it, against the working group's test vectors: entering by a
//! Welcome with pre-shared keys, and following the commits of others. (What each step derives
//! shows in the epoch's authenticator; the single steps are not public in OpenMLS.)
//!
//! The files are extracts, cipher suite 1 of each kind, of `test-vectors` in
//! <https://github.com/mlswg/mls-implementations> at cfd4502. There are none for our suite.
//! That repository states no licence; they are contributions to the IETF (BCP 78).

#![allow(clippy::unwrap_used, reason = "these are tests")]

use openmls::{
    prelude::{
        JoinBuilder, KeyPackageBundle, MIXED_CIPHERTEXT_WIRE_FORMAT_POLICY, MlsGroup,
        MlsGroupJoinConfig, MlsMessageBodyIn, MlsMessageIn, OpenMlsProvider as _,
        ProcessedMessageContent, ProcessedWelcome, RatchetTreeIn, tls_codec::DeserializeBytes as _,
    },
    schedule::PreSharedKeyId,
};
use openmls_libcrux_crypto::Provider;
use openmls_traits::{storage::StorageProvider as _, types::HpkePrivateKey};
use serde::Deserialize;
use serde_json::json;

/// Bytes that are hexadecimal in the files.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(text).map(Self)
    }
}

#[derive(Deserialize)]
struct Key {
    psk_id: Hex,
    psk: Hex,
}

#[derive(Deserialize)]
struct Step {
    proposals: Vec<Hex>,
    commit: Hex,
    epoch_authenticator: Hex,
}

#[derive(Deserialize)]
struct Vector {
    external_psks: Vec<Key>,
    key_package: Hex,
    encryption_priv: Hex,
    init_priv: Hex,
    welcome: Hex,
    ratchet_tree: Option<Hex>,
    initial_epoch_authenticator: Hex,
    epochs: Vec<Step>,
}

fn read(json: &str) -> Vec<Vector> {
    let vectors: Vec<Vector> = serde_json::from_str(json).unwrap();
    assert!(!vectors.is_empty());
    vectors
}

fn message(bytes: &Hex) -> MlsMessageIn {
    MlsMessageIn::tls_deserialize_exact_bytes(&bytes.0).unwrap()
}

/// What makes this provider the client that the vector is about.
fn remember(provider: &Provider, vector: &Vector) {
    let MlsMessageBodyIn::KeyPackage(package) = message(&vector.key_package).extract() else {
        panic!("not a KeyPackage");
    };
    // Only in its stored form can a bundle be made from keys of one's own, and from a KeyPackage
    // whose lifetime is over.
    let bundle = json!({
        "key_package": package,
        "private_init_key": HpkePrivateKey::from(vector.init_priv.0.clone()),
        "private_encryption_key": {
            "key": HpkePrivateKey::from(vector.encryption_priv.0.clone()),
        },
    });
    let bundle: KeyPackageBundle = serde_json::from_value(bundle).unwrap();
    let reference = bundle.key_package().hash_ref(provider.crypto()).unwrap();
    provider
        .storage()
        .write_key_package(&reference, &bundle)
        .unwrap();
    for key in &vector.external_psks {
        PreSharedKeyId::external(key.psk_id.0.clone(), Vec::new())
            .store(provider, &key.psk.0)
            .unwrap();
    }
}

/// The group and how many pre-shared keys its Welcome names.
fn enter(provider: &Provider, vector: &Vector) -> (MlsGroup, usize) {
    let MlsMessageBodyIn::Welcome(welcome) = message(&vector.welcome).extract() else {
        panic!("not a Welcome");
    };
    let config = MlsGroupJoinConfig::builder()
        .wire_format_policy(MIXED_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(true)
        // Some of the commits mix in a key of the epoch before; ours never do.
        .number_of_resumption_psks(2)
        .build();
    let welcome = ProcessedWelcome::new_from_welcome(provider, &config, welcome).unwrap();
    let named = welcome.psks().len();
    // As the crate does.
    let mut joining = JoinBuilder::new(provider, welcome).skip_lifetime_validation();
    if let Some(tree) = &vector.ratchet_tree {
        joining =
            joining.with_ratchet_tree(RatchetTreeIn::tls_deserialize_exact_bytes(&tree.0).unwrap());
    }
    let group = joining.build().unwrap().into_group(provider).unwrap();
    (group, named)
}

fn follow(provider: &Provider, group: &mut MlsGroup, bytes: &Hex) {
    let message = message(bytes).try_into_protocol_message().unwrap();
    let processed = group.process_message(provider, message).unwrap();
    match processed.into_content() {
        ProcessedMessageContent::ProposalMessage(proposal) => group
            .store_pending_proposal(provider.storage(), *proposal)
            .unwrap(),
        ProcessedMessageContent::StagedCommitMessage(commit) => {
            group.merge_staged_commit(provider, *commit).unwrap();
        }
        _ => panic!("neither a proposal nor a commit"),
    }
}

/// Plays a vector to its end.
fn play(vector: &Vector) -> usize {
    let provider = Provider::new().unwrap();
    remember(&provider, vector);
    let (mut group, named) = enter(&provider, vector);
    let authenticator = |group: &MlsGroup| hex::encode(group.epoch_authenticator().as_slice());
    assert_eq!(
        authenticator(&group),
        hex::encode(&vector.initial_epoch_authenticator.0)
    );
    for step in &vector.epochs {
        for proposal in &step.proposals {
            follow(&provider, &mut group, proposal);
        }
        follow(&provider, &mut group, &step.commit);
        assert_eq!(
            authenticator(&group),
            hex::encode(&step.epoch_authenticator.0)
        );
    }
    named
}

#[test]
fn a_welcome_is_entered_with_and_without_a_pre_shared_key() {
    let vectors = read(include_str!("passive-client-welcome.json"));
    let named: Vec<usize> = vectors.iter().map(play).collect();
    assert_eq!(named, [0, 1, 0, 1]);
}

#[test]
fn the_commits_of_others_are_followed() {
    for vector in read(include_str!("passive-client-handling-commit.json")) {
        assert_eq!(vector.epochs.len(), 2);
        play(&vector);
    }
}
