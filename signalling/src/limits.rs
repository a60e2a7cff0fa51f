//! How much the server takes, from one client and in all.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    str::FromStr,
    time::{Duration, Instant},
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

/// How many participants one room takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoomSize(u16);

/// So many participants cannot be had in one room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a room takes from 1 to {} participants: a frame's key id has room for 1,024 members, and those \
     who have just left still count. Give a number up to that, or spread people over several rooms",
    RoomSize::MOST.get()
)]
pub struct RoomSizeError;

impl RoomSize {
    /// What is measured (docs/performance.md), and what a server takes unless told otherwise.
    pub const DEFAULT: Self = Self(500);

    /// A leaf index has ten bits in a frame's key id. The rest is for those who have left the
    /// room and are not yet out of the group.
    pub const MOST: Self = Self(1000);

    /// Checks that a room can be so large.
    pub const fn new(participants: u16) -> Result<Self, RoomSizeError> {
        if participants == 0 || participants > Self::MOST.0 {
            return Err(RoomSizeError);
        }
        Ok(Self(participants))
    }

    /// The number.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl Default for RoomSize {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl FromStr for RoomSize {
    type Err = RoomSizeError;

    fn from_str(text: &str) -> Result<Self, RoomSizeError> {
        text.parse().map_err(|_| RoomSizeError).and_then(Self::new)
    }
}

impl fmt::Display for RoomSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bounds on what clients may ask of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open TCP connections.
    pub connections: usize,
    /// Rooms.
    pub rooms: usize,
    /// Only rooms that were made over the operators' API are there.
    pub only_made_rooms: bool,
    /// Participants in one room.
    pub participants_per_room: RoomSize,
    /// Bytes of one message from a client. The largest is a group's state or a commit with a
    /// Welcome: with post-quantum keys at most 3 kB a member, and a third more in base64.
    pub message_bytes: usize,
    /// Bytes from one client: it is not read any faster than that. What it sends goes to
    /// everyone in its room, who must be able to keep up.
    pub bytes: Rate,
    /// Messages from one client: it is not read any faster than that.
    pub messages: Rate,
    /// Offers from one client that may come too fast, and are dropped, before it is shown out.
    pub dropped_messages: u32,
    /// Messages from one client that may make no sense before it is shown out.
    pub malformed_messages: u32,
    /// Offers from one client: each makes the media side set up a connection anew.
    pub offers: Rate,
    /// Attempts to join from one address (IPv6: one /64).
    pub joins_per_address: Rate,
    /// Joins of one room: each makes everyone in it work.
    pub joins_per_room: Rate,
    /// Requests with a wrong key from one address (IPv6: one /64).
    pub wrong_keys_per_address: Rate,
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
    /// How long somebody whose line broke may take to come back.
    pub away: Duration,
    /// The same where the line was closed as by a page that is closed, which seldom comes back.
    pub going_away: Duration,
    /// How long the media side may take to answer an offer.
    pub answer_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            rooms: 4096,
            only_made_rooms: false,
            participants_per_room: RoomSize::DEFAULT,
            message_bytes: 4 << 20,
            bytes: Rate::new(512 << 10, 8 << 20),
            messages: Rate::new(50, 200),
            offers: Rate::new(1, 10),
            dropped_messages: 1000,
            malformed_messages: 10,
            joins_per_address: Rate::new(100, 1000),
            joins_per_room: Rate::new(20, 1000),
            wrong_keys_per_address: Rate::new(1, 20),
            queued_messages: 512,
            queued_bytes: 16 << 20,
            join_within: Duration::from_secs(10),
            ping_every: Duration::from_secs(5),
            silence: Duration::from_secs(14),
            request_head: Duration::from_secs(10),
            connection_age: Duration::from_secs(300),
            farewell: Duration::from_secs(1),
            away: Duration::from_secs(45),
            going_away: Duration::from_secs(8),
            answer_within: Duration::from_secs(5),
        }
    }
}

/// Counts one client's messages of a kind.
pub(crate) fn limiter(rate: Rate) -> DefaultDirectRateLimiter {
    RateLimiter::direct(rate.quota())
}

/// Spreads one client's bytes or messages over time by making it wait, so that nothing is lost
/// (generic cell rate algorithm, ITU-T I.371 annex A).
pub(crate) struct Pacer {
    rate: Rate,
    /// When all that was taken so far would have come in at the sustained rate.
    level_at: Instant,
}

impl Pacer {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            level_at: now,
        }
    }

    /// Notes that so many were taken. The next may be taken from the returned time on.
    pub(crate) fn take(&mut self, now: Instant, taken: usize) -> Instant {
        let seconds =
            |amount: f64| Duration::from_secs_f64(amount / f64::from(self.rate.per_second.get()));
        self.level_at = self.level_at.max(now) + seconds(taken as f64);
        let ahead = seconds(f64::from(self.rate.burst.get()));
        self.level_at
            .checked_sub(ahead)
            .map_or(now, |from| from.max(now))
    }
}

/// Counts what is tried by where it comes from.
pub(crate) struct AddressLimiter(DefaultKeyedRateLimiter<IpAddr>);

impl AddressLimiter {
    pub(crate) fn new(rate: Rate) -> Self {
        Self(RateLimiter::keyed(rate.quota()))
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
pub(crate) fn origin_of(address: IpAddr) -> IpAddr {
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
    fn a_room_has_a_size_that_a_group_can_have() {
        assert_eq!(RoomSize::new(1).map(RoomSize::get), Ok(1));
        assert_eq!("1000".parse(), Ok(RoomSize::MOST));
        for text in ["0", "1001", "65536", "-1", "many"] {
            let Err(error) = text.parse::<RoomSize>() else {
                panic!("{text} is taken");
            };
            assert!(error.to_string().contains("up to that"), "{error}");
        }
        assert!(RoomSize::DEFAULT <= RoomSize::MOST);
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
    fn bytes_come_in_a_burst_and_then_at_the_sustained_rate() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Rate::new(1000, 5000), start);
        assert_eq!(pacer.take(start, 5000), start, "the burst");
        let next = pacer.take(start, 2000);
        assert_eq!(next, start + Duration::from_secs(2));
        assert_eq!(pacer.take(next, 500), next + Duration::from_millis(500));
        // Silence gives the burst back, and no more than that.
        let later = start + Duration::from_secs(3600);
        assert_eq!(pacer.take(later, 5000), later);
        assert!(pacer.take(later, 1) > later);
    }

    #[test]
    fn a_burst_is_admitted_and_no_more() {
        let limiter = AddressLimiter::new(Rate::new(1, 3));
        let admitted = (0..10).filter(|_| limiter.admits(ip("192.0.2.1"))).count();
        assert_eq!(admitted, 3);
        assert!(limiter.admits(ip("192.0.2.2")), "another address");
    }
}
