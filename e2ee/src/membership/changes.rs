//! Commits of this client's own: bringing in who knocks, taking out who is gone.

use conclave_protocol::{
    Epoch, ParticipantId,
    signal::{Admission, ClientMessage, Knock, RuleChange},
};

use super::{End, Membership, RESEND_AFTER, Stage, access::Access, hosting::Draft, stage::Request};
use crate::{
    envelope::Kind,
    group::{Changes, NewEpoch, Newcomer},
    output::Output,
    time::Instant,
};

/// As many as one commit brings in: what it weighs for everybody stays bounded.
const MOST_AT_ONCE: usize = 25;

/// As many as may wait for this client.
const MOST_WAITING: usize = 64;

impl Membership {
    /// The server asks us to bring these in.
    pub(super) fn on_admit(&mut self, now: Instant, knocks: &[Knock]) {
        let Stage::Inside(inside) = &mut self.stage else {
            return;
        };
        // It may not know: a call that was founded anew is guarded if it was before.
        if inside.rules.is_guarded() {
            return self.on_knocking(now, knocks);
        }
        for knock in knocks {
            let known = self.roster.iter().map(|member| member.participant);
            let waiting = inside.newcomers.iter().map(Newcomer::participant);
            if inside.newcomers.len() == MOST_WAITING
                || known.chain(waiting).any(|it| it == knock.participant)
            {
                continue;
            }
            let Ok(bytes) = self
                .access
                .envelope
                .open(Kind::KeyPackage, &knock.key_package)
            else {
                self.outputs.push_back(Output::StrangerRefused);
                continue;
            };
            // Who has the link and knocks with something else than a KeyPackage of their own
            // is left outside; the others are not kept waiting for them.
            if let Ok(newcomer) = inside.group.newcomer(&bytes)
                && newcomer.participant() == knock.participant
                && !inside.rules.is_barred(&newcomer.identity.device.key)
            {
                inside.newcomers.push(newcomer);
            }
        }
    }

    /// Makes a commit if somebody is to come in or has long been gone.
    pub(super) fn change_group(&mut self, now: Instant) -> Result<(), End> {
        let Stage::Inside(inside) = &mut self.stage else {
            return Ok(());
        };
        let is_due = self.departures.deadline().is_some_and(|due| due <= now);
        let draft = Draft::new(&inside.rules, &self.roster, &inside.wishes);
        if inside.newcomers.is_empty() && !is_due && draft.is_empty() {
            inside.wishes.clear();
            return Ok(());
        }
        let epoch = inside.group.epoch();
        // Those who knocked did so with the link as it is; a commit that changes it is not
        // for them.
        let most = match draft.changes_link {
            true => 0,
            false => inside.newcomers.len().min(MOST_AT_ONCE),
        };
        let newcomers = &inside.newcomers[..most];
        let admitted: Vec<ParticipantId> = newcomers.iter().map(Newcomer::participant).collect();
        let leaves = draft.leaves(self.departures.gone());
        let changes = Changes {
            added: newcomers,
            removed: &leaves,
            rules: draft.rules.as_ref(),
        };
        let new = match inside.group.change(&changes) {
            Ok(new) => new,
            // One of them has something that MLS does not take. The server asks another
            // member, and they have another way in.
            Err(_) if !admitted.is_empty() => {
                inside.newcomers.clear();
                return Ok(inside.group.discard_pending()?);
            }
            Err(error) => return Err(error.into()),
        };
        let link = match draft.changes_link {
            true => Some(Access::new(&self.room, inside.group.pending_link()?)),
            false => None,
        };
        let rules = draft.announcement(&inside.rules, link.as_ref());
        let request = Request {
            wishes: draft.wishes,
            ..self.request(now, epoch, &new, admitted, rules, link)?
        };
        if let Stage::Inside(inside) = &mut self.stage {
            inside.pending = Some(request);
        }
        Ok(())
    }

    /// Sends a commit of our own.
    pub(super) fn request(
        &mut self,
        now: Instant,
        epoch: Epoch,
        new: &NewEpoch,
        admitted: Vec<ParticipantId>,
        rules: Option<RuleChange>,
        link: Option<Access>,
    ) -> Result<Request, End> {
        let envelope = &self.access.envelope;
        let commit = envelope.seal(Kind::Commit, &new.commit)?;
        let welcome = new.welcome.as_ref();
        let welcome = welcome.map(|welcome| envelope.seal(Kind::Welcome, welcome));
        // Whoever comes next comes with the new link.
        let after = link.as_ref().map_or(envelope, |link| &link.envelope);
        let group_info = new.group_info.as_ref();
        let group_info = group_info.map(|info| after.seal(Kind::GroupInfo, info));
        let message = ClientMessage::Commit {
            epoch,
            commit: commit.clone(),
            group_info: group_info.transpose()?,
            admission: welcome
                .transpose()?
                .map(|welcome| Admission { admitted, welcome }),
            rules,
        };
        self.send(message.clone());
        Ok(Request {
            epoch,
            commit,
            message,
            resend_at: now + RESEND_AFTER,
            wishes: 0,
            link,
        })
    }
}
