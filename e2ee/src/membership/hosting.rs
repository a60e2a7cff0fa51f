//! What a host can do, and how it comes to pass: by commits and by signed messages.

use conclave_protocol::{
    ParticipantId,
    signal::{ClientMessage, Knock, RuleChange},
};
use serde::Deserialize;
use ts_rs::TS;

use super::{Inside, Membership, Stage, access::Access};
use crate::{
    LeafIndex, Member,
    application::Application,
    envelope::Kind,
    group::{GroupError, Newcomer},
    knock::KnockName,
    output::{Output, Visitor},
    rules::{Door, Rules},
    time::Instant,
};

/// As many wishes may wait for their commit.
const MOST_WISHES: usize = 64;

/// As many as may wait before the door, for this client.
const MOST_VISITORS: usize = 64;

/// What a host asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[ts(export)]
pub enum HostRequest {
    /// Decide who may come in.
    SetDoor {
        /// Who.
        door: Door,
    },
    /// Make someone a host too.
    Appoint {
        /// Whom.
        participant: ParticipantId,
    },
    /// Make a host a host no longer.
    Dismiss {
        /// Whom.
        participant: ParticipantId,
    },
    /// Remove someone who is here. The same device does not come back.
    Remove {
        /// Whom.
        participant: ParticipantId,
        /// Whether to change the link too, which they know.
        change_link: bool,
    },
    /// Change the link: who has the old one only does not come in any more.
    ChangeLink {},
    /// Let someone in who waits.
    Admit {
        /// Whom.
        participant: ParticipantId,
        /// As they were shown: who knocks again since is somebody else.
        knock: KnockName,
    },
    /// Tell someone who waits that they may not come in.
    TurnAway {
        /// Whom.
        participant: ParticipantId,
        /// As they were shown.
        knock: KnockName,
    },
    /// Switch a microphone off. Its owner can switch it on again.
    Mute {
        /// Whose; none: everyone's but one's own.
        participant: Option<ParticipantId>,
    },
}

/// Why a host's request was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// This client is not in the group.
    #[error("not in the call yet: wait a moment")]
    NotInCall,
    /// Only hosts may.
    #[error("only a host can do that: ask one of them")]
    NotAHost,
    /// They are gone.
    #[error("they are not here any more")]
    NobodyThere,
    /// A call has 32 hosts at most.
    #[error("there are as many hosts as a call can have: let one of them go first")]
    TooManyHosts,
    /// A call needs a host.
    #[error("you are the only host: make somebody else one first")]
    LastHost,
    /// More than 64 wait.
    #[error("too many changes are still on their way: wait a moment")]
    TooFast,
    /// MLS could not do it.
    #[error("it could not be done: {0}")]
    Failed(#[from] GroupError),
}

/// A commit in the making: what of the wishes goes into it.
pub(super) struct Draft {
    /// How many of the wishes it fulfils, from the first on.
    pub(super) wishes: usize,
    /// The rules after it, if they change.
    pub(super) rules: Option<Rules>,
    /// Who is to be removed though they are here.
    pub(super) shown_out: Option<Member>,
    pub(super) changes_link: bool,
}

impl Draft {
    /// Takes wishes as long as one commit can fulfil them: it removes one person.
    pub(super) fn new(before: &Rules, roster: &[Member], wishes: &[HostRequest]) -> Self {
        let mut rules = before.clone();
        let mut draft = Self {
            wishes: 0,
            rules: None,
            shown_out: None,
            changes_link: false,
        };
        let find = |id| roster.iter().find(|member| member.participant == id);
        for wish in wishes {
            match wish {
                HostRequest::SetDoor { door } => rules.set_door(*door),
                HostRequest::Appoint { participant } => {
                    if let Some(member) = find(*participant) {
                        rules.appoint(member.device);
                    }
                }
                HostRequest::Dismiss { participant } => {
                    if let Some(member) = find(*participant) {
                        rules.dismiss(&member.device);
                    }
                }
                HostRequest::Remove { .. } if draft.shown_out.is_some() => break,
                HostRequest::Remove {
                    participant,
                    change_link,
                } => {
                    if let Some(member) = find(*participant).filter(|it| !it.is_self) {
                        draft.shown_out = Some(member.clone());
                        bar(&mut rules, member, roster);
                        draft.changes_link |= change_link;
                    }
                }
                HostRequest::ChangeLink {} => draft.changes_link = true,
                HostRequest::Admit { .. }
                | HostRequest::TurnAway { .. }
                | HostRequest::Mute { .. } => {}
            }
            draft.wishes += 1;
        }
        if draft.changes_link {
            rules.change_link();
        }
        draft.rules = (rules != *before).then_some(rules);
        draft
    }

    /// True if it changes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_none() && self.shown_out.is_none()
    }

    /// Whom to remove: those who are gone, and who is shown out.
    pub(super) fn leaves(&self, gone: &[LeafIndex]) -> Vec<LeafIndex> {
        let shown_out = self.shown_out.as_ref().map(|member| member.leaf);
        let gone = gone.iter().copied();
        gone.filter(|leaf| Some(*leaf) != shown_out)
            .chain(shown_out)
            .collect()
    }

    /// What the server has to know of it.
    pub(super) fn announcement(&self, before: &Rules, link: Option<&Access>) -> Option<RuleChange> {
        (!self.is_empty()).then(|| RuleChange {
            guarded: self.rules.as_ref().unwrap_or(before).is_guarded(),
            removed: self.shown_out.as_ref().map(|member| member.participant),
            lock: link.map(|link| link.keys.room_lock()),
        })
    }
}

/// A device is barred unless somebody who stays takes part with it too.
fn bar(rules: &mut Rules, gone: &Member, roster: &[Member]) {
    let stays = |member: &&Member| member.leaf != gone.leaf && member.device == gone.device;
    if roster.iter().find(stays).is_none() {
        rules.bar(gone.device);
    }
}

impl Membership {
    /// Does what a host asks for, now or with the next commit.
    pub fn host(&mut self, now: Instant, request: HostRequest) -> Result<(), HostError> {
        let own = self.roster.iter().find(|member| member.is_self);
        let own = own.ok_or(HostError::NotInCall)?.clone();
        let Stage::Inside(inside) = &mut self.stage else {
            return Err(HostError::NotInCall);
        };
        if !own.is_host {
            return Err(HostError::NotAHost);
        }
        let is_here = |id| self.roster.iter().any(|it| it.participant == id);
        match &request {
            HostRequest::Admit { participant, knock } => {
                let newcomer = inside.take_visitor(*participant, Some(knock));
                inside
                    .newcomers
                    .push(newcomer.ok_or(HostError::NobodyThere)?);
                self.show_lobby();
            }
            HostRequest::TurnAway { participant, knock } => {
                self.turn_away(*participant, knock)?;
            }
            HostRequest::Mute { participant } => {
                if participant.is_some_and(|id| !is_here(id)) {
                    return Err(HostError::NobodyThere);
                }
                self.send_application(&Application::Mute {
                    participant: *participant,
                })?;
            }
            HostRequest::Appoint { participant } | HostRequest::Remove { participant, .. }
                if !is_here(*participant) || *participant == own.participant =>
            {
                return Err(HostError::NobodyThere);
            }
            HostRequest::Appoint { .. } if !inside.rules.has_room_for_host() => {
                return Err(HostError::TooManyHosts);
            }
            HostRequest::Dismiss { participant } => {
                let mut roster = self.roster.iter();
                let dismissed = roster.find(|member| member.participant == *participant);
                let dismissed = dismissed.ok_or(HostError::NobodyThere)?.device;
                // Two windows of one device are one host.
                let mut hosts = self.roster.iter().filter(|member| member.is_host);
                if hosts.all(|member| member.device == dismissed) {
                    return Err(HostError::LastHost);
                }
                self.wish(request)?;
            }
            HostRequest::SetDoor { .. }
            | HostRequest::Appoint { .. }
            | HostRequest::Remove { .. }
            | HostRequest::ChangeLink {} => self.wish(request)?,
        }
        let result = self.act(now);
        self.conclude(result);
        Ok(())
    }

    fn wish(&mut self, request: HostRequest) -> Result<(), HostError> {
        let Stage::Inside(inside) = &mut self.stage else {
            return Err(HostError::NotInCall);
        };
        if inside.wishes.len() == MOST_WISHES {
            return Err(HostError::TooFast);
        }
        inside.wishes.push(request);
        Ok(())
    }

    fn turn_away(
        &mut self,
        participant: ParticipantId,
        knock: &KnockName,
    ) -> Result<(), HostError> {
        let Stage::Inside(inside) = &mut self.stage else {
            return Err(HostError::NotInCall);
        };
        let visitor = inside.take_visitor(participant, Some(knock));
        let visitor = visitor.ok_or(HostError::NobodyThere)?;
        let note = inside.group.turn_away(&visitor.knock)?;
        let note = self.access.envelope.seal(Kind::TurnedAway, &note);
        let note = note.map_err(|error| GroupError::new("sealing a word", &error.to_string()))?;
        self.send(ClientMessage::TurnAway { participant, note });
        self.show_lobby();
        Ok(())
    }

    /// These wait before the guarded door.
    pub(super) fn on_knocking(&mut self, now: Instant, knocks: &[Knock]) {
        let Stage::Inside(inside) = &mut self.stage else {
            return;
        };
        for knock in knocks {
            let newcomer = match self
                .access
                .envelope
                .open(Kind::KeyPackage, &knock.key_package)
            {
                Ok(bytes) => inside.group.newcomer(&bytes),
                Err(_) => {
                    self.outputs.push_back(Output::StrangerRefused);
                    continue;
                }
            };
            // Who has the link and knocks with something else than a KeyPackage of their own
            // is not heard.
            let Ok(newcomer) = newcomer else { continue };
            inside.take_visitor(knock.participant, None);
            let is_barred = inside.rules.is_barred(&newcomer.identity.device.key);
            if newcomer.participant() == knock.participant
                && !is_barred
                && inside.lobby.len() < MOST_VISITORS
                && self.present.contains(&knock.participant)
            {
                inside.lobby.push(newcomer);
            }
        }
        self.show_lobby();
        self.update_departures(now);
    }

    /// Tells a host who waits, if that has changed.
    pub(super) fn show_lobby(&mut self) {
        let Stage::Inside(inside) = &mut self.stage else {
            return;
        };
        let own = self.roster.iter().find(|member| member.is_self);
        let Some(own) = own else { return };
        let visitors = inside.lobby.iter().filter(|_| own.is_host);
        let waiting: Vec<Visitor> = visitors
            .map(|newcomer| Visitor {
                participant: newcomer.participant(),
                knock: newcomer.knock,
                name: newcomer.identity.name.clone().into(),
                device: newcomer.identity.device.key,
                pair_code: own.device.pair_code(&newcomer.identity.device.key),
            })
            .collect();
        if waiting != inside.shown_lobby {
            inside.shown_lobby.clone_from(&waiting);
            self.outputs.push_back(Output::Lobby { waiting });
        }
    }
}

impl Inside {
    /// Someone who waits, with this knock if one is named.
    fn take_visitor(
        &mut self,
        participant: ParticipantId,
        knock: Option<&KnockName>,
    ) -> Option<Newcomer> {
        let is_meant = |it: &Newcomer| {
            it.participant() == participant && knock.is_none_or(|knock| it.knock == *knock)
        };
        let place = self.lobby.iter().position(is_meant);
        place.map(|place| self.lobby.remove(place))
    }

    /// Forgets who wait no longer, and what is no longer for us to do.
    pub(super) fn tidy(&mut self, roster: &[Member], is_present: impl Fn(ParticipantId) -> bool) {
        let is_in = |id| roster.iter().any(|it| it.participant == id);
        let waits = |it: &Newcomer| {
            let device = &it.identity.device.key;
            !is_in(it.participant())
                && is_present(it.participant())
                && !self.rules.is_barred(device)
        };
        self.newcomers.retain(&waits);
        self.lobby.retain(&waits);
        let is_host = roster.iter().any(|it| it.is_self && it.is_host);
        if !is_host {
            self.wishes.clear();
            if self.rules.is_guarded() {
                self.newcomers.clear();
            }
        }
    }
}
