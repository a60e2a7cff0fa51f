//! What the process costs, under the names that Prometheus gives to that, and what it may have.

use std::{fs, io, path::Path};

use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit},
    statvfs::statvfs,
    time::{TimeVal, TimeValLike},
};
use prometheus::{
    Counter, CounterVec, Gauge, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// Takes as many descriptors as may be had, since each connection needs one: the soft limit of
/// most systems is for programs that still use select(2).
pub fn allow_descriptors() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Bytes that are free to this process on the disk that a folder is on.
pub(crate) fn free_space(folder: &Path) -> io::Result<u64> {
    let stat = statvfs(folder)?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// Reads the process's costs whenever the metrics are asked for.
pub(crate) struct ProcessCollector {
    cpu: CounterVec,
    resident: Gauge,
    open_fds: Gauge,
}

impl ProcessCollector {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            cpu: CounterVec::new(
                Opts::new("process_cpu_seconds_total", "Processor time spent."),
                &["mode"],
            )?,
            resident: Gauge::new("process_resident_memory_bytes", "Memory in use.")?,
            open_fds: Gauge::new("process_open_fds", "Open file descriptors.")?,
        })
    }

    fn update(&self) {
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            raise_to(&self.cpu.with_label_values(&["user"]), usage.user_time());
            raise_to(
                &self.cpu.with_label_values(&["system"]),
                usage.system_time(),
            );
        }
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes);
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // One of them is the listing itself.
            self.open_fds.set(entries.count().saturating_sub(1) as f64);
        }
    }
}

fn raise_to(counter: &Counter, time: TimeVal) {
    let seconds = time.num_microseconds() as f64 / 1e6;
    // Two readers at once may have raised it already; a counter never falls.
    counter.inc_by((seconds - counter.get()).max(0.0));
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.cpu.desc();
        all.extend(self.resident.desc());
        all.extend(self.open_fds.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.update();
        let mut all = self.cpu.collect();
        all.extend(self.resident.collect());
        all.extend(self.open_fds.collect());
        all
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn work_shows_as_processor_time_finer_than_a_tick() {
        let collector = ProcessCollector::new().expect("valid names");
        let spent = |mode| collector.cpu.with_label_values(&[mode]).get();
        let mut readings = Vec::new();
        for _ in 0..20 {
            collector.update();
            // Which of the two a process is in is sampled by ticks: a young one may have all
            // its time in either. The sum is exact.
            readings.push(spent("user") + spent("system"));
            // About a millisecond of work, a tenth of a kernel tick.
            (0..1_000_000u64).for_each(|n| {
                black_box(n);
            });
        }
        let grown = readings.windows(2).filter(|pair| pair[1] > pair[0]).count();
        assert!(grown >= 5, "{readings:?}");
        assert!(readings.is_sorted(), "{readings:?}");
    }

    #[test]
    fn memory_and_descriptors_are_counted() {
        let collector = ProcessCollector::new().expect("valid names");
        collector.update();
        let before = collector.open_fds.get();
        let _held: Vec<_> = (0..50)
            .map(|_| fs::File::open("/proc/self/status").expect("readable"))
            .collect();
        collector.update();
        assert!(collector.open_fds.get() >= before + 40.0);
        assert!(collector.resident.get() > 1e6);
    }
}
