//! What members say to each other.

use conclave_protocol::{Opaque, ParticipantId, Sequence, signal::ClientMessage};

use sha2::{Digest as _, Sha256};

use super::{Inside, Membership, Stage};
use crate::{
    LeafIndex,
    application::{Application, ChatError, FileShareError},
    envelope::Kind,
    file::SharedFile,
    group::GroupError,
    identity::Identity,
    output::Output,
};

/// How many messages of our own may be on their way.
const OWN_MESSAGES: usize = 64;

impl Membership {
    /// Says something to everyone in the group.
    pub fn send_chat(&mut self, text: &str) -> Result<(), ChatError> {
        let line = Application::chat(text)?;
        self.send_line(&line)
    }

    /// Tells everyone in the group of a file that is stored.
    pub fn share_file(&mut self, file: SharedFile) -> Result<(), FileShareError> {
        file.check()?;
        Ok(self.send_line(&Application::File { file })?)
    }

    fn send_line(&mut self, line: &Application) -> Result<(), ChatError> {
        let Stage::Inside(inside) = &self.stage else {
            return Err(ChatError::NotInCall);
        };
        if inside.own_messages.len() >= OWN_MESSAGES {
            return Err(ChatError::TooFast);
        }
        self.send_application(line)
            .map_err(|error| ChatError::Failed(error.to_string()))
    }

    pub(super) fn send_application(&mut self, message: &Application) -> Result<(), GroupError> {
        let what = "sending a message";
        let failed = |error: &dyn std::fmt::Display| GroupError::new(what, &error.to_string());
        let Stage::Inside(inside) = &mut self.stage else {
            return Err(failed(&"not in the call"));
        };
        let bytes = message.encode().map_err(|error| failed(&error))?;
        let bytes = inside.group.encrypt(&bytes)?;
        let sealed = self.access.envelope.seal(Kind::Message, &bytes);
        let sealed = sealed.map_err(|error| failed(&error))?;
        inside
            .own_messages
            .push_back((sealed.clone(), message.clone()));
        self.send(ClientMessage::Send { message: sealed });
        Ok(())
    }

    /// What cannot be opened is dropped: most of it is older than this membership.
    pub(super) fn on_delivered(
        &mut self,
        sequence: Sequence,
        author: ParticipantId,
        message: &Opaque,
    ) {
        let Stage::Inside(inside) = &mut self.stage else {
            return;
        };
        let own = inside
            .own_messages
            .iter()
            .position(|(sent, _)| sent == message);
        let (leaf, identity, application) = if let Some(own) = own {
            let own = inside.own_messages.remove(own);
            let leaf = inside.group.own_leaf().ok();
            let Some(((leaf, id), (_, application))) = leaf.zip(self.participant).zip(own) else {
                return;
            };
            (leaf, self.persona.identity(id), application)
        } else if self.participant == Some(author) {
            return;
        } else {
            let envelopes = [Some(&self.access), self.former.as_ref()];
            let mut opened = envelopes
                .into_iter()
                .flatten()
                .filter_map(|access| access.envelope.open(Kind::Message, message).ok());
            let Some(opened) = opened.next().and_then(|bytes| inside.read(&bytes)) else {
                return;
            };
            opened
        };
        let output = match application {
            Application::Chat { text } => Some(Output::Chat {
                leaf,
                participant: identity.participant,
                name: identity.name.into(),
                text,
                sequence,
            }),
            Application::File { file } => Some(Output::File {
                leaf,
                participant: identity.participant,
                name: identity.name.into(),
                file,
                sequence,
            }),
            Application::Mute { participant } => {
                let is_for_us = participant.is_none_or(|id| self.participant == Some(id));
                let is_own = self.participant == Some(identity.participant);
                let is_valid = inside.rules.is_host(&identity.device.key) && is_for_us && !is_own;
                is_valid.then(|| Output::MuteAsked {
                    by: identity.name.into(),
                })
            }
        };
        self.outputs.extend(output);
    }
}

impl Inside {
    fn read(&mut self, message: &[u8]) -> Option<(LeafIndex, Identity, Application)> {
        let hash = Sha256::digest(message).into();
        if self.opened_before.contains(&hash) {
            return None;
        }
        let message = self.group.decrypt(message).ok()?;
        if let Some(undo) = &mut self.undo {
            undo.opened.push(hash);
        }
        let application = Application::decode(&message.bytes)?;
        Some((message.leaf, message.identity, application))
    }
}
