//! What the server has spent: as it says itself on its page `/metrics`, or as the system
//! says of its processes.

use crate::{
    drive::{http, server::ServerAddress},
    measure::process::{ProcessError, ProcessUse},
};

/// What the server has spent by now: by its processes or, when none are named, by its
/// page `/metrics`.
pub async fn cost(server: &ServerAddress, processes: &[u32]) -> Result<ServerCost, CostUnknown> {
    if !processes.is_empty() {
        return Ok(ProcessUse::of(processes)?.into());
    }
    let page = http::get(&server.url("http", "/metrics"))
        .await
        .map_err(|error| CostUnknown::Unreachable(error.to_string()))?;
    ServerCost::parse(&page)
}

/// Why the server's cost is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CostUnknown {
    /// The page cannot be had.
    #[error("/metrics cannot be read: {0}")]
    Unreachable(String),
    /// The page lacks something.
    #[error("/metrics does not have {0}")]
    Missing(&'static str),
    /// The system does not tell.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Nothing was forwarded.
    #[error("the server forwarded no packet within the measured window")]
    NothingForwarded,
}

/// What the server had spent by one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServerCost {
    /// CPU time of the whole process.
    pub process_seconds: f64,
    /// What the system says of its processes, if it was asked.
    pub processes: Option<ProcessUse>,
    /// CPU time of the media threads, if it tells them apart.
    pub worker_seconds: Option<f64>,
    /// RTP packets sent, if it counts them.
    pub packets_out: Option<f64>,
}

impl From<ProcessUse> for ServerCost {
    fn from(used: ProcessUse) -> Self {
        Self {
            process_seconds: used.cpu().as_secs_f64(),
            processes: Some(used),
            worker_seconds: None,
            packets_out: None,
        }
    }
}

/// What the server spent for one packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostPerPacket {
    /// RTP packets sent.
    pub packets: f64,
    /// CPU time of the whole process, in cores.
    pub process_seconds: f64,
    /// Whether the server counted the packets, not those who received them.
    pub counted_by_server: bool,
    /// CPU time of the whole process per packet.
    pub process_micros: f64,
    /// CPU time of the media threads per packet.
    pub worker_micros: Option<f64>,
}

impl ServerCost {
    fn parse(page: &str) -> Result<Self, CostUnknown> {
        let need = |name, label| sum(page, name, label).ok_or(CostUnknown::Missing(name));
        Ok(Self {
            process_seconds: need("process_cpu_seconds_total", None)?,
            processes: None,
            worker_seconds: sum(page, "conclave_worker_cpu_seconds_total", None),
            packets_out: Some(need("conclave_packets_total", Some(r#"direction="out""#))?),
        })
    }

    /// The cost of each packet since an earlier moment. A server that does not count its
    /// packets has sent as many as were received.
    pub fn since(&self, earlier: &Self, received: u64) -> Result<CostPerPacket, CostUnknown> {
        let counted = self.packets_out.zip(earlier.packets_out);
        let packets = match counted {
            Some((now, then)) => now - then,
            None => received as f64,
        };
        if packets <= 0.0 {
            return Err(CostUnknown::NothingForwarded);
        }
        let micros = |seconds: f64| seconds * 1e6 / packets;
        let process_seconds = self.process_seconds - earlier.process_seconds;
        Ok(CostPerPacket {
            packets,
            counted_by_server: counted.is_some(),
            process_seconds,
            process_micros: micros(process_seconds),
            worker_micros: self
                .worker_seconds
                .zip(earlier.worker_seconds)
                .map(|(now, then)| micros(now - then)),
        })
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PAGE: &str = r#"# HELP conclave_packets_total Packets.
# TYPE conclave_packets_total counter
conclave_packets_total{direction="in",kind="audio",peer="client"} 1000
conclave_packets_total{direction="out",kind="audio",peer="client"} 20
conclave_packets_total{direction="out",kind="video",peer="client"} 2.5e2
conclave_packets_total_dropped{direction="out"} 7
conclave_worker_cpu_seconds_total{worker="0"} 1.5
process_cpu_seconds_total 2.25
"#;

    #[test]
    fn the_cost_is_read_from_the_metrics_page() {
        let cost = ServerCost::parse(PAGE).unwrap();
        let expected = ServerCost {
            process_seconds: 2.25,
            processes: None,
            worker_seconds: Some(1.5),
            packets_out: Some(270.0),
        };
        assert_eq!(cost, expected);
    }

    #[test]
    fn a_page_without_a_metric_says_which() {
        let page = PAGE.replace("process_cpu", "cpu");
        let missing = CostUnknown::Missing("process_cpu_seconds_total");
        assert_eq!(ServerCost::parse(&page), Err(missing));
    }

    #[test]
    fn the_cost_of_a_packet_is_a_difference() {
        let before = ServerCost::parse(PAGE).unwrap();
        let after = ServerCost {
            process_seconds: 2.75,
            processes: None,
            worker_seconds: Some(1.75),
            packets_out: Some(100_270.0),
        };
        let cost = after.since(&before, 7).unwrap();
        assert_eq!((cost.process_micros, cost.worker_micros), (5.0, Some(2.5)));
        assert_eq!(before.since(&before, 7), Err(CostUnknown::NothingForwarded));
    }

    #[test]
    fn packets_that_the_server_does_not_count_are_those_received() {
        let used = |user, system| {
            ServerCost::from(ProcessUse {
                user: Duration::from_millis(user),
                system: Duration::from_millis(system),
                ..ProcessUse::default()
            })
        };
        let cost = used(1_300, 700).since(&used(1_000, 500), 1_000).unwrap();
        assert_eq!(cost.process_micros.round() as u64, 500);
        assert!(!cost.counted_by_server);
        let none = used(1_300, 700).since(&used(1_000, 500), 0);
        assert_eq!(none, Err(CostUnknown::NothingForwarded));
    }
}
