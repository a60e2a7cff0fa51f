//! Whether the load test itself was the bottleneck: then what it measured says nothing
//! about the server, and the run is void.

use std::{
    fs,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

use super::totals::durations;
use crate::report::{Distribution, Generator, Known, Times};

/// How often [`Watch::stumble`] is meant to be called.
pub const BEAT: Duration = Duration::from_millis(10);

/// The part of the cores above which the generator counts as saturated.
pub(crate) const MOST_OF_CORES: f64 = 0.9;

/// What the judgement is made from.
#[derive(Debug, Clone)]
pub struct Load {
    /// CPU time within the window.
    pub cpu: Duration,
    /// The length of the window.
    pub wall: Duration,
    /// Cores of this machine.
    pub available_cores: usize,
    /// How late frames were sent.
    pub send_lateness: Histogram<u64>,
    /// How late wake-ups came.
    pub wake_lateness: Histogram<u64>,
    /// Frames not sent.
    pub frames_left_out: u64,
    /// Datagrams not sent.
    pub datagrams_not_sent: u64,
    /// Datagrams not read.
    pub datagrams_not_read: Option<u64>,
    /// RTP packets that the bots received.
    pub packets_received: u64,
    /// Memory of this process at the end of the window.
    pub memory_bytes: Option<u64>,
    /// Bots in the call.
    pub bots: usize,
}

impl Load {
    /// Judges it: lateness beyond `bound`, nearly all cores in use, or anything dropped
    /// by the generator makes the run void.
    pub fn judge(&self, bound: Duration) -> Generator {
        let p99 = |histogram| Times::of_histogram(histogram).map_or(0.0, |times| times.p99_ms);
        let wall = self.wall.as_secs_f64().max(1e-9);
        let cpu_cores = self.cpu.as_secs_f64() / wall;
        let bound = bound.as_secs_f64() * 1e3;
        let (send, wake) = (p99(&self.send_lateness), p99(&self.wake_lateness));

        let mut reasons = Vec::new();
        let mut void = |holds: bool, reason: String| {
            if holds {
                reasons.push(reason);
            }
        };
        void(
            send > bound,
            format!("1 of 100 frames was sent {send:.1} ms late or more (bound {bound} ms)"),
        );
        void(
            wake > bound,
            format!("1 of 100 wake-ups came {wake:.1} ms late or more (bound {bound} ms)"),
        );
        void(
            cpu_cores > MOST_OF_CORES * self.available_cores as f64,
            format!(
                "it used {cpu_cores:.2} of {} cores itself",
                self.available_cores
            ),
        );
        for (count, what) in [
            (self.frames_left_out, "frames were too late to be sent"),
            (
                self.datagrams_not_sent,
                "datagrams were not taken by the kernel",
            ),
            (
                self.datagrams_not_read.unwrap_or_default(),
                "datagrams were not read in time",
            ),
        ] {
            void(count > 0, format!("{count} {what}"));
        }
        let per_bot = |total: f64| total / self.bots as f64;
        let nobody = (self.bots == 0).then(|| Known::no("no bot was in the call"));
        let distribution =
            |histogram, nothing: &str| Known::of(Distribution::of_histogram(histogram), nothing);
        Generator {
            saturated: !reasons.is_empty(),
            reasons,
            cpu_cores,
            available_cores: self.available_cores as u64,
            cpu_cores_per_bot: nobody.clone().unwrap_or(Known::Yes(per_bot(cpu_cores))),
            memory_per_bot_bytes: nobody.unwrap_or_else(|| {
                let memory = self.memory_bytes.map(|bytes| per_bot(bytes as f64));
                Known::of(memory, "the system does not tell")
            }),
            packets_received_per_second: self.packets_received as f64 / wall,
            lateness_bound_ms: bound,
            send_lateness: distribution(&self.send_lateness, "no frame was sent"),
            wake_lateness: distribution(&self.wake_lateness, "nothing was waited for"),
            frames_left_out: self.frames_left_out,
            datagrams_not_sent: self.datagrams_not_sent,
            datagrams_not_read: Known::of(self.datagrams_not_read, "the system does not tell"),
            receive_offload: false,
        }
    }
}

/// Resident memory of this process; none where the system does not tell.
pub fn resident_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .trim()
        .strip_suffix("kB")?;
    Some(kibibytes.trim().parse::<u64>().ok()? * 1_024)
}

/// CPU time of this process so far, user and system.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}

/// Notes how late a regular wake-up comes.
#[derive(Debug)]
pub struct Watch {
    due: Instant,
    lateness: Histogram<u64>,
}

impl Watch {
    /// The first wake-up is due one [`BEAT`] from `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            due: now + BEAT,
            lateness: durations(),
        }
    }

    /// Notes a wake-up; gives the moment of the next.
    pub fn stumble(&mut self, now: Instant) -> Instant {
        let late = now.saturating_duration_since(self.due);
        self.lateness
            .saturating_record(late.as_nanos().try_into().unwrap_or(u64::MAX));
        self.due = now + BEAT;
        self.due
    }

    /// What it noted since it was last asked.
    pub fn take(&mut self) -> Histogram<u64> {
        std::mem::replace(&mut self.lateness, durations())
    }
}

/// Datagrams that the kernel dropped at the sockets of these ports; none where the
/// system does not tell.
pub fn dropped_by_kernel(ports: &[u16]) -> Option<u64> {
    let mut total = 0;
    for path in ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"] {
        match fs::read_to_string(path) {
            Ok(table) => total += drops(&table, ports)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    cfg!(target_os = "linux").then_some(total)
}

/// Reads the kernel's table: the second column is address and port in hexadecimal, the
/// last one counts drops.
fn drops(table: &str, ports: &[u16]) -> Option<u64> {
    table
        .lines()
        .skip(1)
        .map(|line| {
            let (_, port) = line.split_whitespace().nth(1)?.rsplit_once(':')?;
            let port = u16::from_str_radix(port, 16).ok()?;
            let drops: u64 = line.split_whitespace().last()?.parse().ok()?;
            Some(if ports.contains(&port) { drops } else { 0 })
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(milliseconds: &[u64]) -> Histogram<u64> {
        let mut histogram = durations();
        for late in milliseconds {
            histogram.record(late * 1_000_000).unwrap();
        }
        histogram
    }

    fn calm() -> Load {
        Load {
            cpu: Duration::from_millis(500),
            wall: Duration::from_secs(1),
            available_cores: 2,
            send_lateness: histogram(&[1; 1_000]),
            wake_lateness: histogram(&[1; 1_000]),
            frames_left_out: 0,
            datagrams_not_sent: 0,
            datagrams_not_read: None,
            packets_received: 500,
            memory_bytes: Some(4_000),
            bots: 4,
        }
    }

    const BOUND: Duration = Duration::from_millis(20);

    #[test]
    fn a_calm_generator_is_not_saturated() {
        let report = calm().judge(BOUND);
        assert!(!report.saturated, "{report:?}");
        assert!((report.cpu_cores - 0.5).abs() < 1e-9);
        assert_eq!(report.cpu_cores_per_bot, Known::Yes(0.125));
        assert_eq!(report.memory_per_bot_bytes, Known::Yes(1_000.0));
        // One late frame in a thousand is not one in a hundred.
        let mut one_late = vec![1; 999];
        one_late.push(500);
        let load = Load {
            send_lateness: histogram(&one_late),
            ..calm()
        };
        assert!(!load.judge(BOUND).saturated);
    }

    #[test]
    fn whatever_makes_a_run_void_is_named() {
        let mut late = vec![1; 98];
        late.extend([30, 30]);
        for (load, reason) in [
            (
                Load {
                    send_lateness: histogram(&late),
                    ..calm()
                },
                "was sent 30",
            ),
            (
                Load {
                    wake_lateness: histogram(&late),
                    ..calm()
                },
                "wake-ups came 30",
            ),
            (
                Load {
                    cpu: Duration::from_millis(1_850),
                    ..calm()
                },
                "1.85 of 2 cores",
            ),
            (
                Load {
                    frames_left_out: 1,
                    ..calm()
                },
                "1 frames were too late",
            ),
            (
                Load {
                    datagrams_not_sent: 2,
                    ..calm()
                },
                "2 datagrams were not taken",
            ),
            (
                Load {
                    datagrams_not_read: Some(3),
                    ..calm()
                },
                "3 datagrams were not read",
            ),
        ] {
            let report = load.judge(BOUND);
            assert!(report.saturated);
            assert!(report.reasons[0].contains(reason), "{:?}", report.reasons);
            assert_eq!(report.reasons.len(), 1);
        }
    }

    #[test]
    fn drops_are_read_by_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 1186: 0100007F:0D96 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 3060 2 0000000000000000 5
 1187: 0100007F:0D97 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 3061 2 0000000000000000 11
";
        assert_eq!(drops(table, &[0x0d96]), Some(5));
        assert_eq!(drops(table, &[0x0d96, 0x0d97]), Some(16));
        assert_eq!(drops("header\nnonsense", &[]), None);
    }

    #[test]
    fn a_watch_notes_how_late_it_was_woken() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        watch.stumble(start + BEAT);
        watch.stumble(start + BEAT * 2 + Duration::from_millis(7));
        let lateness = watch.take();
        assert_eq!((lateness.len(), lateness.max() / 100_000), (2, 70));
    }
}
