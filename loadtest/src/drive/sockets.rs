//! The UDP sockets of one bot, one for each of its peer connections.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::Poll,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::{impair::household::Household, target::LegId};

/// Room for what comes while the bot waits for a core.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A bot's sockets.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    open: Vec<(LegId, UdpSocket)>,
    /// Where they live, if not here.
    household: Option<Arc<Household>>,
}

impl Sockets {
    pub(super) fn new(household: Option<Arc<Household>>) -> Self {
        Self {
            open: Vec::new(),
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
        self.close(leg);
        self.open.push((leg, socket));
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
        sockets.find(|(known, _)| *known == leg).map(|(_, s)| s)
    }

    /// The legs that have one.
    pub(super) fn legs(&self) -> Vec<LegId> {
        self.open.iter().map(|(leg, _)| *leg).collect()
    }

    /// Waits until one of them has something to read.
    pub(super) async fn readable(&self) -> io::Result<LegId> {
        poll_fn(|context| {
            for (leg, socket) in &self.open {
                if let Poll::Ready(ready) = socket.poll_recv_ready(context) {
                    return Poll::Ready(ready.map(|()| *leg));
                }
            }
            Poll::Pending
        })
        .await
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
