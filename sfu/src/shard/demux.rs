//! Whose datagram is this? RFC 7983 tells the protocols apart by their first byte.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
};

use str0m::ice::StunMessage;

use super::PeerKey;
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
    /// TCP connections that were someone's and are nobody's any more.
    hangups: VecDeque<SocketAddr>,
}

impl Demux {
    pub(crate) fn find(
        &self,
        protocol: Protocol,
        source: TransportAddress,
        datagram: &[u8],
    ) -> Result<PeerKey, DropReason> {
        let known = || self.by_address.get(&source).copied();
        if protocol != Protocol::Stun {
            return known().ok_or(DropReason::UnknownSource);
        }
        let message = StunMessage::parse(datagram).map_err(|_| DropReason::Malformed)?;
        match message.split_username() {
            Some((ours, _)) => self.by_ufrag.get(ours).copied(),
            None => known(),
        }
        .ok_or(DropReason::UnknownUser)
    }

    pub(crate) fn add_user(&mut self, ufrag: String, peer: PeerKey) {
        self.by_ufrag.insert(ufrag, peer);
    }

    /// Takes note that `address` is the peer's. `addresses` are those it has so far.
    pub(crate) fn learn(
        &mut self,
        address: TransportAddress,
        peer: PeerKey,
        addresses: &mut Vec<TransportAddress>,
    ) {
        if addresses.contains(&address) && self.by_address.get(&address) == Some(&peer) {
            return;
        }
        if addresses.len() >= MOST_ADDRESSES {
            let oldest = addresses.remove(0);
            self.unlearn(oldest, peer);
        }
        addresses.retain(|a| *a != address);
        addresses.push(address);
        self.by_address.insert(address, peer);
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
        let found = demux.find(Protocol::Dtls, address(1), &[22]);
        assert_eq!(found, Ok(PeerKey(2)));
        demux.remove(PeerKey(2), "v", &second);
        let found = demux.find(Protocol::Dtls, address(1), &[22]);
        assert_eq!(found, Err(DropReason::UnknownSource));
    }

    #[test]
    fn the_same_port_over_udp_and_tcp_are_two_clients() {
        let mut demux = Demux::default();
        let (mut first, mut second) = (vec![], vec![]);
        demux.learn(address(1), PeerKey(1), &mut first);
        demux.learn(over_tcp(1), PeerKey(2), &mut second);
        let found = demux.find(Protocol::Dtls, address(1), &[22]);
        assert_eq!(found, Ok(PeerKey(1)));
        let found = demux.find(Protocol::Dtls, over_tcp(1), &[22]);
        assert_eq!(found, Ok(PeerKey(2)));
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
        assert!(demux.find(Protocol::Dtls, address(100), &[22]).is_ok());
    }
}
