//! What somebody who was in a call knows of it, for when they have to come in again.
//!
//! Newcomers believe the group that they find: they have nothing to compare it with. Whoever was
//! in the call has, and must not be moved by the server into a group in which others have rights.

use std::collections::BTreeSet;

use conclave_protocol::Epoch;
use serde::{Deserialize, Serialize};

use crate::{
    device::DeviceKey,
    group::{Group, GroupError},
    rules::{Loosened, Rules},
};

/// A member of the group, by what stays the same for as long as they are in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Acquaintance {
    pub(crate) device: DeviceKey,
    /// The signature key of their stay, which they have in no other one.
    pub(crate) stay: Vec<u8>,
}

/// What a client knows of the call in which it is or was: no secrets. One membership hands it on
/// to the next for as long as its user is in the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    group: Vec<u8>,
    epoch: Epoch,
    rules: Rules,
    members: BTreeSet<Acquaintance>,
}

/// Why a group is not the call that this client was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnotherCall {
    /// Its rules give rights that the remembered ones do not.
    #[error("{0}")]
    Loosened(#[from] Loosened),
    /// Somebody whom a host removed is in it.
    #[error("somebody whom a host removed is in it")]
    BarredInside,
    /// Somebody has come in past a guarded door.
    #[error("somebody is in it whom no host let in as far as this device knows")]
    Unadmitted,
}

impl Memory {
    /// What there is to know of a group in which this client is.
    pub(crate) fn of(group: &Group) -> Result<Self, GroupError> {
        Ok(Self {
            group: group.id().to_vec(),
            epoch: group.epoch(),
            rules: group.rules()?,
            members: group.acquaintances()?.into_iter().collect(),
        })
    }

    /// The rules of the call, which whoever founds its group anew takes over.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether a group that this client is about to be in may be that call. It may if nobody has
    /// more rights in it than they had, or if a host as we know them says that it is.
    pub(crate) fn examine(&self, group: &Group) -> Result<(), Estranged> {
        if self.is_vouched_for(group) {
            return Ok(());
        }
        group.rules()?.examine_looser_than(&self.rules)?;
        let known = |device: &DeviceKey| {
            let mut members = self.members.iter();
            self.rules.is_host(device) || members.any(|member| member.device == *device)
        };
        let own = group.own_stay();
        for Acquaintance { device, stay } in group.acquaintances()? {
            if stay == own {
                continue;
            }
            if self.rules.is_barred(&device) {
                return Err(AnotherCall::BarredInside.into());
            }
            if self.rules.is_guarded() && !known(&device) {
                return Err(AnotherCall::Unadmitted.into());
            }
        }
        Ok(())
    }

    /// Whether it is the same group, gone on, by the signature of a host whom we knew in it: in
    /// the very stay, since a host who came anew has believed what the server showed; and later
    /// than what we knew, since what hosts signed before may have been changed for a reason.
    fn is_vouched_for(&self, group: &Group) -> bool {
        let shown = group.shown();
        let mut members = self.members.iter();
        group.id() == self.group
            && shown.epoch > self.epoch
            && members.any(|it| it.stay == shown.by && self.rules.is_host(&it.device))
    }
}

/// Why a group is not entered by somebody who remembers the call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Estranged {
    #[error(transparent)]
    AnotherCall(#[from] AnotherCall),
    #[error(transparent)]
    Mls(#[from] GroupError),
}

impl From<Loosened> for Estranged {
    fn from(loosened: Loosened) -> Self {
        Self::AnotherCall(loosened.into())
    }
}
