//! The group's state, for those who come alone.

use std::time::Instant;

use conclave_protocol::{
    ParticipantId, StateName,
    signal::{GroupState, ServerMessage},
};

use super::{Audience, Room};

impl Room {
    /// A newcomer asks for the state, or for another one than this.
    pub(super) fn ask_group(&mut self, participant: ParticipantId, unusable: Option<StateName>) {
        if self.bereft.contains(&participant) {
            return;
        }
        match &mut self.group {
            Some(group) if !group.contains(participant) => {
                if unusable.is_some_and(|name| group.is_shown(name)) && self.showings.give_up() {
                    group.forget();
                }
                self.showings.request(participant);
            }
            _ => self.out_of_order(participant, "there is no group that you could come into"),
        }
    }

    /// What comes too late is as good as not said.
    pub(super) fn show_group(&mut self, member: ParticipantId, shown: GroupState) {
        if let Some(group) = &mut self.group
            && group.contains(member)
            && group.epoch() == shown.epoch
            && group.state().is_none()
            && self.showings.answer(member)
        {
            group.show(shown.group_info);
        }
    }

    /// Tells the group's state to those who wait for it, or asks a member for it.
    pub(super) fn tend_showings(&mut self, now: Instant) {
        let Some(group) = self.group.as_ref().filter(|_| !self.showings.is_idle()) else {
            return;
        };
        if let Some(group) = group.state() {
            for participant in self.showings.take_waiting() {
                let group = group.clone();
                self.tell(Audience::One(participant), ServerMessage::Group { group });
            }
            return;
        }
        let epoch = group.epoch();
        let able = self.able();
        if let Some(member) = self.showings.ask(now, &able) {
            self.tell(Audience::One(member), ServerMessage::ShowGroup { epoch });
        }
    }
}
