//! One room: who is here, what the group's order of commits and messages is, who is told
//! what. A state machine without clocks, sockets or tasks: words go in, what is to be told
//! comes out of [`Room::poll`]. [`crate::registry`] wraps it in a task.

mod house;
mod memory;
mod state;
mod words;

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use conclave_protocol::{
    Epoch, Opaque, ParticipantId, RoomAuth, RoomLock, Sequence,
    signal::{Admission, ErrorCode, GroupDoor, RuleChange, ServerMessage},
};

use crate::{
    admission::Admissions,
    group::{Group, Movement, Refusal},
    limits::RoomSize,
    showing::Showings,
};

use house::{House, Verdict};
pub use memory::Unreadable;
use serde::{Deserialize, Serialize};
pub use words::{Audience, Output, Saying};

/// Those inside hear of strangers at the door at most this often, however many there are.
const STRANGER_NOTICE_INTERVAL: Duration = Duration::from_secs(10);

/// From so many on, in the group and before its door, newcomers knock instead of making
/// commits that race each other.
const CROWD: usize = 8;

/// Why someone may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryRefused {
    /// The link's secret is not the one of this room.
    #[error("this link does not open this room: check that it was copied whole")]
    WrongSecret,
    /// No place left in the room.
    #[error(
        "the room is full: it takes {most} participants, and all are here. Try again when somebody \
         has left, or ask whoever runs the server for larger rooms"
    )]
    RoomFull {
        /// How many it takes.
        most: RoomSize,
    },
}

/// A room and its group.
#[derive(Serialize, Deserialize)]
pub struct Room {
    house: House,
    /// The house before the newest commit, if that changed it.
    house_before: Option<House>,
    verdict: Option<Verdict>,
    #[serde(skip)]
    capacity: RoomSize,
    present: BTreeSet<ParticipantId>,
    /// Those of them whose line broke; after a restart, everyone.
    #[serde(skip)]
    away: BTreeSet<ParticipantId>,
    group: Option<Group>,
    /// Those who were told that the group is lost and have not answered with a founding.
    /// What they say about a group until then is about the lost one.
    bereft: BTreeSet<ParticipantId>,
    admissions: Admissions,
    /// Who waits for the group's state asks again.
    #[serde(skip)]
    showings: Showings,
    last: Sequence,
    #[serde(skip)]
    stranger_noticed: Option<Instant>,
    #[serde(skip)]
    outputs: VecDeque<Output>,
    /// Something changed that is to outlive the process.
    #[serde(skip)]
    is_changed: bool,
}

impl Room {
    /// An empty room.
    pub fn new(lock: RoomLock, capacity: RoomSize) -> Self {
        Self {
            house: House::new(lock),
            house_before: None,
            verdict: None,
            capacity,
            present: BTreeSet::new(),
            away: BTreeSet::new(),
            group: None,
            bereft: BTreeSet::new(),
            admissions: Admissions::default(),
            showings: Showings::default(),
            last: Sequence::START,
            stranger_noticed: None,
            outputs: VecDeque::new(),
            is_changed: true,
        }
    }

    /// True when nobody is here.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// True when this participant is here.
    pub fn contains(&self, participant: ParticipantId) -> bool {
        self.present.contains(&participant)
    }

    /// True when this participant is in the group, by the server's knowledge: it founded
    /// the group, a commit of it was accepted, or one that brought it in.
    pub fn is_member(&self, participant: ParticipantId) -> bool {
        self.group.as_ref().is_some_and(|g| g.contains(participant))
    }

    /// How many are in the group, and the epoch it is in.
    pub fn standing(&self) -> Option<(usize, Epoch)> {
        self.group
            .as_ref()
            .map(|group| (group.len(), group.epoch()))
    }

    /// Whether newcomers wait for a host to let them in.
    pub fn is_guarded(&self) -> bool {
        self.house.guarded
    }

    /// From now on it takes so many at most. Whoever is here stays.
    pub const fn limit_to(&mut self, capacity: RoomSize) {
        self.capacity = capacity;
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Someone comes in.
    pub fn enter(
        &mut self,
        now: Instant,
        participant: ParticipantId,
        key: &RoomAuth,
    ) -> Result<(), EntryRefused> {
        if !self.house.is_opened_by(key) {
            self.notice_stranger(now);
            return Err(EntryRefused::WrongSecret);
        }
        if self.present.len() >= self.capacity.get() {
            let most = self.capacity;
            return Err(EntryRefused::RoomFull { most });
        }
        self.is_changed = true;
        let others = self.present.iter().copied().collect();
        self.present.insert(participant);
        self.tell(
            Audience::One(participant),
            ServerMessage::Joined {
                participant,
                others,
                group: self.door(),
            },
        );
        self.tell(
            Audience::EveryoneBut(participant),
            ServerMessage::ParticipantJoined { participant },
        );
        Ok(())
    }

    /// Someone is gone.
    pub fn leave(&mut self, participant: ParticipantId) {
        if !self.present.remove(&participant) {
            return;
        }
        self.is_changed = true;
        self.away.remove(&participant);
        self.bereft.remove(&participant);
        self.admissions.withdraw(participant);
        self.showings.withdraw(participant);
        self.tell(
            Audience::Everyone,
            ServerMessage::ParticipantLeft { participant },
        );
        let completed = self
            .group
            .as_mut()
            .is_some_and(|group| group.leave(participant));
        self.after_departure(completed);
        self.carry_out();
    }

    /// Someone's line broke. They may come back, and are asked for nothing until then.
    pub fn lose(&mut self, participant: ParticipantId) {
        if self.contains(participant) && self.away.insert(participant) {
            self.admissions.pass_over(participant);
            self.showings.pass_over(participant);
            self.tell(
                Audience::EveryoneBut(participant),
                ServerMessage::ParticipantAway { participant },
            );
        }
    }

    /// Someone has come back.
    pub fn find(&mut self, participant: ParticipantId) {
        if self.away.remove(&participant) {
            self.tell(
                Audience::EveryoneBut(participant),
                ServerMessage::ParticipantBack { participant },
            );
        }
        if self.house.guarded && self.is_member(participant) {
            self.show_who_waits([participant].into());
        }
    }

    fn members(&self) -> BTreeSet<ParticipantId> {
        let group = self.group.as_ref();
        group.map(|it| it.members().clone()).unwrap_or_default()
    }

    /// The members who can be asked for something that takes the newest keys.
    fn able(&self) -> BTreeSet<ParticipantId> {
        let mut able = self.group.as_ref().map(Group::able).unwrap_or_default();
        able.retain(|member| !self.away.contains(member));
        able
    }

    /// Someone who is here says something.
    pub fn hear(&mut self, author: ParticipantId, saying: Saying) {
        if !self.contains(author) {
            return;
        }
        self.is_changed |= !matches!(saying, Saying::EpochReached { .. });
        match saying {
            Saying::CreateGroup { group_info } => self.create_group(author, group_info),
            Saying::Commit {
                epoch,
                commit,
                group_info,
                admission,
                rules,
            } => self.commit(author, epoch, (commit, group_info), admission, rules),
            Saying::Knock { key_package } => self.knock(author, key_package),
            Saying::AskGroup { unusable } => self.ask_group(author, unusable),
            Saying::ShowGroup { group } => self.show_group(author, group),
            Saying::EpochReached { epoch } => {
                if self
                    .group
                    .as_mut()
                    .is_some_and(|g| g.reached(author, epoch))
                {
                    self.announce_completion();
                }
            }
            Saying::CommitRefused { sequence } => self.commit_refused(author, sequence),
            Saying::TurnAway { participant, note } => self.turn_away(author, participant, note),
            Saying::Send { message } => self.send(author, message),
        }
        self.carry_out();
    }

    fn create_group(&mut self, author: ParticipantId, group_info: Opaque) {
        self.bereft.remove(&author);
        let answer = match &self.group {
            Some(group) => ServerMessage::Stale {
                epoch: group.epoch(),
                group: self.door().filter(|_| !group.contains(author)),
            },
            None => {
                self.group = Some(Group::found(author, group_info));
                ServerMessage::GroupCreated {}
            }
        };
        self.tell(Audience::One(author), answer);
    }

    fn commit(
        &mut self,
        author: ParticipantId,
        epoch: Epoch,
        (commit, group_info): (Opaque, Option<Opaque>),
        admission: Option<Admission>,
        rules: Option<RuleChange>,
    ) {
        if self.bereft.contains(&author) {
            return;
        }
        let Some(group) = &mut self.group else {
            self.out_of_order(author, "there is no group yet: found it with create_group");
            return;
        };
        if epoch != group.epoch() {
            let (epoch, is_member) = (group.epoch(), group.contains(author));
            let group = self.door().filter(|_| !is_member);
            self.tell(Audience::One(author), ServerMessage::Stale { epoch, group });
            return;
        }
        // Who is outside brings in nobody but themselves, and decides nothing.
        let admission = admission.filter(|_| group.contains(author));
        let rules = rules.filter(|_| group.contains(author));
        let admitted = admission
            .as_ref()
            .map(|it| self.admissions.admit(&it.admitted));
        let admitted = admitted.unwrap_or_default();
        self.admissions.withdraw(author);
        let sequence = self.last.next();
        let movement = Movement {
            admitted: admitted.clone(),
            removed: rules.as_ref().and_then(|rules| rules.removed),
        };
        let was_member = group.contains(author);
        let Ok(epoch) = group.commit(author, epoch, group_info, sequence, movement) else {
            return;
        };
        let complete = group.is_complete();
        self.last = sequence;
        // What the commit before it leads to stands: this one is made on it.
        self.execute();
        let was_guarded = self.house.guarded;
        self.take_rules(rules.as_ref());
        self.showings.move_on();
        self.showings.withdraw(author);
        for newcomer in admitted.iter().copied() {
            self.showings.withdraw(newcomer);
            let welcome = admission.as_ref().map(|it| it.welcome.clone());
            self.outputs.extend(welcome.map(|welcome| {
                Output::Tell(
                    Audience::One(newcomer),
                    ServerMessage::Welcomed {
                        sequence,
                        epoch,
                        welcome,
                    },
                )
            }));
        }
        self.tell(
            Audience::Everyone,
            ServerMessage::Committed {
                sequence,
                author,
                epoch,
                commit,
                rules,
            },
        );
        if complete {
            self.announce_completion();
        }
        if self.house.guarded {
            let mut uninformed = admitted;
            if !was_guarded {
                uninformed = self.members();
            } else if !was_member {
                uninformed.insert(author);
            }
            self.show_who_waits(uninformed);
        }
    }

    /// How a newcomer comes into the group, if there is one.
    fn door(&self) -> Option<GroupDoor> {
        let group = self.group.as_ref()?;
        let is_crowd = group.len() + self.admissions.len() >= CROWD;
        // What a guarded door asks for stands in the group's state.
        let shows = self.house.guarded || !is_crowd;
        Some(match group.state().filter(|_| shows) {
            Some(group) => GroupDoor::Commit { group },
            None => GroupDoor::Knock {
                epoch: group.epoch(),
            },
        })
    }

    /// Does what is due at this time. To be called after everything else that happens, and
    /// at [`Self::poll_timeout`].
    pub fn tend(&mut self, now: Instant) {
        self.tend_showings(now);
        let Some(group) = &self.group else {
            return;
        };
        // The members are collected only if somebody waits.
        if self.admissions.len() == 0 || self.house.guarded {
            return;
        }
        let members = group.len();
        let able = self.able();
        let asked = self.admissions.ask(now, &able, members);
        if let Some((member, knocks)) = asked {
            self.tell(Audience::One(member), ServerMessage::Admit { knocks });
        }
    }

    /// When [`Self::tend`] will have something to do, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let is_asked = self.group.is_some() && !self.house.guarded;
        let admissions = self.admissions.poll_timeout().filter(|_| is_asked);
        let showings = self.group.as_ref().and(self.showings.poll_timeout());
        [admissions, showings].into_iter().flatten().min()
    }

    fn commit_refused(&mut self, refuser: ParticipantId, sequence: Sequence) {
        let Some(group) = &mut self.group else {
            return;
        };
        let was_complete = group.is_complete();
        match group.refuse(refuser, sequence) {
            Refusal::Annulled { author, epoch } => {
                self.verdict = None;
                if let Some(before) = self.house_before.take() {
                    self.house = before;
                }
                self.showings.move_on();
                self.tell(
                    Audience::EveryoneBut(author),
                    ServerMessage::CommitAnnulled { author, epoch },
                );
                let detail = "a member of the call refused what you did in the group";
                self.show_out(author, ErrorCode::CommitRefused, detail);
            }
            Refusal::LeftBehind => {
                let completed = !was_complete && group.is_complete() && !group.is_lost();
                self.after_departure(completed);
            }
            Refusal::Void => {}
        }
    }

    fn send(&mut self, author: ParticipantId, message: Opaque) {
        if self.bereft.contains(&author) {
            return;
        }
        if !self.is_member(author) {
            self.out_of_order(author, "join the group before you send to it");
            return;
        }
        self.last = self.last.next();
        self.tell(
            Audience::Everyone,
            ServerMessage::Delivered {
                sequence: self.last,
                author,
                message,
            },
        );
    }

    /// A member is out of the group, and its keys are no longer waited for.
    fn after_departure(&mut self, completed: bool) {
        if completed {
            self.announce_completion();
        }
        if self.group.as_ref().is_some_and(Group::is_lost) {
            self.group = None;
            self.admissions = Admissions::default();
            self.house.guarded = false;
            self.house_before = None;
            self.verdict = None;
            self.showings = Showings::default();
            self.bereft = self.present.clone();
            self.tell(Audience::Everyone, ServerMessage::GroupLost {});
        }
    }

    fn announce_completion(&mut self) {
        if let Some(epoch) = self.group.as_ref().map(Group::epoch) {
            self.tell(Audience::Everyone, ServerMessage::EpochComplete { epoch });
        }
    }

    fn notice_stranger(&mut self, now: Instant) {
        let quiet = self
            .stranger_noticed
            .is_none_or(|last| now.duration_since(last) >= STRANGER_NOTICE_INTERVAL);
        if quiet {
            self.stranger_noticed = Some(now);
            self.tell(Audience::Everyone, ServerMessage::StrangerRefused {});
        }
    }

    fn out_of_order(&mut self, participant: ParticipantId, detail: &str) {
        self.tell(
            Audience::One(participant),
            ServerMessage::Error {
                code: ErrorCode::OutOfOrder,
                detail: detail.to_owned(),
            },
        );
    }

    fn tell(&mut self, audience: Audience, message: ServerMessage) {
        self.outputs.push_back(Output::Tell(audience, message));
    }
}

#[cfg(test)]
#[path = "room_stories.rs"]
mod stories;
