//! A second chance for the video that a subscriber wants most, when it is paused since the
//! estimate says that it does not fit.
//!
//! Estimates hardly rise beyond what is sent, and one that fell while the subscriber's machine
//! was busy can stay low for minutes: probing does not always raise it. Then only the video
//! itself shows what the path carries. So it is sent for a while, and stays if the estimate
//! follows.

use std::time::{Duration, Instant};

use super::BitRate;

/// How long a video is paused before it is tried; each failure doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(4);
const MOST_DOUBLINGS: u32 = 4;

/// How long it is tried: estimates rise by some per cent a second.
const LASTS: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Sent,
    Paused {
        since: Instant,
    },
    Tried {
        since: Instant,
        estimate: BitRate,
    },
}

/// One for each video.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    state: State,
    failures: u32,
}

impl Trial {
    /// Looks at a video, which is paused or not. True when it is to be sent whatever the
    /// estimate says.
    pub(crate) fn look(&mut self, now: Instant, is_paused: bool, estimate: BitRate) -> bool {
        match self.state {
            State::Sent => {
                if is_paused {
                    self.state = State::Paused { since: now };
                } else {
                    self.failures = 0;
                }
                false
            }
            State::Paused { .. } if !is_paused => {
                self.state = State::Sent;
                false
            }
            State::Paused { since } => {
                let is_due = now.saturating_duration_since(since) >= self.wait();
                if is_due {
                    self.state = State::Tried {
                        since: now,
                        estimate,
                    };
                }
                is_due
            }
            State::Tried {
                since,
                estimate: before,
            } => {
                let has_fallen = estimate.0 < before.0 / 4 * 3;
                let goes_on = !has_fallen && now.saturating_duration_since(since) < LASTS;
                if !goes_on {
                    // Forgotten if the estimate is high enough now to go on.
                    self.failures += 1;
                    self.state = State::Sent;
                }
                goes_on
            }
        }
    }

    fn wait(&self) -> Duration {
        FIRST_WAIT * (1 << self.failures.min(MOST_DOUBLINGS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW: BitRate = BitRate(400_000);

    struct Rig {
        start: Instant,
        trial: Trial,
    }

    impl Rig {
        fn look(&mut self, seconds: u64, is_paused: bool, estimate: BitRate) -> bool {
            let now = self.start + Duration::from_secs(seconds);
            self.trial.look(now, is_paused, estimate)
        }
    }

    fn rig() -> Rig {
        Rig {
            start: Instant::now(),
            trial: Trial::default(),
        }
    }

    #[test]
    fn what_is_paused_is_tried_after_a_while_and_for_a_while() {
        let mut rig = rig();
        assert!(!rig.look(0, false, LOW));
        assert!(!rig.look(10, true, LOW));
        assert!(!rig.look(13, true, LOW));
        assert!(rig.look(14, true, LOW));
        assert!(rig.look(18, false, LOW));
        assert!(!rig.look(19, false, LOW));
    }

    #[test]
    fn each_failure_makes_the_next_trial_wait_longer() {
        let mut rig = rig();
        let tried: Vec<u64> = (0..=200)
            .filter(|at| {
                let was_tried = matches!(rig.trial.state, State::Tried { .. });
                rig.look(*at, !was_tried, LOW) && !was_tried
            })
            .collect();
        // From the pause on: 4 s, 8 s, 16 s, 32 s, 64 s, each after a trial of 5 s.
        assert_eq!(tried, [4, 18, 40, 78, 148]);
    }

    #[test]
    fn success_is_remembered() {
        let mut rig = rig();
        rig.look(0, true, LOW);
        assert!(rig.look(4, true, LOW));
        assert!(!rig.look(9, false, BitRate(1_000_000)));
        assert!(!rig.look(10, false, BitRate(1_000_000)));
        rig.look(20, true, LOW);
        assert!(rig.look(24, true, LOW));
    }

    #[test]
    fn a_trial_that_harms_ends_at_once() {
        let mut rig = rig();
        rig.look(0, true, LOW);
        assert!(rig.look(4, true, LOW));
        assert!(rig.look(5, false, BitRate(350_000)));
        assert!(!rig.look(6, false, BitRate(290_000)));
    }
}
