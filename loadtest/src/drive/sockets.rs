//! The UDP sockets of one bot, one for each of its peer connections.

use std::{
    future::poll_fn,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::Poll,
};

use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

use crate::{impair::household::Household, target::LegId};

/// Room for what comes while the bot waits for a core.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Room for all that comes in one read: the longest UDP payload, which is also the most
/// that the kernel puts together.
pub(super) const LONGEST_READ: usize = 1 << 16;

/// A socket, and how it takes several datagrams in one read, if it does.
#[derive(Debug)]
struct MediaSocket {
    socket: UdpSocket,
    offload: Option<UdpSocketState>,
}

/// What came in one read: datagrams of the same length, the last of which may be shorter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    /// Of all of them.
    pub(super) len: usize,
    /// Of each.
    pub(super) each: usize,
    /// From where.
    pub(super) from: SocketAddr,
}

/// A bot's sockets.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    open: Vec<(LegId, MediaSocket)>,
    /// Whether they take several datagrams in one read (UDP GRO).
    offload: bool,
    /// Where they live, if not here.
    household: Option<Arc<Household>>,
}

impl Sockets {
    pub(super) fn new(household: Option<Arc<Household>>, offload: bool) -> Self {
        Self {
            open: Vec::new(),
            offload,
            household,
        }
    }

    /// Opens one at a local address, in place of the one that the leg has.
    pub(super) fn open(&mut self, leg: LegId, local: IpAddr) -> io::Result<SocketAddr> {
        let socket = match &self.household {
            None => media_socket(local)?,
            Some(household) => household
                .within(|| media_socket(local))
                .map_err(io::Error::other)??,
        };
        let socket = UdpSocket::from_std(socket.into())?;
        let address = socket.local_addr()?;
        let offload = self
            .offload
            .then(|| UdpSocketState::new(UdpSockRef::from(&socket)))
            .transpose()?;
        self.close(leg);
        self.open.push((leg, MediaSocket { socket, offload }));
        Ok(address)
    }

    /// Closes the socket of a leg.
    pub(super) fn close(&mut self, leg: LegId) {
        self.open.retain(|(known, _)| *known != leg);
    }

    /// The address that the bot has after it has moved from this one.
    pub(super) fn elsewhere(&self, local: IpAddr) -> IpAddr {
        match &self.household {
            None => local,
            Some(household) => household.elsewhere(local),
        }
    }

    /// The socket of a leg.
    pub(super) fn get(&self, leg: LegId) -> Option<&UdpSocket> {
        let mut sockets = self.open.iter();
        let found = sockets.find(|(known, _)| *known == leg);
        found.map(|(_, media)| &media.socket)
    }

    /// Reads what has come to a leg; none if it has no socket.
    pub(super) fn read(&self, leg: LegId, buffer: &mut [u8]) -> Option<io::Result<Read>> {
        let mut sockets = self.open.iter();
        let (_, media) = sockets.find(|(known, _)| *known == leg)?;
        Some(media.read(buffer))
    }

    /// The legs that have one.
    pub(super) fn legs(&self) -> Vec<LegId> {
        self.open.iter().map(|(leg, _)| *leg).collect()
    }

    /// Waits until one of them has something to read.
    pub(super) async fn readable(&self) -> io::Result<LegId> {
        poll_fn(|context| {
            for (leg, media) in &self.open {
                if let Poll::Ready(ready) = media.socket.poll_recv_ready(context) {
                    return Poll::Ready(ready.map(|()| *leg));
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl MediaSocket {
    fn read(&self, buffer: &mut [u8]) -> io::Result<Read> {
        let Some(offload) = &self.offload else {
            let (len, from) = self.socket.try_recv_from(buffer)?;
            return Ok(Read {
                len,
                each: len,
                from,
            });
        };
        let mut told = [RecvMeta::default()];
        self.socket.try_io(Interest::READABLE, || {
            let socket = UdpSockRef::from(&self.socket);
            offload.recv(socket, &mut [IoSliceMut::new(buffer)], &mut told)
        })?;
        let [
            RecvMeta {
                len, stride, addr, ..
            },
        ] = told;
        Ok(Read {
            len,
            each: stride,
            from: addr,
        })
    }
}

fn media_socket(local: IpAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address((local, 0).into()),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&SocketAddr::new(local, 0).into())?;
    Ok(socket)
}
