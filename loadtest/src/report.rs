//! What a run found: as JSON for programs, as a summary for people, and the judgement.

use std::fmt::{self, Display};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::measure::{
    delivery::Basis,
    generator::GeneratorReport,
    tally::{SenderCount, Unopened},
};

/// Version of the JSON. It rises when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// Percentiles of a fan-out latency, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencyMs {
    /// Half of the frames took at most this.
    pub p50: f64,
    /// 9 of 10.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl LatencyMs {
    /// None when nothing was recorded.
    pub fn of(nanoseconds: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| nanoseconds.value_at_quantile(quantile) as f64 / 1e6;
        (!nanoseconds.is_empty()).then(|| Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: nanoseconds.max() as f64 / 1e6,
        })
    }
}

/// Percentiles of something that each bot did once, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OnceMs {
    /// Half of the bots took at most this.
    pub p50: f64,
    /// 19 of 20.
    pub p95: f64,
    /// The slowest.
    pub max: f64,
}

impl OnceMs {
    /// Nearest-rank percentiles; none without values.
    pub fn of(mut milliseconds: Vec<f64>) -> Option<Self> {
        milliseconds.sort_by(f64::total_cmp);
        let at = |quantile: f64| {
            let rank = (quantile * milliseconds.len() as f64).ceil() as usize;
            milliseconds.get(rank.saturating_sub(1)).copied()
        };
        Some(Self {
            p50: at(0.5)?,
            p95: at(0.95)?,
            max: at(1.0)?,
        })
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// Bots that publish.
    pub publishers: usize,
    /// Bots that receive.
    pub subscribers: usize,
    /// Slots for cameras that each receiver offers.
    pub camera_slots: usize,
    /// Slots for sound that each receiver offers.
    pub audio_slots: usize,
    /// Length of the measured window, as asked for.
    pub duration_seconds: f64,
    /// Time between the last join and the window.
    pub warmup_seconds: f64,
    /// Whether the bots joined a call that they had not begun.
    pub existing_call: bool,
}

/// A run's findings. Counts are of the measured window where nothing else is said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which kind of server.
    pub target: &'static str,
    /// Publishers and subscribers, in the form "1 to 50".
    pub scenario: String,
    /// What was asked for.
    pub settings: Settings,
    /// Bots that were in the call, keys and media, when measuring began.
    pub participants: usize,
    /// Members of the group when the bots left, others than bots included.
    pub group_members: usize,
    /// How long the window was in fact.
    pub measured_seconds: f64,
    /// RTP packets that receivers received.
    pub packets_delivered: u64,
    /// RTP packets that publishers sent.
    pub packets_sent: u64,
    /// RTP packets that never came, by gaps in their sequence numbers; over the whole run.
    pub packets_lost: u64,
    /// RTP payload that receivers received, in bits per second.
    pub delivered_bits_per_second: f64,
    /// Frames opened by frames that ought to have been: see [`crate::measure::delivery`].
    pub delivered_ratio: Option<f64>,
    /// What the ratio is measured against.
    pub delivered_basis: Basis,
    /// Frames that ought to have been opened.
    pub frames_expected: f64,
    /// Frames opened.
    pub frames_opened: u64,
    /// Frames opened over the whole run.
    pub frames_opened_total: u64,
    /// Frames that should have been opened and could not; over the whole run.
    pub decrypt_failures: u64,
    /// All frames that were not opened, by reason.
    pub frames_unopened: Unopened,
    /// From the hand-over of a video frame for sealing and sending to the opened frame.
    pub fanout_latency_ms: Option<LatencyMs>,
    /// From opening the connection to having keys, media connection and control channel.
    pub join_ms: Option<OnceMs>,
    /// From opening the connection to the first opened picture, of subscribers.
    pub first_picture_ms: Option<OnceMs>,
    /// CPU time of the whole server process by packets that it sent.
    pub server_cpu_us_per_forwarded_packet: Option<f64>,
    /// The part of it that was spent in the kernel, when the processes were named.
    pub server_system_cpu_us_per_forwarded_packet: Option<f64>,
    /// Why it is not known.
    pub server_cpu_reason: Option<String>,
    /// The media threads' part of it.
    pub server_worker_cpu_us_per_forwarded_packet: Option<f64>,
    /// CPU time of the server process by wall time.
    pub server_cpu_cores: Option<f64>,
    /// Packets that the server says it sent.
    pub server_packets_out: Option<f64>,
    /// The load test's own load.
    pub generator: GeneratorReport,
    /// Frames opened by sending member, over the whole run and all receivers.
    pub senders: Vec<SenderCount>,
    /// Members' refusals of commits that bots saw.
    pub commits_refused: u64,
    /// Times that someone without the link was turned away.
    pub strangers_refused: u64,
    /// What went wrong, for people.
    pub failures: Vec<String>,
    /// The judgement.
    pub verdict: Verdict,
}

/// The judgement on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The numbers stand.
    Ok,
    /// Something did not work.
    Failed,
    /// The load test was itself the bottleneck, so the numbers say nothing.
    Void,
}

impl Verdict {
    /// The exit code of the command. (2 is for wrong usage.)
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Void => 3,
        }
    }
}

impl Report {
    /// Adds what is wrong to the failures, and judges. A failure outweighs saturation:
    /// whatever the load, frames must open.
    pub fn judge(&mut self) {
        let measured = if self.settings.subscribers > 0 {
            self.packets_delivered > 0 && self.frames_opened > 0
        } else {
            self.packets_sent > 0
        };
        if !measured {
            self.failures.push("nothing was measured".to_owned());
        }
        if self.decrypt_failures > 0 {
            let count = self.decrypt_failures;
            self.failures
                .push(format!("{count} frames could not be opened"));
        }
        self.verdict = if !self.failures.is_empty() {
            Verdict::Failed
        } else if self.generator.saturated {
            Verdict::Void
        } else {
            Verdict::Ok
        };
    }
}

/// A number, or "–" where there is none.
struct Maybe<T>(Option<T>, usize);

impl<T: Display> Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => write!(f, "{value:.*}", self.1),
            None => f.write_str("–"),
        }
    }
}

/// The summary for people.
impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            settings,
            generator,
            ..
        } = self;
        let line = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn Display| {
            writeln!(f, "  {name:<22}{value}")
        };
        writeln!(
            f,
            "\n{}, {:.1} s measured",
            self.scenario, self.measured_seconds
        )?;
        let asked = settings.publishers + settings.subscribers;
        let joined = format!("{} of {asked} bots", self.participants);
        line(f, "joined", &joined)?;
        let delivered = format!(
            "{} packets, {:.2} Mbit/s; {} lost",
            self.packets_delivered,
            self.delivered_bits_per_second / 1e6,
            self.packets_lost
        );
        line(f, "delivered", &delivered)?;
        let opened = format!(
            "{} of {:.0} frames expected ({} %); {} failed to open",
            self.frames_opened,
            self.frames_expected,
            Maybe(self.delivered_ratio.map(|ratio| ratio * 100.0), 3),
            self.decrypt_failures
        );
        line(f, "opened", &opened)?;
        if let Some(latency) = self.fanout_latency_ms {
            let latency = format!(
                "p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms",
                latency.p50, latency.p90, latency.p99, latency.p999, latency.max
            );
            line(f, "fan-out latency", &latency)?;
        }
        for (name, times) in [
            ("join", self.join_ms),
            ("first picture", self.first_picture_ms),
        ] {
            if let Some(OnceMs { p50, p95, max }) = times {
                let times = format!("p50 {p50:.0}  p95 {p95:.0}  max {max:.0} ms");
                line(f, name, &times)?;
            }
        }
        match &self.server_cpu_reason {
            Some(reason) => line(f, "server CPU", &format!("unknown: {reason}"))?,
            None => {
                let cost = format!(
                    "{} µs a forwarded packet (kernel {}, media threads {}), {} cores",
                    Maybe(self.server_cpu_us_per_forwarded_packet, 2),
                    Maybe(self.server_system_cpu_us_per_forwarded_packet, 2),
                    Maybe(self.server_worker_cpu_us_per_forwarded_packet, 2),
                    Maybe(self.server_cpu_cores, 2),
                );
                line(f, "server CPU", &cost)?;
            }
        }
        let own = format!(
            "{:.2} of {} cores; frames sent late p99 {:.1} ms, max {:.1} ms; woken late p99 {:.1} ms",
            generator.cpu_cores,
            generator.available_cores,
            generator.send_lateness_p99_ms,
            generator.send_lateness_max_ms,
            generator.wake_lateness_p99_ms
        );
        line(f, "load test itself", &own)?;
        for reason in &generator.reasons {
            line(f, "SATURATED", reason)?;
        }
        for failure in &self.failures {
            line(f, "FAILED", failure)?;
        }
        match self.verdict {
            Verdict::Ok => writeln!(f, "ok"),
            Verdict::Failed => writeln!(f, "failed"),
            Verdict::Void => writeln!(f, "void: the load test was itself the bottleneck"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measure::{generator::Load, tally::durations};

    fn generator(cores: f64) -> GeneratorReport {
        let load = Load {
            cpu: Duration::from_secs_f64(cores),
            wall: Duration::from_secs(1),
            available_cores: 2,
            send_lateness: durations(),
            wake_lateness: durations(),
            frames_left_out: 0,
            datagrams_not_sent: 0,
            datagrams_not_read: None,
        };
        load.judge(Duration::from_millis(20))
    }

    fn report() -> Report {
        Report {
            schema: SCHEMA,
            target: "conclave",
            scenario: "1 to 5".to_owned(),
            settings: Settings {
                publishers: 1,
                subscribers: 5,
                camera_slots: 9,
                audio_slots: 4,
                duration_seconds: 1.0,
                warmup_seconds: 1.0,
                existing_call: false,
            },
            participants: 6,
            group_members: 6,
            measured_seconds: 1.0,
            packets_delivered: 10,
            packets_sent: 2,
            packets_lost: 0,
            delivered_bits_per_second: 1.0,
            delivered_ratio: Some(1.0),
            delivered_basis: Basis::Sent,
            frames_expected: 5.0,
            frames_opened: 5,
            frames_opened_total: 6,
            decrypt_failures: 0,
            frames_unopened: Unopened::default(),
            fanout_latency_ms: None,
            join_ms: None,
            first_picture_ms: None,
            server_cpu_us_per_forwarded_packet: None,
            server_system_cpu_us_per_forwarded_packet: None,
            server_cpu_reason: None,
            server_worker_cpu_us_per_forwarded_packet: None,
            server_cpu_cores: None,
            server_packets_out: None,
            generator: generator(0.5),
            senders: Vec::new(),
            commits_refused: 0,
            strangers_refused: 0,
            failures: Vec::new(),
            verdict: Verdict::Failed,
        }
    }

    fn exit_code(change: impl FnOnce(&mut Report)) -> u8 {
        let mut report = report();
        change(&mut report);
        report.judge();
        report.verdict.exit_code()
    }

    #[test]
    fn exit_codes() {
        assert_eq!(exit_code(|_| ()), 0);
        assert_eq!(exit_code(|report| report.packets_delivered = 0), 1);
        assert_eq!(exit_code(|report| report.frames_opened = 0), 1);
        assert_eq!(exit_code(|report| report.decrypt_failures = 1), 1);
        let gone = || "a bot was sent away".to_owned();
        assert_eq!(exit_code(|report| report.failures.push(gone())), 1);
        assert_eq!(exit_code(|report| report.generator = generator(1.9)), 3);
        let both = |report: &mut Report| {
            report.generator = generator(1.9);
            report.decrypt_failures = 1;
        };
        assert_eq!(exit_code(both), 1);
    }

    #[test]
    fn a_publisher_alone_measures_what_it_sends() {
        let alone = |report: &mut Report| {
            report.settings.subscribers = 0;
            report.packets_delivered = 0;
            report.frames_opened = 0;
        };
        assert_eq!(exit_code(alone), 0);
        let silent = |report: &mut Report| {
            alone(report);
            report.packets_sent = 0;
        };
        assert_eq!(exit_code(silent), 1);
    }

    #[test]
    fn percentiles() {
        let times = OnceMs::of((1..=100).map(f64::from).collect());
        let expected = OnceMs {
            p50: 50.0,
            p95: 95.0,
            max: 100.0,
        };
        assert_eq!(times, Some(expected));
        assert_eq!(OnceMs::of(Vec::new()), None);
        let mut histogram = durations();
        assert_eq!(LatencyMs::of(&histogram), None);
        for milliseconds in 1..=1_000 {
            histogram.record(milliseconds * 1_000_000).unwrap();
        }
        let latency = LatencyMs::of(&histogram).unwrap();
        assert!((latency.p99 - 990.0).abs() < 1.0, "{latency:?}");
        assert!((latency.p999 - 999.0).abs() < 1.0, "{latency:?}");
    }

    #[test]
    fn the_json_has_the_names_that_people_script_against() {
        let json = serde_json::to_value(report()).unwrap();
        for name in [
            "schema",
            "scenario",
            "participants",
            "packets_delivered",
            "delivered_ratio",
            "frames_opened",
            "decrypt_failures",
            "fanout_latency_ms",
            "join_ms",
            "server_cpu_us_per_forwarded_packet",
            "server_cpu_reason",
            "senders",
        ] {
            assert!(json.get(name).is_some(), "{name}");
        }
        assert_eq!(json["generator"]["saturated"], false);
        assert_eq!(json["generator"]["cpu_cores"], 0.5);
    }
}
