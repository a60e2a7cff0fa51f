//! Coming back to a place that was kept.

use conclave_protocol::{
    ParticipantId,
    session::{Position, TokenHash},
    signal::ServerMessage,
};

use super::{Host, Return, guest::Line};
use crate::{outbound::Parcel, registry::Refused};

impl Host {
    /// Someone is back: the old line ends, and what was missed comes over the new one.
    pub(super) async fn take_back(&mut self, returning: Return) {
        let Return {
            token,
            seen,
            mut seat,
            outbound,
            answer,
        } = returning;
        let participant = seat.participant();
        let missed = self.missed(participant, token, seen).await;
        let back = missed.and_then(|missed| {
            let guest = self.guests.get_mut(&participant)?;
            let heard = guest.session.as_ref()?.heard();
            let has_media = self.registry.media.move_to(participant, &outbound);
            outbound.say(&ServerMessage::Resumed { heard, has_media });
            let again = missed.into_iter();
            let told = again
                .map(|(position, text)| Parcel::again(position, &text))
                .all(|parcel| outbound.tell(parcel));
            seat.go_on_with(guest.permit());
            guest.move_to(Line::Open(seat.line(), outbound));
            told.then_some(())
        });
        let result = match back {
            Some(()) => {
                self.room.find(participant);
                Ok(seat)
            }
            None => {
                self.part(participant);
                self.room.leave(participant);
                Err(Refused::NotKept)
            }
        };
        drop(answer.send(result));
    }

    /// What someone missed, if all of it is known.
    async fn missed(
        &self,
        participant: ParticipantId,
        token: TokenHash,
        seen: Position,
    ) -> Option<Vec<(Position, String)>> {
        let session = self.guests.get(&participant)?.session.as_ref()?;
        let is_known = session.covers(seen) && self.log.may_have_told(participant, seen);
        if session.token != token || !self.log.is_kept || !is_known {
            return None;
        }
        let store = &self.registry.store;
        let missed = store.missed(&self.id, participant, seen).await;
        let missed = missed
            .inspect_err(|error| tracing::error!(%error, "what was missed cannot be read"))
            .ok()?;
        // Who has more to hear than waits for anybody gets on faster by joining anew.
        let most = self.registry.limits.queued_messages / 2;
        (missed.len() <= most).then_some(missed)
    }
}
