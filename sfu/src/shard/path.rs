//! The way to a client whose address changes under it.
//!
//! A NAT that forgets, a phone that goes from one network to another, a TCP connection that
//! is opened anew: in mid-call the client is somewhere else, goes on with its checks from
//! there and nominates what works (RFC 8445 §8.1.1). str0m's agent stays with the pair that
//! was nominated first until that has been silent for long. So its pair is kept, and what it
//! sends there is led to where the client is: the agent answers a check as if it came from
//! the old address, which proves the password, and from then on the new one stands for it.

use std::time::{Duration, Instant};

use str0m::net::Transmit;

use crate::transport::TransportAddress;

/// Who is still heard from where it was has not moved: a check that someone else recorded
/// and sends again leads nowhere.
const QUIET: Duration = Duration::from_millis(500);

/// No client that watches something is silent for so long while packets get through.
const BROKEN: Duration = Duration::from_secs(2);

/// Where a client is.
#[derive(Debug, Default)]
pub(crate) struct Path {
    /// Where the agent sends to.
    nominated: Option<TransportAddress>,
    /// Where that leads, when it is another address.
    moved: Option<TransportAddress>,
    /// When something other than a check last came from there.
    heard: Option<Instant>,
}

impl Path {
    /// The agent sends something other than an answer there. Returns where to.
    pub(crate) fn lead(&mut self, destination: TransportAddress) -> TransportAddress {
        if self.nominated != Some(destination) {
            self.nominated = Some(destination);
            self.moved = None;
        }
        self.end().unwrap_or(destination)
    }

    /// Sends on its way what the agent sends.
    pub(crate) fn redirect(&mut self, transmit: &mut Transmit) {
        let end = self.lead(TransportAddress {
            transport: transmit.proto.into(),
            address: transmit.destination,
        });
        transmit.proto = end.transport.into();
        transmit.destination = end.address;
    }

    /// Whether nothing but checks came for so long that packets must have been lost: browsers
    /// report on the video that they receive about once a second (RFC 3550 §6.2 lets them).
    pub(crate) fn was_broken(&self, now: Instant) -> bool {
        self.heard
            .is_some_and(|heard| now.saturating_duration_since(heard) >= BROKEN)
    }

    /// Something other than a check came. Returns from where the agent is to think it came.
    pub(crate) fn hear(&mut self, now: Instant, source: TransportAddress) -> TransportAddress {
        if self.end() == Some(source) {
            self.heard = Some(now);
        }
        self.disguise(source)
    }

    /// The address behind which what comes from `source` is hidden from the agent.
    pub(crate) fn disguise(&self, source: TransportAddress) -> TransportAddress {
        match self.nominated {
            Some(nominated) if self.moved == Some(source) => nominated,
            _ => source,
        }
    }

    /// The address that `source` would stand for, when a check that nominates it may mean
    /// that the client has moved there.
    pub(crate) fn may_move(
        &self,
        now: Instant,
        source: TransportAddress,
    ) -> Option<TransportAddress> {
        let is_quiet = self
            .heard
            .is_none_or(|heard| now.saturating_duration_since(heard) >= QUIET);
        let elsewhere = self.end().is_some_and(|end| end != source);
        self.nominated.filter(|_| is_quiet && elsewhere)
    }

    /// The client has moved.
    pub(crate) fn move_to(&mut self, now: Instant, address: TransportAddress) {
        self.moved = Some(address).filter(|_| self.nominated != Some(address));
        self.heard = Some(now);
    }

    fn end(&self) -> Option<TransportAddress> {
        self.moved.or(self.nominated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transport;

    fn address(port: u16) -> TransportAddress {
        TransportAddress {
            transport: Transport::Udp,
            address: ([127, 0, 0, 1], port).into(),
        }
    }

    #[test]
    fn a_client_is_followed_and_followed_back() {
        let (old, new) = (address(1), address(2));
        let start = Instant::now();
        let mut path = Path::default();
        assert_eq!(path.may_move(start, new), None, "nothing is nominated yet");
        assert_eq!(path.lead(old), old);
        path.hear(start, old);

        let later = start + QUIET;
        assert_eq!(path.may_move(later, old), None, "it is there already");
        assert_eq!(path.may_move(later, new), Some(old));
        path.move_to(later, new);
        assert_eq!(path.lead(old), new);
        assert_eq!(path.hear(later, new), old);

        let back = later + QUIET;
        assert_eq!(path.may_move(back, old), Some(old));
        path.move_to(back, old);
        assert_eq!(path.lead(old), old);
        assert_eq!(path.hear(back, new), new, "it stands for nobody any more");
    }

    #[test]
    fn who_is_still_there_cannot_be_led_away() {
        let start = Instant::now();
        let mut path = Path::default();
        path.lead(address(1));
        let almost = start + QUIET - Duration::from_millis(1);
        path.hear(start, address(1));
        assert_eq!(path.may_move(almost, address(2)), None);
        path.hear(almost, address(2));
        assert!(path.may_move(start + QUIET, address(2)).is_some());
    }

    #[test]
    fn what_the_agent_nominates_anew_counts() {
        let mut path = Path::default();
        path.lead(address(1));
        path.move_to(Instant::now(), address(2));
        assert_eq!(path.lead(address(3)), address(3));
        assert_eq!(path.disguise(address(2)), address(2));
    }
}
