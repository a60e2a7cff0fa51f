//! A delivery service in process, as the server's: one log, one commit an epoch.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use conclave_e2ee::{
    Device, DisplayName, HostError, HostRequest, Instant, LinkSecret, Membership, Persona,
};
use conclave_protocol::{
    Epoch, Opaque, ParticipantId, RoomId, RoomLock, Sequence, StateName,
    signal::{
        Admission, ClientMessage, ErrorCode, GroupDoor, GroupState, Knock, RuleChange,
        ServerMessage,
    },
};

use crate::{
    client::{Client, Seen},
    raw::RawCommit,
};

struct Undo {
    state: GroupState,
    guarded: bool,
    removed: Option<ParticipantId>,
    author: ParticipantId,
    sequence: Sequence,
}

/// The room and everyone who is in it.
pub(crate) struct Service {
    pub(crate) room: RoomId,
    pub(crate) secret: LinkSecret,
    pub(crate) now: Instant,
    pub(crate) clients: BTreeMap<ParticipantId, Client>,
    pub(crate) group: Option<GroupState>,
    pub(crate) sequence: Sequence,
    pub(crate) commits: Vec<ServerMessage>,
    pub(crate) stale: u32,
    /// From so many members on, newcomers knock.
    pub(crate) crowd: usize,
    /// Those who wait to be brought in.
    pub(crate) knocks: Vec<Knock>,
    /// Whether a host has to let newcomers in, by the word of a commit's author.
    pub(crate) guarded: bool,
    /// What the room opens to, if a commit has changed that.
    pub(crate) lock: Option<RoomLock>,
    /// Whether members are asked by turns to bring in those who knock.
    pub(crate) asks_by_turns: bool,
    /// Those who are here without a client of ours.
    outsiders: BTreeSet<ParticipantId>,
    /// Those who wait for the group's state, and whether a member is asked for it.
    pub(crate) waiting: BTreeSet<ParticipantId>,
    pub(crate) asks_for_state: bool,
    pub(crate) refused_states: Vec<StateName>,
    last_asked: Option<ParticipantId>,
    takeover: Option<Instant>,
    /// Those who have not yet answered to the loss of the group.
    bereft: BTreeSet<ParticipantId>,
    undo: Option<Undo>,
    missing: BTreeSet<ParticipantId>,
    members: BTreeSet<ParticipantId>,
    next: u64,
}

impl Service {
    pub(crate) fn new() -> Self {
        Self {
            room: "standup".parse().unwrap(),
            secret: LinkSecret::from_bytes([7; 32]),
            now: Instant::default(),
            clients: BTreeMap::new(),
            group: None,
            sequence: Sequence::START,
            commits: Vec::new(),
            stale: 0,
            crowd: usize::MAX,
            knocks: Vec::new(),
            guarded: false,
            lock: None,
            asks_by_turns: true,
            outsiders: BTreeSet::new(),
            waiting: BTreeSet::new(),
            asks_for_state: true,
            refused_states: Vec::new(),
            last_asked: None,
            takeover: None,
            bereft: BTreeSet::new(),
            undo: None,
            missing: BTreeSet::new(),
            members: BTreeSet::new(),
            next: 0,
        }
    }

    /// A room with these people in its group, everything settled.
    pub(crate) fn with(names: &[&str]) -> (Self, Vec<ParticipantId>) {
        let mut service = Self::new();
        let ids = names
            .iter()
            .map(|name| {
                let id = service.arrive(name);
                service.settle();
                id
            })
            .collect();
        service.wait(Duration::from_secs(20));
        (service, ids)
    }

    fn door(&self) -> Option<GroupDoor> {
        let group = self.group.clone()?;
        let is_open = self.guarded || self.members.len() < self.crowd;
        Some(if is_open && !group.group_info.is_empty() {
            GroupDoor::Commit { group }
        } else {
            GroupDoor::Knock { epoch: group.epoch }
        })
    }

    /// Asks a member to bring in all who wait.
    pub(crate) fn ask(&mut self, member: ParticipantId) {
        let knocks = self.knocks.clone();
        self.tell(member, ServerMessage::Admit { knocks });
    }

    /// Asks the next member, and another one if nothing comes of it within two seconds.
    fn ask_next(&mut self) {
        if let Some(member) = self.next_member() {
            self.takeover = Some(self.now + Duration::from_secs(2));
            self.ask(member);
        }
    }

    fn next_member(&mut self) -> Option<ParticipantId> {
        let after = |id: &&ParticipantId| Some(**id) > self.last_asked;
        let next = self.members.iter().find(after).or(self.members.first());
        self.last_asked = next.copied();
        self.last_asked
    }

    fn fresh_id(&mut self) -> ParticipantId {
        self.next += 1;
        ParticipantId::new(self.next)
    }

    /// Someone comes through the door with the room's link.
    pub(crate) fn arrive(&mut self, name: &str) -> ParticipantId {
        let secret = self.secret.clone();
        self.arrive_with(name, &secret)
    }

    /// Someone comes through the door, which does not look at the secret.
    pub(crate) fn arrive_with(&mut self, name: &str, secret: &LinkSecret) -> ParticipantId {
        let device = Device::generate().unwrap();
        self.arrive_on(&device, name, secret)
    }

    /// The same, on a device that one may know.
    pub(crate) fn arrive_on(
        &mut self,
        device: &Device,
        name: &str,
        secret: &LinkSecret,
    ) -> ParticipantId {
        let id = self.fresh_id();
        let name: DisplayName = name.parse().unwrap();
        let persona = Persona::on(device, &self.room, name).unwrap();
        let mut client = Client {
            membership: Membership::new(self.room.clone(), secret, persona),
            seen: Seen::default(),
            outbox: VecDeque::new(),
            inbox: VecDeque::new(),
        };
        client.inbox.push_back(ServerMessage::Joined {
            participant: id,
            others: self
                .clients
                .keys()
                .chain(&self.outsiders)
                .copied()
                .collect(),
            group: self.door(),
        });
        self.tell_all(&ServerMessage::ParticipantJoined { participant: id });
        self.clients.insert(id, client);
        id
    }

    /// Someone without a client of ours comes in.
    pub(crate) fn announce(&mut self) -> ParticipantId {
        let id = self.fresh_id();
        self.outsiders.insert(id);
        self.tell_all(&ServerMessage::ParticipantJoined { participant: id });
        id
    }

    /// Takes a commit made in the current epoch from anyone.
    pub(crate) fn submit(&mut self, id: ParticipantId, raw: RawCommit) {
        self.submit_admission(id, raw, None);
    }

    /// The same, with people whom it is to bring in.
    pub(crate) fn submit_admission(
        &mut self,
        id: ParticipantId,
        raw: RawCommit,
        admission: Option<Admission>,
    ) {
        let epoch = self.group.as_ref().expect("there is a group").epoch;
        let info = Some(raw.group_info);
        self.commit(id, epoch, (raw.commit, info), (admission, None));
    }

    /// The same, with what the author says about the call's rules.
    pub(crate) fn submit_rules(
        &mut self,
        id: ParticipantId,
        raw: RawCommit,
        rules: Option<RuleChange>,
    ) {
        let epoch = self.group.as_ref().expect("there is a group").epoch;
        let info = Some(raw.group_info);
        self.commit(id, epoch, (raw.commit, info), (None, rules));
    }

    fn announce_knocks(&mut self) {
        for member in self.members.clone() {
            let knocks = self.knocks.clone();
            self.tell(member, ServerMessage::Knocking { knocks });
        }
    }

    /// A host asks for something.
    pub(crate) fn host(
        &mut self,
        id: ParticipantId,
        request: HostRequest,
    ) -> Result<(), HostError> {
        let now = self.now;
        let client = self.client_mut(id);
        let result = client.membership.host(now, request);
        client.drain();
        result
    }

    /// Someone without a client of ours is gone.
    pub(crate) fn dismiss(&mut self, id: ParticipantId) {
        self.leave(id);
    }

    pub(crate) fn leave(&mut self, id: ParticipantId) {
        self.clients.remove(&id);
        self.outsiders.remove(&id);
        self.members.remove(&id);
        self.missing.remove(&id);
        self.knocks.retain(|knock| knock.participant != id);
        self.tell_all(&ServerMessage::ParticipantLeft { participant: id });
        if self.members.is_empty() && self.group.take().is_some() {
            self.knocks.clear();
            self.bereft = self.clients.keys().copied().collect();
            self.tell_all(&ServerMessage::GroupLost {});
        }
    }

    /// Says that the group is lost, and shows everyone this one instead.
    pub(crate) fn mislead(&mut self, group: GroupState) {
        self.group = Some(group);
        self.members.clear();
        self.tell_all(&ServerMessage::GroupLost {});
    }

    pub(crate) fn tell(&mut self, id: ParticipantId, message: ServerMessage) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.inbox.push_back(message);
        }
    }

    pub(crate) fn tell_all(&mut self, message: &ServerMessage) {
        for client in self.clients.values_mut() {
            client.inbox.push_back(message.clone());
        }
    }

    pub(crate) fn client(&self, id: ParticipantId) -> &Client {
        &self.clients[&id]
    }

    pub(crate) fn client_mut(&mut self, id: ParticipantId) -> &mut Client {
        self.clients.get_mut(&id).unwrap()
    }

    /// The server hears the client's next word. False when there is none.
    pub(crate) fn hear(&mut self, id: ParticipantId) -> bool {
        let Some(client) = self.clients.get_mut(&id) else {
            return false;
        };
        let Some(message) = client.outbox.pop_front() else {
            return false;
        };
        self.take(id, message);
        true
    }

    /// The client hears the server's next word. False when there is none.
    pub(crate) fn deliver(&mut self, id: ParticipantId) -> bool {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else {
            return false;
        };
        let Some(message) = client.inbox.pop_front() else {
            return false;
        };
        client.membership.handle(now, message);
        client.drain();
        true
    }

    /// Until nobody has anything left to say.
    pub(crate) fn settle(&mut self) {
        loop {
            let ids: Vec<_> = self.clients.keys().copied().collect();
            let mut moved = false;
            for id in ids {
                moved |= self.deliver(id) | self.hear(id);
            }
            if !moved {
                return;
            }
        }
    }

    /// Lets time pass, and everything happen that falls due.
    pub(crate) fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.settle();
            let takeover = self.takeover.filter(|_| !self.knocks.is_empty());
            let due = self
                .clients
                .values()
                .filter_map(|client| client.membership.poll_timeout())
                .chain(takeover);
            let Some(due) = due.min().filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            if takeover.is_some_and(|due| due <= self.now) {
                self.ask_next();
            }
            for client in self.clients.values_mut() {
                client.membership.handle_timeout(self.now);
                client.drain();
            }
        }
        self.now = end;
    }

    pub(crate) fn chat(&mut self, id: ParticipantId, text: &str) {
        let client = self.client_mut(id);
        client.membership.send_chat(text).unwrap();
        client.drain();
    }

    pub(crate) fn take(&mut self, id: ParticipantId, message: ClientMessage) {
        if self.bereft.contains(&id) && !matches!(message, ClientMessage::CreateGroup { .. }) {
            return;
        }
        self.bereft.remove(&id);
        match message {
            ClientMessage::CreateGroup { group_info } => match self.group.clone() {
                None => {
                    self.group = Some(GroupState {
                        epoch: Epoch::FIRST,
                        group_info,
                    });
                    self.members.insert(id);
                    self.tell(id, ServerMessage::GroupCreated {});
                }
                Some(group) => self.refuse_as_stale(id, &group),
            },
            ClientMessage::Commit {
                epoch,
                commit,
                group_info,
                admission,
                rules,
            } => self.commit(id, epoch, (commit, group_info), (admission, rules)),
            ClientMessage::Knock { key_package } => {
                self.knocks.push(Knock {
                    participant: id,
                    key_package,
                });
                if self.guarded {
                    self.announce_knocks();
                } else if self.asks_by_turns {
                    self.ask_next();
                }
            }
            ClientMessage::TurnAway { participant, note } => {
                self.tell(participant, ServerMessage::TurnedAway { note });
            }
            ClientMessage::AskGroup { unusable } => {
                self.refused_states.extend(unusable);
                if let Some(group) = self.group.as_mut().filter(|_| unusable.is_some()) {
                    group.group_info = Opaque::from(Vec::new());
                }
                self.waiting.insert(id);
                self.show();
            }
            ClientMessage::ShowGroup { group } => {
                let current = self.group.as_ref().map(|group| group.epoch);
                if current == Some(group.epoch) {
                    self.group = Some(group);
                    self.show();
                }
            }
            ClientMessage::EpochReached { epoch } => {
                let current = self.group.as_ref().map(|group| group.epoch);
                if current == Some(epoch) && self.missing.remove(&id) {
                    self.show_out_removed();
                    if self.missing.is_empty() {
                        self.tell_all(&ServerMessage::EpochComplete { epoch });
                    }
                }
            }
            ClientMessage::CommitRefused { sequence } => {
                if let Some(undo) = self.undo.take_if(|undo| undo.sequence == sequence) {
                    self.annul(undo);
                } else {
                    self.members.remove(&id);
                }
            }
            ClientMessage::Send { message } => {
                let sequence = self.place();
                self.tell_all(&ServerMessage::Delivered {
                    sequence,
                    author: id,
                    message,
                });
            }
            ClientMessage::Leave {} => self.leave(id),
            // What lies below the group: the line and the media.
            ClientMessage::Join { .. }
            | ClientMessage::Resume { .. }
            | ClientMessage::KeepSession {}
            | ClientMessage::Probe {}
            | ClientMessage::Offer { .. } => {}
        }
    }

    /// Asks this member for the state that the next commit has to be made on.
    pub(crate) fn ask_for_state(&mut self, member: ParticipantId, epoch: Epoch) {
        self.tell(member, ServerMessage::ShowGroup { epoch });
        while self.deliver(member) | self.hear(member) {}
    }

    /// Shows the group's state to those who wait for it, or asks a member for it. Unlike the
    /// server it does not look at what it shows.
    fn show(&mut self) {
        let Some(group) = self.group.clone().filter(|_| !self.waiting.is_empty()) else {
            return;
        };
        if !group.group_info.is_empty() {
            for id in std::mem::take(&mut self.waiting) {
                let group = group.clone();
                self.tell(id, ServerMessage::Group { group });
            }
        } else if let Some(member) = self.next_member().filter(|_| self.asks_for_state) {
            let epoch = group.epoch;
            self.tell(member, ServerMessage::ShowGroup { epoch });
        }
    }

    pub(crate) fn place(&mut self) -> Sequence {
        self.sequence = self.sequence.next();
        self.sequence
    }

    fn refuse_as_stale(&mut self, id: ParticipantId, group: &GroupState) {
        self.stale += 1;
        let epoch = group.epoch;
        let group = self.door().filter(|_| !self.members.contains(&id));
        self.tell(id, ServerMessage::Stale { epoch, group });
    }

    /// Takes a commit as the server would, whoever made it.
    pub(crate) fn commit(
        &mut self,
        id: ParticipantId,
        epoch: Epoch,
        (commit, group_info): (Opaque, Option<Opaque>),
        (admission, rules): (Option<Admission>, Option<RuleChange>),
    ) {
        let state = self.group.clone().expect("there is a group");
        if state.epoch != epoch {
            return self.refuse_as_stale(id, &state);
        }
        // The commit before it stands: this one is made on it.
        self.show_out_removed();
        let sequence = self.place();
        self.missing = self.members.clone();
        self.missing.remove(&id);
        self.members.insert(id);
        self.knocks.retain(|knock| knock.participant != id);
        let removed = rules.as_ref().and_then(|rules| rules.removed);
        if let Some(gone) = removed {
            self.members.remove(&gone);
            self.missing.remove(&gone);
        }
        self.undo = Some(Undo {
            state,
            guarded: self.guarded,
            removed,
            author: id,
            sequence,
        });
        if let Some(rules) = &rules {
            self.guarded = rules.guarded;
            self.lock = rules.lock.clone().or(self.lock.take());
        }
        self.group = Some(GroupState {
            epoch: epoch.next(),
            group_info: group_info.unwrap_or_else(|| Opaque::from(Vec::new())),
        });
        let message = ServerMessage::Committed {
            sequence,
            author: id,
            epoch: epoch.next(),
            commit,
            rules,
        };
        self.commits.push(message.clone());
        if let Some(Admission { admitted, welcome }) = admission {
            for newcomer in admitted {
                self.knocks.retain(|knock| knock.participant != newcomer);
                self.members.insert(newcomer);
                self.missing.insert(newcomer);
                let welcomed = ServerMessage::Welcomed {
                    sequence,
                    epoch: epoch.next(),
                    welcome: welcome.clone(),
                };
                self.tell(newcomer, welcomed);
            }
        }
        self.tell_all(&message);
        if self.missing.is_empty() {
            self.show_out_removed();
        }
        if self.guarded {
            self.announce_knocks();
        } else if self.asks_by_turns && !self.knocks.is_empty() && self.takeover.is_none() {
            self.ask_next();
        }
    }

    /// The last commit cannot be annulled any more.
    fn show_out_removed(&mut self) {
        if let Some(removed) = self.undo.take().and_then(|undo| undo.removed) {
            self.leave(removed);
        }
    }

    fn annul(&mut self, undo: Undo) {
        let Undo {
            state,
            author,
            guarded,
            removed,
            ..
        } = undo;
        self.guarded = guarded;
        self.members.extend(removed);
        let annulled = ServerMessage::CommitAnnulled {
            author,
            epoch: state.epoch,
        };
        self.group = Some(state);
        self.missing.clear();
        self.tell(
            author,
            ServerMessage::Error {
                code: ErrorCode::CommitRefused,
                detail: "a member refused".to_owned(),
            },
        );
        for (id, client) in &mut self.clients {
            if *id != author {
                client.inbox.push_back(annulled.clone());
            }
        }
    }
}
