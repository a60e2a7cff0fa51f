//! What hosts have decided about a room, as far as the server has to know: who may knock, who
//! is shown out, what the room opens to. Who is a host, it does not know: members refuse a
//! commit whose author was none.

use std::collections::BTreeSet;

use conclave_protocol::{
    Opaque, ParticipantId, RoomAuth, RoomLock,
    signal::{ErrorCode, Knock, RuleChange, ServerMessage},
};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::{Audience, Output, Room};
use crate::{admission::Admissions, group::Group, showing::Showings};

/// As many may wait before a guarded door: everyone in the group keeps them in mind.
pub(super) const MOST_WAITING: usize = 64;

/// What those beyond are told.
const TOO_MANY_WAIT: &str = "too many wait before the door: come back later";

/// A host's word to someone who waits has less than half of this, sealed.
const LONGEST_NOTE: usize = 4 << 10;

/// A KeyPackage with post-quantum keys and a name has less than half of this, sealed.
pub(super) const LONGEST_KEY_PACKAGE: usize = 16 << 10;

/// What hosts decide about a room, as far as the server has to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct House {
    lock: RoomLock,
    /// Newcomers need a host to come in.
    pub(super) guarded: bool,
}

/// What follows from a commit once it cannot be annulled any more.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Verdict {
    /// Who is shown out.
    removed: Option<ParticipantId>,
    /// The link has changed: whoever is not in the group has come with the old one.
    link_changed: bool,
}

impl House {
    pub(super) const fn new(lock: RoomLock) -> Self {
        Self {
            lock,
            guarded: false,
        }
    }

    /// Compares in constant time.
    pub(super) fn is_opened_by(&self, key: &RoomAuth) -> bool {
        let key = RoomLock::for_key(key);
        self.lock.as_bytes().ct_eq(key.as_bytes()).into()
    }
}

impl Room {
    pub(super) fn take_rules(&mut self, rules: Option<&RuleChange>) {
        self.house_before = rules.map(|_| self.house.clone());
        let Some(rules) = rules else { return };
        let begins = rules.guarded && !self.house.guarded;
        self.house.guarded = rules.guarded;
        if let Some(lock) = &rules.lock {
            self.house.lock = lock.clone();
        }
        self.verdict = Some(Verdict {
            removed: rules.removed,
            link_changed: rules.lock.is_some(),
        });
        if begins {
            for participant in self.admissions.keep_first(MOST_WAITING) {
                self.out_of_order(participant, TOO_MANY_WAIT);
            }
        }
    }

    /// False for those who wait before a guarded door. They could open nothing, and nobody is to
    /// hear how loud it is inside.
    pub fn may_exchange_media(&self, participant: ParticipantId) -> bool {
        !self.house.guarded || self.is_member(participant)
    }

    /// Tells these members who waits before the guarded door.
    pub(super) fn show_who_waits(&mut self, members: BTreeSet<ParticipantId>) {
        let knocks: Vec<Knock> = self.admissions.waiting().cloned().collect();
        if !knocks.is_empty() && !members.is_empty() {
            let knocking = ServerMessage::Knocking { knocks };
            self.outputs.push_back(Output::Show(members, knocking));
        }
    }

    /// True for someone who has knocked and was not brought in yet.
    pub fn is_waiting(&self, participant: ParticipantId) -> bool {
        self.admissions.contains(participant)
    }

    /// Someone knocks again and again.
    pub fn refuse_knock(&mut self, participant: ParticipantId) {
        self.out_of_order(
            participant,
            "you have knocked just now: wait to be brought in",
        );
    }

    /// Carries out what follows from the newest commit, once that cannot be annulled.
    pub(super) fn carry_out(&mut self) {
        if self.group.as_ref().is_none_or(Group::is_settled) {
            self.execute();
        }
    }

    pub(super) fn execute(&mut self) {
        let Some(verdict) = self.verdict.take() else {
            return;
        };
        // It is not to be carried out again after a restart.
        self.is_changed = true;
        if let Some(removed) = verdict.removed.filter(|it| !self.is_member(*it)) {
            self.show_out(
                removed,
                ErrorCode::ShownOut,
                "a host removed you from the call",
            );
        }
        if verdict.link_changed {
            let present = self.present.iter().copied();
            let outside: Vec<_> = present.filter(|it| !self.is_member(*it)).collect();
            for participant in outside {
                let detail = "the link of this call was changed: ask for the new one";
                self.show_out(participant, ErrorCode::LinkChanged, detail);
            }
        }
    }

    pub(super) fn show_out(
        &mut self,
        participant: ParticipantId,
        code: ErrorCode,
        detail: &'static str,
    ) {
        if self.contains(participant) {
            self.outputs.push_back(Output::Remove {
                participant,
                code,
                detail,
            });
            self.leave(participant);
        }
    }

    /// Who runs the server removes somebody. False if they are not here.
    pub fn remove(&mut self, participant: ParticipantId) -> bool {
        let is_here = self.contains(participant);
        let detail = "who runs this server has removed you from the call";
        self.show_out(participant, ErrorCode::Removed, detail);
        self.carry_out();
        is_here
    }

    /// Who runs the server closes the room: everyone is shown out, and nobody is told how the
    /// others leave.
    pub fn close(&mut self) {
        for participant in std::mem::take(&mut self.present) {
            self.outputs.push_back(Output::Remove {
                participant,
                code: ErrorCode::RoomClosed,
                detail: "who runs this server has closed the call",
            });
        }
        self.away.clear();
        self.bereft.clear();
        self.group = None;
        self.house_before = None;
        self.verdict = None;
        self.admissions = Admissions::default();
        self.showings = Showings::default();
        self.is_changed = true;
    }

    pub(super) fn turn_away(
        &mut self,
        author: ParticipantId,
        participant: ParticipantId,
        note: Opaque,
    ) {
        if self.bereft.contains(&author) {
            return;
        }
        if !self.is_member(author) {
            self.out_of_order(author, "join the group before you speak for it");
        } else if note.len() > LONGEST_NOTE {
            self.out_of_order(author, "a host's sealed word has at most 4 KiB");
        } else if self.admissions.contains(participant) {
            self.tell(
                Audience::One(participant),
                ServerMessage::TurnedAway { note },
            );
        }
    }

    pub(super) fn knock(&mut self, participant: ParticipantId, key_package: Opaque) {
        if self.bereft.contains(&participant) {
            return;
        }
        if self.group.is_none() || self.is_member(participant) {
            self.out_of_order(participant, "there is no door to knock at");
        } else if key_package.len() > LONGEST_KEY_PACKAGE {
            self.out_of_order(participant, "a sealed KeyPackage has at most 16 KiB");
        } else if self.house.guarded && self.admissions.len() >= MOST_WAITING {
            self.out_of_order(participant, TOO_MANY_WAIT);
        } else {
            if self.house.guarded {
                let knocks = vec![Knock {
                    participant,
                    key_package: key_package.clone(),
                }];
                let knocking = ServerMessage::Knocking { knocks };
                self.outputs
                    .push_back(Output::Show(self.members(), knocking));
            }
            self.admissions.knock(participant, key_package);
        }
    }
}
