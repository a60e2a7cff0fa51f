//! Clients on real sockets of this machine, in real time.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use conclave_protocol::RoomId;
use conclave_sfu::{Sfu, SfuConfig};
use str0m::net::Protocol;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UdpSocket},
};

use super::simulation::{Client, ClientConfig, participant};

pub(crate) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) fn config(listen: Option<IpAddr>) -> SfuConfig {
    SfuConfig {
        listen,
        media_port: 0,
        public_addresses: vec![],
        media_threads: None,
    }
}

/// What a client's packets go over.
pub(crate) enum Line {
    Udp(UdpSocket),
    Tcp {
        stream: TcpStream,
        /// What was read and is no whole frame yet.
        read: Vec<u8>,
    },
}

impl Line {
    pub(crate) async fn open(transport: Protocol, server: SocketAddr) -> Self {
        match transport {
            Protocol::Udp => {
                let socket = UdpSocket::bind((server.ip(), 0)).await.unwrap();
                Self::Udp(socket)
            }
            _ => Self::Tcp {
                stream: TcpStream::connect(server).await.unwrap(),
                read: vec![],
            },
        }
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr().unwrap(),
            Self::Tcp { stream, .. } => stream.local_addr().unwrap(),
        }
    }

    /// The next datagram that is here already.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 2_000];
        match self {
            Self::Udp(socket) => {
                let length = socket.try_recv(&mut buffer).ok()?;
                buffer.truncate(length);
                Some(buffer)
            }
            Self::Tcp { stream, read } => loop {
                if let Some(frame) = take_frame(read) {
                    return Some(frame);
                }
                match stream.try_read(&mut buffer) {
                    Ok(0) | Err(_) => return None,
                    Ok(length) => read.extend_from_slice(&buffer[..length]),
                }
            },
        }
    }

    /// False when it is broken.
    async fn send(&mut self, contents: &[u8], server: SocketAddr) -> bool {
        match self {
            Self::Udp(socket) => socket.send_to(contents, server).await.is_ok(),
            Self::Tcp { stream, .. } => stream.write_all(&framed(contents)).await.is_ok(),
        }
    }

    /// Waits until the server has closed the connection.
    pub(crate) async fn is_closed(&mut self) {
        let Self::Tcp { stream, .. } = self else {
            panic!("UDP has no end");
        };
        let mut buffer = vec![0; 2_000];
        loop {
            stream.readable().await.unwrap();
            match stream.try_read(&mut buffer) {
                Ok(0) => return,
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    }
}

/// A datagram with its length before it (RFC 4571 §2).
pub(crate) fn framed(contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap();
    [&length.to_be_bytes(), contents].concat()
}

fn take_frame(read: &mut Vec<u8>) -> Option<Vec<u8>> {
    let header = read.first_chunk::<2>()?;
    let end = 2 + usize::from(u16::from_be_bytes(*header));
    if read.len() < end {
        return None;
    }
    Some(read.drain(..end).skip(2).collect())
}

/// A client and its socket.
pub(crate) struct Caller {
    pub(crate) line: Line,
    pub(crate) client: Client,
}

/// Joins over a socket to an address of the SFU's.
pub(crate) async fn join_at(
    sfu: &Sfu,
    room: &RoomId,
    index: usize,
    config: &ClientConfig,
    ip: IpAddr,
) -> Caller {
    let server = SocketAddr::new(ip, sfu.media_address().port());
    let line = Line::open(config.transport, server).await;
    let address = line.local_address();
    let (mut client, offer) = Client::at(address, server, index, config, Instant::now());
    let answer = sfu
        .connect(room.clone(), participant(index), offer)
        .await
        .unwrap();
    client.accept(&answer.sdp);
    Caller { line, client }
}

pub(crate) async fn join(sfu: &Sfu, room: &RoomId, index: usize, config: ClientConfig) -> Caller {
    join_at(sfu, room, index, &config, LOCALHOST).await
}

/// Lets the clients and the SFU talk until something is so. Fails when it never is.
pub(crate) async fn run_until(
    callers: &mut [Caller],
    what: &str,
    mut done: impl FnMut(&mut [Caller]) -> bool,
) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done(callers) {
        assert!(Instant::now() < end, "never happened: {what}");
        turn(callers).await;
    }
}

/// Lets the clients and the SFU talk for a while.
pub(crate) async fn run(callers: &mut [Caller], time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        turn(callers).await;
    }
}

async fn turn(callers: &mut [Caller]) {
    for Caller { line, client } in callers.iter_mut() {
        let server = client.server;
        while let Some(contents) = line.receive() {
            client.receive(Instant::now(), server, &contents);
        }
        if client.due() <= Instant::now() {
            client.advance(Instant::now());
        }
        while let Some(contents) = client.outbox.pop_front() {
            line.send(&contents, server).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// The value of a metric, named with its labels.
pub(crate) fn metric(registry: &prometheus::Registry, line: &str) -> f64 {
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    let found = text.lines().find_map(|l| l.strip_prefix(line));
    found
        .unwrap_or_else(|| panic!("no {line} in\n{text}"))
        .trim()
        .parse()
        .unwrap()
}
