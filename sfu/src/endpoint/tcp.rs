//! TCP connections that carry ICE (RFC 6544): a reader and a writer for each, apart from
//! the loop, with bounded queues between them and it. A client that does not read loses
//! what is sent to it; one that sends too fast is read more slowly.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::{
    framing,
    listener::{Caller, Place},
};
use crate::{DropReason, metrics::ConnectionMetrics, shard::LONGEST_DATAGRAM};

/// Datagrams that wait for one client to read: about a second of video.
const QUEUE: usize = 256;

/// Datagrams written at once.
const BATCH: usize = 32;

/// Reads that wait for the loop, of all clients.
const HEARD: usize = 256;

/// Read at once.
const READ: usize = 16 * 1024;

/// What the system holds for a client that does not read. It would take megabytes, and old
/// media is worth nothing.
const SEND_BUFFER: usize = 128 * 1024;

/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why a connection ended, or was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// No place was left.
    Full,
    /// The source had too many already.
    FullForSource,
    /// No check came in time.
    Silent,
    /// What came first was no check.
    NotACheck,
    /// Nobody answered the check: an unknown user or a wrong password.
    Unanswered,
    /// A frame was longer than any datagram.
    TooLong,
    /// The client closed it.
    Closed,
    /// The system reported an error.
    Failed,
    /// Its participant is gone.
    Released,
}

impl ConnectionEnd {
    pub(crate) const ALL: [Self; 9] = [
        Self::Full,
        Self::FullForSource,
        Self::Silent,
        Self::NotACheck,
        Self::Unanswered,
        Self::TooLong,
        Self::Closed,
        Self::Failed,
        Self::Released,
    ];

    /// The name as a metric label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::FullForSource => "full_for_source",
            Self::Silent => "silent",
            Self::NotACheck => "not_a_check",
            Self::Unanswered => "unanswered",
            Self::TooLong => "too_long",
            Self::Closed => "closed",
            Self::Failed => "failed",
            Self::Released => "released",
        }
    }
}

/// Tells connections from the same address, one after the other, apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ConnectionId(u64);

/// What was read from a connection.
#[derive(Debug)]
pub(crate) struct Heard {
    connection: ConnectionId,
    pub(crate) remote: SocketAddr,
    /// Where it came to on this machine.
    pub(crate) local: IpAddr,
    pub(crate) datagrams: Vec<Bytes>,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    queue: mpsc::Sender<Vec<u8>>,
    /// Takes the reason for which the connection is let go.
    line: oneshot::Sender<ConnectionEnd>,
    answered: bool,
}

/// The connections of one media thread.
#[derive(Debug)]
pub(crate) struct Connections {
    by_remote: HashMap<SocketAddr, Connection>,
    /// Those whose check has not been answered yet.
    unanswered: Vec<SocketAddr>,
    tasks: JoinSet<(SocketAddr, ConnectionId)>,
    heard: mpsc::Receiver<Heard>,
    hearing: mpsc::Sender<Heard>,
    next: u64,
    metrics: ConnectionMetrics,
}

impl Connections {
    pub(crate) fn new(metrics: ConnectionMetrics) -> Self {
        let (hearing, heard) = mpsc::channel(HEARD);
        Self {
            by_remote: HashMap::new(),
            unanswered: vec![],
            tasks: JoinSet::new(),
            heard,
            hearing,
            next: 0,
            metrics,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_remote.is_empty()
    }

    /// Takes over a connection and hands back its first datagram. To be called within the
    /// runtime.
    pub(crate) fn admit(&mut self, caller: Caller) -> io::Result<Heard> {
        let Caller {
            stream,
            remote,
            local,
            first,
            read,
            place,
        } = caller;
        // Smaller buffers and unasked delays work too, only less well.
        let _ = socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
        let _ = stream.set_nodelay(true);
        let stream = TcpStream::from_std(stream)?;
        let id = ConnectionId(self.next);
        self.next += 1;
        let (queue, queued) = mpsc::channel(QUEUE);
        let (line, hangup) = oneshot::channel();
        let ear = Ear {
            id,
            remote,
            local,
            hearing: self.hearing.clone(),
        };
        let metrics = self.metrics.clone();
        self.tasks.spawn(async move {
            let end = converse(stream, read, ear, queued, hangup, place).await;
            metrics.ended(end);
            (remote, id)
        });
        let connection = Connection {
            id,
            queue,
            line,
            answered: false,
        };
        self.by_remote.insert(remote, connection);
        self.unanswered.push(remote);
        Ok(Heard {
            connection: id,
            remote,
            local,
            datagrams: vec![first],
        })
    }

    /// What was read next.
    pub(crate) async fn hear(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// What was read already, and not by a connection that is gone.
    pub(crate) fn try_hear(&mut self) -> Option<Heard> {
        loop {
            let heard = self.heard.try_recv().ok()?;
            if self.has(&heard) {
                return Some(heard);
            }
        }
    }

    /// True when the connection is still there.
    pub(crate) fn has(&self, heard: &Heard) -> bool {
        self.by_remote
            .get(&heard.remote)
            .is_some_and(|connection| connection.id == heard.connection)
    }

    /// Queues a datagram.
    pub(crate) fn send(&mut self, remote: SocketAddr, datagram: Vec<u8>) -> Result<(), DropReason> {
        let connection = self.by_remote.get_mut(&remote).ok_or(DropReason::NotSent)?;
        connection.answered = true;
        connection
            .queue
            .try_send(datagram)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => DropReason::SlowReader,
                mpsc::error::TrySendError::Closed(_) => DropReason::NotSent,
            })
    }

    /// Lets a connection go once it has been told what is queued.
    pub(crate) fn hang_up(&mut self, remote: SocketAddr) {
        self.by_remote.remove(&remote);
    }

    /// Ends the new connections to which nothing was sent: their checks had no answer. And
    /// forgets those that have ended by themselves.
    pub(crate) fn settle(&mut self) {
        for remote in std::mem::take(&mut self.unanswered) {
            if self.by_remote.get(&remote).is_some_and(|c| !c.answered)
                && let Some(connection) = self.by_remote.remove(&remote)
            {
                // One that has ended needs no reason any more.
                let _ = connection.line.send(ConnectionEnd::Unanswered);
            }
        }
        while let Some(ended) = self.tasks.try_join_next() {
            if let Ok((remote, id)) = ended
                && self.by_remote.get(&remote).is_some_and(|c| c.id == id)
            {
                self.by_remote.remove(&remote);
            }
        }
    }

    /// Hangs up on everyone and waits until they are gone, for a bounded time.
    pub(crate) async fn close(mut self) {
        self.by_remote.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = timeout(2 * FAREWELL, all).await;
    }
}

/// How a connection's reader reaches the loop.
#[derive(Debug)]
struct Ear {
    id: ConnectionId,
    remote: SocketAddr,
    local: IpAddr,
    hearing: mpsc::Sender<Heard>,
}

async fn converse(
    mut stream: TcpStream,
    read: BytesMut,
    ear: Ear,
    queued: mpsc::Receiver<Vec<u8>>,
    hangup: oneshot::Receiver<ConnectionEnd>,
    _place: Place,
) -> ConnectionEnd {
    let (reader, writer) = stream.split();
    tokio::select! {
        end = hear(reader, read, ear) => end,
        end = speak_until_let_go(writer, queued, hangup) => end,
    }
}

/// What is queued when the connection is let go still has a moment to leave.
async fn speak_until_let_go(
    writer: WriteHalf<'_>,
    queued: mpsc::Receiver<Vec<u8>>,
    mut hangup: oneshot::Receiver<ConnectionEnd>,
) -> ConnectionEnd {
    let mut speaking = pin!(speak(writer, queued));
    tokio::select! {
        spoken = &mut speaking => match spoken {
            Ok(()) => hangup.await.unwrap_or(ConnectionEnd::Released),
            Err(end) => end,
        },
        reason = &mut hangup => {
            let _ = timeout(FAREWELL, speaking).await;
            reason.unwrap_or(ConnectionEnd::Released)
        }
    }
}

async fn hear(mut reader: ReadHalf<'_>, mut read: BytesMut, ear: Ear) -> ConnectionEnd {
    loop {
        let mut datagrams = vec![];
        loop {
            match framing::take(&mut read, LONGEST_DATAGRAM) {
                Ok(Some(datagram)) => datagrams.push(datagram),
                Ok(None) => break,
                Err(framing::TooLong) => return ConnectionEnd::TooLong,
            }
        }
        if !datagrams.is_empty() {
            let heard = Heard {
                connection: ear.id,
                remote: ear.remote,
                local: ear.local,
                datagrams,
            };
            if ear.hearing.send(heard).await.is_err() {
                return ConnectionEnd::Released;
            }
        }
        read.reserve(READ);
        match reader.read_buf(&mut read).await {
            Ok(0) => return ConnectionEnd::Closed,
            Ok(_) => {}
            Err(_) => return ConnectionEnd::Failed,
        }
    }
}

/// Writes what is queued until the queue is let go of.
async fn speak(
    mut writer: WriteHalf<'_>,
    mut queued: mpsc::Receiver<Vec<u8>>,
) -> Result<(), ConnectionEnd> {
    let mut datagrams = Vec::with_capacity(BATCH);
    let mut out = BytesMut::new();
    while queued.recv_many(&mut datagrams, BATCH).await > 0 {
        for datagram in datagrams.drain(..) {
            framing::put(&mut out, &datagram).map_err(|_| ConnectionEnd::TooLong)?;
        }
        let written = writer.write_all_buf(&mut out).await;
        written.map_err(|_| ConnectionEnd::Failed)?;
    }
    // The client learns of the end either way.
    let _ = writer.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{endpoint::listener::Places, metrics::Metrics};
    use tokio::net::TcpListener;

    /// A connection and the client's end of it, which holds little that it has not read.
    async fn connected() -> (Connections, SocketAddr, TcpStream) {
        let metrics = Metrics::new(&prometheus::Registry::new())
            .unwrap()
            .connections;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let client = socket
            .connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, remote) = listener.accept().await.unwrap();
        let caller = Caller {
            stream: stream.into_std().unwrap(),
            remote,
            local: remote.ip(),
            first: Bytes::from_static(b"a check"),
            read: BytesMut::from(&[0, 1, 7][..]),
            place: Places::new(metrics.clone()).take(remote.ip()).unwrap(),
        };
        let mut connections = Connections::new(metrics);
        let first = connections.admit(caller).unwrap();
        assert_eq!(first.datagrams, [&b"a check"[..]]);
        (connections, remote, client)
    }

    #[tokio::test]
    async fn what_was_read_beyond_the_check_is_heard() {
        let (mut connections, remote, mut client) = connected().await;
        let heard = connections.hear().await.unwrap();
        assert_eq!(heard.datagrams, [&[7][..]]);
        client.write_all(&[0, 2, 8, 9]).await.unwrap();
        let heard = connections.hear().await.unwrap();
        assert_eq!(
            (heard.remote, &heard.datagrams[0][..]),
            (remote, &[8, 9][..])
        );
        assert!(connections.has(&heard));
        connections.hang_up(remote);
        assert!(!connections.has(&heard));
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_loses_what_is_sent_until_it_reads_again() {
        let (mut connections, remote, mut client) = connected().await;
        let datagram = vec![7; 1_200];
        let mut taken = 0;
        let mut lost_in_a_row = 0;
        while lost_in_a_row < 1_000 {
            match connections.send(remote, datagram.clone()) {
                Ok(()) => (taken, lost_in_a_row) = (taken + 1, 0),
                Err(reason) => {
                    assert_eq!(reason, DropReason::SlowReader);
                    lost_in_a_row += 1;
                }
            }
            tokio::task::yield_now().await;
            assert!(taken < 10_000, "nothing bounds what is kept for the client");
        }
        let mut frame = [0; 1_202];
        for _ in 0..taken {
            client.read_exact(&mut frame).await.unwrap();
            assert_eq!(
                (&frame[..2], &frame[2..]),
                (&1_200_u16.to_be_bytes()[..], &datagram[..])
            );
        }
        assert_eq!(connections.send(remote, vec![8]), Ok(()));
        client.read_exact(&mut frame[..3]).await.unwrap();
        assert_eq!(frame[..3], [0, 1, 8]);
    }

    #[tokio::test]
    async fn who_is_let_go_still_gets_what_was_said_before() {
        let (mut connections, remote, mut client) = connected().await;
        connections.send(remote, vec![9]).unwrap();
        connections.settle();
        connections.hang_up(remote);
        assert_eq!(connections.send(remote, vec![9]), Err(DropReason::NotSent));
        let mut said = vec![];
        client.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, [0, 1, 9]);
        connections.close().await;
    }

    #[tokio::test]
    async fn who_never_got_an_answer_is_let_go() {
        let (mut connections, _remote, mut client) = connected().await;
        connections.settle();
        assert!(connections.is_empty());
        let mut said = vec![];
        client.read_to_end(&mut said).await.unwrap();
        assert!(said.is_empty());
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_does_not_hold_up_the_end() {
        let (mut connections, remote, client) = connected().await;
        while connections.send(remote, vec![7; 1_200]).is_ok() {}
        tokio::task::yield_now().await;
        timeout(4 * FAREWELL, connections.close()).await.unwrap();
        drop(client);
    }
}
