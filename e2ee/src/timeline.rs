//! When which epoch's keys are used.
//!
//! A new epoch's key opens frames at once. It seals them once everybody has said to have
//! it, at the latest a second later, and at once when the commit removed somebody. The old
//! key opens late frames for ten seconds, then it is wiped.

use std::time::Duration;

use conclave_protocol::Epoch;

use crate::time::Instant;

/// After this long, members who have not said to have the new key are not waited for.
const SWITCH_AFTER: Duration = Duration::from_secs(1);

/// For this long, frames sealed in an older epoch may still arrive.
const KEEP_OLD: Duration = Duration::from_secs(10);

/// What is to be done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyStep {
    SealWith(Epoch),
    Forget(Epoch),
}

/// The keys that are installed, and what becomes of them when.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    newest: Option<Epoch>,
    sealing: Option<Epoch>,
    /// Epochs not yet sealed with, and when they will be.
    switches: Vec<(Epoch, Instant)>,
    /// Epochs that have been succeeded, and when they are wiped.
    retiring: Vec<(Epoch, Instant)>,
    steps: Vec<KeyStep>,
}

impl Timeline {
    /// The key of the next epoch is installed.
    pub(crate) fn advance(&mut self, now: Instant, epoch: Epoch, urgent: bool) {
        if let Some(old) = self.newest.replace(epoch) {
            self.retiring.push((old, now + KEEP_OLD));
        }
        if urgent || self.sealing.is_none() {
            self.seal_with(epoch);
        } else {
            self.switches.push((epoch, now + SWITCH_AFTER));
        }
    }

    /// Everybody has the key of this epoch.
    pub(crate) fn complete(&mut self, epoch: Epoch) {
        if self.switches.iter().any(|&(waiting, _)| waiting == epoch) {
            self.seal_with(epoch);
        }
    }

    /// The newest epoch never happened; the one before it stands again.
    pub(crate) fn retract(&mut self, epoch: Epoch, back_to: Epoch) {
        self.newest = Some(back_to);
        self.switches.retain(|&(waiting, _)| waiting != epoch);
        self.retiring.retain(|&(old, _)| old != back_to);
        if self.sealing == Some(epoch) {
            self.seal_with(back_to);
        }
        self.steps.push(KeyStep::Forget(epoch));
    }

    /// All keys are of no use any more.
    pub(crate) fn end(&mut self) {
        let Self {
            newest, retiring, ..
        } = std::mem::take(self);
        let epochs = retiring.into_iter().map(|(epoch, _)| epoch).chain(newest);
        self.steps.extend(epochs.map(KeyStep::Forget));
    }

    fn seal_with(&mut self, epoch: Epoch) {
        self.sealing = Some(epoch);
        self.switches.retain(|&(waiting, _)| waiting > epoch);
        self.steps.push(KeyStep::SealWith(epoch));
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let due = self.switches.iter().filter(|&&(_, at)| at <= now);
        if let Some(epoch) = due.map(|&(epoch, _)| epoch).max() {
            self.seal_with(epoch);
        }
        let (wiped, kept) = self.retiring.iter().partition(|&&(_, at)| at <= now);
        self.retiring = kept;
        let wiped: Vec<(Epoch, Instant)> = wiped;
        self.steps
            .extend(wiped.into_iter().map(|(epoch, _)| KeyStep::Forget(epoch)));
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.switches.iter().chain(&self.retiring);
        waiting.map(|&(_, at)| at).min()
    }

    pub(crate) fn take_steps(&mut self) -> Vec<KeyStep> {
        std::mem::take(&mut self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyStep::*, *};

    fn at(milliseconds: u64) -> Instant {
        Instant::since_origin(Duration::from_millis(milliseconds))
    }

    fn epoch(number: u64) -> Epoch {
        Epoch::new(number)
    }

    fn started() -> Timeline {
        let mut timeline = Timeline::default();
        timeline.advance(at(0), epoch(1), false);
        assert_eq!(timeline.take_steps(), [SealWith(epoch(1))]);
        assert_eq!(timeline.poll_timeout(), None);
        timeline
    }

    #[test]
    fn a_new_key_seals_after_a_second_and_the_old_one_goes_after_ten() {
        let mut timeline = started();
        timeline.advance(at(0), epoch(2), false);
        assert_eq!(timeline.take_steps(), []);
        assert_eq!(timeline.poll_timeout(), Some(at(1000)));
        timeline.handle_timeout(at(999));
        assert_eq!(timeline.take_steps(), []);
        timeline.handle_timeout(at(1000));
        assert_eq!(timeline.take_steps(), [SealWith(epoch(2))]);
        assert_eq!(timeline.poll_timeout(), Some(at(10_000)));
        timeline.handle_timeout(at(10_000));
        assert_eq!(timeline.take_steps(), [Forget(epoch(1))]);
        assert_eq!(timeline.poll_timeout(), None);
    }

    #[test]
    fn completion_and_removals_switch_at_once() {
        let mut timeline = started();
        timeline.advance(at(0), epoch(2), false);
        timeline.complete(epoch(2));
        timeline.complete(epoch(2));
        assert_eq!(timeline.take_steps(), [SealWith(epoch(2))]);
        timeline.advance(at(0), epoch(3), true);
        assert_eq!(timeline.take_steps(), [SealWith(epoch(3))]);
    }

    #[test]
    fn a_stream_of_commits_does_not_hold_the_switch_back() {
        let mut timeline = started();
        for number in 2..6 {
            timeline.advance(at(number * 400), epoch(number), false);
        }
        timeline.handle_timeout(at(2300));
        assert_eq!(timeline.take_steps(), [SealWith(epoch(3))]);
    }

    #[test]
    fn an_annulled_epoch_is_left_and_wiped() {
        let mut timeline = started();
        timeline.advance(at(0), epoch(2), true);
        timeline.take_steps();
        timeline.retract(epoch(2), epoch(1));
        assert_eq!(
            timeline.take_steps(),
            [SealWith(epoch(1)), Forget(epoch(2))]
        );
        assert_eq!(timeline.poll_timeout(), None, "epoch 1 is not wiped");
    }

    #[test]
    fn the_end_wipes_everything() {
        let mut timeline = started();
        timeline.advance(at(0), epoch(2), false);
        timeline.end();
        assert_eq!(timeline.take_steps(), [Forget(epoch(1)), Forget(epoch(2))]);
        timeline.advance(at(1), Epoch::FIRST, false);
        assert_eq!(timeline.take_steps(), [SealWith(Epoch::FIRST)]);
        assert_eq!(timeline.poll_timeout(), None);
    }
}
