//! The packets of a layer since its last key frame, for newcomers.
//!
//! Many people come at the same moment, when a call begins or a page is turned. The first
//! of them has the sender asked for a key frame; who comes soon after gets that very key
//! frame and what followed it, at once and at no cost to the sender.

use std::time::{Duration, Instant};

/// A key frame older than this is history: what follows it would have to be decoded in a
/// hurry and shown late. Within this time the sender would not be asked again anyway
/// (see [`crate::keyframe`]).
const FRESH: Duration = Duration::from_millis(500);

/// More packets or bytes than this are not kept: a burst of them would overrun the
/// newcomer's path.
const MOST_PACKETS: usize = 256;
const MOST_BYTES: usize = 256 * 1024;

/// Keeps packets as they arrive, beginning with a key frame.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    began: Option<Instant>,
    packets: Vec<T>,
    bytes: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            began: None,
            packets: vec![],
            bytes: 0,
        }
    }
}

impl<T> Recent<T> {
    /// Takes a packet that arrived in order.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        packet: impl FnOnce() -> T,
        bytes: usize,
        begins_key_frame: bool,
    ) {
        if begins_key_frame {
            self.clear();
            self.began = Some(now);
        }
        if self.began.is_none() {
            return;
        }
        if !self.is_fresh(now)
            || self.packets.len() == MOST_PACKETS
            || self.bytes + bytes > MOST_BYTES
        {
            self.clear();
            return;
        }
        self.packets.push(packet());
        self.bytes += bytes;
    }

    /// A packet is missing or came late: what follows cannot be shown without it.
    pub(crate) fn clear(&mut self) {
        self.began = None;
        self.packets = vec![];
        self.bytes = 0;
    }

    /// The packets since the last key frame, oldest first, when that is fresh and they are
    /// all there.
    pub(crate) fn packets(&self, now: Instant) -> &[T] {
        if self.is_fresh(now) {
            &self.packets
        } else {
            &[]
        }
    }

    fn is_fresh(&self, now: Instant) -> bool {
        self.began
            .is_some_and(|began| now.saturating_duration_since(began) <= FRESH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(recent: &Recent<usize>, now: Instant) -> Vec<usize> {
        recent.packets(now).to_vec()
    }

    #[test]
    fn a_newcomer_gets_the_key_frame_and_what_followed() {
        let mut recent = Recent::default();
        let now = Instant::now();
        recent.push(now, || 0, 100, false);
        assert!(kept(&recent, now).is_empty(), "it begins with a key frame");
        recent.push(now, || 1, 100, true);
        recent.push(now, || 2, 100, false);
        assert_eq!(kept(&recent, now), [1, 2]);
        recent.push(now, || 3, 100, true);
        assert_eq!(kept(&recent, now), [3]);
    }

    #[test]
    fn old_pictures_are_not_shown_and_not_kept() {
        let mut recent = Recent::default();
        let now = Instant::now();
        recent.push(now, || 1, 100, true);
        assert_eq!(kept(&recent, now + FRESH), [1]);
        let later = now + FRESH + Duration::from_millis(1);
        assert!(kept(&recent, later).is_empty());
        recent.push(later, || 2, 100, false);
        assert_eq!(recent.packets.capacity(), 0);
    }

    #[test]
    fn what_has_a_gap_or_is_too_much_is_not_kept() {
        let now = Instant::now();
        let mut recent = Recent::default();
        recent.push(now, || 1, 100, true);
        recent.clear();
        recent.push(now, || 3, 100, false);
        assert!(kept(&recent, now).is_empty());

        for (count, bytes) in [(MOST_PACKETS + 1, 1), (3, MOST_BYTES / 2)] {
            recent.push(now, || 0, bytes, true);
            for packet in 1..count {
                assert!(!kept(&recent, now).is_empty());
                recent.push(now, || packet, bytes, false);
            }
            assert!(kept(&recent, now).is_empty());
        }
    }
}
