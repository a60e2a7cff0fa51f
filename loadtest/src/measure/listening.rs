//! Which process listens on a TCP port.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
};

/// The process on this machine that listens on a TCP port of this address. None when it is
/// not ours to see, when the address is another machine's, or when several share the
/// socket.
pub fn listener(address: IpAddr, port: u16) -> Option<u32> {
    // Only an address of one's own can be bound.
    UdpSocket::bind((address, 0)).ok()?;
    let inodes: Vec<String> = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, address, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let mut owners = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let mut descriptors = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
        let owns = descriptors.any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|link| {
                let link = link.to_string_lossy();
                inodes.iter().any(|inode| *inode == link)
            })
        });
        owns.then_some(pid)
    });
    let owner = owners.next()?;
    owners.next().is_none().then_some(owner)
}

/// Reads the kernel's table: the second column is the local address in hexadecimal, the
/// fourth the state, the tenth the inode.
fn listening_inodes(table: &str, address: IpAddr, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let row = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (local, local_port) = columns.get(1)?.split_once(':')?;
        let local = hexadecimal_address(local)?;
        let ours = local.is_unspecified() || local == address;
        let port_matches = u16::from_str_radix(local_port, 16) == Ok(port);
        (ours && port_matches && *columns.get(3)? == LISTEN)
            .then(|| columns.get(9)?.parse().ok())
            .flatten()
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// The kernel writes addresses as words in the byte order of the machine.
fn hexadecimal_address(text: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = (0..text.len() / 8)
        .map(|word| {
            let word = u32::from_str_radix(text.get(word * 8..word * 8 + 8)?, 16).ok()?;
            Some(word.to_ne_bytes())
        })
        .collect::<Option<_>>()?;
    match words[..] {
        [word] => Some(Ipv4Addr::from(word).into()),
        [a, b, c, d] => {
            let bytes: [u8; 16] = [a, b, c, d].concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::{net::TcpListener, process};

    use super::*;

    #[test]
    fn the_owner_of_a_listening_socket_is_found() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let here = Ipv4Addr::LOCALHOST.into();
        assert_eq!(listener(here, port), Some(process::id()));
        // A documentation address (RFC 5737) is not of this machine.
        let there = Ipv4Addr::new(192, 0, 2, 1).into();
        assert_eq!(listener(there, port), None);
        drop(socket);
        assert_eq!(listener(here, port), None);
    }

    #[test]
    fn only_listening_sockets_of_the_address_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3060 1
   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 3061 1
   2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3062 1
   3: 0200000A:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3063 1
   4: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3064 1
";
        let found = listening_inodes(table, Ipv4Addr::LOCALHOST.into(), 8_080);
        assert_eq!(found, [3_060, 3_062]);
        let mapped = "0000000000000000FFFF00000100007F";
        let any = "00000000000000000000000000000000";
        assert_eq!(
            hexadecimal_address(mapped),
            Some(Ipv4Addr::LOCALHOST.into())
        );
        assert!(hexadecimal_address(any).unwrap().is_unspecified());
    }
}
