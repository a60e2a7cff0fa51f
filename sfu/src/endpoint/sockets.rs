//! The media port: one number for UDP and TCP, on one address or on all.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
};

use quinn_udp::{UdpSockRef, UdpSocketState};
use socket2::{Domain, Socket, Type};

use crate::error::{Refused, StartError};

/// Asked of the system for both directions; it may give less.
const BUFFER: usize = 8 * 1024 * 1024;

/// Connections that the system holds until they are accepted.
const BACKLOG: i32 = 1_024;

/// How many free TCP ports are tried when their numbers are taken for UDP.
const TRIES: usize = 16;

/// How many datagrams the system takes in one call. One means that it does not do more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offload {
    /// To one address, cut by the kernel or the card (UDP_SEGMENT).
    pub sends: usize,
    /// From one address, put together by the kernel (UDP_GRO).
    pub receives: usize,
}

/// What the system does for a UDP socket at this address.
pub fn offload(address: SocketAddr) -> io::Result<Offload> {
    let socket = UdpSocket::bind(address)?;
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
    Ok(Offload {
        sends: state.max_gso_segments(),
        receives: state.gro_segments(),
    })
}

/// The sockets of the media port, not yet in the hands of a runtime.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) address: SocketAddr,
    pub(crate) tcp: TcpListener,
    /// One for each media thread.
    pub(crate) udp: Vec<UdpSocket>,
}

/// Opens the port at one address, or at every one of the machine; port 0 takes a free one.
pub(crate) fn open(listen: Option<IpAddr>, port: u16, threads: u8) -> Result<Sockets, StartError> {
    let Some(ip) = listen else {
        // An IPv6 socket takes both. Only a kernel without IPv6 has no such thing.
        let everywhere = open_at(Ipv6Addr::UNSPECIFIED.into(), port, threads);
        return match everywhere {
            Err(StartError::Bind(refused)) if !refused.has_family() => {
                tracing::warn!("this machine has no IPv6: media goes over IPv4 only");
                open_at(Ipv4Addr::UNSPECIFIED.into(), port, threads)
            }
            opened => opened,
        };
    };
    open_at(ip, port, threads)
}

fn open_at(ip: IpAddr, port: u16, threads: u8) -> Result<Sockets, StartError> {
    let mut tries = if port == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        match open_both(SocketAddr::new(ip, port), threads) {
            Err(StartError::Bind(refused)) if tries > 0 && refused.is_taken() => {}
            opened => return opened,
        }
    }
}

fn open_both(asked: SocketAddr, threads: u8) -> Result<Sockets, StartError> {
    // First, since a second process cannot share it, as it could the UDP port.
    let tcp = listen_tcp(asked).map_err(|source| Refused::tcp(asked, source))?;
    let address = tcp
        .local_addr()
        .map_err(|source| Refused::tcp(asked, source))?;
    let udp = (0..threads)
        .map(|_| bind_udp(address, threads > 1))
        .collect::<io::Result<_>>()
        .map_err(|source| Refused::udp(address, source))?;
    Ok(Sockets { address, tcp, udp })
}

fn socket(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, Type::STREAM)?;
    // Connections of an earlier process may still be closing.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_udp(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = socket(address, Type::DGRAM)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    // Smaller buffers work too; they only lose packets sooner.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    socket.bind(&address.into())?;
    Ok(socket.into())
}
