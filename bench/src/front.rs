//! What the front door bears: sockets that are open and silent, and people who come all at once.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use conclave_protocol::{
    PROTOCOL_VERSION, RoomAuth,
    session::Positioned,
    signal::{ClientMessage, ServerMessage},
};
use futures_util::{SinkExt, StreamExt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{interval, sleep, timeout},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::machine;

const IDLE: usize = 2_000;
const IN_EACH_ROOM: usize = 10;
/// Addresses that people come from.
const HOMES: usize = 50;
const WATCHED: Duration = Duration::from_secs(20);
const JOINS_PER_SECOND: u32 = 200;
const JOINING: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<TcpStream>;

/// A server of its own, ended when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    _data: tempfile::TempDir,
}

impl Server {
    fn start(program: &Path) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--media-port", "0", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let out = child.stdout.take().context("no output")?;
        let mut port = None;
        // To the last line: the server gives up if it cannot write them all.
        for line in BufReader::new(out).lines() {
            let line = line?;
            let address = line.split_once("http://localhost:");
            port = port.or_else(|| address?.1.trim_end_matches('/').parse().ok());
            if line.contains("Ctrl-C") {
                break;
            }
        }
        let port = port.context("the server did not start")?;
        Ok(Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            _data: data,
        })
    }

    /// Bytes of its memory that are not shared with a file.
    fn memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path)?;
        let line = status.lines().find_map(|it| it.strip_prefix("RssAnon:"));
        let kib: u64 = line
            .and_then(|it| it.trim().strip_suffix("kB")?.trim().parse().ok())
            .context("no RssAnon")?;
        Ok(kib * 1024)
    }

    /// What it has computed so far.
    fn computed(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path)?;
        let fields = stat.rsplit_once(") ").context("no fields")?.1;
        let field = |index| {
            fields
                .split(' ')
                .nth(index)
                .and_then(|it| it.parse::<u64>().ok())
        };
        // utime and stime (proc_pid_stat(5)), less the two fields that stand before.
        let ticks = field(11).context("no utime")? + field(12).context("no stime")?;
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Opens a socket, comes into a room, and has the place kept.
async fn join(address: SocketAddr, number: usize) -> Result<Socket> {
    // From several addresses: the server bounds how many come from one.
    let from = u8::try_from(number % HOMES).unwrap_or_default() + 1;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0)))?;
    let stream = socket.connect(address).await?;
    let room = format!("room-{}", number / IN_EACH_ROOM);
    stream.set_nodelay(true)?;
    let (mut socket, _) = client_async(format!("ws://{address}/ws"), stream).await?;
    let join = ClientMessage::Join {
        version: PROTOCOL_VERSION,
        room: room.parse()?,
        room_auth: RoomAuth::new([7; 32]),
        invite: None,
    };
    for message in [join, ClientMessage::KeepSession {}] {
        let text = serde_json::to_string(&message)?;
        socket.send(Message::text(text)).await?;
    }
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else {
            continue;
        };
        match serde_json::from_str::<Positioned>(&text)?.message {
            ServerMessage::Session { .. } => return Ok(socket),
            ServerMessage::Error { code, detail } => bail!("{code:?}: {detail}"),
            _ => {}
        }
    }
    bail!("the server hung up")
}

/// Answers pings, which nobody else does.
async fn attend(mut socket: Socket) {
    while let Some(Ok(_)) = socket.next().await {}
}

/// As many descriptors as may be had: each socket takes one here.
fn allow_descriptors() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit })?;
    Ok(())
}

/// Measures both against this program, and writes a table.
pub(crate) fn table(program: &Path) -> Result<String> {
    allow_descriptors()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let idle = runtime.block_on(idle(program))?;
    let joins = runtime.block_on(joins(program))?;
    Ok(format!(
        "{}\n\n| what | measured |\n| --- | --- |\n{idle}{joins}",
        machine::description()
    ))
}

async fn idle(program: &Path) -> Result<String> {
    let server = Server::start(program)?;
    let before = server.memory()?;
    let mut open = JoinSet::new();
    for number in 0..IDLE {
        let socket = timeout(PATIENCE, join(server.address, number)).await??;
        open.spawn(attend(socket));
    }
    sleep(Duration::from_secs(2)).await;
    let memory = (server.memory()? - before) as f64 / IDLE as f64;
    let computed = server.computed()?;
    sleep(WATCHED).await;
    let share = (server.computed()? - computed).as_secs_f64() / WATCHED.as_secs_f64();
    let left = open.len();
    Ok(format!(
        "| WebSockets that are open and silent, in rooms of {IN_EACH_ROOM} | {left} of {IDLE} |\n\
         | memory of each | {:.1} kB |\n| share of a core for all of them | {:.1} % |\n",
        memory / 1000.0,
        share * 100.0
    ))
}

async fn joins(program: &Path) -> Result<String> {
    let server = Server::start(program)?;
    let address = server.address;
    let computed = server.computed()?;
    let mut beat = interval(Duration::from_secs(1) / JOINS_PER_SECOND);
    let began = Instant::now();
    let mut coming = JoinSet::new();
    let mut number = 0;
    while began.elapsed() < JOINING {
        beat.tick().await;
        let comer = number;
        number += 1;
        coming.spawn(async move {
            let began = Instant::now();
            let socket = timeout(PATIENCE, join(address, comer)).await??;
            let time = began.elapsed();
            tokio::spawn(attend(socket));
            anyhow::Ok(time)
        });
    }
    let mut times = Vec::new();
    while let Some(time) = coming.join_next().await {
        times.push(time??);
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    let cost = (server.computed()? - computed).as_secs_f64() / times.len() as f64;
    times.sort();
    let percentile = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    Ok(format!(
        "| joins a second, asked for {JOINS_PER_SECOND} | {rate:.0} |\n\
         | from the first packet to the kept place, p50 / p99 / max | {:.1} / {:.1} / {:.1} ms |\n\
         | processor time of each join | {:.2} ms |\n",
        percentile(50),
        percentile(99),
        percentile(100),
        cost * 1e3
    ))
}
