//! The addresses at which clients reach the SFU, and what they are on this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{SfuConfig, StartError};

/// The candidates of every answer (RFC 8445 §5.1.1: an ICE-lite agent has host candidates
/// only), and how a datagram's destination on this machine maps to one of them.
#[derive(Debug, Clone)]
pub struct Candidates {
    addresses: Vec<SocketAddr>,
    /// The addresses are the outside of a one-to-one NAT, not this machine's own.
    translated: bool,
}

impl Candidates {
    /// What the configuration and the machine's interfaces come to.
    pub fn new(config: SfuConfig, bound: SocketAddr) -> Result<Self, StartError> {
        let translated = !config.public_addresses.is_empty();
        let ips = if translated {
            config.public_addresses
        } else if config.listen.is_unspecified() {
            let own = if_addrs::get_if_addrs().map_err(StartError::Interfaces)?;
            own.iter()
                .map(if_addrs::Interface::ip)
                .filter(|ip| reaches(config.listen, *ip))
                .collect()
        } else {
            vec![config.listen]
        };
        let addresses: Vec<_> = ips
            .into_iter()
            .map(|ip| SocketAddr::new(ip, bound.port()))
            .collect();
        if addresses.is_empty() {
            return Err(StartError::NoCandidate);
        }
        Ok(Self {
            addresses,
            translated,
        })
    }

    /// All of them.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The candidate that a datagram was sent to, from its destination on this machine.
    pub fn of_destination(&self, destination: Option<IpAddr>) -> SocketAddr {
        let destination = destination.map(canonical);
        let exact = self
            .addresses
            .iter()
            .find(|a| destination == Some(canonical(a.ip())));
        let same_family = || {
            self.addresses
                .iter()
                .find(|a| destination.is_some_and(|ip| ip.is_ipv4() == a.is_ipv4()))
        };
        match exact.or_else(same_family).or(self.addresses.first()) {
            Some(address) => *address,
            // Never empty, by construction.
            None => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        }
    }

    /// The address to send from so that it arrives as coming from this candidate; none
    /// leaves it to the system.
    pub fn source_of(&self, candidate: SocketAddr) -> Option<IpAddr> {
        (!self.translated).then(|| candidate.ip())
    }
}

/// True when a socket bound to the unspecified address `listen` gets what is sent to `ip`.
/// Link-local IPv6 needs a scope, which a candidate cannot carry.
fn reaches(listen: IpAddr, ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => listen.is_ipv6() && !ip.is_unicast_link_local(),
    }
}

fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(listen: &str, public: &[&str]) -> Candidates {
        let config = SfuConfig {
            listen: listen.parse().unwrap(),
            media_port: 0,
            public_addresses: public.iter().map(|ip| ip.parse().unwrap()).collect(),
        };
        let bound = SocketAddr::new(config.listen, 3478);
        Candidates::new(config, bound).unwrap()
    }

    #[test]
    fn a_named_listening_address_is_the_only_candidate() {
        let candidates = candidates("127.0.0.1", &[]);
        assert_eq!(candidates.addresses(), ["127.0.0.1:3478".parse().unwrap()]);
    }

    #[test]
    fn listening_everywhere_offers_loopback_too() {
        let loopback: SocketAddr = "127.0.0.1:3478".parse().unwrap();
        let candidates = candidates("0.0.0.0", &[]);
        assert!(candidates.addresses().contains(&loopback));
        assert!(candidates.addresses().iter().all(SocketAddr::is_ipv4));
        assert_eq!(candidates.source_of(loopback), Some(loopback.ip()));
        let destination = Some(loopback.ip());
        assert_eq!(candidates.of_destination(destination), loopback);
    }

    #[test]
    fn a_public_address_stands_for_the_private_one_behind_it() {
        let candidates = candidates("0.0.0.0", &["2001:db8::1", "192.0.2.7"]);
        let public: SocketAddr = "192.0.2.7:3478".parse().unwrap();
        let private = Some("10.0.0.5".parse().unwrap());
        assert_eq!(candidates.of_destination(private), public);
        assert_eq!(candidates.source_of(public), None);
    }
}
