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
    rules::{Door, Rules},
    time::Instant,
};

impl Membership {
    pub(super) fn found(&mut self) -> Result<(), End> {
        // Who founds the group anew because the server says that it is lost, or lost their place
        // in it, has no more rights in it than before.
        let rules = match &self.memory {
            Some(memory) => memory.rules().clone(),
            None => Rules::founded_by(self.persona.device.key),
        };
        let group = Group::found(
            &self.access.keys,
            &self.room,
            &self.persona.stay,
            &self.identity()?,
            &rules,
        )?;
        let group_info = self
            .access
            .envelope
            .seal(Kind::GroupInfo, &group.group_info()?)?;
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
        let guest = self.send_knock()?;
        self.stage = Stage::Knocking(guest, Patience::new(now));
        Ok(())
    }

    fn send_knock(&mut self) -> Result<Box<Guest>, End> {
        let (guest, key_package) = Guest::knock(
            &self.access.keys,
            &self.room,
            &self.persona.stay,
            &self.identity()?,
        )?;
        let key_package = self.access.envelope.seal(Kind::KeyPackage, &key_package)?;
        self.send(ClientMessage::Knock { key_package });
        Ok(Box::new(guest))
    }

    /// A host has to let us in: waits for one, if the door is not locked.
    fn wait_for_host(&mut self, rules: Rules, guest: Option<Box<Guest>>) -> Result<(), End> {
        if rules.door() == Door::Locked {
            return Err(End::Locked);
        }
        let guest = match guest {
            Some(guest) => guest,
            None => self.send_knock()?,
        };
        self.stage = Stage::Waiting(guest, rules);
        self.outputs.push_back(Output::Waiting);
        Ok(())
    }

    /// A member says that we may not come in. Hosts may say so.
    pub(super) fn on_turned_away(&mut self, note: &Opaque) -> Result<(), End> {
        let Stage::Waiting(guest, rules) = &self.stage else {
            return Ok(());
        };
        let note = self.access.envelope.open(Kind::TurnedAway, note).ok();
        match note.and_then(|note| guest.heed(&note, rules)) {
            Some(host) => Err(End::TurnedAway(host.into())),
            None => Ok(()),
        }
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
        let envelope = &self.access.envelope;
        let group_info = envelope.open(Kind::GroupInfo, &state.group_info);
        let group_info = group_info.map_err(UnusableGroup::Foreign)?;
        let identity = self.identity()?;
        let (group, new) = Group::join(
            &self.access.keys,
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
        // Without rules it is no call's.
        group.rules().map_err(UnusableGroup::Broken)?;
        Ok((group, new))
    }

    /// Whoever was in the call before does not take another one for it.
    fn compare(&self, group: &Group) -> Result<(), End> {
        let memory = self.memory.as_ref();
        Ok(memory.map_or(Ok(()), |memory| memory.examine(group))?)
    }

    /// Comes in alone, if the rules allow it.
    pub(super) fn join_by(
        &mut self,
        now: Instant,
        epoch: Epoch,
        group: Group,
        new: &NewEpoch,
        guest: Option<Box<Guest>>,
    ) -> Result<(), End> {
        self.compare(&group)?;
        let (rules, device) = (group.rules()?, self.persona.device.key);
        if rules.is_barred(&device) {
            return Err(End::Barred);
        }
        if rules.is_guarded() && !rules.is_host(&device) {
            return self.wait_for_host(rules, guest);
        }
        let request = self.request(now, epoch, new, Vec::new(), None, None)?;
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
            Stage::Knocking(guest, _) | Stage::Waiting(guest, _) => guest,
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
        let group = guest.enter(&self.access.envelope.open(Kind::Welcome, welcome)?)?;
        group.examine_devices()?;
        let own = self.identity()?.participant;
        let members = group.members()?;
        let is_us = |member: &crate::Member| member.is_self == (member.participant == own);
        if group.epoch() != epoch || !members.iter().all(is_us) {
            return Err(End::WrongWelcome);
        }
        self.compare(&group)?;
        self.enter(now, group)
    }

    pub(super) fn enter(&mut self, now: Instant, group: Group) -> Result<(), End> {
        self.stage = Stage::Inside(Box::new(Inside::new(group)?));
        self.arrive(now, false)?;
        self.outputs.push_back(Output::Joined);
        Ok(())
    }
}
