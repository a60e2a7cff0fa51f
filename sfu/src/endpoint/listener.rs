//! Who may come in over TCP (RFC 6544): as many as there are places for, each with an ICE
//! check as its first word.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use str0m::ice::StunMessage;
use tokio::{
    io::{AsyncReadExt, Take},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{framing, tcp::ConnectionEnd};
use crate::{
    metrics::ConnectionMetrics,
    shard::{LONGEST_DATAGRAM, ShardId},
};

/// Open connections, of all clients. A client opens one for each address that it is given.
const MOST_CONNECTIONS: usize = 4_096;

/// Open connections from one address, behind which a whole office may sit.
const MOST_FROM_ONE: usize = 256;

/// How long the first check may take.
const CHECK_TIME: Duration = Duration::from_secs(5);

/// After a connection could not be accepted, for want of descriptors most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// A client that said who it wants to talk as, not yet proven.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) remote: SocketAddr,
    pub(crate) local: IpAddr,
    /// The check.
    pub(crate) first: Bytes,
    /// What was read beyond it.
    pub(crate) read: BytesMut,
    pub(crate) place: Place,
}

/// Accepts connections and hands each to the media thread whose participant it is of, until
/// it is dropped.
pub(crate) async fn listen(
    listener: TcpListener,
    metrics: ConnectionMetrics,
    threads: Vec<mpsc::Sender<Caller>>,
) {
    let threads: Arc<[_]> = threads.into();
    let mut places = Places::new(metrics.clone());
    let mut knocking = JoinSet::new();
    loop {
        while knocking.try_join_next().is_some() {}
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection to the media port could not be accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        let remote = super::canonical(remote);
        match places.take(remote.ip()) {
            Ok(place) => {
                let (threads, metrics) = (Arc::clone(&threads), metrics.clone());
                knocking.spawn(async move {
                    if let Err(end) = knock(stream, remote, place, &threads).await {
                        metrics.ended(end);
                    }
                });
            }
            Err(full) => metrics.ended(full),
        }
    }
}

async fn knock(
    stream: TcpStream,
    remote: SocketAddr,
    place: Place,
    threads: &[mpsc::Sender<Caller>],
) -> Result<(), ConnectionEnd> {
    // What takes longer than a check may is too much for one as well.
    let mut stream = stream.take((framing::HEADER + LONGEST_DATAGRAM) as u64);
    let heard = timeout(CHECK_TIME, first_frame(&mut stream)).await;
    let (first, read) = heard.unwrap_or(Err(ConnectionEnd::Silent))?;
    let owner = threads.get(owner(&first)?.number());
    let owner = owner.ok_or(ConnectionEnd::Unanswered)?;
    let caller = caller(stream.into_inner(), remote, first, read, place)?;
    // When nobody takes it, everything ends.
    let _ = owner.send(caller).await;
    Ok(())
}

async fn first_frame(stream: &mut Take<TcpStream>) -> Result<(Bytes, BytesMut), ConnectionEnd> {
    let mut read = BytesMut::with_capacity(framing::HEADER + LONGEST_DATAGRAM);
    loop {
        match stream.read_buf(&mut read).await {
            Ok(0) if stream.limit() == 0 => return Err(ConnectionEnd::NotACheck),
            Ok(0) => return Err(ConnectionEnd::Closed),
            Ok(_) => {}
            Err(_) => return Err(ConnectionEnd::Failed),
        }
        match framing::take(&mut read, LONGEST_DATAGRAM) {
            Ok(Some(first)) => return Ok((first, read)),
            Ok(None) => {}
            Err(framing::TooLong) => return Err(ConnectionEnd::TooLong),
        }
    }
}

/// The shard of the user whom an ICE check names: a binding request (RFC 8445 §7.2.2).
/// Whether there is such a user, and whether it knows the password, the shard finds out.
fn owner(frame: &[u8]) -> Result<ShardId, ConnectionEnd> {
    let message = StunMessage::parse(frame).map_err(|_| ConnectionEnd::NotACheck)?;
    match message.split_username() {
        Some((ours, _)) if message.is_binding_request() => {
            ShardId::of_ufrag(ours).ok_or(ConnectionEnd::Unanswered)
        }
        _ => Err(ConnectionEnd::NotACheck),
    }
}

fn caller(
    stream: TcpStream,
    remote: SocketAddr,
    first: Bytes,
    read: BytesMut,
    place: Place,
) -> Result<Caller, ConnectionEnd> {
    let failed = |_| ConnectionEnd::Failed;
    let local = stream.local_addr().map_err(failed)?.ip();
    Ok(Caller {
        stream: stream.into_std().map_err(failed)?,
        remote,
        local,
        first,
        read,
        place,
    })
}

/// How many connections there are, all and by source. The listener keeps it; connections,
/// wherever they are, give their places back.
#[derive(Debug)]
pub(crate) struct Places {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
    /// Holds no more than there are places.
    returned: mpsc::UnboundedReceiver<IpAddr>,
    returning: mpsc::UnboundedSender<IpAddr>,
    metrics: ConnectionMetrics,
}

impl Places {
    pub(crate) fn new(metrics: ConnectionMetrics) -> Self {
        let (returning, returned) = mpsc::unbounded_channel();
        Self {
            all: 0,
            by_source: HashMap::new(),
            returned,
            returning,
            metrics,
        }
    }

    pub(crate) fn take(&mut self, ip: IpAddr) -> Result<Place, ConnectionEnd> {
        while let Ok(source) = self.returned.try_recv() {
            self.give_back(source);
        }
        let source = source(ip);
        let from_here = self.by_source.get(&source).copied().unwrap_or_default();
        if self.all >= MOST_CONNECTIONS {
            return Err(ConnectionEnd::Full);
        }
        if from_here >= MOST_FROM_ONE {
            return Err(ConnectionEnd::FullForSource);
        }
        self.by_source.insert(source, from_here + 1);
        self.all += 1;
        self.metrics.opened();
        Ok(Place {
            source,
            returning: self.returning.clone(),
            metrics: self.metrics.clone(),
        })
    }

    fn give_back(&mut self, source: IpAddr) {
        self.all -= 1;
        if let Some(count) = self.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

/// One connection's place, until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    source: IpAddr,
    returning: mpsc::UnboundedSender<IpAddr>,
    metrics: ConnectionMetrics,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Without a listener nobody counts.
        let _ = self.returning.send(self.source);
        self.metrics.closed();
    }
}

/// Whoever has one IPv6 address has a whole /64 of them (RFC 6177).
fn source(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn metrics() -> ConnectionMetrics {
        let registry = prometheus::Registry::new();
        Metrics::new(&registry).unwrap().connections
    }

    #[test]
    fn one_source_cannot_take_the_places_of_all() {
        let mut places = Places::new(metrics());
        let mut take = |ip: &str| places.take(ip.parse().unwrap());
        let mut held: Vec<_> = (0..MOST_FROM_ONE)
            .map(|i| take(&format!("2001:db8::{i:x}")).unwrap())
            .collect();
        let refused = take("2001:db8::ffff").unwrap_err();
        assert_eq!(refused, ConnectionEnd::FullForSource);
        held.push(take("2001:db8:0:1::1").unwrap());
        held.remove(0);
        held.push(take("2001:db8::ffff").unwrap());
        drop(held);
        let last = take("192.0.2.1").unwrap();
        assert_eq!((places.all, places.by_source.len()), (1, 1));
        drop(last);
    }

    #[test]
    fn all_sources_together_are_bounded() {
        let mut places = Places::new(metrics());
        let held: Vec<_> = (0..MOST_CONNECTIONS)
            .map(|i| {
                let ip = IpAddr::from([10, 0, (i >> 8) as u8, i as u8]);
                places.take(ip).unwrap()
            })
            .collect();
        let refused = places.take([192, 0, 2, 1].into());
        assert_eq!(refused.unwrap_err(), ConnectionEnd::Full);
        drop(held);
        assert!(places.take([192, 0, 2, 1].into()).is_ok());
    }

    #[test]
    fn only_a_check_opens_the_door() {
        for nonsense in [&b"GET / HTTP/1.1\r\n"[..], &[0; 20], &[]] {
            assert_eq!(owner(nonsense), Err(ConnectionEnd::NotACheck));
        }
    }
}
