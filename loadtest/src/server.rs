//! Where the server is, and what it says about its own cost.

use std::{fmt, str::FromStr, time::Duration};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Uri, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;

/// The most that is read of a metrics page.
const LARGEST_PAGE: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(5);

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Not a URL of a server.
    #[error("{0} is not the address of a server; it looks like http://localhost:8080")]
    Invalid(String),
    /// TLS.
    #[error("{0}: the load test speaks plain http only; give it the address behind the TLS proxy")]
    Tls(String),
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    host: String,
    port: u16,
    path: String,
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || AddressError::Invalid(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(AddressError::Tls(text.to_owned())),
            _ => return Err(invalid()),
        }
        let host = uri.host().ok_or_else(invalid)?;
        if uri.query().is_some() {
            return Err(invalid());
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url("http", ""))
    }
}

impl ServerAddress {
    /// Host and port to connect to.
    pub fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The URL of the WebSocket.
    pub fn websocket(&self) -> String {
        self.url("ws", "/ws")
    }

    fn url(&self, scheme: &str, page: &str) -> String {
        let Self { host, port, path } = self;
        if host.contains(':') {
            format!("{scheme}://[{host}]:{port}{path}{page}")
        } else {
            format!("{scheme}://{host}:{port}{path}{page}")
        }
    }

    /// Reads `/metrics`.
    pub async fn cost(&self) -> Result<ServerCost, CostUnknown> {
        let url: Uri = self
            .url("http", "/metrics")
            .parse()
            .map_err(|_| CostUnknown::Unreachable("the URL is not valid".to_owned()))?;
        let unreachable =
            |error: &dyn std::fmt::Display| CostUnknown::Unreachable(error.to_string());
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let page = async {
            let response = client.get(url).await.map_err(|error| unreachable(&error))?;
            if !response.status().is_success() {
                return Err(unreachable(&response.status()));
            }
            let body = Limited::new(response.into_body(), LARGEST_PAGE);
            let bytes = body.collect().await.map_err(|error| unreachable(&error))?;
            Ok(bytes.to_bytes())
        };
        let page = timeout(PATIENCE, page)
            .await
            .map_err(|_| unreachable(&"no answer in 5 s"))??;
        ServerCost::parse(&String::from_utf8_lossy(&page))
    }
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
    /// Nothing was forwarded.
    #[error("the server forwarded no packet within the measured window")]
    NothingForwarded,
}

/// What the server had spent by one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServerCost {
    /// CPU time of the whole process.
    pub process_seconds: f64,
    /// CPU time of the media threads, if it tells them apart.
    pub worker_seconds: Option<f64>,
    /// RTP packets sent.
    pub packets_out: f64,
}

/// What the server spent for one packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostPerPacket {
    /// RTP packets sent.
    pub packets: f64,
    /// CPU time of the whole process, in cores.
    pub process_seconds: f64,
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
            worker_seconds: sum(page, "conclave_worker_cpu_seconds_total", None),
            packets_out: need("conclave_packets_total", Some(r#"direction="out""#))?,
        })
    }

    /// The cost of each packet since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Result<CostPerPacket, CostUnknown> {
        let packets = self.packets_out - earlier.packets_out;
        if packets <= 0.0 {
            return Err(CostUnknown::NothingForwarded);
        }
        let micros = |seconds: f64| seconds * 1e6 / packets;
        let process_seconds = self.process_seconds - earlier.process_seconds;
        Ok(CostPerPacket {
            packets,
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
    use super::*;

    #[test]
    fn addresses() {
        let address: ServerAddress = "http://localhost:8080/".parse().unwrap();
        assert_eq!(address.websocket(), "ws://localhost:8080/ws");
        assert_eq!(address.host_and_port(), ("localhost", 8080));
        let address: ServerAddress = "http://[::1]/calls".parse().unwrap();
        assert_eq!(address.websocket(), "ws://[::1]:80/calls/ws");
        assert_eq!(address.host_and_port(), ("::1", 80));

        for text in ["localhost:8080", "ftp://localhost", "", "http://x/?a=b"] {
            let refused = text.parse::<ServerAddress>();
            assert!(matches!(refused, Err(AddressError::Invalid(_))), "{text}");
        }
        let refused = "https://example.org".parse::<ServerAddress>();
        assert!(matches!(refused, Err(AddressError::Tls(_))));
    }

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
            worker_seconds: Some(1.5),
            packets_out: 270.0,
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
            worker_seconds: Some(1.75),
            packets_out: 100_270.0,
        };
        let cost = after.since(&before).unwrap();
        assert_eq!((cost.process_micros, cost.worker_micros), (5.0, Some(2.5)));
        assert_eq!(before.since(&before), Err(CostUnknown::NothingForwarded));
    }
}
