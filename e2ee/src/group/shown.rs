//! Who has signed the state of a group by which somebody comes in.

use conclave_protocol::Epoch;
use openmls::{
    group::MlsGroup,
    messages::group_info::VerifiableGroupInfo,
    prelude::{LeafNodeIndex, tls_codec::Serialize as _, tls_codec::Size as _},
};

use super::{GroupError, impossible, renewal::length};

/// Who has shown this client the group by which it came in, and as of when.
pub(crate) struct Shown {
    pub(crate) epoch: Epoch,
    /// The signature key of their stay, under the group's state (RFC 9420 §12.4.3).
    pub(crate) by: Vec<u8>,
}

impl Shown {
    /// In a group that MLS has accepted, and with it the signature.
    pub(super) fn of(
        epoch: Epoch,
        signer: LeafNodeIndex,
        group: &MlsGroup,
    ) -> Result<Self, GroupError> {
        let mut members = group.members();
        let signer = members.find(|member| member.index == signer);
        let by = signer.map(|member| member.signature_key);
        let by = by.ok_or_else(|| impossible("looking at who shows the group", "nobody does"))?;
        Ok(Self { epoch, by })
    }
}

/// OpenMLS shows the signer in the encoding only: behind the context, the extensions and the
/// confirmation tag (RFC 9420 §12.4.3).
pub(super) fn signer(info: &VerifiableGroupInfo) -> Option<LeafNodeIndex> {
    let bytes = info.tls_serialize_detached().ok()?;
    let before = info.group_context().tls_serialized_len() + info.extensions().tls_serialized_len();
    let mut rest = bytes.get(before..)?;
    let tag = length(&mut rest)?;
    let signer = rest.get(tag..)?.first_chunk()?;
    Some(LeafNodeIndex::new(u32::from_be_bytes(*signer)))
}
