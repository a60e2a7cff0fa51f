//! Who may come in over TCP (RFC 6544): as many as there are places for, each with an ICE
//! check as its first word.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
use crate::{metrics::ConnectionMetrics, shard::LONGEST_DATAGRAM};

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

/// Accepts connections until nobody takes callers any more.
pub(crate) async fn listen(
    listener: TcpListener,
    metrics: ConnectionMetrics,
    callers: mpsc::Sender<Caller>,
) {
    let places = Places::default();
    let mut knocking = JoinSet::new();
    while !callers.is_closed() {
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
        match places.take(remote.ip(), metrics.clone()) {
            Ok(place) => {
                knocking.spawn(knock(
                    stream,
                    remote,
                    place,
                    metrics.clone(),
                    callers.clone(),
                ));
            }
            Err(full) => metrics.ended(full),
        }
    }
}

async fn knock(
    stream: TcpStream,
    remote: SocketAddr,
    place: Place,
    metrics: ConnectionMetrics,
    callers: mpsc::Sender<Caller>,
) {
    // What takes longer than a check may is too much for one as well.
    let mut stream = stream.take((framing::HEADER + LONGEST_DATAGRAM) as u64);
    let heard = timeout(CHECK_TIME, first_frame(&mut stream)).await;
    let caller = match heard.unwrap_or(Err(ConnectionEnd::Silent)) {
        Ok((first, _)) if !is_check(&first) => Err(ConnectionEnd::NotACheck),
        Ok((first, read)) => caller(stream.into_inner(), remote, first, read, place),
        Err(end) => Err(end),
    };
    match caller {
        // When nobody takes it, everything ends.
        Ok(caller) => callers.send(caller).await.unwrap_or_default(),
        Err(end) => metrics.ended(end),
    }
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

/// True for an ICE check: a binding request that names one of our users (RFC 8445 §7.2.2).
/// Whether we know the user, and whether it knows the password, the owner finds out.
fn is_check(frame: &[u8]) -> bool {
    StunMessage::parse(frame)
        .is_ok_and(|message| message.is_binding_request() && message.split_username().is_some())
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

/// How many connections there are. Only their beginnings and ends touch it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
}

impl Places {
    pub(crate) fn take(
        &self,
        ip: IpAddr,
        metrics: ConnectionMetrics,
    ) -> Result<Place, ConnectionEnd> {
        let source = source(ip);
        let mut taken = self.taken();
        if taken.all >= MOST_CONNECTIONS {
            return Err(ConnectionEnd::Full);
        }
        let from_here = taken.by_source.entry(source).or_default();
        if *from_here >= MOST_FROM_ONE {
            return Err(ConnectionEnd::FullForSource);
        }
        *from_here += 1;
        taken.all += 1;
        drop(taken);
        metrics.opened();
        Ok(Place {
            places: self.clone(),
            source,
            metrics,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Every change leaves it whole, even before a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place, until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    source: IpAddr,
    metrics: ConnectionMetrics,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(count) = taken.by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                taken.by_source.remove(&self.source);
            }
        }
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
        let places = Places::default();
        let metrics = metrics();
        let take = |ip: &str| places.take(ip.parse().unwrap(), metrics.clone());
        let mut held: Vec<_> = (0..MOST_FROM_ONE)
            .map(|i| take(&format!("2001:db8::{i:x}")).unwrap())
            .collect();
        assert_eq!(
            take("2001:db8::ffff").unwrap_err(),
            ConnectionEnd::FullForSource
        );
        let other = take("2001:db8:0:1::1").unwrap();
        held.pop();
        held.push(take("2001:db8::ffff").unwrap());
        drop((held, other));
        assert_eq!(places.taken().all, 0);
        assert!(places.taken().by_source.is_empty());
    }

    #[test]
    fn all_sources_together_are_bounded() {
        let places = Places::default();
        let metrics = metrics();
        let held: Vec<_> = (0..MOST_CONNECTIONS)
            .map(|i| {
                let ip = IpAddr::from([10, 0, (i >> 8) as u8, i as u8]);
                places.take(ip, metrics.clone()).unwrap()
            })
            .collect();
        let refused = places.take([192, 0, 2, 1].into(), metrics.clone());
        assert_eq!(refused.unwrap_err(), ConnectionEnd::Full);
        drop(held);
        assert!(places.take([192, 0, 2, 1].into(), metrics).is_ok());
    }

    #[test]
    fn only_a_check_opens_the_door() {
        for nonsense in [&b"GET / HTTP/1.1\r\n"[..], &[0; 20], &[]] {
            assert!(!is_check(nonsense));
        }
    }
}
