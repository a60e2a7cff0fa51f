//! The SFU's metrics: bounded labels, no room, name or address among them. The packet path
//! counts in plain numbers ([`Counters`]) that are taken over here once a turn.

use prometheus::{
    Counter, CounterVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, local::LocalHistogram,
};

use crate::{
    ByKind, Counters, DropReason, Population, SrtpProfile, Traffic, Transport,
    endpoint::ConnectionEnd,
};

/// From the finest that matters on one machine to what everyone hears.
const LATENCY_BUCKETS: [f64; 12] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
];
const BATCH_BUCKETS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// Packets and bytes of one direction and kind.
#[derive(Debug, Clone)]
struct TrafficMetrics {
    packets: IntCounter,
    bytes: IntCounter,
}

impl TrafficMetrics {
    fn take(&self, traffic: &mut Traffic) {
        self.packets.inc_by(traffic.packets);
        self.bytes.inc_by(traffic.bytes);
        *traffic = Traffic::default();
    }
}

#[derive(Debug, Clone)]
struct KindMetrics {
    audio: TrafficMetrics,
    video: TrafficMetrics,
}

impl KindMetrics {
    fn take(&self, traffic: &mut ByKind) {
        self.audio.take(&mut traffic.audio);
        self.video.take(&mut traffic.video);
    }
}

/// The SFU's metrics, which its media threads have in common.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    rooms: IntGauge,
    participants: IntGauge,
    audio_tracks: IntGauge,
    video_tracks: IntGauge,
    audio_slots: IntGauge,
    video_slots: IntGauge,
    received: KindMetrics,
    forwarded: KindMetrics,
    dropped: Vec<(DropReason, IntCounter)>,
    key_frames_asked: IntCounter,
    key_frames_requested: IntCounter,
    key_frames_suppressed: IntCounter,
    key_frames_kept: IntCounter,
    connected: Vec<(Transport, IntCounter)>,
    timed_out: Vec<(Transport, IntCounter)>,
    never_checked: IntCounter,
    profiles: Vec<(SrtpProfile, IntCounter)>,
    upgrades: IntCounter,
    downgrades: IntCounter,
    path_changes: IntCounter,
    nacks_in: IntCounter,
    nacks_out: IntCounter,
    resends_in: IntCounter,
    resends_out: IntCounter,
    busy: CounterVec,
    cpu: CounterVec,
    queue: IntGaugeVec,
    latency: Histogram,
    batch: Histogram,
    pub(crate) connections: ConnectionMetrics,
}

/// One media thread's share of the metrics.
#[derive(Debug)]
pub(crate) struct WorkerMetrics {
    shared: Metrics,
    busy: Counter,
    cpu: Counter,
    queue: IntGauge,
    pub(crate) latency: LocalHistogram,
    pub(crate) batch: LocalHistogram,
    population: Population,
}

/// What becomes of TCP connections.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionMetrics {
    open: IntGauge,
    ended: Vec<(ConnectionEnd, IntCounter)>,
}

impl ConnectionMetrics {
    pub(crate) fn opened(&self) {
        self.open.inc();
    }

    pub(crate) fn closed(&self) {
        self.open.dec();
    }

    pub(crate) fn ended(&self, end: ConnectionEnd) {
        for (_, counter) in self.ended.iter().filter(|(e, _)| *e == end) {
            counter.inc();
        }
    }
}

/// Makes metrics and registers them under the `conclave_` prefix.
struct Maker<'a>(&'a Registry);

type Made<T> = Result<T, prometheus::Error>;

impl Maker<'_> {
    fn register<T: prometheus::core::Collector + Clone + 'static>(&self, metric: T) -> Made<T> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn gauge(&self, name: &str, help: &str) -> Made<IntGauge> {
        self.register(IntGauge::with_opts(Opts::new(name, help))?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn counter(&self, name: &str, help: &str) -> Made<IntCounter> {
        self.register(IntCounter::with_opts(Opts::new(name, help))?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn seconds(&self, name: &str, help: &str) -> Made<CounterVec> {
        self.register(CounterVec::new(Opts::new(name, help), &["worker"])?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Made<Histogram> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(opts)?)
    }
}

impl Metrics {
    /// Registers them. A registry takes the names once.
    pub(crate) fn new(registry: &Registry) -> Made<Self> {
        let make = Maker(registry);
        let tracks = make.gauges(
            "conclave_tracks",
            "Tracks that are on (in) and filled slots (out).",
            &["direction", "kind"],
        )?;
        let labels = ["direction", "kind", "peer"];
        let packets = make.counters(
            "conclave_packets_total",
            "RTP packets received from publishers (in) and forwarded to subscribers (out). \
             Retransmissions and padding are not among them.",
            &labels,
        )?;
        let bytes = make.counters(
            "conclave_bytes_total",
            "Payload bytes of the packets in conclave_packets_total.",
            &labels,
        )?;
        let kinds = |direction| -> Made<KindMetrics> {
            let one = |kind| -> Made<TrafficMetrics> {
                let values = [direction, kind, "client"];
                Ok(TrafficMetrics {
                    packets: packets.get_metric_with_label_values(&values)?,
                    bytes: bytes.get_metric_with_label_values(&values)?,
                })
            };
            Ok(KindMetrics {
                audio: one("audio")?,
                video: one("video")?,
            })
        };
        let dropped = make.counters(
            "conclave_packets_dropped_total",
            "Packets that were not taken or not passed on.",
            &["reason"],
        )?;
        let key_frames = make.counters(
            "conclave_keyframe_requests_total",
            "Key frames that subscribers asked for (received), requests to publishers (sent), \
             wishes that shared one (suppressed), newcomers who got a recent one (kept).",
            &["action"],
        )?;
        let ice = make.counters(
            "conclave_ice_connections_total",
            "Media connections that came about, or did not in time. The transport is the one \
             chosen, or that checks came over, or none when not even a check came.",
            &["transport", "result"],
        )?;
        let profiles = make.counters(
            "conclave_srtp_profiles_total",
            "SRTP profiles that handshakes chose.",
            &["profile"],
        )?;
        let switches = make.counters(
            "conclave_layer_switches_total",
            "Slots that went over to another simulcast layer.",
            &["direction"],
        )?;
        let nacks = make.counters(
            "conclave_nacks_total",
            "NACKs from subscribers (in) and to publishers (out), taken up every few seconds.",
            &["direction"],
        )?;
        let resends = make.counters(
            "conclave_retransmissions_total",
            "Packets of retransmission streams, probes for bandwidth included.",
            &["direction"],
        )?;
        let busy = make.seconds(
            "conclave_worker_busy_seconds_total",
            "Time that a media thread spent awake.",
        )?;
        let cpu = make.seconds(
            "conclave_worker_cpu_seconds_total",
            "CPU time that a media thread used.",
        )?;
        let queue = make.gauges(
            "conclave_worker_queue_depth",
            "Messages from other media threads that wait for a media thread.",
            &["worker"],
        )?;
        let latency = make.histogram(
            "conclave_forward_latency_seconds",
            "From reading a batch of datagrams to handing each batch that it led to to the system.",
            &LATENCY_BUCKETS,
        )?;
        let batch = make.histogram(
            "conclave_egress_batch_packets",
            "Datagrams handed to the system at once.",
            &BATCH_BUCKETS,
        )?;
        let one = |vec: &IntCounterVec, value| vec.get_metric_with_label_values(&[value]);
        let connections = |result| -> Made<Vec<_>> {
            Transport::ALL
                .into_iter()
                .map(|transport| {
                    let labels = [transport.label(), result];
                    Ok((transport, ice.get_metric_with_label_values(&labels)?))
                })
                .collect()
        };
        let ended = make.counters(
            "conclave_tcp_connections_ended_total",
            "TCP connections to the media port that ended, and why.",
            &["reason"],
        )?;
        let track = |direction, kind| tracks.get_metric_with_label_values(&[direction, kind]);
        Ok(Self {
            rooms: make.gauge("conclave_media_rooms", "Rooms with media connections; a room counts once for each media thread that it is on.")?,
            participants: make.gauge("conclave_participants", "Media connections.")?,
            audio_tracks: track("in", "audio")?,
            video_tracks: track("in", "video")?,
            audio_slots: track("out", "audio")?,
            video_slots: track("out", "video")?,
            received: kinds("in")?,
            forwarded: kinds("out")?,
            dropped: DropReason::ALL
                .into_iter()
                .map(|reason| Ok((reason, one(&dropped, reason.label())?)))
                .collect::<Made<_>>()?,
            key_frames_asked: one(&key_frames, "received")?,
            key_frames_requested: one(&key_frames, "sent")?,
            key_frames_suppressed: one(&key_frames, "suppressed")?,
            key_frames_kept: one(&key_frames, "kept")?,
            connected: connections("connected")?,
            timed_out: connections("timed_out")?,
            never_checked: ice.get_metric_with_label_values(&["none", "timed_out"])?,
            profiles: SrtpProfile::ALL
                .into_iter()
                .map(|profile| Ok((profile, one(&profiles, profile.label())?)))
                .collect::<Made<_>>()?,
            upgrades: one(&switches, "up")?,
            downgrades: one(&switches, "down")?,
            path_changes: make.counter(
                "conclave_path_changes_total",
                "Clients that went on from another address in mid-call.",
            )?,
            nacks_in: one(&nacks, "in")?,
            nacks_out: one(&nacks, "out")?,
            resends_in: one(&resends, "in")?,
            resends_out: one(&resends, "out")?,
            busy,
            cpu,
            queue,
            latency,
            batch,
            connections: ConnectionMetrics {
                open: make.gauge(
                    "conclave_tcp_connections",
                    "Open TCP connections to the media port.",
                )?,
                ended: ConnectionEnd::ALL
                    .into_iter()
                    .map(|end| Ok((end, one(&ended, end.label())?)))
                    .collect::<Made<_>>()?,
            },
        })
    }

    /// The share of one media thread.
    pub(crate) fn worker(&self, worker: &str) -> Made<WorkerMetrics> {
        Ok(WorkerMetrics {
            busy: self.busy.get_metric_with_label_values(&[worker])?,
            cpu: self.cpu.get_metric_with_label_values(&[worker])?,
            queue: self.queue.get_metric_with_label_values(&[worker])?,
            latency: self.latency.local(),
            batch: self.batch.local(),
            population: Population::default(),
            shared: self.clone(),
        })
    }

    fn take(&self, counters: &mut Counters) {
        self.received.take(&mut counters.received);
        self.forwarded.take(&mut counters.forwarded);
        for (reason, metric) in &self.dropped {
            metric.inc_by(counters.dropped(*reason));
        }
        for (profile, metric) in &self.profiles {
            metric.inc_by(counters.handshakes(*profile));
        }
        self.key_frames_asked.inc_by(counters.key_frames_asked);
        self.key_frames_requested
            .inc_by(counters.key_frames_requested);
        self.key_frames_suppressed
            .inc_by(counters.key_frames_suppressed);
        self.key_frames_kept.inc_by(counters.key_frames_kept);
        for (transport, metric) in &self.connected {
            metric.inc_by(counters.connected(*transport));
        }
        for (transport, metric) in &self.timed_out {
            metric.inc_by(counters.timed_out(*transport));
        }
        self.never_checked.inc_by(counters.never_checked);
        self.upgrades.inc_by(counters.layer_upgrades);
        self.downgrades.inc_by(counters.layer_downgrades);
        self.path_changes.inc_by(counters.path_changes);
        self.nacks_in.inc_by(counters.nacks_in);
        self.nacks_out.inc_by(counters.nacks_out);
        self.resends_in.inc_by(counters.resends_in);
        self.resends_out.inc_by(counters.resends_out);
        *counters = Counters::default();
    }

    /// Every thread adds its own change.
    fn populate(&self, before: Population, now: Population) {
        let change = |gauge: &IntGauge, before: u64, now: u64| {
            gauge.add(
                i64::try_from(now).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX),
            );
        };
        change(&self.rooms, before.rooms, now.rooms);
        change(&self.participants, before.participants, now.participants);
        change(&self.audio_tracks, before.audio_tracks, now.audio_tracks);
        change(&self.video_tracks, before.video_tracks, now.video_tracks);
        change(&self.audio_slots, before.audio_slots, now.audio_slots);
        change(&self.video_slots, before.video_slots, now.video_slots);
    }
}

impl WorkerMetrics {
    /// Takes over what was counted and sets it back to nothing.
    pub(crate) fn take(&mut self, counters: &mut Counters) {
        self.shared.take(counters);
        self.latency.flush();
        self.batch.flush();
    }

    pub(crate) fn populate(&mut self, population: Population) {
        if population != self.population {
            self.shared.populate(self.population, population);
            self.population = population;
        }
    }

    pub(crate) fn queue(&self, depth: usize) {
        self.queue.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// Adds time spent awake, and CPU time used, in seconds.
    pub(crate) fn worked(&self, busy: f64, cpu: f64) {
        self.busy.inc_by(busy.max(0.0));
        self.cpu.inc_by(cpu.max(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_over_is_not_counted_twice() {
        let registry = Registry::new();
        let mut metrics = Metrics::new(&registry).unwrap().worker("0").unwrap();
        let mut counters = Counters::default();
        counters.forwarded.video.add(100);
        counters.drop_one(DropReason::Malformed);
        metrics.take(&mut counters);
        metrics.take(&mut counters);
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        let packets = r#"conclave_packets_total{direction="out",kind="video",peer="client"} 1"#;
        assert!(text.contains(packets), "{text}");
        let dropped = r#"conclave_packets_dropped_total{reason="malformed"} 1"#;
        assert!(text.contains(dropped), "{text}");
    }

    #[test]
    fn threads_add_up_and_take_away_only_their_own() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let population = |participants| Population {
            participants,
            ..Population::default()
        };
        let mut first = metrics.worker("0").unwrap();
        let mut second = metrics.worker("1").unwrap();
        first.populate(population(3));
        second.populate(population(4));
        first.populate(population(1));
        assert_eq!(metrics.participants.get(), 5);
    }

    #[test]
    fn a_registry_takes_the_names_once() {
        let registry = Registry::new();
        assert!(Metrics::new(&registry).is_ok());
        assert!(Metrics::new(&registry).is_err());
    }
}
