//! The ways into the group: founding it, an external commit, or knocking.

use conclave_protocol::{
    Epoch, Opaque,
    signal::{ClientMessage, GroupDoor, GroupState},
};

use super::{End, Inside, Membership, Stage, UnusableGroup, showing::Patience, stage::Joining};
use crate::{
    envelope::Kind,
    group::{Group, Guest, NewEpoch},
    output::Output,
    time::Instant,
};

impl Membership {
    pub(super) fn found(&mut self) -> Result<(), End> {
        let group = Group::found(
            &self.keys.psk,
            &self.room,
            &self.persona.stay,
            &self.identity()?,
        )?;
        let group_info = self.envelope.seal(Kind::GroupInfo, &group.group_info()?)?;
        self.stage = Stage::Founding(Box::new(group));
        self.send(ClientMessage::CreateGroup { group_info });
        Ok(())
    }

    /// Comes in by the door that the server shows.
    pub(super) fn approach(&mut self, now: Instant, door: &GroupDoor) -> Result<(), End> {
        match door {
            GroupDoor::Commit { group } => self.join(now, group, None),
            GroupDoor::Knock { .. } => self.knock(now),
        }
    }

    fn knock(&mut self, now: Instant) -> Result<(), End> {
        let (guest, key_package) = Guest::knock(
            &self.keys.psk,
            &self.room,
            &self.persona.stay,
            &self.identity()?,
        )?;
        let key_package = self.envelope.seal(Kind::KeyPackage, &key_package)?;
        self.stage = Stage::Knocking(Box::new(guest), Patience::new(now));
        self.send(ClientMessage::Knock { key_package });
        Ok(())
    }

    fn join(
        &mut self,
        now: Instant,
        state: &GroupState,
        guest: Option<Box<Guest>>,
    ) -> Result<(), End> {
        let (group, new) = self.read_state(state)?;
        self.join_by(now, state.epoch, group, &new, guest)
    }

    /// The group that an external commit on this state makes, if it is what the server says.
    pub(super) fn read_state(&self, state: &GroupState) -> Result<(Group, NewEpoch), End> {
        let group_info = self.envelope.open(Kind::GroupInfo, &state.group_info);
        let group_info = group_info.map_err(UnusableGroup::Foreign)?;
        let identity = self.identity()?;
        let (group, new) = Group::join(
            &self.keys.psk,
            &self.room,
            &self.persona.stay,
            &identity,
            &group_info,
        )
        .map_err(UnusableGroup::Broken)?;
        group.examine_devices().map_err(UnusableGroup::Broken)?;
        if group.epoch() != state.epoch.next() {
            return Err(UnusableGroup::OtherEpoch.into());
        }
        Ok((group, new))
    }

    pub(super) fn join_by(
        &mut self,
        now: Instant,
        epoch: Epoch,
        group: Group,
        new: &NewEpoch,
        guest: Option<Box<Guest>>,
    ) -> Result<(), End> {
        let request = self.request(now, epoch, new, Vec::new())?;
        self.stage = Stage::Joining(Box::new(Joining {
            group,
            request,
            guest,
        }));
        Ok(())
    }

    /// A commit or founding of our own came too late.
    pub(super) fn on_stale(
        &mut self,
        now: Instant,
        epoch: Epoch,
        door: Option<&GroupDoor>,
    ) -> Result<(), End> {
        match (&mut self.stage, door) {
            (Stage::Founding(_), Some(door)) => self.approach(now, door),
            (Stage::Joining(joining), Some(door)) if joining.request.epoch != epoch => {
                match (door, joining.guest.take()) {
                    (GroupDoor::Commit { group }, guest) => self.join(now, group, guest),
                    // The server still has our knock.
                    (GroupDoor::Knock { .. }, Some(guest)) => {
                        self.stage = Stage::Knocking(guest, Patience::new(now));
                        Ok(())
                    }
                    (GroupDoor::Knock { .. }, None) => self.knock(now),
                }
            }
            (Stage::Inside(inside), _) => {
                let own = inside.pending.take_if(|own| own.epoch < epoch);
                if own.is_some() {
                    inside.group.discard_pending()?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A member has brought us in.
    pub(super) fn on_welcomed(
        &mut self,
        now: Instant,
        epoch: Epoch,
        welcome: &Opaque,
    ) -> Result<(), End> {
        let guest = match std::mem::replace(&mut self.stage, Stage::Between) {
            Stage::Knocking(guest, _) => guest,
            Stage::Joining(joining) if joining.guest.is_some() => {
                let Some(guest) = joining.guest else {
                    return Err(End::NotOurs);
                };
                guest
            }
            other => {
                self.stage = other;
                return Ok(());
            }
        };
        let group = guest.enter(&self.envelope.open(Kind::Welcome, welcome)?)?;
        group.examine_devices()?;
        let own = self.identity()?.participant;
        let members = group.members()?;
        let is_us = |member: &crate::Member| member.is_self == (member.participant == own);
        if group.epoch() != epoch || !members.iter().all(is_us) {
            return Err(End::WrongWelcome);
        }
        self.enter(now, group)
    }

    pub(super) fn enter(&mut self, now: Instant, group: Group) -> Result<(), End> {
        self.stage = Stage::Inside(Box::new(Inside::new(group)));
        self.arrive(now, false)?;
        self.outputs.push_back(Output::Joined);
        Ok(())
    }
}
