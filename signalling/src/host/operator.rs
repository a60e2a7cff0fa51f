//! What an operator sees of a room and does to it.

use std::time::{Instant, SystemTime};

use conclave_protocol::{Epoch, ParticipantId, session::Position};

use super::{Due, Host, guest::Line};
use crate::{media::MediaState, moment::Moment};

/// A room at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    /// Since when this process has it.
    pub(crate) since: Moment,
    pub(crate) position: Position,
    /// How many are in the group, and in which epoch it is, if there is one.
    pub(crate) group: Option<(usize, Epoch)>,
    pub(crate) is_guarded: bool,
    /// In the order of their ids.
    pub(crate) guests: Vec<GuestDescription>,
}

/// Somebody in a room at one moment.
#[derive(Debug, Clone)]
pub(crate) struct GuestDescription {
    pub(crate) id: ParticipantId,
    /// Since when this process has them.
    pub(crate) since: Moment,
    pub(crate) is_away: bool,
    pub(crate) in_group: bool,
    /// How it stands with their media, and since when.
    pub(crate) media: Option<(MediaState, Moment)>,
    /// What waits to be told to them.
    pub(crate) queued_bytes: usize,
}

impl Host {
    pub(super) fn describe(&self) -> Description {
        let mut guests: Vec<_> = self
            .guests
            .iter()
            .map(|(id, guest)| {
                let media = self.registry.media.state_of(*id);
                GuestDescription {
                    id: *id,
                    since: moment(guest.entered),
                    is_away: guest.away_until().is_some(),
                    in_group: self.room.is_member(*id),
                    media: media.map(|(state, since)| (state, Moment::of(since))),
                    queued_bytes: match &guest.line {
                        Line::Open(_, outbound) => outbound.queued_bytes(),
                        Line::Away(_) => 0,
                    },
                }
            })
            .collect();
        guests.sort_by_key(|guest| guest.id);
        Description {
            since: moment(self.since),
            position: self.log.position(),
            group: self.room.standing(),
            is_guarded: self.room.is_guarded(),
            guests,
        }
    }

    /// Removes somebody; answers once they were told.
    pub(super) fn remove(&mut self, participant: ParticipantId, answer: super::Answer) {
        let was_here = self.room.remove(participant);
        self.collect();
        self.due.push(Due::Answer(answer, was_here));
    }

    /// Shows everyone out; answers once they were told. Nobody comes in any more.
    pub(super) fn close(&mut self, answer: super::Answer) {
        self.is_closed = true;
        self.room.close();
        self.collect();
        self.due.push(Due::Answer(answer, true));
    }
}

fn moment(instant: Instant) -> Moment {
    let age = instant.elapsed();
    Moment::of(
        SystemTime::now()
            .checked_sub(age)
            .unwrap_or(SystemTime::UNIX_EPOCH),
    )
}
