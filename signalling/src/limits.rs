//! How much the server takes, from one client and in all.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

/// So many a second, after a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Sustained.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

impl Rate {
    const fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: NonZeroU32::MIN.saturating_add(per_second - 1),
            burst: NonZeroU32::MIN.saturating_add(burst - 1),
        }
    }

    fn quota(self) -> Quota {
        Quota::per_second(self.per_second).allow_burst(self.burst)
    }
}

/// Bounds on what clients may ask of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open TCP connections.
    pub connections: usize,
    /// Rooms.
    pub rooms: usize,
    /// Participants in one room. An MLS leaf index has ten bits in a frame's key id, so
    /// there are at most 1,024.
    pub participants_per_room: usize,
    /// Bytes of one message from a client. A commit in a room of hundreds has hundreds of
    /// kilobytes.
    pub message_bytes: usize,
    /// Messages from one client.
    pub messages: Rate,
    /// Messages from one client that may come too fast before it is shown out.
    pub dropped_messages: u32,
    /// Messages from one client that may make no sense before it is shown out.
    pub malformed_messages: u32,
    /// Attempts to join from one address (IPv6: one /64).
    pub joins_per_address: Rate,
    /// Messages that may wait for one client.
    pub queued_messages: usize,
    /// Bytes that may wait for one client.
    pub queued_bytes: usize,
    /// How long a client may take to say `join`.
    pub join_within: Duration,
    /// How often a client is pinged.
    pub ping_every: Duration,
    /// How long a client may be silent before it counts as gone.
    pub silence: Duration,
    /// How long a request's head may take, and a connection may idle between two.
    pub request_head: Duration,
    /// How long one connection may make plain requests before it has to connect anew.
    pub connection_age: Duration,
    /// How long a client that is shown out has to read why.
    pub farewell: Duration,
    /// How long the media side may take to answer an offer.
    pub answer_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            rooms: 4096,
            participants_per_room: 1000,
            message_bytes: 1 << 20,
            messages: Rate::new(50, 200),
            dropped_messages: 1000,
            malformed_messages: 10,
            joins_per_address: Rate::new(100, 1000),
            queued_messages: 512,
            queued_bytes: 8 << 20,
            join_within: Duration::from_secs(10),
            ping_every: Duration::from_secs(5),
            silence: Duration::from_secs(14),
            request_head: Duration::from_secs(10),
            connection_age: Duration::from_secs(300),
            farewell: Duration::from_secs(1),
            answer_within: Duration::from_secs(5),
        }
    }
}

/// Counts one client's messages.
pub(crate) fn message_limiter(limits: &Limits) -> DefaultDirectRateLimiter {
    RateLimiter::direct(limits.messages.quota())
}

/// Counts attempts to join by where they come from.
pub(crate) struct AddressLimiter(DefaultKeyedRateLimiter<IpAddr>);

impl AddressLimiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(RateLimiter::keyed(limits.joins_per_address.quota()))
    }

    /// True when one more is within bounds.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        self.0.check_key(&origin_of(address)).is_ok()
    }

    /// Forgets the addresses that have been quiet.
    pub(crate) fn tidy(&self) {
        self.0.retain_recent();
        self.0.shrink_to_fit();
    }
}

/// What one subscriber is assumed to have: an IPv4 address or an IPv6 /64.
fn origin_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = v6.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_ipv6_network_is_one_origin() {
        assert_eq!(
            origin_of(ip("2001:db8::1")),
            origin_of(ip("2001:db8::ffff:1"))
        );
        assert_ne!(
            origin_of(ip("2001:db8:0:1::1")),
            origin_of(ip("2001:db8::1"))
        );
        assert_eq!(origin_of(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
        assert_ne!(origin_of(ip("192.0.2.1")), origin_of(ip("192.0.2.2")));
    }

    #[test]
    fn a_burst_is_admitted_and_no_more() {
        let limits = Limits {
            joins_per_address: Rate::new(1, 3),
            ..Limits::default()
        };
        let limiter = AddressLimiter::new(&limits);
        let admitted = (0..10).filter(|_| limiter.admits(ip("192.0.2.1"))).count();
        assert_eq!(admitted, 3);
        assert!(limiter.admits(ip("192.0.2.2")), "another address");
    }
}
