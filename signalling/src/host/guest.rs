//! Someone in a room, as the room's task knows them: present or away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use conclave_protocol::{
    ParticipantId,
    session::{MessageNumber, Position, SessionToken, TokenHash},
    signal::{ErrorCode, ServerMessage},
};

use super::whole_seconds;
use crate::{
    outbound::{Ending, Outbound, Parcel},
    store::rooms::KeptSession,
};

/// Tells the connections that one participant has had apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LineId(pub(crate) u64);

/// Who waits to be brought in may knock again after this.
const KNOCK_PAUSE: Duration = Duration::from_secs(2);

/// Whether somebody can be spoken to.
pub(super) enum Line {
    Open(LineId, Outbound),
    /// They may come back until then.
    Away(Instant),
}

/// What lets somebody come back.
pub(super) struct Session {
    pub(super) token: TokenHash,
    /// To be told, once it is kept.
    untold: Option<SessionToken>,
    heard: MessageNumber,
    /// What they know to have been heard.
    acknowledged: MessageNumber,
    /// The last that they were told and that cannot be told again.
    floor: Position,
    /// What is kept of it.
    kept: Option<KeptSession>,
}

impl Session {
    pub(super) const fn new(hash: TokenHash, token: SessionToken) -> Self {
        Self {
            token: hash,
            untold: Some(token),
            heard: MessageNumber::START,
            acknowledged: MessageNumber::START,
            // Who learns the token has heard all that was told before.
            floor: Position::START,
            kept: None,
        }
    }

    /// False for what was heard before.
    pub(super) fn hears(&mut self, number: MessageNumber) -> bool {
        let is_new = number > self.heard;
        self.heard = self.heard.max(number);
        is_new
    }

    pub(super) const fn heard(&self) -> MessageNumber {
        self.heard
    }

    /// Whether who has heard this misses nothing that cannot be told again.
    pub(super) fn covers(&self, seen: Position) -> bool {
        self.floor <= seen
    }

    /// What was told up to here cannot be told again.
    pub(super) fn raise_floor(&mut self, floor: Position) {
        self.floor = self.floor.max(floor);
    }

    /// What is to be kept of it, if that has changed or nothing is.
    pub(super) fn take_change(
        &mut self,
        participant: ParticipantId,
        anew: bool,
    ) -> Option<KeptSession> {
        let session = KeptSession {
            token: self.token,
            participant,
            heard: self.heard,
            floor: self.floor,
        };
        let before = self.kept.replace(session);
        (anew || before != Some(session)).then_some(session)
    }
}

/// Someone in a room.
pub(super) struct Guest {
    pub(super) line: Line,
    /// They are told what comes after this.
    pub(super) since: Position,
    pub(super) entered: Instant,
    pub(super) in_group: bool,
    /// Whether they may exchange media and files.
    permit: Arc<AtomicBool>,
    knocked: Option<Instant>,
    pub(super) session: Option<Session>,
}

impl Guest {
    pub(super) const fn new(
        line: Line,
        permit: Arc<AtomicBool>,
        since: Position,
        entered: Instant,
    ) -> Self {
        Self {
            line,
            since,
            entered,
            in_group: false,
            permit,
            knocked: None,
            session: None,
        }
    }

    /// Someone who was here before a restart.
    pub(super) fn recall(kept: KeptSession, until: Instant, now: Instant) -> Self {
        Self {
            line: Line::Away(until),
            since: Position::START,
            entered: now,
            // How long they took has been counted.
            in_group: true,
            permit: Arc::default(),
            knocked: None,
            session: Some(Session {
                token: kept.token,
                untold: None,
                heard: kept.heard,
                acknowledged: MessageNumber::START,
                floor: kept.floor,
                kept: Some(kept),
            }),
        }
    }

    /// They knock. False if they did so just before.
    pub(super) fn knocks(&mut self, now: Instant) -> bool {
        let before = self.knocked;
        let may = before.is_none_or(|before| now.duration_since(before) >= KNOCK_PAUSE);
        if may {
            self.knocked = Some(now);
        }
        may
    }

    /// Until when they may come back, if they are away.
    pub(super) const fn away_until(&self) -> Option<Instant> {
        match self.line {
            Line::Open(..) => None,
            Line::Away(until) => Some(until),
        }
    }

    pub(super) fn is_on(&self, line: LineId) -> bool {
        matches!(self.line, Line::Open(current, _) if current == line)
    }

    /// They have come back over another line.
    pub(super) fn move_to(&mut self, line: Line) {
        if let Line::Open(_, former) = std::mem::replace(&mut self.line, line) {
            former.end(Ending::shown_out(
                ErrorCode::Replaced,
                "the session goes on over another connection",
            ));
        }
    }

    /// Whether they may exchange media and files, now and later.
    pub(super) fn permit(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.permit)
    }

    /// Lets them exchange media and files or not. True when they were let before.
    pub(super) fn set_permit(&self, may: bool) -> bool {
        self.permit.swap(may, Ordering::AcqRel) && !may
    }

    /// Tells them, if they are there. Gives the line if it no longer takes anything.
    pub(super) fn tell(&self, parcel: &Parcel) -> Result<(), LineId> {
        match &self.line {
            Line::Open(line, outbound) if !outbound.tell(parcel.clone()) => Err(*line),
            _ => Ok(()),
        }
    }

    pub(super) fn end(&self, ending: Ending) {
        if let Line::Open(_, outbound) = &self.line {
            outbound.end(ending);
        }
    }

    /// Tells them how to come back, and what they need not say again, once that is so.
    pub(super) fn tell_of_session(&mut self, is_kept: bool, kept_for: Duration) {
        let (Line::Open(_, outbound), Some(session)) = (&self.line, &mut self.session) else {
            return;
        };
        if !is_kept {
            return;
        }
        if let Some(token) = session.untold.take() {
            outbound.say(&ServerMessage::Session {
                token,
                kept_for: whole_seconds(kept_for),
            });
        }
        if session.acknowledged < session.heard {
            session.acknowledged = session.heard;
            let number = session.heard;
            outbound.say(&ServerMessage::Heard { number });
        }
    }
}
