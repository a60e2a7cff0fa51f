//! A client's membership in a room's group, from the door to the last key.

mod access;
mod changes;
mod entrance;
mod failure;
mod hosting;
mod merging;
mod renewal;
mod showing;
mod stage;
mod talk;

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    time::Duration,
};

use conclave_protocol::{
    Epoch, PROTOCOL_VERSION, ParticipantId, RoomId, Sequence,
    signal::{ClientMessage, ServerMessage},
};

use crate::{
    departures::Departures,
    filling::Filling,
    identity::{Identity, Persona},
    link::LinkSecret,
    member::Member,
    memory::Memory,
    output::Output,
    outsiders::Outsiders,
    time::Instant,
    timeline::{KeyStep, Timeline},
};

use access::Access;
pub use failure::UnusableGroup;
use failure::{End, Refusal, ends_membership};
pub use hosting::{HostError, HostRequest};
use merging::Arrival;
use stage::{Inside, Stage};

/// After this long without an answer, a commit is sent again as it is.
const RESEND_AFTER: Duration = Duration::from_secs(5);

/// For this long, a commit can be annulled. Shorter than old keys are kept.
const UNDO_WITHIN: Duration = Duration::from_secs(5);

/// A client's membership in a room's group, from the door to the last key.
///
/// It is a state machine without sockets or clocks: what the server says goes into
/// [`Membership::handle`], what is to be done comes out of [`Membership::poll`], and
/// [`Membership::handle_timeout`] is to be called at [`Membership::poll_timeout`]. Browsers
/// and bots run this same code, so they follow the same rules.
///
/// # How newcomers come in
///
/// Into a small group by an external commit of their own, which is the quickest; into a
/// larger one by knocking: the server collects KeyPackages and asks one member at a time to
/// bring in all who wait. If nothing happens for five seconds, whoever knocks makes an
/// external commit after all, so that a group in which nobody answers is not closed.
/// Where the group's rules keep newcomers outside, only a host can bring them in, and only
/// hosts come in by themselves.
///
/// # How commits are merged
///
/// The server puts commits in an order and lets through one an epoch. A commit of our own
/// is *pending* from the moment it is made: nothing of it is applied until the server
/// brings it back as `committed` with ourselves as author and the very same bytes. A
/// newcomer likewise keeps the group that its external commit would make aside until then.
/// `stale` means that another commit was first: ours is discarded, the winner (which came
/// as `committed`) is merged, and what is still to be done is done again on the new state.
/// A `stale` that is older than the pending commit says nothing about it.
///
/// Another member's commit is staged, examined against the [policy](crate::PolicyViolation)
/// and only then merged. If it is refused, this client stays in its epoch, tells the server
/// and the user. If the server then says `commit_annulled`, the group goes on from there.
/// Members who had merged the commit return to the epoch before it, which they can for five
/// seconds and only as long as no further commit was merged.
pub struct Membership {
    room: RoomId,
    persona: Persona,
    access: Access,
    /// What opens what is still on its way from before the link was changed.
    former: Option<Access>,
    participant: Option<ParticipantId>,
    /// Who is in the room, by the server's word, this client included.
    present: BTreeSet<ParticipantId>,
    stage: Stage,
    roster: Vec<Member>,
    departures: Departures,
    filling: Filling,
    outsiders: Outsiders,
    timeline: Timeline,
    /// The newest entry of the log that was seen.
    last: Sequence,
    /// Hashes of commits that were annulled. If one came back, its keys would too.
    annulled: HashSet<[u8; 32]>,
    /// What this client knows of the call that it is or was in.
    memory: Option<Memory>,
    outputs: VecDeque<Output>,
}

impl Membership {
    /// A membership that has not begun.
    pub fn new(room: RoomId, secret: &LinkSecret, persona: Persona) -> Self {
        Self {
            access: Access::new(&room, secret.clone()),
            former: None,
            room,
            persona,
            participant: None,
            present: BTreeSet::new(),
            stage: Stage::Outside,
            roster: Vec::new(),
            departures: Departures::default(),
            filling: Filling::default(),
            outsiders: Outsiders::default(),
            timeline: Timeline::default(),
            last: Sequence::START,
            annulled: HashSet::new(),
            memory: None,
            outputs: VecDeque::new(),
        }
    }

    /// Goes on in a call that an earlier membership was in: enters no other one. Before
    /// [`Self::handle`].
    pub fn recall(&mut self, memory: Memory) {
        self.memory = Some(memory);
    }

    /// What the next membership has to know, once there is something.
    pub fn memory(&self) -> Option<&Memory> {
        self.memory.as_ref()
    }

    /// What to say to the server first.
    pub fn join_message(&self) -> ClientMessage {
        ClientMessage::Join {
            version: PROTOCOL_VERSION,
            room: self.room.clone(),
            room_auth: self.access.keys.room_auth(),
            // It is between the client and the server: whoever has one adds it.
            invite: None,
        }
    }

    /// The secret of the room's link, which a host may have changed since.
    pub fn link(&self) -> &LinkSecret {
        &self.access.secret
    }

    /// Who is in the group, by leaf.
    pub fn roster(&self) -> &[Member] {
        &self.roster
    }

    /// The epoch that the group is in, once this client is in the group.
    pub fn epoch(&self) -> Option<Epoch> {
        match &self.stage {
            Stage::Inside(inside) => Some(inside.group.epoch()),
            _ => None,
        }
    }

    /// The next thing to do or to know.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes in what the server says.
    pub fn handle(&mut self, now: Instant, message: ServerMessage) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        // What is over is over before the message counts: it may come late.
        self.expire(now);
        let result = self.follow(now, message).and_then(|()| self.act(now));
        self.conclude(result);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire(now);
        let result = self.act(now);
        self.conclude(result);
    }

    /// Lets end what ends with time alone: old keys, and the way back from a commit. Unlike
    /// [`Self::handle_timeout`] it says nothing to the server, so it is to be called at
    /// [`Self::poll_expiry`] while the line to the server is broken too.
    pub fn expire(&mut self, now: Instant) {
        if let Stage::Inside(inside) = &mut self.stage {
            inside.undo.take_if(|undo| undo.until <= now);
        }
        self.timeline.handle_timeout(now);
        self.conclude(Ok(()));
    }

    /// When something will end by itself.
    pub fn poll_expiry(&self) -> Option<Instant> {
        let undo = match &self.stage {
            Stage::Inside(inside) => inside.undo.as_ref().map(|undo| undo.until),
            _ => None,
        };
        [self.timeline.poll_timeout(), undo]
            .into_iter()
            .flatten()
            .min()
    }

    /// When something will be due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let request = match &self.stage {
            Stage::Knocking(_, patience) => Some(patience.ask_at()),
            Stage::Joining(joining) => Some(joining.request.resend_at),
            Stage::Inside(inside) => match &inside.pending {
                Some(request) => Some(request.resend_at),
                None => self.departures.deadline().or(self.renewal_deadline()),
            },
            _ => None,
        };
        let outsiders = match &self.stage {
            Stage::Inside(_) => self.outsiders.deadline(),
            _ => None,
        };
        let due = [self.poll_expiry(), request, outsiders];
        due.into_iter().flatten().min()
    }

    fn send(&mut self, message: ClientMessage) {
        self.outputs.push_back(Output::Send { message });
    }

    fn conclude(&mut self, result: Result<(), End>) {
        if let Err(end) = result {
            self.stage = Stage::Over;
            self.timeline.end();
            self.outputs.push_back(Output::Failed {
                reason: end.to_string(),
                prospect: end.prospect(),
            });
        }
        for step in self.timeline.take_steps() {
            self.outputs.push_back(match step {
                KeyStep::SealWith(epoch) => Output::SealWith { epoch },
                KeyStep::Forget(epoch) => Output::Forget { epoch },
            });
        }
    }

    fn follow(&mut self, now: Instant, message: ServerMessage) -> Result<(), End> {
        match message {
            ServerMessage::Joined {
                participant,
                others,
                group,
            } if matches!(self.stage, Stage::Outside) => {
                self.participant = Some(participant);
                self.present = others.into_iter().chain([participant]).collect();
                match group {
                    Some(door) => self.approach(now, &door),
                    None => self.found(),
                }
            }
            ServerMessage::GroupCreated {} => {
                match std::mem::replace(&mut self.stage, Stage::Between) {
                    Stage::Founding(group) => self.enter(now, *group),
                    other => {
                        self.stage = other;
                        Ok(())
                    }
                }
            }
            // A founding that is on its way reaches the server after the loss, and is the answer.
            ServerMessage::GroupLost {}
                if matches!(self.stage, Stage::Founding(_) | Stage::Outside) =>
            {
                Ok(())
            }
            ServerMessage::GroupLost {} => {
                self.timeline.end();
                self.found()
            }
            ServerMessage::Stale { epoch, group } => self.on_stale(now, epoch, group.as_ref()),
            ServerMessage::Group { group } => self.on_group(now, &group),
            ServerMessage::ShowGroup { epoch } => self.show_group(epoch),
            ServerMessage::Welcomed {
                sequence,
                epoch,
                welcome,
            } if self.is_news(sequence) => self.on_welcomed(now, epoch, &welcome),
            ServerMessage::Admit { knocks } => {
                self.on_admit(now, &knocks);
                Ok(())
            }
            ServerMessage::Knocking { knocks } => {
                self.on_knocking(now, &knocks);
                Ok(())
            }
            ServerMessage::TurnedAway { note } => self.on_turned_away(&note),
            ServerMessage::Committed {
                sequence,
                author,
                epoch,
                commit,
                rules,
            } if self.is_news(sequence) => {
                let arrival = Arrival {
                    sequence,
                    author,
                    epoch,
                    commit,
                    rules,
                };
                self.on_committed(now, &arrival)
            }
            ServerMessage::CommitAnnulled { author, epoch } => self.on_annulled(now, author, epoch),
            ServerMessage::Delivered {
                sequence,
                author,
                message,
            } if self.is_news(sequence) => {
                self.on_delivered(sequence, author, &message);
                Ok(())
            }
            ServerMessage::EpochComplete { epoch } => {
                self.timeline.complete(epoch);
                Ok(())
            }
            ServerMessage::ParticipantJoined { participant } => {
                self.present.insert(participant);
                self.filling.disturb(now);
                self.update_departures(now);
                Ok(())
            }
            ServerMessage::ParticipantLeft { participant } => {
                self.present.remove(&participant);
                self.filling.disturb(now);
                if let Stage::Inside(inside) = &mut self.stage {
                    let present = &self.present;
                    inside.tidy(&self.roster, |id| present.contains(&id));
                }
                self.show_lobby();
                self.update_departures(now);
                Ok(())
            }
            ServerMessage::StrangerRefused {} => {
                self.outputs.push_back(Output::StrangerRefused);
                Ok(())
            }
            ServerMessage::Error { code, detail } if ends_membership(code) => {
                Err(End::Server(detail))
            }
            // An old entry of the log again, what nobody asked for, or nothing that concerns the
            // group.
            ServerMessage::Joined { .. }
            | ServerMessage::Committed { .. }
            | ServerMessage::Welcomed { .. }
            | ServerMessage::Delivered { .. }
            | ServerMessage::Session { .. }
            | ServerMessage::Resumed { .. }
            | ServerMessage::Heard { .. }
            | ServerMessage::Here {}
            | ServerMessage::ParticipantAway { .. }
            | ServerMessage::ParticipantBack { .. }
            | ServerMessage::Answer { .. }
            | ServerMessage::Error { .. } => Ok(()),
        }
    }

    /// The log only goes forward.
    fn is_news(&mut self, sequence: Sequence) -> bool {
        let news = sequence > self.last;
        self.last = self.last.max(sequence);
        news
    }

    fn identity(&self) -> Result<Identity, End> {
        let participant = self.participant.ok_or(End::NotOurs)?;
        Ok(self.persona.identity(participant))
    }

    /// The group has come to a new epoch.
    fn arrive(&mut self, now: Instant, urgent: bool) -> Result<(), End> {
        let Stage::Inside(inside) = &self.stage else {
            return Ok(());
        };
        let epoch = inside.group.epoch();
        self.outputs.push_back(Output::KeysReady {
            epoch,
            own_leaf: inside.group.own_leaf()?,
            base_key: inside.group.base_key()?,
        });
        self.send(ClientMessage::EpochReached { epoch });
        self.timeline.advance(now, epoch, urgent);
        self.outsiders.note_movement(now);
        self.update_roster(now)
    }

    fn update_roster(&mut self, now: Instant) -> Result<(), End> {
        let Stage::Inside(inside) = &mut self.stage else {
            return Ok(());
        };
        let before = std::mem::replace(&mut self.roster, inside.group.members()?);
        let has_changed = before != self.roster;
        self.filling.advance(now, self.roster.len(), has_changed);
        inside.rules = inside.group.rules()?;
        self.memory = Some(Memory::of(&inside.group)?);
        let present = &self.present;
        inside.tidy(&self.roster, |id| present.contains(&id));
        self.outputs.push_back(Output::Roster {
            members: self.roster.clone(),
            call_code: inside.group.call_code(),
            door: inside.rules.door(),
        });
        self.show_lobby();
        self.update_departures(now);
        Ok(())
    }

    fn update_departures(&mut self, now: Instant) {
        let present = &self.present;
        self.departures.update(now, &self.roster, |participant| {
            present.contains(&participant)
        });
        let Stage::Inside(inside) = &self.stage else {
            return;
        };
        // Who waits for a host's word has a reason to be outside.
        let is_known = |id: &ParticipantId| {
            let waits = inside.lobby.iter().any(|it| it.participant() == *id);
            waits || self.roster.iter().any(|member| member.participant == *id)
        };
        let outside = present.iter().filter(|id| !is_known(id)).copied();
        self.outsiders.update(now, &outside.collect());
    }

    /// Does what is due at this time.
    fn act(&mut self, now: Instant) -> Result<(), End> {
        let request = match &mut self.stage {
            Stage::Knocking(_, patience) => {
                if patience.ask_at() <= now {
                    patience.asks(now)?;
                    self.send(ClientMessage::AskGroup { unusable: None });
                }
                return Ok(());
            }
            Stage::Joining(joining) => Some(&mut joining.request),
            Stage::Inside(inside) => {
                let participants = self.outsiders.take_due(now);
                if !participants.is_empty() {
                    self.outputs.push_back(Output::Outsiders { participants });
                }
                inside.pending.as_mut()
            }
            _ => return Ok(()),
        };
        match request {
            Some(request) if request.resend_at <= now => {
                request.resend_at = now + RESEND_AFTER;
                let message = request.message.clone();
                self.send(message);
                Ok(())
            }
            Some(_) => Ok(()),
            None => {
                self.change_group(now)?;
                self.renew(now)
            }
        }
    }
}
