//! The media threads: each with a shard, a socket and a core of its own.

use std::{
    num::NonZeroU8,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use crate::{
    Candidates, SfuEvent, StartError,
    endpoint::{self, Command, Endpoint, Relays, Sockets, Wiring},
    metrics::Metrics,
    placement::Placement,
    shard::{Shard, ShardId},
};

/// TCP connections that wait for a media thread to take them over.
const CALLER_QUEUE: usize = 64;

/// Starts a thread for each UDP socket. Returns where each takes its commands, and what
/// ends when the last of them has.
pub(crate) fn start(
    sockets: Sockets,
    candidates: &Candidates,
    metrics: &Metrics,
    events: &mpsc::Sender<SfuEvent>,
) -> Result<(Vec<mpsc::UnboundedSender<Command>>, watch::Receiver<()>), StartError> {
    let Sockets { tcp, udp, .. } = sockets;
    let threads = u8::try_from(udp.len()).unwrap_or(u8::MAX);
    let cores = cores(threads);
    let (ending, ended) = watch::channel(());
    let (stop, stopped) = watch::channel(());
    let mut callers = vec![];
    let mut commands = vec![];
    let mut workers = vec![];
    for ((number, socket), relays) in (0..threads).zip(udp).zip(Relays::between(threads)) {
        let (to_command, command_receiver) = mpsc::unbounded_channel();
        let (to_caller, caller_receiver) = mpsc::channel(CALLER_QUEUE);
        commands.push(to_command);
        callers.push(to_caller);
        let wiring = Wiring {
            shard: Shard::one_of(ShardId::new(number), threads),
            candidates: candidates.clone(),
            metrics: metrics.worker(&number.to_string())?,
            connections: metrics.connections.clone(),
            commands: command_receiver,
            callers: caller_receiver,
            events: events.clone(),
            relays,
            stopped: stopped.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(StartError::Thread)?;
        let endpoint = {
            let _within = runtime.enter();
            Endpoint::new(socket, wiring).map_err(StartError::Thread)?
        };
        workers.push((number, runtime, endpoint));
    }
    if let Some((_, runtime, _)) = workers.first() {
        let _within = runtime.enter();
        let listener = TcpListener::from_std(tcp).map_err(StartError::Thread)?;
        let connections = metrics.connections.clone();
        runtime.spawn(endpoint::listen(listener, connections, callers));
    }
    for (number, runtime, endpoint) in workers {
        let core = cores.get(usize::from(number)).copied();
        let alarm = Alarm(stop.clone());
        let ending = ending.clone();
        thread::Builder::new()
            .name(format!("conclave-media-{number}"))
            .spawn(move || {
                let _alarm = alarm;
                if let Some(core) = core {
                    pin(core);
                }
                runtime.block_on(endpoint.run());
                drop(ending);
            })
            .map_err(StartError::Thread)?;
    }
    Ok((commands, ended))
}

/// How many threads to start when nobody says: one for each core.
pub(crate) fn as_many_as_cores() -> NonZeroU8 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let cores = u8::try_from(cores).unwrap_or(u8::MAX);
    NonZeroU8::new(cores).unwrap_or(NonZeroU8::MIN)
}

/// Who is on which thread. Asked when people come and go, never by the media threads.
#[derive(Debug)]
pub(crate) struct Whereabouts(Mutex<Placement>);

impl Whereabouts {
    pub(crate) fn new(threads: u8, spill: usize) -> Self {
        Self(Mutex::new(Placement::new(threads, spill)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Placement> {
        // Every change leaves it whole, even before a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whichever thread ends first, by order or by accident, takes the others along: a room may
/// be on all of them.
struct Alarm(watch::Sender<()>);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.send_replace(());
    }
}

/// The cores to pin the threads to, one each. None when there are more or fewer of them:
/// then the system knows better.
fn cores(threads: u8) -> Vec<usize> {
    let allowed = match sched_getaffinity(None) {
        Ok(allowed) => allowed,
        Err(error) => {
            tracing::warn!(%error, "which cores may be used is not known: no thread is pinned");
            return vec![];
        }
    };
    let all = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    let all: Vec<_> = all.collect();
    if threads > 1 && all.len() == usize::from(threads) {
        all
    } else {
        vec![]
    }
}

fn pin(core: usize) {
    let mut only = CpuSet::new();
    only.set(core);
    if let Err(error) = sched_setaffinity(None, &only) {
        tracing::warn!(%error, core, "a media thread could not be pinned to its core");
    }
}
