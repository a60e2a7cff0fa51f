//! Ports, addresses, and the way through a NAT.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket},
    time::Duration,
};

use conclave_sfu::Candidates;
use stunclient::StunClient;

use super::{Finding, Questions};
use crate::{server::media_listen, settings::Settings};

const STUN_PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn examine(settings: &Settings, questions: &Questions) -> Vec<Finding> {
    let mut found = vec![front_door(settings.listen)];
    if let Some(redirect) = settings.redirect_http {
        found.push(port("redirect", "--redirect-http", redirect));
    }
    let anywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let media = SocketAddr::new(
        media_listen(settings.listen.ip()).unwrap_or(anywhere),
        settings.media_port,
    );
    found.push(media_port(media));
    found.push(addresses(settings, media));
    if let Some(server) = &questions.stun {
        found.push(mapping(settings, server, media));
    }
    found
}

fn front_door(address: SocketAddr) -> Finding {
    let finding = port("front door", "--listen", address);
    if finding.remedy.is_none() && address.ip().is_loopback() {
        return Finding::good(
            "front door",
            format!("{address} is free; only this machine and a proxy on it reach it"),
        );
    }
    finding
}

fn port(what: &'static str, flag: &str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::good(what, format!("TCP {address} is free")),
        Err(error) => Finding::bad(
            what,
            format!("TCP {address} cannot be had: {error}"),
            remedy_for(&error, flag),
        ),
    }
}

fn media_port(address: SocketAddr) -> Finding {
    let udp = UdpSocket::bind(address).map(drop);
    let tcp = TcpListener::bind(address).map(drop);
    for (name, bound) in [("UDP", udp), ("TCP", tcp)] {
        if let Err(error) = bound {
            return Finding::bad(
                "media port",
                format!("{name} {address} cannot be had: {error}"),
                remedy_for(&error, "--media-port"),
            );
        }
    }
    let port = address.port();
    Finding::good(
        "media port",
        format!("UDP and TCP {port} are free: let them through every firewall on the way"),
    )
}

fn remedy_for(error: &io::Error, flag: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("stop what has it (`ss -lpn` tells), or choose another with {flag}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 need CAP_NET_BIND_SERVICE; or choose another with {flag}")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address: see `ip address`, and {flag}")
        }
        _ => format!("see {flag}"),
    }
}

/// What clients would be told, and whether those outside could use it.
fn addresses(settings: &Settings, media: SocketAddr) -> Finding {
    let public = &settings.public_addresses;
    let told = match Candidates::new(public, media) {
        Ok(candidates) => candidates.advertised(),
        Err(error) => return Finding::bad("media addresses", "there are none", error.to_string()),
    };
    let list: Vec<_> = told.iter().map(|it| it.ip().to_string()).collect();
    let list = list.join(", ");
    if told.iter().any(|it| is_global(it.ip())) {
        Finding::good("media addresses", format!("clients are told {list}"))
    } else {
        Finding::doubtful(
            "media addresses",
            format!("clients are told {list}, which reaches nobody outside this network"),
            "give --public-address with the address that the internet sees, and forward the media \
             port to this machine. For calls within the network nothing is missing",
        )
    }
}

/// Neither private, nor shared, nor for this link or machine only.
fn is_global(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            let special = ip.is_private() || ip.is_loopback() || ip.is_link_local();
            !(special || shared || ip.is_unspecified() || ip.is_documentation())
        }
        IpAddr::V6(ip) => {
            let special = ip.is_loopback() || ip.is_unspecified();
            !(special || ip.is_unique_local() || ip.is_unicast_link_local())
        }
    }
}

/// Asks a STUN server, from the media port, how that looks from outside.
fn mapping(settings: &Settings, server: &str, media: SocketAddr) -> Finding {
    let what = "NAT";
    let resolved = server
        .to_socket_addrs()
        .map(|mut all| all.find(SocketAddr::is_ipv4));
    let server = match resolved {
        Ok(Some(server)) => server,
        Ok(None) => {
            return Finding::doubtful(what, format!("{server} has no IPv4 address"), "see --stun");
        }
        Err(error) => {
            return Finding::doubtful(what, format!("{server}: {error}"), "see --stun");
        }
    };
    let port = media.port();
    let from = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let mut client = StunClient::new(server);
    client.set_timeout(STUN_PATIENCE);
    let mapped = UdpSocket::bind(from)
        .map_err(|error| error.to_string())
        .and_then(|socket| {
            let asked = client.query_external_address(&socket);
            asked.map_err(|error| error.to_string())
        });
    let mapped = match mapped {
        Ok(mapped) => mapped,
        Err(error) => {
            return Finding::doubtful(
                what,
                format!("{server} does not answer: {error}"),
                "UDP may be blocked on the way out: ask whoever runs the network",
            );
        }
    };
    let told = Candidates::new(&settings.public_addresses, media)
        .map(|candidates| candidates.advertised())
        .unwrap_or_default();
    if !told.iter().any(|it| it.ip() == mapped.ip()) {
        return Finding::bad(
            what,
            format!("from outside this machine is {mapped}, which no client is told"),
            format!(
                "say --public-address {} and forward the media port",
                mapped.ip()
            ),
        );
    }
    if mapped.port() != port {
        return Finding::doubtful(
            what,
            format!("from outside port {port} is {}", mapped.port()),
            format!("forward UDP and TCP {port} to this machine, with the same number"),
        );
    }
    Finding::good(what, format!("from outside this machine is {mapped}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Health;

    #[test]
    fn a_port_that_is_taken_is_named_with_its_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let finding = media_port(address);
        assert_eq!(finding.health, Health::Bad);
        assert!(finding.remedy.unwrap().contains("--media-port"));
        drop(taken);
        assert_eq!(media_port(address).health, Health::Good);
    }

    #[test]
    fn addresses_that_the_internet_does_not_reach_are_told_apart() {
        for inside in [
            "10.1.2.3",
            "192.168.0.9",
            "100.64.1.1",
            "127.0.0.1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_global(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["1.1.1.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(is_global(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn a_stun_server_that_does_not_answer_is_no_reason_to_stop() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = silent.local_addr().unwrap().to_string();
        let settings = crate::settings::tests::settings(&[]);
        let media = SocketAddr::from(([0, 0, 0, 0], 0));
        assert_eq!(mapping(&settings, &server, media).health, Health::Doubtful);
    }
}
