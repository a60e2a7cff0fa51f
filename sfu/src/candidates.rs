//! The addresses at which clients reach the SFU, and what they are on this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use str0m::{Candidate, net::TcpType};

use crate::{StartError, Transport};

/// The candidates of every answer (RFC 8445 §5.1.1: an ICE-lite agent has host candidates
/// only), and those that no client is told but packets arrive at.
///
/// Behind a one-to-one NAT clients are told the public addresses and the NAT delivers to
/// this machine's own, which its ICE agents have to know as well. The answer to a packet
/// leaves from the very address that it came to, so that the NAT knows it again.
#[derive(Debug, Clone)]
pub struct Candidates {
    advertised: Vec<SocketAddr>,
    /// This machine's, as far as the socket receives at them.
    own: Vec<SocketAddr>,
    told: Vec<Candidate>,
    hidden: Vec<Candidate>,
}

impl Candidates {
    /// What the public addresses and the machine's interfaces come to, for a socket that is
    /// bound like this.
    pub fn new(public: &[IpAddr], bound: SocketAddr) -> Result<Self, StartError> {
        let listen = bound.ip();
        for public in public {
            if !reaches(listen, *public) {
                let public = *public;
                return Err(StartError::OtherFamily { public, listen });
            }
        }
        let at_port = |ips: Vec<IpAddr>| -> Vec<_> {
            let addresses = ips.into_iter();
            addresses
                .map(|ip| SocketAddr::new(ip, bound.port()))
                .collect()
        };
        let own = at_port(own_addresses(listen)?);
        let advertised = if public.is_empty() {
            own.clone()
        } else {
            at_port(public.to_vec())
        };
        if advertised.is_empty() {
            return Err(StartError::NoCandidate);
        }
        let behind_nat: Vec<_> = own
            .iter()
            .filter(|own| !advertised.contains(own))
            .copied()
            .collect();
        Ok(Self {
            told: over_all_transports(&advertised)?,
            hidden: over_all_transports(&behind_nat)?,
            advertised,
            own,
        })
    }

    /// The addresses that clients are told.
    pub fn advertised(&self) -> Vec<SocketAddr> {
        self.advertised.clone()
    }

    /// What every answer tells. str0m ranks UDP before TCP (RFC 6544 §4.2) and takes turns
    /// between IPv6 and IPv4, in this order (RFC 8421 §4).
    pub(crate) fn told(&self) -> &[Candidate] {
        &self.told
    }

    /// Where packets arrive besides, on their way through a NAT.
    pub(crate) fn hidden(&self) -> &[Candidate] {
        &self.hidden
    }

    /// The candidate that a datagram was sent to, from its destination on this machine.
    pub fn of_destination(&self, destination: Option<IpAddr>) -> SocketAddr {
        let destination = destination.map(|ip| ip.to_canonical());
        let all = || self.own.iter().chain(&self.advertised);
        let exact = all().find(|a| destination == Some(a.ip()));
        // An address that the machine did not have when it started.
        let same_family =
            || all().find(|a| destination.is_some_and(|ip| ip.is_ipv4() == a.is_ipv4()));
        match exact.or_else(same_family).or(self.advertised.first()) {
            Some(address) => *address,
            // Never empty, by construction.
            None => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        }
    }

    /// The address to send from so that it arrives as coming from this candidate; none
    /// leaves it to the system.
    pub fn source_of(&self, candidate: SocketAddr) -> Option<IpAddr> {
        self.own.contains(&candidate).then(|| candidate.ip())
    }
}

fn over_all_transports(addresses: &[SocketAddr]) -> Result<Vec<Candidate>, StartError> {
    let over = |transport| {
        addresses.iter().map(move |address| {
            let candidate = match transport {
                Transport::Udp => Candidate::builder().udp().host(*address).build(),
                // Clients open the connections (RFC 6544 §4.1).
                Transport::Tcp => Candidate::builder()
                    .tcp()
                    .host(*address)
                    .tcptype(TcpType::Passive)
                    .build(),
            };
            candidate.map_err(|_| StartError::NoUnicast(address.ip()))
        })
    };
    Transport::ALL.into_iter().flat_map(over).collect()
}

/// Where a socket receives that is bound like this: loopback last, which no other machine
/// can use.
fn own_addresses(listen: IpAddr) -> Result<Vec<IpAddr>, StartError> {
    if !listen.is_unspecified() {
        return Ok(vec![listen]);
    }
    let interfaces = if_addrs::get_if_addrs().map_err(StartError::Interfaces)?;
    let mut own: Vec<_> = interfaces
        .iter()
        .map(if_addrs::Interface::ip)
        .filter(|ip| reaches(listen, *ip) && !is_link_local(*ip))
        .collect();
    own.sort_by_key(IpAddr::is_loopback);
    own.dedup();
    Ok(own)
}

/// True when a socket bound to `listen` can get what is sent to an address like `ip`, be it
/// through a NAT.
fn reaches(listen: IpAddr, ip: IpAddr) -> bool {
    listen.is_ipv4() == ip.is_ipv4() || listen == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

/// Link-local addresses are of use on one wire only, and those of IPv6 need a scope, which
/// a candidate cannot carry.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(listen: &str, public: &[&str]) -> Result<Candidates, StartError> {
        let public: Vec<_> = public.iter().map(|ip| ip.parse().unwrap()).collect();
        Candidates::new(&public, SocketAddr::new(listen.parse().unwrap(), 3478))
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn told(candidates: &Candidates) -> Vec<String> {
        let told = candidates.told().iter();
        told.map(|c| format!("{} {}", c.proto(), c.addr()))
            .collect()
    }

    #[test]
    fn a_named_listening_address_is_the_only_one_over_udp_and_tcp() {
        let candidates = candidates("127.0.0.1", &[]).unwrap();
        assert_eq!(
            told(&candidates),
            ["udp 127.0.0.1:3478", "tcp 127.0.0.1:3478"]
        );
        assert_eq!(candidates.hidden(), []);
    }

    #[test]
    fn listening_everywhere_offers_loopback_too_but_last() {
        let loopback = address("127.0.0.1:3478");
        let candidates = candidates("0.0.0.0", &[]).unwrap();
        assert_eq!(candidates.advertised.last(), Some(&loopback));
        assert!(candidates.advertised.iter().all(SocketAddr::is_ipv4));
        assert_eq!(candidates.source_of(loopback), Some(loopback.ip()));
        let destination = Some(loopback.ip());
        assert_eq!(candidates.of_destination(destination), loopback);
        let mapped = Some("::ffff:127.0.0.1".parse().unwrap());
        assert_eq!(candidates.of_destination(mapped), loopback);
    }

    #[test]
    fn public_addresses_are_told_and_the_own_ones_kept_for_what_arrives() {
        let told_addresses = ["2001:db8::1", "192.0.2.7", "198.51.100.7"];
        let candidates = candidates("::", &told_addresses).unwrap();
        let expected = ["[2001:db8::1]:3478", "192.0.2.7:3478", "198.51.100.7:3478"];
        assert_eq!(candidates.advertised, expected.map(address));
        let loopback = address("127.0.0.1:3478");
        let hidden: Vec<_> = candidates.hidden().iter().map(Candidate::addr).collect();
        assert!(hidden.contains(&loopback), "{hidden:?}");
        assert_eq!(candidates.of_destination(Some(loopback.ip())), loopback);
        assert_eq!(candidates.source_of(loopback), Some(loopback.ip()));
        let public = address("192.0.2.7:3478");
        assert_eq!(candidates.of_destination(Some(public.ip())), public);
        assert_eq!(candidates.source_of(public), None);
    }

    #[test]
    fn a_public_address_that_the_machine_has_is_no_nat() {
        let candidates = candidates("127.0.0.1", &["127.0.0.1"]).unwrap();
        assert_eq!(candidates.hidden(), []);
        let own = address("127.0.0.1:3478");
        assert_eq!(candidates.source_of(own), Some(own.ip()));
    }

    #[test]
    fn an_address_of_a_family_that_is_not_listened_to_is_refused() {
        for (listen, public) in [
            ("0.0.0.0", "2001:db8::1"),
            ("10.0.0.1", "2001:db8::1"),
            ("2001:db8::2", "192.0.2.7"),
        ] {
            let error = candidates(listen, &[public]).unwrap_err();
            assert!(error.to_string().contains(public), "{error}");
        }
        assert!(candidates("::", &["192.0.2.7"]).is_ok());
    }

    #[test]
    fn an_address_that_nobody_can_send_to_is_refused() {
        for public in [
            "0.0.0.0",
            "169.254.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "ff02::1",
        ] {
            let error = candidates("::", &[public]).unwrap_err();
            assert!(error.to_string().contains(public), "{error}");
        }
    }
}
