//! What the server spends: by its page `/metrics`, and by what the kernel says of its
//! process when that runs on this machine.

use std::{
    net::ToSocketAddrs as _,
    time::{Duration, Instant},
};

use super::{
    listening::listener,
    process::{CpuWatch, ProcessError, ProcessUse},
    syscalls::SyscallCount,
};
use crate::{
    drive::{http, server::ServerAddress},
    report::{CostSource, Known, PacketCounter, Server},
};

/// Why the server's cost is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CostUnknown {
    /// The page cannot be had.
    #[error("/metrics cannot be read: {0}")]
    Unreachable(String),
    /// The page lacks something.
    #[error("/metrics does not have {0}")]
    Missing(&'static str),
    /// Nobody looked.
    #[error("/metrics was not read")]
    NotAsked,
    /// The system does not tell.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Nobody said which process it is.
    #[error("the server's process is not known: give its number with --server-pid if it runs here")]
    NoProcess,
}

/// Who tells first of the server's CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// The kernel: the user named the processes.
    Kernel,
    /// Its own page, which is finer.
    Page,
}

/// One that looks at the server.
#[derive(Debug, Clone)]
pub struct Observer {
    address: ServerAddress,
    /// None if it runs elsewhere, or cannot be told.
    processes: Vec<u32>,
    first: First,
}

/// The server at one moment.
#[derive(Debug, Clone)]
pub struct ServerSample {
    /// When.
    pub at: Instant,
    /// Its own page.
    pub page: Result<Page, CostUnknown>,
    /// What the kernel says of it.
    pub used: Result<ProcessUse, CostUnknown>,
}

impl Observer {
    /// Of the server at this address, and of its processes if they are given; else of the
    /// one that listens there, if it is of this machine.
    pub fn new(address: &ServerAddress, given: &[u32]) -> Self {
        let (processes, first) = match given {
            [] => (found(address).into_iter().collect(), First::Page),
            given => (given.to_vec(), First::Kernel),
        };
        Self {
            address: address.clone(),
            processes,
            first,
        }
    }

    /// Looks at everything.
    pub async fn look(&self) -> ServerSample {
        let page = http::get(&self.address.url("http", "/metrics"))
            .await
            .map(|page| Page::parse(&page))
            .map_err(|error| CostUnknown::Unreachable(error.to_string()));
        ServerSample {
            page,
            ..self.glance()
        }
    }

    /// Looks at the processes only, which costs the server nothing.
    pub fn glance(&self) -> ServerSample {
        let used = match &self.processes[..] {
            [] => Err(CostUnknown::NoProcess),
            processes => ProcessUse::of(processes).map_err(CostUnknown::from),
        };
        ServerSample {
            at: Instant::now(),
            page: Err(CostUnknown::NotAsked),
            used,
        }
    }

    /// Watches the CPU time of the processes, if they can be seen.
    pub fn watch_cpu(&self) -> Option<CpuWatch> {
        (!self.processes.is_empty()).then(|| CpuWatch::new(self.processes.clone()))
    }

    /// Begins to count its system calls.
    pub fn count_syscalls(&self) -> Known<SyscallCount> {
        match &self.processes[..] {
            [] => Known::no(CostUnknown::NoProcess.to_string()),
            processes => SyscallCount::begin(processes).into(),
        }
    }
}

fn found(address: &ServerAddress) -> Option<u32> {
    let (host, port) = address.host_and_port();
    let mut addresses = (host, port).to_socket_addrs().ok()?;
    addresses.find_map(|address| listener(address.ip(), address.port()))
}

/// What a page of Prometheus' text format says of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Page {
    /// CPU time of the whole process.
    pub cpu_seconds: Option<f64>,
    /// The part of it in user mode.
    pub user_seconds: Option<f64>,
    /// The part of it in the kernel.
    pub system_seconds: Option<f64>,
    /// CPU time of the media threads.
    pub worker_seconds: Option<f64>,
    /// RTP packets sent.
    pub packets_out: Option<f64>,
    /// Resident memory.
    pub memory_bytes: Option<f64>,
    /// Open file descriptors.
    pub file_descriptors: Option<f64>,
}

impl Page {
    fn parse(page: &str) -> Self {
        let cpu = |label| sum(page, "process_cpu_seconds_total", label);
        Self {
            cpu_seconds: cpu(None),
            user_seconds: cpu(Some(r#"mode="user""#)),
            system_seconds: cpu(Some(r#"mode="system""#)),
            worker_seconds: sum(page, "conclave_worker_cpu_seconds_total", None),
            packets_out: sum(page, "conclave_packets_total", Some(r#"direction="out""#)),
            memory_bytes: sum(page, "process_resident_memory_bytes", None),
            file_descriptors: sum(page, "process_open_fds", None),
        }
    }
}

/// Adds up all samples of a metric in a page of Prometheus' text format, or those with
/// one label; none when there is no sample.
fn sum(page: &str, name: &str, label: Option<&str>) -> Option<f64> {
    page.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once('}')?,
                None if rest.starts_with(' ') => ("", rest),
                None => return None,
            };
            if label.is_some_and(|label| !labels.split(',').any(|found| found == label)) {
                return None;
            }
            value.split_whitespace().next()?.parse::<f64>().ok()
        })
        .reduce(|a, b| a + b)
}

/// CPU time spent, and who told.
struct Cpu {
    source: CostSource,
    seconds: f64,
    user: Known<f64>,
    system: Known<f64>,
}

/// The server over a measured window.
#[derive(Debug)]
pub struct Span<'a> {
    /// Before anyone had joined.
    pub before: &'a ServerSample,
    /// When the window began.
    pub begin: &'a ServerSample,
    /// When it ended.
    pub end: &'a ServerSample,
    /// Who looked.
    pub observer: &'a Observer,
}

/// What the load test itself knows of the window.
#[derive(Debug)]
pub struct Work {
    /// RTP packets that the bots received.
    pub packets_received: u64,
    /// Bots in the call.
    pub bots: usize,
    /// The server's system calls in a second.
    pub syscalls_per_second: Known<f64>,
}

impl Span<'_> {
    fn paged(&self, of: fn(&Page) -> Option<f64>, name: &'static str) -> Result<f64, CostUnknown> {
        let at = |sample: &ServerSample| {
            let page = sample.page.as_ref().map_err(Clone::clone)?;
            of(page).ok_or(CostUnknown::Missing(name))
        };
        Ok(at(self.end)? - at(self.begin)?)
    }

    fn used(&self) -> Result<(ProcessUse, ProcessUse), CostUnknown> {
        let at = |sample: &ServerSample| sample.used.clone();
        Ok((at(self.begin)?, at(self.end)?))
    }

    fn cpu_by_kernel(&self) -> Result<Cpu, CostUnknown> {
        let (begin, end) = self.used()?;
        let seconds =
            |of: fn(&ProcessUse) -> Duration| of(&end).saturating_sub(of(&begin)).as_secs_f64();
        let pids = self.observer.processes.clone();
        Ok(Cpu {
            source: CostSource::Proc { pids },
            seconds: seconds(ProcessUse::cpu),
            user: Known::Yes(seconds(|used| used.user)),
            system: Known::Yes(seconds(|used| used.system)),
        })
    }

    fn cpu_by_page(&self) -> Result<Cpu, CostUnknown> {
        const NAME: &str = "process_cpu_seconds_total";
        Ok(Cpu {
            source: CostSource::Metrics,
            seconds: self.paged(|page| page.cpu_seconds, NAME)?,
            user: self.paged(|page| page.user_seconds, NAME).into(),
            system: self.paged(|page| page.system_seconds, NAME).into(),
        })
    }

    fn cpu(&self) -> Result<Cpu, CostUnknown> {
        match self.observer.first {
            First::Kernel => self.cpu_by_kernel(),
            // Why the page says nothing tells more than why the kernel does not either.
            First::Page => self
                .cpu_by_page()
                .or_else(|reason| self.cpu_by_kernel().map_err(|_| reason)),
        }
    }

    /// What it spent.
    pub fn report(&self, work: Work) -> Known<Server> {
        let cpu = match self.cpu() {
            Ok(cpu) => cpu,
            Err(reason) => return Known::no(reason.to_string()),
        };
        let seconds = (self.end.at - self.begin.at).as_secs_f64().max(1e-9);
        let counted = self.paged(|page| page.packets_out, "conclave_packets_total");
        let (packets, packets_counted_by) = match (self.observer.first, counted) {
            (First::Page, Ok(packets)) => (packets, PacketCounter::Server),
            // Alike for all servers, so that they can be compared.
            _ => (work.packets_received as f64, PacketCounter::Receivers),
        };
        let by_packets = |total: f64| {
            let each = (packets > 0.0).then(|| total / packets);
            Known::of(each, "no packet was forwarded within the measured window")
        };
        let micros = |of: &Known<f64>| of.clone().and_then(|seconds| by_packets(seconds * 1e6));
        let used = self.used();
        let by_kernel = |of: &dyn Fn(&ProcessUse, &ProcessUse) -> f64| {
            Known::from(used.clone().map(|(begin, end)| of(&begin, &end)))
        };
        let memory = |sample: &ServerSample| memory(sample);
        Known::Yes(Server {
            source: cpu.source,
            packets_counted_by,
            packets_forwarded: packets as u64,
            packets_per_second: packets / seconds,
            packets_per_second_per_core: Known::of(
                (cpu.seconds > 0.0).then(|| packets / cpu.seconds),
                "the server used no CPU time that its clock shows",
            ),
            cpu_cores: Known::Yes(cpu.seconds / seconds),
            cpu_us_per_packet: by_packets(cpu.seconds * 1e6),
            user_us_per_packet: micros(&cpu.user),
            system_us_per_packet: micros(&cpu.system),
            worker_us_per_packet: micros(
                &self
                    .paged(
                        |page| page.worker_seconds,
                        "conclave_worker_cpu_seconds_total",
                    )
                    .into(),
            ),
            syscalls_per_packet: work
                .syscalls_per_second
                .and_then(|each_second| by_packets(each_second * seconds)),
            context_switches_per_second: by_kernel(&|begin, end| {
                let switches = end.context_switches.saturating_sub(begin.context_switches);
                switches as f64 / seconds
            }),
            memory_bytes: memory(self.end).map(|bytes| bytes as u64),
            memory_per_participant_bytes: memory(self.end).and_then(|end| {
                memory(self.before).and_then(|before| {
                    let each = (work.bots > 0).then(|| (end - before) / work.bots as f64);
                    Known::of(each, "no bot was in the call")
                })
            }),
            file_descriptors: file_descriptors(self.end).map(|count| count as u64),
            threads: by_kernel(&|_, end| end.threads as f64).map(|count| count as u64),
        })
    }
}

/// CPU time in cores between two looks at the page.
pub fn cpu_cores(begin: &ServerSample, end: &ServerSample) -> Option<f64> {
    let seconds = (end.at - begin.at).as_secs_f64();
    let cpu = |sample: &ServerSample| sample.page.as_ref().ok()?.cpu_seconds;
    let spent = cpu(end)? - cpu(begin)?;
    (seconds > 0.0).then(|| spent / seconds)
}

/// Resident memory, by the kernel or else by the page.
pub fn memory(sample: &ServerSample) -> Known<f64> {
    held(
        sample,
        |used| Some(used.resident_bytes),
        |page| page.memory_bytes,
        "process_resident_memory_bytes",
    )
}

/// Open file descriptors, by the kernel or else by the page.
pub fn file_descriptors(sample: &ServerSample) -> Known<f64> {
    held(
        sample,
        |used| used.files,
        |page| page.file_descriptors,
        "process_open_fds",
    )
}

/// Threads, by the kernel.
pub fn threads(sample: &ServerSample) -> Known<f64> {
    sample.used.clone().map(|used| used.threads as f64).into()
}

fn held(
    sample: &ServerSample,
    by_kernel: fn(&ProcessUse) -> Option<u64>,
    by_page: fn(&Page) -> Option<f64>,
    name: &'static str,
) -> Known<f64> {
    if let Ok(used) = &sample.used
        && let Some(held) = by_kernel(used)
    {
        return Known::Yes(held as f64);
    }
    let page = sample.page.as_ref().map_err(Clone::clone);
    page.and_then(|page| by_page(page).ok_or(CostUnknown::Missing(name)))
        .into()
}

#[cfg(test)]
mod tests;
