//! Starting, accepting connections, and stopping.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    num::NonZeroU8,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use conclave_sfu::{Sfu, SfuConfig};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    acme::{Acme, AcmeConfig, AcmeError, Challenges},
    door::Door,
    files::{self, Files, FilesConfig, FilesError, api::Reply},
    http::{self, Caller},
    limits::{AddressLimiter, Limits},
    media::Media,
    metrics::Metrics,
    registry::Registry,
    store::Store,
    tls::{Certificates, TlsError, TlsFiles},
    upkeep,
};

/// How long connections may take to end when the server stops.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// How often a server that drains looks whether calls are held.
const DRAIN_CHECK: Duration = Duration::from_millis(100);

/// How long the media threads may take to end.
const MEDIA_STOP_DEADLINE: Duration = Duration::from_secs(2);

/// Where the server listens and what it tells clients about that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Address and TCP port of the front door; port 0 takes any free one.
    pub listen: SocketAddr,
    /// What is spoken there.
    pub front: FrontDoor,
    /// The UDP and TCP port for media, at the address of the front door or, when that is loopback
    /// or unspecified, at every address; 0 takes any free one.
    pub media_port: u16,
    /// The addresses that clients are told to send media to. When empty: those of this
    /// machine.
    pub public_addresses: Vec<IpAddr>,
    /// How many threads carry media; none means one for each core.
    pub media_threads: Option<NonZeroU8>,
    /// Where to keep what must outlive the process. Made if it is not there.
    pub data_dir: Option<PathBuf>,
    /// How files that participants share are kept.
    pub files: FilesConfig,
}

/// What the front door speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrontDoor {
    /// Plain http, on this machine only: for people who try things out, or behind a proxy here.
    Local,
    /// Plain http wherever it listens: a proxy elsewhere speaks https.
    BehindProxy,
    /// https.
    Tls {
        /// Certificate and key.
        files: TlsFiles,
        /// Where whoever comes with http is sent to https from.
        redirect: Option<SocketAddr>,
    },
    /// https with certificates that come by themselves.
    Automatic {
        /// From whom, and for which names.
        acme: AcmeConfig,
        /// Where whoever comes with http is sent to https from, and the authority asks.
        redirect: SocketAddr,
    },
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The front door's address could not be had.
    #[error("cannot listen on TCP {address} (--listen): {source}{}", remedy(.source))]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Others could reach a front door that speaks plain http.
    #[error(
        "{address} (--listen) can be reached from outside, and plain http protects nobody's page: \
         give --tls-certificate and --tls-key, or listen on 127.0.0.1 behind a proxy, or say \
         --plain-http if a proxy elsewhere speaks https"
    )]
    Plain {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The address for those who come with http could not be had.
    #[error("cannot listen on TCP {address} (--redirect-http): {source}{}", remedy(.source))]
    Redirect {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No certificate can be had.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// Certificates are to come by themselves, and there is nowhere to keep them.
    #[error("certificates that come by themselves need a folder to be kept in: give --data")]
    NoFolder,
    /// There is no certificate to be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The cryptography for https did not start.
    #[error("cannot speak https: {0}")]
    Secure(#[from] rustls::Error),
    /// The media side did not start.
    #[error(transparent)]
    Media(#[from] conclave_sfu::StartError),
    /// What is to outlive the process could not be read, or not be kept.
    #[error(transparent)]
    Store(#[from] crate::OpenError),
    /// Files could not be kept.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The metrics could not be registered.
    #[error("cannot register the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            ". Another program has this port, perhaps another conclave: stop it or choose \
             another port"
        }
        io::ErrorKind::AddrNotAvailable => {
            ". This machine does not have that address: 0.0.0.0 or [::] stands for all it has"
        }
        io::ErrorKind::PermissionDenied => {
            ". Ports below 1024 need a privilege: choose a higher one"
        }
        _ => "",
    }
}

/// Where media is received; none for everywhere. A front door on loopback has a proxy before
/// it, or people who try things out; the proxy passes no media, and Firefox pairs no loopback
/// candidates.
pub(crate) fn media_listen(front_door: IpAddr) -> Option<IpAddr> {
    (!front_door.is_loopback() && !front_door.is_unspecified()).then_some(front_door)
}

/// A running server.
pub struct Server {
    door: Arc<Door>,
    http_address: SocketAddr,
    media_address: SocketAddr,
}

impl Server {
    /// Opens the sockets and starts to serve. Has to be called within a tokio runtime.
    pub fn start(config: ServerConfig) -> Result<Self, StartError> {
        Self::start_with_limits(config, Limits::default())
    }

    /// [`Self::start`] with other bounds than the usual ones.
    pub fn start_with_limits(config: ServerConfig, limits: Limits) -> Result<Self, StartError> {
        if matches!(config.front, FrontDoor::Local) && !config.listen.ip().is_loopback() {
            return Err(StartError::Plain {
                address: config.listen,
            });
        }
        let mut acme = None;
        let (files, redirect) = match config.front {
            FrontDoor::Tls { files, redirect } => (Some(files), redirect),
            FrontDoor::Automatic {
                acme: wanted,
                redirect,
            } => {
                let folder = config.data_dir.as_deref().ok_or(StartError::NoFolder)?;
                let prepared = acme.insert(Acme::prepare(wanted, folder)?);
                (Some(prepared.files()), Some(redirect))
            }
            FrontDoor::Local | FrontDoor::BehindProxy => (None, None),
        };
        let certificates = files.map(Certificates::load).transpose()?.map(Arc::new);
        let challenges = acme.as_ref().map(|acme| acme.challenges.clone());
        let acceptor = certificates.as_ref().map(Certificates::acceptor);
        let acceptor = acceptor.transpose()?;
        let redirect = redirect.map(|address| {
            let listener = listen(address);
            listener.map_err(|source| StartError::Redirect { address, source })
        });
        let redirect = redirect.transpose()?;
        let listener = listen(config.listen).map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let http_address = listener.local_addr().map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let published = prometheus::Registry::new();
        let metrics = Arc::new(Metrics::register(&published)?);
        let (store, kept) = Store::open(config.data_dir.as_deref(), Arc::clone(&metrics))?;
        let files = Files::open(
            &config.files,
            config.data_dir.as_deref(),
            store.clone(),
            &published,
        )?;
        let sfu_config = SfuConfig {
            listen: media_listen(config.listen.ip()),
            media_port: config.media_port,
            public_addresses: config.public_addresses,
            media_threads: config.media_threads,
        };
        let (sfu, events) = Sfu::start(&sfu_config, &published)?;
        let media_address = sfu.media_address();

        let limits = Arc::new(limits);
        let media = Arc::new(Media::new(sfu, Arc::clone(&metrics)));
        let tasks = TaskTracker::new();
        let stopping = CancellationToken::new();
        let rooms = Arc::new(Registry::new(
            Arc::clone(&limits),
            Arc::clone(&metrics),
            Arc::clone(&media),
            store.clone(),
            stopping.clone(),
            tasks.clone(),
        ));
        rooms.recall(kept);
        let door = Arc::new(Door {
            addresses: AddressLimiter::new(limits.joins_per_address),
            wrong_keys: AddressLimiter::new(limits.wrong_keys_per_address),
            limits,
            metrics,
            published,
            rooms,
            media: Arc::clone(&media),
            store,
            stopping,
            files: Arc::new(files),
            tasks,
            is_secure: acceptor.is_some(),
        });
        let stopping = door.stopping.clone();
        tokio::spawn(async move {
            media.watch(events).await;
            if !stopping.is_cancelled() {
                tracing::error!("the media threads have ended: restart the server");
            }
        });
        let manner = acceptor.map_or(Manner::Plain, Manner::Secure);
        door.tasks
            .spawn(accept(Arc::clone(&door), listener, manner));
        if let Some(listener) = redirect {
            let manner = Manner::Redirect(http_address.port(), challenges.unwrap_or_default());
            door.tasks
                .spawn(accept(Arc::clone(&door), listener, manner));
        }
        if let (Some(acme), Some(certificates)) = (acme, &certificates) {
            let certificates = Arc::clone(certificates);
            door.tasks.spawn(upkeep::keep_certified(
                Arc::clone(&door),
                acme,
                certificates,
            ));
        }
        if let Some(certificates) = certificates {
            door.tasks
                .spawn(upkeep::refresh(Arc::clone(&door), certificates));
        }
        door.tasks.spawn(upkeep::tidy(Arc::clone(&door)));
        door.tasks.spawn(files::sweep(Arc::clone(&door)));
        if door.store.is_durable() {
            door.tasks.spawn(upkeep::tell(Arc::clone(&door)));
        }
        Ok(Self {
            door,
            http_address,
            media_address,
        })
    }

    /// Where the front door is.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// True when the front door speaks https.
    pub fn is_secure(&self) -> bool {
        self.door.is_secure
    }

    /// Where media is taken.
    pub fn media_address(&self) -> SocketAddr {
        self.media_address
    }

    /// Resolves when somebody asks over the API that the server stops.
    pub async fn asked_to_stop(&self) {
        self.door.rooms.draining.cancelled().await;
    }

    /// Takes no new calls, and waits until those that are held have ended, at most for so long.
    pub async fn drain(&self, within: Duration) {
        self.door.drain();
        let rooms = &self.door.rooms;
        let ended = async {
            while !rooms.is_empty() {
                sleep(DRAIN_CHECK).await;
            }
        };
        if timeout(within, ended).await.is_err() {
            tracing::info!("calls are held still, and the time to drain is over");
        }
    }

    /// Tells the clients, closes the sockets and ends the media threads, within a bounded
    /// time.
    pub async fn shutdown(self) {
        self.door.metrics.draining.set(1);
        self.door.stopping.cancel();
        self.door.tasks.close();
        if timeout(STOP_DEADLINE, self.door.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                left = self.door.tasks.len(),
                "not all connections ended in time"
            );
        }
        let media = self.door.media.shutdown();
        if timeout(MEDIA_STOP_DEADLINE, media).await.is_err() {
            tracing::warn!("the media threads did not end in time");
        }
        let store = self.door.store.clone();
        // It may wait for a slow disk, and must: what was acknowledged is in there.
        if tokio::task::spawn_blocking(move || store.close())
            .await
            .is_err()
        {
            tracing::error!("the database was not closed");
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// How the connections of a listener are taken.
#[derive(Clone)]
enum Manner {
    Plain,
    Secure(TlsAcceptor),
    /// Everyone is sent to https, at this port, but those who ask for an answer to a challenge.
    Redirect(u16, Challenges),
}

async fn accept(door: Arc<Door>, listener: TcpListener, manner: Manner) {
    let places = Arc::new(Semaphore::new(door.limits.connections));
    loop {
        let accepted = tokio::select! {
            () = door.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let serving = Arc::clone(&door);
                    let manner = manner.clone();
                    door.tasks
                        .spawn(receive(serving, stream, peer, place, manner));
                }
                Err(_full) => door.metrics.limited("connections"),
            },
            Err(error) => {
                // Out of descriptors, most likely: some have to be closed first.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Makes a connection secure, if it is to be, and serves it.
async fn receive(
    door: Arc<Door>,
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    manner: Manner,
) {
    // Signalling messages are small and waited for.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let caller = Caller {
        address: peer.ip(),
        place: Arc::new(place),
        busy_until: Arc::default(),
    };
    let busy = Arc::clone(&caller.busy_until);
    let answer = |request| http::answer(Arc::clone(&door), caller.clone(), request);
    match manner {
        Manner::Plain => serve(&door, stream, peer, &busy, answer).await,
        Manner::Redirect(port, challenges) => {
            serve(&door, stream, peer, &busy, async |request| {
                http::to_https(&request, port, &challenges)
            })
            .await;
        }
        Manner::Secure(acceptor) => {
            let handshake = timeout(door.limits.request_head, acceptor.accept(stream)).await;
            match handshake {
                Ok(Ok(stream)) => serve(&door, stream, peer, &busy, answer).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS came about"),
                Err(_) => tracing::debug!(%peer, "TLS was not agreed on in time"),
            }
        }
    }
}

/// Serves the requests of one connection, until it ends or becomes a WebSocket.
async fn serve<S, F>(
    door: &Door,
    stream: S,
    peer: SocketAddr,
    busy_until: &Mutex<Option<Instant>>,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Reply>,
{
    let service = service_fn(|request| {
        let response = answer(request);
        async { Ok::<_, Infallible>(response.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(door.limits.request_head)
        .max_buf_size(32 << 10)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let old = tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "a connection ended");
            }
            return;
        }
        () = door.stopping.cancelled() => false,
        () = sleep(door.limits.connection_age) => true,
    };
    tracing::trace!(%peer, old, "a connection is asked to end");
    connection.as_mut().graceful_shutdown();
    // An answer may be on its way; who does not take it in this time does not get it.
    let mut patience = Instant::now() + door.limits.farewell;
    while timeout_at(patience.into(), connection.as_mut())
        .await
        .is_err()
    {
        // As long as a transfer goes on, it is given more.
        let busy = *busy_until.lock().unwrap_or_else(PoisonError::into_inner);
        match busy {
            Some(until) if old && until > patience && !door.stopping.is_cancelled() => {
                patience = until;
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_received_everywhere_when_the_front_door_is_on_loopback() {
        for everywhere in ["127.0.0.1", "::1", "0.0.0.0", "::"] {
            assert_eq!(media_listen(everywhere.parse().unwrap()), None);
        }
        let named: IpAddr = "192.0.2.7".parse().unwrap();
        assert_eq!(media_listen(named), Some(named));
    }

    fn loopback() -> ServerConfig {
        ServerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            front: FrontDoor::Local,
            media_port: 0,
            public_addresses: Vec::new(),
            media_threads: None,
            data_dir: None,
            files: FilesConfig::default(),
        }
    }

    #[tokio::test]
    async fn plain_http_is_not_spoken_where_others_can_reach_it() {
        let open = ServerConfig {
            listen: SocketAddr::from(([0, 0, 0, 0], 0)),
            ..loopback()
        };
        let said = Server::start(open.clone()).err().expect("refused");
        assert!(said.to_string().contains("--plain-http"), "{said}");
        let behind = ServerConfig {
            front: FrontDoor::BehindProxy,
            ..open
        };
        Server::start(behind).expect("told so").shutdown().await;
    }

    #[tokio::test]
    async fn without_its_media_thread_a_server_is_not_ready() {
        let server = Server::start(loopback()).expect("a server");
        assert_eq!(server.door.not_ready(), None);
        server.door.media.shutdown().await;
        let noticed = async {
            while server.door.not_ready().is_none() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(5), noticed)
            .await
            .expect("the end of the media thread is noticed");
        let reason = server.door.not_ready().expect("not ready");
        assert!(reason.contains("media"), "{reason}");
        server.shutdown().await;
    }

    #[tokio::test]
    async fn a_server_that_shuts_down_is_not_ready() {
        let server = Server::start(loopback()).expect("a server");
        let door = Arc::clone(&server.door);
        server.shutdown().await;
        assert_eq!(door.not_ready(), Some("the server is shutting down"));
        assert_eq!(door.metrics.draining.get(), 1);
    }
}
