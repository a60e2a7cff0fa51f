//! The UDP sockets of one bot, one for each of its peer connections.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    task::Poll,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::target::LegId;

/// Room for what comes while the bot waits for a core.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A bot's sockets.
#[derive(Debug, Default)]
pub(super) struct Sockets(Vec<(LegId, UdpSocket)>);

impl Sockets {
    /// Opens one at a local address, in place of the one that the leg has.
    pub(super) fn open(&mut self, leg: LegId, local: IpAddr) -> io::Result<SocketAddr> {
        let socket = media_socket(local)?;
        let address = socket.local_addr()?;
        self.close(leg);
        self.0.push((leg, socket));
        Ok(address)
    }

    /// Closes the socket of a leg.
    pub(super) fn close(&mut self, leg: LegId) {
        self.0.retain(|(known, _)| *known != leg);
    }

    /// The socket of a leg.
    pub(super) fn get(&self, leg: LegId) -> Option<&UdpSocket> {
        let mut sockets = self.0.iter();
        sockets.find(|(known, _)| *known == leg).map(|(_, s)| s)
    }

    /// The legs that have one.
    pub(super) fn legs(&self) -> Vec<LegId> {
        self.0.iter().map(|(leg, _)| *leg).collect()
    }

    /// Waits until one of them has something to read.
    pub(super) async fn readable(&self) -> io::Result<LegId> {
        poll_fn(|context| {
            for (leg, socket) in &self.0 {
                if let Poll::Ready(ready) = socket.poll_recv_ready(context) {
                    return Poll::Ready(ready.map(|()| *leg));
                }
            }
            Poll::Pending
        })
        .await
    }
}

fn media_socket(local: IpAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address((local, 0).into()),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&SocketAddr::new(local, 0).into())?;
    UdpSocket::from_std(socket.into())
}
