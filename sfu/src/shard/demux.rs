//! Whose datagram is this? RFC 7983 tells the protocols apart by their first byte.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
};

use str0m::ice::StunMessage;

use super::{PeerKey, relay::ShardId};
use crate::{
    DropReason,
    transport::{Transport, TransportAddress},
};

/// The protocol of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Stun,
    Dtls,
    Rtp { payload_type: u8 },
    Rtcp,
}

impl Protocol {
    /// Reads the first bytes (RFC 7983 §7, RFC 5761 §4).
    pub(crate) fn of(datagram: &[u8]) -> Option<Self> {
        match *datagram.first()? {
            0..=3 => Some(Self::Stun),
            20..=63 => Some(Self::Dtls),
            128..=191 => match datagram.get(1)? & 0x7f {
                64..=95 => Some(Self::Rtcp),
                payload_type => Some(Self::Rtp { payload_type }),
            },
            _ => None,
        }
    }

    /// A connectivity check (RFC 8445 §7): one that shows the right password is answered.
    pub(crate) fn is_check(self, datagram: &[u8]) -> bool {
        self == Self::Stun && datagram.starts_with(&[0x00, 0x01])
    }
}

/// No participant keeps more addresses than this; a new one takes the oldest one's place.
const MOST_ADDRESSES: usize = 8;

/// Finds the participant that a datagram belongs to.
///
/// STUN carries our own user name fragment (RFC 8445 §7.2.2), which leads to its owner
/// wherever it comes from. An address is learnt only when that owner's ICE agent answered
/// to it, that is after it saw the right password: from then on it stands for the owner.
#[derive(Debug, Default)]
pub(crate) struct Demux {
    by_address: HashMap<TransportAddress, PeerKey>,
    by_ufrag: HashMap<String, PeerKey>,
    /// Addresses that have proven themselves to other shards.
    foreign: HashMap<TransportAddress, ShardId>,
    /// TCP connections that were someone's and are nobody's any more.
    hangups: VecDeque<SocketAddr>,
}

/// To whom a datagram belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Here(PeerKey),
    /// A participant of another shard.
    Shard(ShardId),
}

impl Demux {
    pub(crate) fn find(
        &self,
        own: ShardId,
        protocol: Protocol,
        source: TransportAddress,
        datagram: &[u8],
    ) -> Result<Owner, DropReason> {
        let known = || {
            let here = self.by_address.get(&source).copied().map(Owner::Here);
            here.or_else(|| self.foreign.get(&source).copied().map(Owner::Shard))
        };
        if protocol != Protocol::Stun {
            return known().ok_or(DropReason::UnknownSource);
        }
        let message = StunMessage::parse(datagram).map_err(|_| DropReason::Malformed)?;
        match message.split_username() {
            Some((ours, _)) => match ShardId::of_ufrag(ours) {
                Some(shard) if shard != own => Some(Owner::Shard(shard)),
                _ => self.by_ufrag.get(ours).copied().map(Owner::Here),
            },
            None => known(),
        }
        .ok_or(DropReason::UnknownUser)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn addresses(&self) -> usize {
        self.by_address.len() + self.foreign.len()
    }

    pub(crate) fn add_user(&mut self, ufrag: String, peer: PeerKey) {
        self.by_ufrag.insert(ufrag, peer);
    }

    /// Takes note that `address` is the peer's. `addresses` are those it has so far. Returns
    /// the one that had to make room for it.
    pub(crate) fn learn(
        &mut self,
        address: TransportAddress,
        peer: PeerKey,
        addresses: &mut Vec<TransportAddress>,
    ) -> Option<TransportAddress> {
        if addresses.contains(&address) && self.by_address.get(&address) == Some(&peer) {
            return None;
        }
        addresses.retain(|a| *a != address);
        let forgotten = (addresses.len() >= MOST_ADDRESSES).then(|| addresses.remove(0));
        if let Some(oldest) = forgotten {
            self.unlearn(oldest, peer);
        }
        addresses.push(address);
        self.by_address.insert(address, peer);
        self.foreign.remove(&address);
        forgotten
    }

    /// An address has proven itself to another shard: it is nobody's here any more.
    pub(crate) fn learn_foreign(&mut self, address: TransportAddress, owner: ShardId) {
        self.by_address.remove(&address);
        self.foreign.insert(address, owner);
    }

    pub(crate) fn forget_foreign(&mut self, address: TransportAddress, owner: ShardId) {
        if self.foreign.get(&address) == Some(&owner) {
            self.foreign.remove(&address);
        }
    }

    pub(crate) fn remove(&mut self, peer: PeerKey, ufrag: &str, addresses: &[TransportAddress]) {
        self.by_ufrag.remove(ufrag);
        for address in addresses {
            self.unlearn(*address, peer);
        }
    }

    /// The next TCP connection, by its remote address, that stands for nobody any more.
    pub(crate) fn poll_hangup(&mut self) -> Option<SocketAddr> {
        self.hangups.pop_front()
    }

    fn unlearn(&mut self, address: TransportAddress, peer: PeerKey) {
        if self.by_address.get(&address) == Some(&peer) {
            self.by_address.remove(&address);
            if address.transport == Transport::Tcp {
                self.hangups.push_back(address.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: ShardId = ShardId::new(0);

    fn address(port: u16) -> TransportAddress {
        TransportAddress {
            transport: Transport::Udp,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    fn over_tcp(port: u16) -> TransportAddress {
        TransportAddress {
            transport: Transport::Tcp,
            ..address(port)
        }
    }

    #[test]
    fn protocols_are_told_apart() {
        assert_eq!(Protocol::of(&[0, 1]), Some(Protocol::Stun));
        assert_eq!(Protocol::of(&[22, 254]), Some(Protocol::Dtls));
        assert_eq!(Protocol::of(&[0x80, 200]), Some(Protocol::Rtcp));
        let rtp = Protocol::Rtp { payload_type: 96 };
        assert_eq!(Protocol::of(&[0x80, 0xe0]), Some(rtp));
        for nonsense in [&[][..], &[0x80], &[10], &[70, 1], &[255; 40]] {
            assert_eq!(Protocol::of(nonsense), None);
        }
    }

    #[test]
    fn an_address_goes_to_its_last_owner() {
        let mut demux = Demux::default();
        let (mut first, mut second) = (vec![], vec![]);
        demux.learn(address(1), PeerKey(1), &mut first);
        demux.learn(address(1), PeerKey(2), &mut second);
        demux.remove(PeerKey(1), "u", &first);
        let find = |demux: &Demux| demux.find(OWN, Protocol::Dtls, address(1), &[22]);
        assert_eq!(find(&demux), Ok(Owner::Here(PeerKey(2))));
        demux.remove(PeerKey(2), "v", &second);
        assert_eq!(find(&demux), Err(DropReason::UnknownSource));
    }

    #[test]
    fn an_address_belongs_to_the_shard_to_which_it_was_last_proven() {
        let other = ShardId::new(1);
        let mut demux = Demux::default();
        let mut addresses = vec![];
        let find = |demux: &Demux| demux.find(OWN, Protocol::Dtls, address(1), &[22]);
        demux.learn(address(1), PeerKey(1), &mut addresses);
        demux.learn_foreign(address(1), other);
        assert_eq!(find(&demux), Ok(Owner::Shard(other)));
        demux.learn(address(1), PeerKey(1), &mut addresses);
        assert_eq!(find(&demux), Ok(Owner::Here(PeerKey(1))));
        demux.learn_foreign(address(1), other);
        demux.forget_foreign(address(1), OWN);
        assert_eq!(
            find(&demux),
            Ok(Owner::Shard(other)),
            "not theirs to forget"
        );
        demux.forget_foreign(address(1), other);
        assert_eq!(find(&demux), Err(DropReason::UnknownSource));
    }

    #[test]
    fn the_same_port_over_udp_and_tcp_are_two_clients() {
        let mut demux = Demux::default();
        let (mut first, mut second) = (vec![], vec![]);
        demux.learn(address(1), PeerKey(1), &mut first);
        demux.learn(over_tcp(1), PeerKey(2), &mut second);
        let found = demux.find(OWN, Protocol::Dtls, address(1), &[22]);
        assert_eq!(found, Ok(Owner::Here(PeerKey(1))));
        let found = demux.find(OWN, Protocol::Dtls, over_tcp(1), &[22]);
        assert_eq!(found, Ok(Owner::Here(PeerKey(2))));
    }

    #[test]
    fn only_a_connection_that_is_nobodys_any_more_is_hung_up() {
        let mut demux = Demux::default();
        let (mut first, mut second) = (vec![], vec![]);
        demux.learn(address(1), PeerKey(1), &mut first);
        demux.learn(over_tcp(1), PeerKey(1), &mut first);
        demux.learn(over_tcp(2), PeerKey(1), &mut first);
        demux.learn(over_tcp(2), PeerKey(2), &mut second);
        demux.remove(PeerKey(1), "u", &first);
        assert_eq!(demux.poll_hangup(), Some(over_tcp(1).address));
        assert_eq!(demux.poll_hangup(), None);
    }

    #[test]
    fn addresses_are_bounded() {
        let mut demux = Demux::default();
        let mut addresses = vec![];
        for port in 1..=100 {
            demux.learn(address(port), PeerKey(1), &mut addresses);
        }
        assert_eq!(addresses.len(), MOST_ADDRESSES);
        assert_eq!(demux.by_address.len(), MOST_ADDRESSES);
        assert!(demux.find(OWN, Protocol::Dtls, address(100), &[22]).is_ok());
    }
}
