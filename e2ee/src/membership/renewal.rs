//! Commits that only fill the tree, when there is nothing else to do.

use super::{End, Membership, Stage};
use crate::time::Instant;

impl Membership {
    /// When the tree is to be looked at, or filled.
    pub(super) fn renewal_deadline(&self) -> Option<Instant> {
        // Whoever is gone is taken out first, by whoever it may be.
        match self.departures.deadline() {
            None => self.filling.deadline(),
            Some(_) => None,
        }
    }

    /// Renews this client's keys if it is its turn and nobody waits for another commit.
    pub(super) fn renew(&mut self, now: Instant) -> Result<(), End> {
        if self.renewal_deadline().is_none_or(|due| due > now) {
            return Ok(());
        }
        let Stage::Inside(inside) = &mut self.stage else {
            return Ok(());
        };
        if inside.pending.is_some() || !inside.newcomers.is_empty() {
            return Ok(());
        }
        let group = &inside.group;
        let own = group.own_leaf()?;
        let (roster, present) = (&self.roster, &self.present);
        let is_here = |leaf| {
            let mut members = roster.iter();
            members.any(|it| it.leaf == leaf && present.contains(&it.participant))
        };
        if !(self
            .filling
            .is_due(now, own, || group.tree_shape(), is_here)?)
        {
            return Ok(());
        }
        let epoch = group.epoch();
        let new = inside.group.renew()?;
        let request = self.request(now, epoch, &new, Vec::new(), None, None)?;
        if let Stage::Inside(inside) = &mut self.stage {
            inside.pending = Some(request);
        }
        Ok(())
    }
}
