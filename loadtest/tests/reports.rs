//! What the command makes of a real run: JSON by its schema, a page, live metrics, bounds
//! and comparisons.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;
use stage::Stage;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

const SCHEMA: &str = include_str!("../../docs/load-test-report.schema.json");

fn conclave_loadtest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_conclave-loadtest"))
        .args(arguments)
        .output()
        .unwrap()
}

fn said(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap()
}

async fn metrics(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await.ok()?;
    Some(page)
}

fn value(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

/// Asks for the metrics until pictures have come. That may be before the receiver counts as
/// in the call, as its media is there before its data channel.
async fn pictures_come(address: SocketAddr) -> String {
    loop {
        let page = metrics(address).await.unwrap_or_default();
        let count = "conclave_loadtest_fanout_latency_seconds_count";
        let joined = "conclave_loadtest_joins_total{result=\"succeeded\"}";
        if value(&page, count) > Some(0.0) && value(&page, joined) >= Some(2.0) {
            return page;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_in_every_form() {
    let stage = Stage::set();
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("report.html");
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let (port, path) = (address.to_string(), page.to_str().unwrap());
    let slo = "joined>=100%,decrypt_failures<1,p99<0.001ms";
    let arguments = ["--html", path, "--slo", slo, "--prometheus", &port];
    let watch = timeout(Duration::from_secs(60), pictures_come(address));
    let (run, metrics) = tokio::join!(stage.command(&arguments), watch);

    let metrics = metrics.expect("pictures within a minute");
    assert!(value(&metrics, "conclave_loadtest_packets_received_total") > Some(0.0));

    assert_eq!(run.exit_code, 1, "{}", run.said);
    assert_eq!(run.json["verdict"], "missed");
    let held: Vec<_> = run.json["slos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slo| &slo["held"])
        .collect();
    assert_eq!(held, [true, true, false], "{}", run.said);
    assert!(run.said.contains("DOES NOT HOLD"), "{}", run.said);

    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mistakes: Vec<_> = validator
        .iter_errors(&run.json)
        .map(|error| error.to_string())
        .collect();
    assert!(mistakes.is_empty(), "{mistakes:?}");

    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("Missed: not every bound holds"));
    assert!(html.contains("does not hold"));
    read_again(directory.path(), &run.json, &html);
    stage.strike().await;
}

/// What is made of the JSON afterwards.
fn read_again(directory: &Path, report: &Value, page: &str) {
    let write = |name: &str, report: &Value| {
        let path = directory.join(name);
        fs::write(&path, report.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let a = write("a.json", report);
    let again = conclave_loadtest(&["html", &a]);
    assert!(again.status.success());
    assert_eq!(
        said(&again.stdout),
        page,
        "the same page, from the JSON alone"
    );

    let same = conclave_loadtest(&["compare", &a, &a]);
    assert!(same.status.success(), "{}", said(&same.stderr));
    assert!(said(&same.stdout).contains("frames delivered"));

    let mut other = report.clone();
    other["run"]["scenario"] = "another".into();
    let b = write("b.json", &other);
    let refused = conclave_loadtest(&["compare", &a, &b]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused.stderr).contains("the other another"));
    let compared = directory.join("compared.html");
    let arguments = [
        "compare",
        &a,
        &b,
        "--force",
        "--html",
        compared.to_str().unwrap(),
    ];
    assert!(conclave_loadtest(&arguments).status.success());
    assert!(
        fs::read_to_string(&compared)
            .unwrap()
            .contains("Beware: one ran")
    );

    other["schema"] = 1.into();
    let old = conclave_loadtest(&["html", &write("old.json", &other)]);
    assert_eq!(old.status.code(), Some(2));
    assert!(said(&old.stderr).contains("version 1 of the format"));
}

#[test]
fn a_bound_that_cannot_be_understood_is_refused_with_the_names_there_are() {
    let refused = conclave_loadtest(&["run", "--slo", "p98<20ms"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = said(&refused.stderr);
    assert!(
        said.contains("there is no figure p98") && said.contains("join_p95"),
        "{said}"
    );
}
