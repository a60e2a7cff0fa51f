//! The counts as Prometheus reads them.

use std::time::Duration;

use prometheus::{
    TextEncoder,
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

use super::{DurationCounts, REASONS, Snapshot};

/// Bounds of the histograms, in milliseconds: those that are counted exactly.
const BOUNDS_MS: [f64; 14] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 5_000.0,
];

/// The page of metrics. CPU time and memory are those of the load test itself.
pub fn text(
    counts: &Snapshot,
    cpu: Duration,
    memory_bytes: Option<u64>,
) -> Result<String, prometheus::Error> {
    let mut families = vec![
        gauge(
            "build_info",
            "The version that runs, always 1.",
            vec![(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        ),
        gauge(
            "participants",
            "Bots in the call.",
            vec![(vec![], counts.participants() as f64)],
        ),
        counter(
            "joins_total",
            "Bots that tried to join, by result.",
            vec![
                (vec![("result", "succeeded")], counts.joined as f64),
                (vec![("result", "failed")], counts.failed as f64),
            ],
        ),
        counter(
            "packets_received_total",
            "RTP packets that bots received.",
            vec![(vec![], counts.packets as f64)],
        ),
        counter(
            "payload_received_bytes_total",
            "RTP payload that bots received.",
            vec![(vec![], counts.payload_bytes as f64)],
        ),
        gauge(
            "packets_missing",
            "RTP packets that did not come so far, by gaps in their sequence numbers.",
            vec![(vec![], counts.missing as f64)],
        ),
        counter(
            "frames_sent_total",
            "Frames that bots sent.",
            vec![(vec![], counts.frames_sent as f64)],
        ),
        counter(
            "frames_opened_total",
            "Frames that bots opened, by kind.",
            vec![
                (vec![("kind", "audio")], counts.audio_frames as f64),
                (vec![("kind", "video")], counts.video_frames as f64),
            ],
        ),
        counter(
            "frames_unopened_total",
            "Frames that bots did not open, by reason; forged, malformed and unknown_epoch are failures.",
            REASONS
                .iter()
                .zip(counts.unopened)
                .map(|(reason, count)| (vec![("reason", *reason)], count as f64))
                .collect(),
        ),
        histogram(
            "fanout_latency_seconds",
            "From when a picture was due to when a bot had opened it.",
            &counts.latency,
        ),
        histogram(
            "send_lateness_seconds",
            "How late bots sent frames: the load test's own fault.",
            &counts.lateness,
        ),
        counter(
            "cpu_seconds_total",
            "CPU time of the load test itself.",
            vec![(vec![], cpu.as_secs_f64())],
        ),
    ];
    families.extend(memory_bytes.map(|bytes| {
        gauge(
            "resident_memory_bytes",
            "Memory of the load test itself.",
            vec![(vec![], bytes as f64)],
        )
    }));
    TextEncoder::new().encode_to_string(&families)
}

/// Values by their labels.
type Values = Vec<(Vec<(&'static str, &'static str)>, f64)>;

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(format!("conclave_loadtest_{name}"));
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labelled(labels: Vec<(&str, &str)>) -> Metric {
    let pairs = labels.into_iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}

fn gauge(name: &str, help: &str, values: Values) -> MetricFamily {
    let metrics = values.into_iter().map(|(labels, value)| {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = labelled(labels);
        metric.set_gauge(gauge);
        metric
    });
    family(name, help, MetricType::GAUGE, metrics.collect())
}

fn counter(name: &str, help: &str, values: Values) -> MetricFamily {
    let metrics = values.into_iter().map(|(labels, value)| {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = labelled(labels);
        metric.set_counter(counter);
        metric
    });
    family(name, help, MetricType::COUNTER, metrics.collect())
}

fn histogram(name: &str, help: &str, durations: &DurationCounts) -> MetricFamily {
    let buckets = BOUNDS_MS.iter().map(|milliseconds| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(milliseconds / 1e3);
        let longest = Duration::from_micros((milliseconds * 1e3) as u64);
        bucket.set_cumulative_count(durations.up_to(longest));
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(durations.count());
    histogram.set_sample_sum(durations.seconds);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    family(name, help, MetricType::HISTOGRAM, vec![metric])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use conclave_e2ee::OpenError;

    use super::*;
    use crate::live::Counts;

    #[test]
    fn the_page_has_every_count_under_its_name() {
        let counts = Counts::default();
        counts.joined();
        counts.packet(100);
        counts.packet(20);
        counts.opened(true, Some(Duration::from_millis(2)));
        counts.opened(true, Some(Duration::from_millis(30)));
        counts.unopened(OpenError::Forged);
        let page = text(&counts.snapshot(), Duration::from_millis(1_500), Some(7)).unwrap();
        for line in [
            "conclave_loadtest_participants 1",
            "conclave_loadtest_joins_total{result=\"succeeded\"} 1",
            "conclave_loadtest_joins_total{result=\"failed\"} 0",
            "conclave_loadtest_packets_received_total 2",
            "conclave_loadtest_payload_received_bytes_total 120",
            "conclave_loadtest_frames_opened_total{kind=\"video\"} 2",
            "conclave_loadtest_frames_unopened_total{reason=\"forged\"} 1",
            "conclave_loadtest_fanout_latency_seconds_bucket{le=\"0.002\"} 1",
            "conclave_loadtest_fanout_latency_seconds_bucket{le=\"0.05\"} 2",
            "conclave_loadtest_fanout_latency_seconds_bucket{le=\"+Inf\"} 2",
            "conclave_loadtest_fanout_latency_seconds_sum 0.032",
            "conclave_loadtest_cpu_seconds_total 1.5",
            "conclave_loadtest_resident_memory_bytes 7",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in {page}");
        }
    }

    #[test]
    fn names_keep_to_the_conventions() {
        let page = text(&Snapshot::default(), Duration::ZERO, None).unwrap();
        let kinds = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut names = HashSet::new();
        for (name, kind) in kinds.filter_map(|line| line.split_once(' ')) {
            assert!(names.insert(name), "{name} twice");
            assert_eq!(
                kind == "counter",
                name.ends_with("_total"),
                "{name} is a {kind}"
            );
            assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        }
        assert_eq!(names.len(), 12);
    }
}
