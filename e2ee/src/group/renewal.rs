//! A member's own commits that only bring new keys, and the tree that they fill.

use openmls::prelude::{
    OpenMlsProvider as _,
    tls_codec::{Serialize as _, Size as _},
};
use openmls::treesync::RatchetTree;

use super::{CARRIED_UP_TO, Group, GroupError, NewEpoch, failed, impossible};
use crate::tree::{Parent, TreeShape};

impl Group {
    /// Makes a commit without proposals: new keys from this client's leaf to the root. It is
    /// pending until it is merged or discarded.
    pub(crate) fn renew(&mut self) -> Result<NewEpoch, GroupError> {
        let what = "renewing our keys";
        let is_small = self.mls.members().count() <= CARRIED_UP_TO;
        let provider = &self.stay.provider;
        let (commit, _, group_info) = self
            .mls
            .commit_builder()
            .force_self_update(true)
            .load_psks(provider.storage())
            .map_err(failed(what))?
            .use_ratchet_tree_extension(true)
            .create_group_info(is_small)
            .build(provider.rand(), provider.crypto(), &self.stay, |_| true)
            .map_err(failed(what))?
            .stage_commit(provider)
            .map_err(failed(what))?
            .into_messages();
        let group_info = group_info.map(|info| info.to_bytes());
        Ok(NewEpoch {
            commit: commit.to_bytes().map_err(failed(what))?,
            group_info: group_info.transpose().map_err(failed(what))?,
            welcome: None,
        })
    }

    /// What commits weigh in the tree as it is.
    pub(crate) fn tree_shape(&self) -> Result<TreeShape, GroupError> {
        read(&self.mls.export_ratchet_tree())
            .ok_or_else(|| impossible("looking at the tree", "it is not one of RFC 9420"))
    }
}

/// OpenMLS shows neither the nodes' places nor who is unmerged below them but in the tree's
/// encoding (RFC 9420 §12.4.3.3).
fn read(tree: &RatchetTree) -> Option<TreeShape> {
    let bytes = tree.tls_serialize_detached().ok()?;
    let mut rest = bytes.as_slice();
    let _length = length(&mut rest)?;
    let mut nodes = tree.nodes();
    let (mut leaves, mut parents) = (Vec::new(), Vec::new());
    let mut is_leaf = true;
    while let Some((is_there, after)) = rest.split_first() {
        rest = after;
        let node = match is_there {
            0 => None,
            _ => {
                let (node, after) = rest.split_at_checked(nodes.next()?.tls_serialized_len())?;
                rest = after;
                Some(node)
            }
        };
        if is_leaf {
            leaves.push(node.is_some());
        } else {
            parents.push(match node {
                None => Parent::Blank,
                Some(node) => Parent::Filled {
                    unmerged: unmerged(node)?,
                },
            });
        }
        is_leaf = !is_leaf;
    }
    Some(TreeShape::new(&leaves, &parents))
}

/// How many leaves are unmerged: after the kind of node, its key and its parent hash (§7.8).
fn unmerged(node: &[u8]) -> Option<usize> {
    let (_kind, mut rest) = node.split_first()?;
    for _field in ["encryption_key", "parent_hash"] {
        let bytes = length(&mut rest)?;
        rest = rest.get(bytes..)?;
    }
    Some(length(&mut rest)? / size_of::<u32>())
}

/// A length of variable size (§2.1.2).
pub(super) fn length(bytes: &mut &[u8]) -> Option<usize> {
    let (first, after) = bytes.split_first()?;
    let more = (1 << (first >> 6)) - 1;
    let (rest, after) = after.split_at_checked(more)?;
    *bytes = after;
    let high = usize::from(first & 0x3f);
    Some(
        rest.iter()
            .fold(high, |all, byte| all << 8 | usize::from(*byte)),
    )
}
