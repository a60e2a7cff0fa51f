//! The key figures of a report by name: what bounds are set on, what runs are compared
//! by, and what the summaries show.

use super::{Distribution, FrameLatency, Growth, Known, Packets, Report, Second, Times, Unit};

/// Which way a figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The less of it, the better.
    Lower,
    /// The more of it, the better.
    Higher,
    /// It tells how the run was, not how good the server is.
    Neither,
}

/// A key figure.
pub struct Figure {
    /// Its name, as in `p99<20ms`.
    pub name: &'static str,
    /// The group it belongs to.
    pub group: &'static str,
    /// What it is, for people.
    pub label: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Which way it is better.
    pub better: Better,
    /// Reads it.
    pub of: fn(&Report) -> Known<f64>,
    /// Reads the like of one second, if seconds tell of it.
    pub of_second: Option<fn(&Second) -> Option<f64>>,
}

impl std::fmt::Debug for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Figure {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The figure with this name.
pub fn named(name: &str) -> Option<&'static Figure> {
    FIGURES.iter().find(|figure| figure.name == name)
}

const fn figure(
    group: &'static str,
    name: &'static str,
    label: &'static str,
    unit: Unit,
    better: Better,
    of: fn(&Report) -> Known<f64>,
) -> Figure {
    Figure {
        name,
        group,
        label,
        unit,
        better,
        of,
        of_second: None,
    }
}

impl Figure {
    const fn by_second(mut self, of_second: fn(&Second) -> Option<f64>) -> Self {
        self.of_second = Some(of_second);
        self
    }
}

use Better::{Higher, Lower, Neither};
use Unit::{
    BitsPerSecond, Bytes, BytesPerHour, Cores, Count, Microseconds, Milliseconds, PerHour,
    PerSecond, Ratio,
};

/// All of them, group by group.
#[rustfmt::skip]
pub static FIGURES: &[Figure] = &[
    figure("fan-out", "p50", "video latency, p50", Milliseconds, Lower, |r| scheduled(r).map(|d| d.times.p50_ms))
        .by_second(|s| s.latency_p50_ms),
    figure("fan-out", "p90", "video latency, p90", Milliseconds, Lower, |r| scheduled(r).map(|d| d.times.p90_ms)),
    figure("fan-out", "p99", "video latency, p99", Milliseconds, Lower, |r| scheduled(r).map(|d| d.times.p99_ms))
        .by_second(|s| s.latency_p99_ms),
    figure("fan-out", "p999", "video latency, p99.9", Milliseconds, Lower, |r| scheduled(r).map(|d| d.times.p999_ms)),
    figure("fan-out", "max", "video latency, longest", Milliseconds, Lower, |r| scheduled(r).map(|d| d.times.max_ms)),
    figure("fan-out", "sent_p50", "video latency from sending, p50", Milliseconds, Lower, |r| sent(r).map(|d| d.times.p50_ms)),
    figure("fan-out", "sent_p99", "video latency from sending, p99", Milliseconds, Lower, |r| sent(r).map(|d| d.times.p99_ms)),
    figure("fan-out", "audio_p50", "audio latency, p50", Milliseconds, Lower, |r| heard(r).map(|d| d.times.p50_ms)),
    figure("fan-out", "audio_p99", "audio latency, p99", Milliseconds, Lower, |r| heard(r).map(|d| d.times.p99_ms)),
    figure("fan-out", "skew_p99", "first to last receiver, p99", Milliseconds, Lower, |r| r.fanout.as_ref().and_then(|f| f.skew.as_ref()).map(|t| t.p99_ms)),
    figure("fan-out", "jitter_p99", "video jitter, p99", Milliseconds, Lower, |r| video_latency(r).and_then(|v| v.jitter.as_ref()).map(|t| t.p99_ms)),

    figure("server", "cpu", "CPU time per forwarded packet", Microseconds, Lower, |r| server(r, |s| &s.cpu_us_per_packet))
        .by_second(|s| (s.packets_per_second > 0.0).then_some(s.server_cpu_cores? * 1e6 / s.packets_per_second)),
    figure("server", "cpu_user", "of it in user mode", Microseconds, Lower, |r| server(r, |s| &s.user_us_per_packet)),
    figure("server", "cpu_system", "of it in the kernel", Microseconds, Lower, |r| server(r, |s| &s.system_us_per_packet)),
    figure("server", "cpu_media", "of it in media threads", Microseconds, Lower, |r| server(r, |s| &s.worker_us_per_packet)),
    figure("server", "cores", "CPU of the server", Cores, Lower, |r| server(r, |s| &s.cpu_cores))
        .by_second(|s| s.server_cpu_cores),
    figure("server", "packets_per_core", "packets per second and core", PerSecond, Higher, |r| server(r, |s| &s.packets_per_second_per_core)),
    figure("server", "packets", "packets forwarded", PerSecond, Neither, |r| r.server.as_ref().map(|s| s.packets_per_second)),
    figure("server", "syscalls", "system calls per packet", Count, Lower, |r| server(r, |s| &s.syscalls_per_packet)),
    figure("server", "context_switches", "context switches", PerSecond, Lower, |r| server(r, |s| &s.context_switches_per_second)),
    figure("server", "memory", "memory", Bytes, Lower, |r| r.server.as_ref().and_then(|s| s.memory_bytes.as_ref()).map(|b| *b as f64)),
    figure("server", "memory_per_participant", "memory per participant", Bytes, Lower, |r| server(r, |s| &s.memory_per_participant_bytes)),
    figure("server", "descriptors", "file descriptors", Count, Lower, |r| r.server.as_ref().and_then(|s| s.file_descriptors.as_ref()).map(|n| *n as f64)),

    figure("join", "joined", "joins that succeeded", Ratio, Higher, |r| Known::of((r.join.asked > 0).then(|| r.join.succeeded as f64 / r.join.asked as f64), "nobody asked to join")),
    figure("join", "joins", "joins per second", PerSecond, Neither, |r| r.join.joins_per_second.clone()),
    figure("join", "join_p50", "join, p50", Milliseconds, Lower, |r| r.join.total.as_ref().map(|t| t.p50_ms)),
    figure("join", "join_p95", "join, p95", Milliseconds, Lower, |r| r.join.total.as_ref().map(|t| t.p95_ms)),
    figure("join", "join_max", "join, longest", Milliseconds, Lower, |r| r.join.total.as_ref().map(|t| t.max_ms)),
    figure("join", "signalling_p95", "until let in, p95", Milliseconds, Lower, |r| p95(&r.join.signalling)),
    figure("join", "group_p95", "until in the group, p95", Milliseconds, Lower, |r| p95(&r.join.group)),
    figure("join", "ice_p95", "until ICE connected, p95", Milliseconds, Lower, |r| p95(&r.join.ice)),
    figure("join", "dtls_p95", "until DTLS connected, p95", Milliseconds, Lower, |r| p95(&r.join.dtls)),
    figure("join", "control_p95", "until the control channel opened, p95", Milliseconds, Lower, |r| p95(&r.join.control_channel)),
    figure("join", "first_audio_p95", "until the first sound, p95", Milliseconds, Lower, |r| p95(&r.join.first_audio)),
    figure("join", "first_picture_p95", "until the first picture, p95", Milliseconds, Lower, |r| p95(&r.join.first_picture)),

    figure("video", "key_frame_wait_p95", "wait for a key frame, p95", Milliseconds, Lower, |r| r.video.as_ref().and_then(|v| p95(&v.key_frame_wait))),
    figure("video", "key_frame_requests", "key-frame requests at publishers", Count, Lower, |r| r.video.as_ref().and_then(|v| v.key_frame_requests_received.as_ref()).map(|n| *n as f64)),
    figure("video", "layer_switch_p95", "switch of layers, p95", Milliseconds, Lower, |r| r.video.as_ref().and_then(|v| p95(&v.layer_switch))),
    figure("video", "freezes", "freezes", PerHour, Lower, |r| r.video.as_ref().and_then(|v| v.freezes.as_ref()).map(|f| f.per_hour)),
    figure("video", "frozen", "time frozen", Milliseconds, Lower, |r| r.video.as_ref().and_then(|v| v.freezes.as_ref()).map(|f| f.total_seconds * 1e3)),
    figure("video", "fps", "pictures per second, median receiver", PerSecond, Higher, |r| r.video.as_ref().and_then(|v| v.frames_per_second.as_ref()).map(|f| f.median)),
    figure("video", "fps_min", "pictures per second, worst receiver", PerSecond, Higher, |r| r.video.as_ref().and_then(|v| v.frames_per_second.as_ref()).map(|f| f.min)),

    figure("bandwidth", "bandwidth", "delivered in all", BitsPerSecond, Neither, |r| r.bandwidth.as_ref().map(|b| b.delivered_bits_per_second))
        .by_second(|s| Some(s.bits_per_second)),
    figure("bandwidth", "bandwidth_min", "delivered to the worst receiver", BitsPerSecond, Higher, |r| r.bandwidth.as_ref().and_then(|b| b.per_receiver_bits_per_second.as_ref()).map(|s| s.min)),
    figure("bandwidth", "utilisation", "use of the limited link", Ratio, Higher, |r| r.bandwidth.as_ref().and_then(|b| b.utilisation_ratio.clone())),
    figure("bandwidth", "time_to_90_p95", "time to 90 % of the limit, p95", Milliseconds, Lower, |r| r.bandwidth.as_ref().and_then(|b| p95(&b.time_to_90_percent))),
    figure("bandwidth", "queue_p95", "standing queue, p95", Milliseconds, Lower, |r| r.bandwidth.as_ref().and_then(|b| p95(&b.standing_queue))),
    figure("bandwidth", "fairness", "fairness (Jain)", Ratio, Higher, |r| r.bandwidth.as_ref().and_then(|b| b.fairness_ratio.clone())),

    figure("encryption", "decrypt_failures", "frames that failed to open", Count, Lower, |r| r.encryption.as_ref().map(|e| e.failures as f64)),
    figure("encryption", "rekey_p99", "change of keys, p99", Milliseconds, Lower, |r| r.encryption.as_ref().and_then(|e| e.rekey.as_ref()).map(|t| t.p99_ms)),
    figure("encryption", "rekey_gap_p99", "pause at a change of keys, p99", Milliseconds, Lower, |r| r.encryption.as_ref().and_then(|e| e.rekey_gap.as_ref()).map(|t| t.p99_ms)),

    figure("loss", "delivered", "frames delivered", Ratio, Higher, |r| r.loss.delivered_ratio.clone()),
    figure("loss", "loss", "packets lost", Ratio, Lower, |r| r.loss.all.loss_ratio.clone())
        .by_second(|s| (s.packets_per_second > 0.0).then(|| s.packets_lost as f64 / (s.packets_per_second + s.packets_lost as f64))),
    figure("loss", "audio_loss", "audio packets lost", Ratio, Lower, |r| loss_of(&r.loss.audio)),
    figure("loss", "video_loss", "video packets lost", Ratio, Lower, |r| loss_of(&r.loss.video)),
    figure("loss", "duplicates", "packets that came twice", Count, Lower, |r| r.loss.all.duplicates.as_ref().map(|n| *n as f64)),

    figure("faults", "roam_gap_p95", "silence after a new address, p95", Milliseconds, Lower, |r| r.faults.as_ref().and_then(|f| p95(&f.roam_gap))),

    figure("soak", "memory_growth", "growth of memory", BytesPerHour, Lower, |r| growth(r, |s| &s.memory_bytes)),
    figure("soak", "descriptor_growth", "growth of file descriptors", PerHour, Lower, |r| growth(r, |s| &s.file_descriptors)),
    figure("soak", "thread_growth", "growth of threads", PerHour, Lower, |r| growth(r, |s| &s.threads)),

    figure("load test", "generator_cores", "CPU of the load test", Cores, Neither, |r| Known::Yes(r.generator.cpu_cores))
        .by_second(|s| Some(s.generator_cpu_cores)),
    figure("load test", "send_late_p99", "frames sent late, p99", Milliseconds, Neither, |r| r.generator.send_lateness.as_ref().map(|d| d.times.p99_ms)),
    figure("load test", "wake_late_p99", "wake-ups late, p99", Milliseconds, Neither, |r| r.generator.wake_lateness.as_ref().map(|d| d.times.p99_ms)),
];

fn video_latency(report: &Report) -> Known<&FrameLatency> {
    report
        .fanout
        .as_ref()
        .and_then(|fanout| fanout.video.as_ref())
}

fn scheduled(report: &Report) -> Known<&Distribution> {
    video_latency(report).and_then(|video| video.from_schedule.as_ref())
}

fn sent(report: &Report) -> Known<&Distribution> {
    video_latency(report).and_then(|video| video.from_send.as_ref())
}

fn heard(report: &Report) -> Known<&Distribution> {
    let audio = report
        .fanout
        .as_ref()
        .and_then(|fanout| fanout.audio.as_ref());
    audio.and_then(|audio| audio.from_schedule.as_ref())
}

fn server(report: &Report, figure: fn(&super::Server) -> &Known<f64>) -> Known<f64> {
    let server = report.server.as_ref();
    server.and_then(|server| figure(server).clone())
}

fn p95(times: &Known<Times>) -> Known<f64> {
    times.as_ref().map(|times| times.p95_ms)
}

fn loss_of(packets: &Known<Packets>) -> Known<f64> {
    packets
        .as_ref()
        .and_then(|packets| packets.loss_ratio.clone())
}

fn growth(report: &Report, of: fn(&super::Soak) -> &Known<Growth>) -> Known<f64> {
    let soak = report.soak.as_ref();
    let growth = soak.and_then(|soak| of(soak).as_ref());
    growth.and_then(|growth| growth.slope.as_ref().map(|slope| slope.per_hour))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::report::sample;

    #[test]
    fn names_are_unique_and_can_stand_before_a_bound() {
        let mut names = HashSet::new();
        for figure in FIGURES {
            assert!(names.insert(figure.name), "{figure:?}");
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(figure.name.chars().all(plain), "{figure:?}");
        }
    }

    #[test]
    fn figures_are_read_from_where_they_are() {
        let report = sample::report();
        let value = |name: &str| (named(name).unwrap().of)(&report);
        assert_eq!(value("cpu"), Known::Yes(11.1));
        assert_eq!(value("freezes"), Known::Yes(3.0));
        assert_eq!(value("decrypt_failures"), Known::Yes(0.0));
        assert_eq!(value("joined"), Known::Yes(1.0));
        assert_eq!(value("memory_growth"), Known::Yes(12_000.0));
        let reason = "the kernel does not count them for this user";
        assert_eq!(value("syscalls"), Known::no(reason));
        assert_eq!(
            value("thread_growth"),
            Known::no("the server does not tell")
        );
        assert!(value("p99") > Known::Yes(1.0));
        assert_eq!(named("p98"), None);
    }

    #[test]
    fn a_second_tells_of_the_same_in_the_same_unit() {
        let report = sample::report();
        for figure in FIGURES {
            let Some(of_second) = figure.of_second else {
                continue;
            };
            let seconds: Vec<f64> = report
                .timeline
                .iter()
                .filter(|second| second.measured)
                .filter_map(of_second)
                .collect();
            let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
            let whole = *(figure.of)(&report).yes().unwrap();
            // Loss is told over the whole run, a few packets in all.
            let alike = (0.3..3.0).contains(&(mean / whole)) || figure.name == "loss";
            assert!(alike, "{figure:?}: {mean} and {whole}");
        }
    }
}
