//! Lets a choice fall at once and rise only slowly.

use std::time::{Duration, Instant};

use crate::rewrite::LayerId;

/// A step up waits this long after the last step in either direction.
const UPGRADE_HOLD: Duration = Duration::from_secs(3);

/// One for each video. None is the lowest choice: nothing is sent.
#[derive(Debug, Default)]
pub(crate) struct LayerGate {
    target: Option<Option<LayerId>>,
    changed: Option<Instant>,
}

impl LayerGate {
    /// The layer to head for, given the one that the allocation would choose.
    pub(crate) fn settle(&mut self, now: Instant, choice: Option<LayerId>) -> Option<LayerId> {
        let held = self
            .changed
            .is_some_and(|at| now.saturating_duration_since(at) < UPGRADE_HOLD);
        let settled = match self.target {
            Some(target) if choice > target && held => target,
            _ => choice,
        };
        if self.target.is_some_and(|target| target != settled) {
            self.changed = Some(now);
        }
        self.target = Some(settled);
        settled
    }

    /// The tile changed its size: the next choice holds at once.
    pub(crate) fn open(&mut self) {
        self.changed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_at_once_and_up_slowly() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let size = |spatial| {
            Some(LayerId {
                spatial,
                temporal: 1,
            })
        };
        let mut gate = LayerGate::default();
        assert_eq!(gate.settle(at(0), size(2)), size(2));
        assert_eq!(gate.settle(at(10), size(0)), size(0));
        assert_eq!(gate.settle(at(20), size(2)), size(0));
        assert_eq!(gate.settle(at(3_009), size(2)), size(0));
        assert_eq!(gate.settle(at(3_011), size(1)), size(1));
        assert_eq!(gate.settle(at(3_012), size(2)), size(1));
        gate.open();
        assert_eq!(gate.settle(at(3_013), size(2)), size(2));
        assert_eq!(gate.settle(at(3_014), None), None);
        assert_eq!(gate.settle(at(4_000), size(0)), None, "paused for a while");
        assert_eq!(gate.settle(at(6_014), size(0)), size(0));
    }
}
