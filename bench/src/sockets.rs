//! The whole SFU over loopback: its media thread on one core, the clients on another.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU8,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use conclave_sfu::{Offer, Sfu, SfuConfig};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::{
    client::participant,
    clock::Spread,
    scenario::{Scenario, Told},
};

const MEDIA_THREAD: &str = "conclave-media";

/// What one call cost the server.
#[derive(Debug)]
pub(crate) struct Cost {
    /// Nanoseconds of the media thread for each packet forwarded; none where there were none.
    pub(crate) per_forward: Option<Spread>,
    /// The system's part of the CPU time.
    pub(crate) system: f64,
    /// CPU seconds a second.
    pub(crate) cores: Spread,
    /// Forwards a second.
    pub(crate) forwards: f64,
    /// Packets that clients received for each one forwarded.
    pub(crate) arrived: f64,
    /// Seconds within which half of the batches, and 99 of 100, left after being read.
    pub(crate) latency: Option<(f64, f64)>,
    /// Bytes by which the process grew, for each participant.
    pub(crate) memory: f64,
}

/// The server's counts at one moment.
#[derive(Debug)]
struct Sample {
    at: std::time::Instant,
    cpu: u64,
    user_ticks: u64,
    system_ticks: u64,
    forwarded: f64,
    buckets: Vec<(f64, f64)>,
}

/// Runs a call.
pub(crate) fn measure(scenario: &Scenario) -> Result<Cost> {
    let registry = prometheus::Registry::new();
    pin(0)?;
    let config = SfuConfig {
        listen: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        media_port: 0,
        public_addresses: vec![],
        media_threads: Some(NonZeroU8::MIN),
    };
    let (sfu, events) = Sfu::start(&config, &registry)?;
    drop(events);
    pin(1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut clients = Command::new(std::env::current_exe()?)
        .args(["clients", &serde_json::to_string(scenario)?])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut to = clients.stdin.take().context("a pipe")?;
    let from = BufReader::new(clients.stdout.take().context("a pipe")?);
    writeln!(to, "{}", sfu.media_address())?;

    let before = resident()?;
    let mut samples = vec![];
    let mut arrivals = 0;
    let mut memory = 0.0;
    for line in from.lines() {
        match serde_json::from_str(&line?)? {
            Told::Offer {
                index,
                sdp,
                tracks,
                slots,
            } => {
                let room = "room".parse().context("a room's name")?;
                let offer = Offer { sdp, tracks, slots };
                let answer = runtime.block_on(sfu.connect(room, participant(index), offer))?;
                writeln!(to, "{}", serde_json::to_string(&answer.sdp)?)?;
            }
            Told::Begin => samples.push(Sample::take(&registry)?),
            Told::End { received } => {
                samples.push(Sample::take(&registry)?);
                arrivals += received;
                memory = resident()?.saturating_sub(before) as f64 / scenario.people as f64;
            }
        }
    }
    ensure!(clients.wait()?.success(), "the clients failed");
    runtime.block_on(sfu.shutdown());
    Cost::between(&samples, arrivals, memory)
}

#[allow(clippy::cast_precision_loss)]
impl Cost {
    fn between(samples: &[Sample], arrivals: u64, memory: f64) -> Result<Self> {
        let windows: Vec<_> = samples.chunks_exact(2).map(|w| (&w[0], &w[1])).collect();
        let forwards: f64 = windows.iter().map(|(a, b)| b.forwarded - a.forwarded).sum();
        let seconds: f64 = windows
            .iter()
            .map(|(a, b)| (b.at - a.at).as_secs_f64())
            .sum();
        let user: u64 = windows
            .iter()
            .map(|(a, b)| b.user_ticks - a.user_ticks)
            .sum();
        let system: u64 = windows
            .iter()
            .map(|(a, b)| b.system_ticks - a.system_ticks)
            .sum();
        let per_forward = windows
            .iter()
            .filter(|(a, b)| b.forwarded > a.forwarded)
            .map(|(a, b)| (b.cpu - a.cpu) as f64 / (b.forwarded - a.forwarded))
            .collect();
        let cores = windows
            .iter()
            .map(|(a, b)| (b.cpu - a.cpu) as f64 / 1e9 / (b.at - a.at).as_secs_f64())
            .collect();
        Ok(Self {
            per_forward: Spread::of(per_forward),
            system: system as f64 / (user + system).max(1) as f64,
            cores: Spread::of(cores).context("no window")?,
            forwards: forwards / seconds,
            arrived: arrivals as f64 / forwards.max(1.0),
            latency: latency(&windows),
            memory,
        })
    }
}

/// The bounds of the buckets in which half of the batches and 99 of 100 lie.
fn latency(windows: &[(&Sample, &Sample)]) -> Option<(f64, f64)> {
    let (first, _) = windows.first()?;
    let (_, last) = windows.last()?;
    let counts: Vec<(f64, f64)> = first
        .buckets
        .iter()
        .zip(&last.buckets)
        .map(|((bound, a), (_, b))| (*bound, b - a))
        .collect();
    let total = counts.last()?.1;
    let within = |share: f64| {
        counts
            .iter()
            .find(|(_, count)| *count >= total * share)
            .map(|(bound, _)| *bound)
    };
    (total > 0.0).then(|| Some((within(0.5)?, within(0.99)?)))?
}

impl Sample {
    fn take(registry: &prometheus::Registry) -> Result<Self> {
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather())?;
        let mut forwarded = 0.0;
        let mut buckets = vec![];
        for line in text.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            if name.starts_with("conclave_packets_total{direction=\"out\"")
                && name.contains("peer=\"client\"")
            {
                forwarded += value.parse::<f64>()?;
            }
            if let Some(labels) = name.strip_prefix("conclave_forward_latency_seconds_bucket") {
                let bound = labels.split("le=\"").nth(1).context("a bucket's bound")?;
                let bound = bound.split('"').next().unwrap_or_default();
                let bound = if bound == "+Inf" {
                    f64::INFINITY
                } else {
                    bound.parse()?
                };
                buckets.push((bound, value.parse()?));
            }
        }
        let (mut cpu, mut user_ticks, mut system_ticks) = (0, 0, 0);
        for task in fs::read_dir("/proc/self/task")? {
            let task = task?.path();
            if !fs::read_to_string(task.join("comm"))?.starts_with(MEDIA_THREAD) {
                continue;
            }
            let schedstat = fs::read_to_string(task.join("schedstat"))?;
            cpu += schedstat
                .split(' ')
                .next()
                .context("CPU time")?
                .parse::<u64>()?;
            let stat = fs::read_to_string(task.join("stat"))?;
            // The name may hold spaces; what follows it does not (proc_pid_stat(5)).
            let fields: Vec<&str> = stat
                .rsplit_once(')')
                .context("a name")?
                .1
                .split_whitespace()
                .collect();
            user_ticks += fields.get(11).context("user time")?.parse::<u64>()?;
            system_ticks += fields.get(12).context("system time")?.parse::<u64>()?;
        }
        Ok(Self {
            at: std::time::Instant::now(),
            cpu,
            user_ticks,
            system_ticks,
            forwarded,
            buckets,
        })
    }
}

/// Keeps this thread, and those that it starts, to one core, if there are several.
fn pin(core: usize) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Pinned already, this thread sees one core only, so the count is kept.
    static CORES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    if *CORES.get_or_init(|| cores) > 1 {
        let mut set = CpuSet::new();
        set.set(core);
        sched_setaffinity(None, &set)?;
    }
    Ok(())
}

/// Bytes of memory that this process has.
fn resident() -> Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).context("resident pages")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
