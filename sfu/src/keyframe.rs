//! Who may ask a sender for a key frame, and when. A key frame costs the sender many times
//! a normal frame, so everyone who waits for one shares a single request.

use std::time::{Duration, Instant};

/// Two requests for one layer are never closer than this, whoever asks.
const SPACING: Duration = Duration::from_millis(500);

/// An unanswered request is repeated after this, doubling up to [`LONGEST_RETRY`]: the
/// request or the key frame may have been lost, or the layer may be asleep.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(8);

/// What becomes of someone's wish for a key frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Ask the sender now.
    Send,
    /// A request is on its way or will be made when the spacing allows.
    Wait,
}

/// Coalesces the requests for one layer of one track.
#[derive(Debug, Default)]
pub(crate) struct KeyframeArbiter {
    /// Someone waits for a key frame.
    wanted: bool,
    /// When the sender was last asked.
    asked: Option<Instant>,
    /// How many requests went unanswered since the last key frame.
    unanswered: u32,
}

impl KeyframeArbiter {
    /// Someone needs a key frame.
    pub(crate) fn request(&mut self, now: Instant) -> Verdict {
        self.wanted = true;
        let too_early = self
            .asked
            .is_some_and(|asked| now.saturating_duration_since(asked) < SPACING);
        if self.unanswered > 0 || too_early {
            return Verdict::Wait;
        }
        self.ask(now);
        Verdict::Send
    }

    /// Someone waits for a key frame.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// A key frame arrived: everyone who waited has it.
    pub(crate) fn key_frame_arrived(&mut self) {
        self.wanted = false;
        self.unanswered = 0;
    }

    /// What was asked before may never have arrived. True when the sender is to be asked anew.
    pub(crate) fn start_over(&mut self, now: Instant) -> bool {
        self.unanswered = 0;
        if self.wanted {
            self.ask(now);
        }
        self.wanted
    }

    /// Nobody waits any more, for instance since nobody watches.
    pub(crate) fn withdraw(&mut self) {
        self.wanted = false;
        self.unanswered = 0;
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if !self.wanted {
            return None;
        }
        self.asked.map(|asked| asked + self.patience())
    }

    /// True when the sender is to be asked, for the first time or again.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return false;
        }
        self.ask(now);
        true
    }

    fn ask(&mut self, now: Instant) {
        self.asked = Some(now);
        self.unanswered += 1;
    }

    fn patience(&self) -> Duration {
        match self.unanswered {
            0 => SPACING,
            n => FIRST_RETRY
                .saturating_mul(1 << (n - 1).min(8))
                .min(LONGEST_RETRY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn many_wishes_make_one_request() {
        let start = Instant::now();
        let mut arbiter = KeyframeArbiter::default();
        assert_eq!(arbiter.request(start), Verdict::Send);
        for i in 1..1000 {
            assert_eq!(arbiter.request(start + ms(i)), Verdict::Wait);
        }
    }

    #[test]
    fn a_wish_right_after_a_key_frame_is_served_when_the_spacing_allows() {
        let start = Instant::now();
        let mut arbiter = KeyframeArbiter::default();
        arbiter.request(start);
        arbiter.key_frame_arrived();
        assert_eq!(arbiter.poll_timeout(), None);

        assert_eq!(arbiter.request(start + ms(100)), Verdict::Wait);
        assert_eq!(arbiter.poll_timeout(), Some(start + SPACING));
        assert!(!arbiter.handle_timeout(start + ms(499)));
        assert!(arbiter.handle_timeout(start + SPACING));
        assert!(!arbiter.handle_timeout(start + SPACING));
    }

    #[test]
    fn an_unanswered_request_is_repeated_ever_more_rarely() {
        let start = Instant::now();
        let mut arbiter = KeyframeArbiter::default();
        arbiter.request(start);
        let mut asked = vec![];
        let mut now = start;
        while now < start + Duration::from_secs(60) {
            now += ms(10);
            if arbiter.handle_timeout(now) {
                asked.push((now - start).as_secs());
            }
        }
        assert_eq!(asked, [1, 3, 7, 15, 23, 31, 39, 47, 55]);
    }

    #[test]
    fn a_sender_that_was_out_of_reach_is_asked_anew() {
        let start = Instant::now();
        let mut arbiter = KeyframeArbiter::default();
        assert!(!arbiter.start_over(start), "nobody waits");
        arbiter.request(start);
        assert!(arbiter.handle_timeout(start + ms(1_000)));
        assert!(arbiter.start_over(start + ms(1_500)));
        assert_eq!(arbiter.poll_timeout(), Some(start + ms(2_500)));
    }

    #[test]
    fn nothing_is_asked_when_nobody_waits() {
        let start = Instant::now();
        let mut arbiter = KeyframeArbiter::default();
        arbiter.request(start);
        arbiter.withdraw();
        assert!(!arbiter.handle_timeout(start + Duration::from_secs(5)));
    }
}
