//! A client of ours, and what it has put out.

use std::collections::{BTreeMap, VecDeque};

use conclave_e2ee::{
    BaseKey, Digits, Door, HostRequest, KnockName, Member, Membership, Output, Prospect, SharedFile,
};
use conclave_protocol::{
    Epoch, ParticipantId,
    signal::{ClientMessage, ServerMessage},
};

/// What a client has put out so far.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) keys: BTreeMap<Epoch, BaseKey>,
    pub(crate) sealing: Option<Epoch>,
    pub(crate) forgotten: Vec<Epoch>,
    pub(crate) joined: u32,
    pub(crate) chat: Vec<(String, String)>,
    /// Files by whom they were sent.
    pub(crate) files: Vec<(String, SharedFile)>,
    pub(crate) refused: Vec<(ParticipantId, String)>,
    pub(crate) strangers: u32,
    pub(crate) failed: Option<String>,
    pub(crate) retry: bool,
    pub(crate) prospect: Option<Prospect>,
    /// Who waits before the door, as a host sees it.
    pub(crate) lobby: Vec<(ParticipantId, String)>,
    pub(crate) knocks: BTreeMap<ParticipantId, KnockName>,
    /// How many times this client was told that a host has to let it in.
    pub(crate) waiting: u32,
    /// Those who stayed outside for long.
    pub(crate) outsiders: Vec<ParticipantId>,
    /// Whose word it was to switch the microphone off.
    pub(crate) muted_by: Vec<String>,
    pub(crate) links: u32,
    pub(crate) door: Option<Door>,
    pub(crate) call_code: Option<Digits>,
}

pub(crate) struct Client {
    pub(crate) membership: Membership,
    pub(crate) seen: Seen,
    /// What the client has said and the server not yet heard.
    pub(crate) outbox: VecDeque<ClientMessage>,
    /// What the server has said and the client not yet heard.
    pub(crate) inbox: VecDeque<ServerMessage>,
}

impl Client {
    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.membership.poll() {
            match output {
                Output::Send { message } => self.outbox.push_back(message),
                Output::KeysReady {
                    epoch, base_key, ..
                } => {
                    self.seen.keys.insert(epoch, base_key);
                }
                Output::SealWith { epoch } => self.seen.sealing = Some(epoch),
                Output::Forget { epoch } => {
                    self.seen.keys.remove(&epoch);
                    self.seen.forgotten.push(epoch);
                }
                Output::Chat { name, text, .. } => self.seen.chat.push((name, text)),
                Output::File { name, file, .. } => self.seen.files.push((name, file)),
                Output::Joined => self.seen.joined += 1,
                Output::CommitRefused { author, reason } => {
                    self.seen.refused.push((author, reason));
                }
                Output::StrangerRefused => self.seen.strangers += 1,
                Output::Failed { reason, prospect } => {
                    self.seen.failed = Some(reason);
                    self.seen.retry = prospect == Prospect::Retry;
                    self.seen.prospect = Some(prospect);
                }
                Output::Roster {
                    call_code, door, ..
                } => {
                    self.seen.call_code = Some(call_code);
                    self.seen.door = Some(door);
                }
                Output::Lobby { waiting } => {
                    let knocks = waiting.iter().map(|it| (it.participant, it.knock));
                    self.seen.knocks = knocks.collect();
                    let waiting = waiting.into_iter();
                    self.seen.lobby = waiting.map(|it| (it.participant, it.name)).collect();
                }
                Output::Outsiders { participants } => self.seen.outsiders.extend(participants),
                Output::Waiting => self.seen.waiting += 1,
                Output::MuteAsked { by } => self.seen.muted_by.push(by),
                Output::LinkChanged => self.seen.links += 1,
            }
        }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let roster = self.membership.roster();
        roster.iter().map(|member| member.name.as_str()).collect()
    }

    pub(crate) fn member(&self, name: &str) -> &Member {
        let mut roster = self.membership.roster().iter();
        roster.find(|member| member.name == name).unwrap()
    }

    /// As a host's page asks for it: whoever waits is let in as they are shown.
    pub(crate) fn admit(&self, participant: ParticipantId) -> HostRequest {
        let knock = self.seen.knocks[&participant];
        HostRequest::Admit { participant, knock }
    }

    /// The same, for turning away.
    pub(crate) fn turn_away(&self, participant: ParticipantId) -> HostRequest {
        let knock = self.seen.knocks[&participant];
        HostRequest::TurnAway { participant, knock }
    }

    /// The key of the newest epoch.
    pub(crate) fn newest_key(&self) -> (Epoch, [u8; 16]) {
        let (epoch, key) = self.seen.keys.last_key_value().expect("has a key");
        (*epoch, *key.as_bytes())
    }
}
