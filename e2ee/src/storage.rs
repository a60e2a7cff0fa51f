//! Where MLS keeps a group's state: in memory, for one stay in a call.
//!
//! A commit makes MLS write nearly all it has, tree and message secrets included. OpenMLS'
//! own memory storage writes JSON, which was half of what a member's work on a commit cost;
//! this one writes postcard, a byte for a byte. Values are shared, not copied, when the
//! state is kept aside for a while ([`Storage::snapshot`]), and wiped when nobody has
//! them any more.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::{
    OpenMlsProvider,
    storage::{CURRENT_VERSION, StorageProvider, traits},
    types::CryptoError,
};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// Why a value could not be kept or given back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// A value has no compact form, or what was kept is none of its kind.
    #[error("a part of the group's state cannot be encoded: {0}")]
    Encoding(#[from] postcard::Error),
    /// The same, of the group's settings.
    #[error("the group's settings cannot be encoded: {0}")]
    Settings(#[from] serde_json::Error),
}

/// What kind of thing a value is. With the key that MLS gives, it is its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Settings,
    OwnLeafNodes,
    ProposalRefs,
    Proposal,
    Tree,
    TranscriptHash,
    Context,
    ConfirmationTag,
    State,
    MessageSecrets,
    ResumptionPsks,
    OwnLeafIndex,
    EpochSecrets,
    SignatureKeys,
    EncryptionKeys,
    EpochKeys,
    KeyPackage,
    Psk,
}

type Address = (Kind, Vec<u8>);
type Values = HashMap<Address, Arc<Zeroizing<Vec<u8>>>>;

/// The whole state at one moment.
pub(crate) struct Snapshot(Values);

/// A group's state.
#[derive(Default)]
pub(crate) struct Storage {
    values: RwLock<Values>,
}

impl Storage {
    /// The state as it is now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.read(Values::clone))
    }

    /// Makes the state what it was.
    pub(crate) fn restore(&self, snapshot: Snapshot) {
        self.write(|values| *values = snapshot.0);
    }

    // Nothing that holds the lock can panic halfway through a change.

    fn read<T>(&self, look: impl FnOnce(&Values) -> T) -> T {
        look(&self.values.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Values) -> T) -> T {
        change(&mut self.values.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, kind: Kind, key: Vec<u8>, value: Vec<u8>) {
        self.write(|values| values.insert((kind, key), Arc::new(Zeroizing::new(value))));
    }

    fn get(&self, kind: Kind, key: Vec<u8>) -> Option<Arc<Zeroizing<Vec<u8>>>> {
        self.read(|values| values.get(&(kind, key)).cloned())
    }

    fn delete(&self, kind: Kind, key: Vec<u8>) {
        self.write(|values| values.remove(&(kind, key)));
    }

    fn list<T: DeserializeOwned>(&self, kind: Kind, key: Vec<u8>) -> Result<Vec<T>, StorageError> {
        let value = self.get(kind, key);
        value.map_or_else(|| Ok(Vec::new()), |value| decode(&value))
    }
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, StorageError> {
    Ok(postcard::to_allocvec(value)?)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StorageError> {
    Ok(postcard::from_bytes(bytes)?)
}

/// A value of its own under each key: `kind: key => value; write, read, delete`. The order
/// of the types is the trait's.
macro_rules! single {
    ($($kind:ident: $key:ident;
        $write:ident<$w1:ident, $w2:ident>($value:ident),
        $read:ident<$r1:ident, $r2:ident>,
        $delete:ident;)*) => {$(
        fn $write<$w1: traits::$w1<CURRENT_VERSION>, $w2: traits::$w2<CURRENT_VERSION>>(
            &self,
            key: &$key,
            value: &$value,
        ) -> Result<(), StorageError> {
            self.put(Kind::$kind, encode(key)?, encode(value)?);
            Ok(())
        }

        fn $read<$r1: traits::$r1<CURRENT_VERSION>, $r2: traits::$r2<CURRENT_VERSION>>(
            &self,
            key: &$key,
        ) -> Result<Option<$value>, StorageError> {
            let value = self.get(Kind::$kind, encode(key)?);
            value.map(|value| decode(&value)).transpose()
        }

        fn $delete<$key: traits::$key<CURRENT_VERSION>>(
            &self,
            key: &$key,
        ) -> Result<(), StorageError> {
            self.delete(Kind::$kind, encode(key)?);
            Ok(())
        }
    )*};
}

impl StorageProvider<CURRENT_VERSION> for Storage {
    type Error = StorageError;

    single! {
        Tree: GroupId;
            write_tree<GroupId, TreeSync>(TreeSync), tree<GroupId, TreeSync>, delete_tree;
        TranscriptHash: GroupId;
            write_interim_transcript_hash<GroupId, InterimTranscriptHash>(InterimTranscriptHash),
            interim_transcript_hash<GroupId, InterimTranscriptHash>,
            delete_interim_transcript_hash;
        Context: GroupId;
            write_context<GroupId, GroupContext>(GroupContext),
            group_context<GroupId, GroupContext>,
            delete_context;
        ConfirmationTag: GroupId;
            write_confirmation_tag<GroupId, ConfirmationTag>(ConfirmationTag),
            confirmation_tag<GroupId, ConfirmationTag>,
            delete_confirmation_tag;
        State: GroupId;
            write_group_state<GroupState, GroupId>(GroupState),
            group_state<GroupState, GroupId>,
            delete_group_state;
        MessageSecrets: GroupId;
            write_message_secrets<GroupId, MessageSecrets>(MessageSecrets),
            message_secrets<GroupId, MessageSecrets>,
            delete_message_secrets;
        ResumptionPsks: GroupId;
            write_resumption_psk_store<GroupId, ResumptionPskStore>(ResumptionPskStore),
            resumption_psk_store<GroupId, ResumptionPskStore>,
            delete_all_resumption_psk_secrets;
        OwnLeafIndex: GroupId;
            write_own_leaf_index<GroupId, LeafNodeIndex>(LeafNodeIndex),
            own_leaf_index<GroupId, LeafNodeIndex>,
            delete_own_leaf_index;
        EpochSecrets: GroupId;
            write_group_epoch_secrets<GroupId, GroupEpochSecrets>(GroupEpochSecrets),
            group_epoch_secrets<GroupId, GroupEpochSecrets>,
            delete_group_epoch_secrets;
        SignatureKeys: SignaturePublicKey;
            write_signature_key_pair<SignaturePublicKey, SignatureKeyPair>(SignatureKeyPair),
            signature_key_pair<SignaturePublicKey, SignatureKeyPair>,
            delete_signature_key_pair;
        EncryptionKeys: EncryptionKey;
            write_encryption_key_pair<EncryptionKey, HpkeKeyPair>(HpkeKeyPair),
            encryption_key_pair<HpkeKeyPair, EncryptionKey>,
            delete_encryption_key_pair;
        KeyPackage: HashReference;
            write_key_package<HashReference, KeyPackage>(KeyPackage),
            key_package<HashReference, KeyPackage>,
            delete_key_package;
        Psk: PskId;
            write_psk<PskId, PskBundle>(PskBundle), psk<PskBundle, PskId>, delete_psk;
    }

    // Some of the settings tell their form only by what is in them, which takes a format
    // that describes itself.

    fn write_mls_join_config<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        Settings: traits::MlsGroupJoinConfig<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
        settings: &Settings,
    ) -> Result<(), StorageError> {
        self.put(
            Kind::Settings,
            encode(group)?,
            serde_json::to_vec(settings)?,
        );
        Ok(())
    }

    fn mls_group_join_config<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        Settings: traits::MlsGroupJoinConfig<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
    ) -> Result<Option<Settings>, StorageError> {
        let settings = self.get(Kind::Settings, encode(group)?);
        let settings = settings.map(|settings| serde_json::from_slice(&settings));
        Ok(settings.transpose()?)
    }

    fn delete_group_config<GroupId: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group: &GroupId,
    ) -> Result<(), StorageError> {
        self.delete(Kind::Settings, encode(group)?);
        Ok(())
    }

    fn append_own_leaf_node<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        LeafNode: traits::LeafNode<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
        leaf: &LeafNode,
    ) -> Result<(), StorageError> {
        let key = encode(group)?;
        let mut leaves: Vec<Vec<u8>> = self.list(Kind::OwnLeafNodes, key.clone())?;
        leaves.push(encode(leaf)?);
        self.put(Kind::OwnLeafNodes, key, encode(&leaves)?);
        Ok(())
    }

    fn own_leaf_nodes<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        LeafNode: traits::LeafNode<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
    ) -> Result<Vec<LeafNode>, StorageError> {
        let leaves: Vec<Vec<u8>> = self.list(Kind::OwnLeafNodes, encode(group)?)?;
        leaves.iter().map(|leaf| decode(leaf)).collect()
    }

    fn delete_own_leaf_nodes<GroupId: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group: &GroupId,
    ) -> Result<(), StorageError> {
        self.delete(Kind::OwnLeafNodes, encode(group)?);
        Ok(())
    }

    fn queue_proposal<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        ProposalRef: traits::ProposalRef<CURRENT_VERSION>,
        QueuedProposal: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
        reference: &ProposalRef,
        proposal: &QueuedProposal,
    ) -> Result<(), StorageError> {
        let (group, reference) = (encode(group)?, encode(reference)?);
        let mut references: Vec<Vec<u8>> = self.list(Kind::ProposalRefs, group.clone())?;
        self.put(
            Kind::Proposal,
            encode(&(&group, &reference))?,
            encode(proposal)?,
        );
        references.push(reference);
        self.put(Kind::ProposalRefs, group, encode(&references)?);
        Ok(())
    }

    fn queued_proposal_refs<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        ProposalRef: traits::ProposalRef<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
    ) -> Result<Vec<ProposalRef>, StorageError> {
        let references: Vec<Vec<u8>> = self.list(Kind::ProposalRefs, encode(group)?)?;
        references.iter().map(|it| decode(it)).collect()
    }

    fn queued_proposals<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        ProposalRef: traits::ProposalRef<CURRENT_VERSION>,
        QueuedProposal: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
    ) -> Result<Vec<(ProposalRef, QueuedProposal)>, StorageError> {
        let group = encode(group)?;
        let references: Vec<Vec<u8>> = self.list(Kind::ProposalRefs, group.clone())?;
        let mut proposals = Vec::new();
        for reference in &references {
            let key = encode(&(&group, reference))?;
            if let Some(proposal) = self.get(Kind::Proposal, key) {
                proposals.push((decode(reference)?, decode(&proposal)?));
            }
        }
        Ok(proposals)
    }

    fn remove_proposal<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        ProposalRef: traits::ProposalRef<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
        reference: &ProposalRef,
    ) -> Result<(), StorageError> {
        let (group, reference) = (encode(group)?, encode(reference)?);
        let mut references: Vec<Vec<u8>> = self.list(Kind::ProposalRefs, group.clone())?;
        references.retain(|known| *known != reference);
        self.delete(Kind::Proposal, encode(&(&group, &reference))?);
        self.put(Kind::ProposalRefs, group, encode(&references)?);
        Ok(())
    }

    fn clear_proposal_queue<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        ProposalRef: traits::ProposalRef<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
    ) -> Result<(), StorageError> {
        let group = encode(group)?;
        let references: Vec<Vec<u8>> = self.list(Kind::ProposalRefs, group.clone())?;
        for reference in &references {
            self.delete(Kind::Proposal, encode(&(&group, reference))?);
        }
        self.delete(Kind::ProposalRefs, group);
        Ok(())
    }

    fn write_encryption_epoch_key_pairs<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        EpochKey: traits::EpochKey<CURRENT_VERSION>,
        HpkeKeyPair: traits::HpkeKeyPair<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
        epoch: &EpochKey,
        leaf: u32,
        pairs: &[HpkeKeyPair],
    ) -> Result<(), StorageError> {
        let key = encode(&(group, epoch, leaf))?;
        self.put(Kind::EpochKeys, key, encode(pairs)?);
        Ok(())
    }

    fn encryption_epoch_key_pairs<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        EpochKey: traits::EpochKey<CURRENT_VERSION>,
        HpkeKeyPair: traits::HpkeKeyPair<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
        epoch: &EpochKey,
        leaf: u32,
    ) -> Result<Vec<HpkeKeyPair>, StorageError> {
        self.list(Kind::EpochKeys, encode(&(group, epoch, leaf))?)
    }

    fn delete_encryption_epoch_key_pairs<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        EpochKey: traits::EpochKey<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
        epoch: &EpochKey,
        leaf: u32,
    ) -> Result<(), StorageError> {
        self.delete(Kind::EpochKeys, encode(&(group, epoch, leaf))?);
        Ok(())
    }
}

/// Cryptography and storage of one stay in a group.
pub(crate) struct Provider {
    crypto: CryptoProvider,
    storage: Storage,
}

impl Provider {
    pub(crate) fn new() -> Result<Self, CryptoError> {
        Ok(Self {
            crypto: CryptoProvider::new()?,
            storage: Storage::default(),
        })
    }
}

impl OpenMlsProvider for Provider {
    type CryptoProvider = CryptoProvider;
    type RandProvider = CryptoProvider;
    type StorageProvider = Storage;

    fn storage(&self) -> &Storage {
        &self.storage
    }

    fn crypto(&self) -> &CryptoProvider {
        &self.crypto
    }

    fn rand(&self) -> &CryptoProvider {
        &self.crypto
    }
}
