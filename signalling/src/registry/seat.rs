//! What a connection holds of a room.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use conclave_protocol::{
    ParticipantId, RoomId,
    session::{MessageNumber, SessionToken},
    signal::{ErrorCode, ServerMessage},
};
use conclave_sfu::Offer;
use tokio::sync::mpsc;

use crate::{
    host::{Command, Grace, LineId},
    limits::Limits,
    media::Media,
    outbound::Outbound,
    room::Saying,
};

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Parting {
    Left,
    WentAway,
    BrokeOff,
}

/// A participant's place in a room, held over one connection. Dropping it tells the room that
/// the connection is gone, however that comes about: who cannot come back has left.
pub(crate) struct Seat {
    pub(super) participant: ParticipantId,
    pub(super) line: LineId,
    pub(super) parting: Parting,
    /// Kept up to date by the room.
    pub(super) permit: Arc<AtomicBool>,
    pub(super) room: RoomId,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) media: Arc<Media>,
}

impl Seat {
    pub(crate) const fn participant(&self) -> ParticipantId {
        self.participant
    }

    pub(crate) const fn line(&self) -> LineId {
        self.line
    }

    /// Says something to the room. False when the room is no more.
    pub(crate) async fn say(&self, number: Option<MessageNumber>, saying: Saying) -> bool {
        let command = Command::Hear(self.participant, number, saying);
        self.commands.send(command).await.is_ok()
    }

    /// Has the place kept when the connection is gone. False when the room is no more.
    pub(crate) async fn keep(&self, token: SessionToken) -> bool {
        let command = Command::Keep(self.participant, token);
        self.commands.send(command).await.is_ok()
    }

    /// The participant does not mean to come back.
    pub(crate) const fn leave(&mut self) {
        self.parting = Parting::Left;
    }

    /// The participant may come back soon, or not at all.
    pub(crate) const fn go_away(&mut self) {
        self.parting = Parting::WentAway;
    }

    /// Whether the room lets its participant exchange media.
    pub(crate) fn permit(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.permit)
    }

    /// Its participant was here before, with this permit.
    pub(crate) fn go_on_with(&mut self, permit: Arc<AtomicBool>) {
        self.permit = permit;
    }

    /// Exchanges media, or begins anew.
    pub(crate) async fn offer(&self, outbound: &Outbound, offer: Offer, limits: &Limits) {
        if !self.permit.load(Ordering::Acquire) {
            outbound.say(&ServerMessage::Error {
                code: ErrorCode::OutOfOrder,
                detail: "a host has to let you in before you exchange media".into(),
            });
            return;
        }
        let room = self.room.clone();
        self.media
            .connect(
                room,
                self.participant,
                &self.permit,
                outbound,
                offer,
                limits.answer_within,
            )
            .await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let last = match self.parting {
            Parting::Left => Command::Leave(self.participant),
            Parting::WentAway => Command::Broken(self.participant, self.line, Grace::Short),
            Parting::BrokeOff => Command::Broken(self.participant, self.line, Grace::Full),
        };
        match self.commands.try_send(last) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(last)) => {
                let commands = self.commands.clone();
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    runtime.spawn(async move { commands.send(last).await });
                }
            }
            // The room is no more, and with it whoever could have come back.
            Err(mpsc::error::TrySendError::Closed(_)) => self.media.disconnect(self.participant),
        }
    }
}
