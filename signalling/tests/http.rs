//! What the front door answers to plain requests, and to those that are not so plain.

#![allow(clippy::expect_used)]

mod rig;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use conclave_signalling::Limits;
use http_body_util::Empty;
use hyper::{Method, Request};
use rig::*;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{client::IntoClientRequest, http::HeaderValue},
};

fn header<'a, B>(response: &'a hyper::Response<B>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .unwrap_or_else(|| panic!("no {name}"))
        .to_str()
        .expect("text")
}

#[tokio::test]
async fn every_answer_carries_the_protective_headers() {
    let server = start();
    for path in [
        "/",
        "/r/garden",
        "/healthz",
        "/metrics",
        "/nothing",
        "/r/a b",
    ] {
        let path = path.replace(' ', "%20");
        let response = get(&server, &path).await;
        let policy = header(&response, "content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval';"));
        assert!(policy.contains("worker-src 'self';"));
        assert!(policy.contains("frame-ancestors 'none'"));
        assert!(policy.contains("require-trusted-types-for 'script'"));
        assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"));
        let socket = format!(
            "connect-src 'self' ws://{0} wss://{0};",
            server.http_address()
        );
        assert!(policy.contains(&socket), "{policy}");
        assert_eq!(
            header(&response, "cross-origin-opener-policy"),
            "same-origin"
        );
        assert_eq!(
            header(&response, "cross-origin-embedder-policy"),
            "require-corp"
        );
        assert_eq!(
            header(&response, "integrity-policy"),
            "blocked-destinations=(script)"
        );
        assert_eq!(header(&response, "referrer-policy"), "no-referrer");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert!(header(&response, "permissions-policy").contains("camera=(self)"));
    }
    server.shutdown().await;
}

#[tokio::test]
async fn the_page_is_served_at_every_room_or_its_absence_admitted() {
    let server = start();
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/dist");
    let Ok(index) = fs::read(dist.join("index.html")) else {
        for path in ["/", "/r/garden"] {
            let response = get(&server, path).await;
            assert_eq!(response.status(), 503);
            let problem: Value = serde_json::from_slice(response.body()).expect("JSON");
            let detail = problem["detail"].as_str().expect("text");
            assert!(detail.contains("make web"), "{detail}");
        }
        return server.shutdown().await;
    };
    for path in ["/", "/r/garden", "/r/garden?reload=1"] {
        let response = get(&server, path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(
            header(&response, "content-type"),
            "text/html; charset=utf-8"
        );
        assert_eq!(header(&response, "cache-control"), "no-cache");
        assert_eq!(response.body(), &index);
    }
    let mut kinds = BTreeSet::new();
    for entry in fs::read_dir(dist.join("assets")).expect("assets") {
        let path = entry.expect("an entry").path();
        let kind = match path.extension().and_then(|e| e.to_str()) {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("wasm") => "application/wasm",
            _ => continue,
        };
        kinds.insert(kind);
        let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
        let path_there = format!("/assets/{name}");
        let response = get(&server, &path_there).await;
        assert_eq!(response.status(), 200, "{path_there}");
        assert_eq!(header(&response, "content-type"), kind);
        assert!(header(&response, "cache-control").contains("immutable"));
        assert_eq!(*response.body(), fs::read(&path).expect("a file"));
        let tag = header(&response, "etag");
        let again = Request::get(&path_there)
            .header("host", "x")
            .header("if-none-match", tag)
            .body(Empty::new())
            .expect("a request");
        let response = request(&server, again).await;
        assert_eq!(response.status(), 304, "{path_there}");
        assert!(response.body().is_empty());
        for (coding, ending) in [("br", "br"), ("gzip", "gz")] {
            let smaller = Request::get(&path_there)
                .header("host", "x")
                .header("accept-encoding", coding)
                .body(Empty::new())
                .expect("a request");
            let response = request(&server, smaller).await;
            assert_eq!(header(&response, "content-encoding"), coding);
            assert_eq!(header(&response, "content-type"), kind);
            assert_ne!(header(&response, "etag"), tag);
            let twin = dist.join(format!("assets/{name}.{ending}"));
            assert_eq!(*response.body(), fs::read(twin).expect("a twin"));
        }
    }
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    server.shutdown().await;
}

#[tokio::test]
async fn health_and_readiness() {
    let server = start();
    assert_eq!(get(&server, "/healthz").await.status(), 200);
    assert_eq!(get(&server, "/readyz").await.status(), 200);
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_not_done_is_405() {
    let server = start();
    for path in [
        "/nothing",
        "/r/",
        "/r/a/b",
        "/../Cargo.toml",
        "/.git/config",
        "/%2e%2e/x",
    ] {
        let response = get(&server, path).await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(
            header(&response, "content-type"),
            "application/problem+json"
        );
        let problem: Value = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(problem["status"], 404);
    }
    for path in ["/", "/healthz", "/ws", "/nothing"] {
        let asked = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", "x")
            .body(Empty::new())
            .expect("a request");
        let response = request(&server, asked).await;
        assert_eq!(response.status(), 405, "{path}");
        assert_eq!(header(&response, "allow"), "GET, HEAD");
    }
    assert_eq!(
        get(&server, "/ws").await.status(),
        400,
        "no upgrade asked for"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn pages_of_other_sites_open_no_websocket() {
    let server = start();
    let own = format!("http://{}", server.http_address());
    for (origin, welcome) in [
        (Some(own.as_str()), true),
        (None, true),
        (Some("https://evil.example"), false),
        (Some("null"), false),
    ] {
        let stream = TcpStream::connect(server.http_address())
            .await
            .expect("the server listens");
        let mut asked = format!("ws://{}/ws", server.http_address())
            .into_client_request()
            .expect("a request");
        if let Some(origin) = origin {
            let origin = HeaderValue::from_str(origin).expect("a header");
            asked.headers_mut().insert("origin", origin);
        }
        match client_async(asked, stream).await {
            Ok(_) => assert!(welcome, "{origin:?}"),
            Err(error) => {
                assert!(!welcome, "{origin:?}: {error}");
                assert!(error.to_string().contains("403"), "{error}");
            }
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn the_metrics_say_what_happened_and_name_nobody() {
    let server = start();
    let (mut alice, alice_id) = founder(&server, "a-telling-room-name").await;
    let (_bob, _) = second_member(&server, "a-telling-room-name", &mut alice).await;
    assert_eq!(metric(&server, "conclave_joins_total", "\"ok\"").await, 2.0);
    assert_eq!(
        metric(&server, "conclave_websocket_connections", "").await,
        2.0
    );
    assert_eq!(metric(&server, "conclave_rooms", "").await, 1.0);
    for (part, count) in [
        ("direction=\"in\",type=\"join\"", 2.0),
        ("direction=\"in\",type=\"commit\"", 1.0),
        ("direction=\"out\",type=\"committed\"", 2.0),
        ("direction=\"out\",type=\"epoch_complete\"", 2.0),
    ] {
        let found = metric(&server, "conclave_signalling_messages_total", part).await;
        assert_eq!(found, count, "{part}");
    }
    for phase in ["room", "group"] {
        let name = "conclave_join_duration_seconds_count";
        assert_eq!(metric(&server, name, phase).await, 2.0, "{phase}");
    }
    assert!(metric(&server, "process_cpu_seconds_total", "user").await > 0.0);
    assert!(metric(&server, "process_open_fds", "").await > 3.0);
    assert!(metric(&server, "process_resident_memory_bytes", "").await > 1e6);
    assert_eq!(
        metric(&server, "conclave_build_info", env!("CARGO_PKG_VERSION")).await,
        1.0
    );
    assert_eq!(metric(&server, "conclave_draining", "").await, 0.0);
    assert!(metric(&server, "conclave_http_requests_total", "metrics").await > 0.0);
    let all = get(&server, "/metrics").await.into_body();
    let all = std::str::from_utf8(&all).expect("text");
    let id = alice_id.to_string();
    for private in ["a-telling-room-name", id.as_str(), "127.0.0.1"] {
        assert!(!all.contains(private), "{private} in\n{all}");
    }
    server.shutdown().await;
}

/// Writes bytes to the server and reads until it closes.
async fn raw(server: &conclave_signalling::Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.http_address())
        .await
        .expect("the server listens");
    stream.write_all(bytes).await.expect("written");
    let mut answer = Vec::new();
    timeout(Duration::from_secs(5), stream.read_to_end(&mut answer))
        .await
        .expect("the server closes")
        .unwrap_or_default();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off() {
    let server = start_with(Limits {
        request_head: Duration::from_millis(300),
        ..Limits::default()
    });
    let started = Instant::now();
    raw(&server, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    assert!(started.elapsed() < Duration::from_secs(2));
    // So is a connection on which nothing is asked.
    raw(&server, b"").await;
    raw(&server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    server.shutdown().await;
}

#[tokio::test]
async fn malformed_requests_are_answered_with_400_or_431() {
    let server = start();
    let answer = raw(&server, b"\x16\x03\x01 what?\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let long = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "y".repeat(1 << 20)
    );
    let answer = raw(&server, long.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 431") || answer.is_empty(),
        "{answer}"
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X: y\r\n".repeat(500)
    );
    let answer = raw(&server, many.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(get(&server, "/healthz").await.status(), 200);
    server.shutdown().await;
}

#[tokio::test]
async fn connections_are_capped_and_places_come_back() {
    let server = start_with(Limits {
        connections: 2,
        ..Limits::default()
    });
    let first = Client::connect(&server).await;
    let (second, ..) = Client::join(&server, "garden").await;
    let mut third = TcpStream::connect(server.http_address())
        .await
        .expect("the backlog takes it");
    let read = timeout(Duration::from_secs(2), third.read(&mut [0; 1])).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "not served: {read:?}");
    drop(first);
    drop(second);
    let again = async {
        loop {
            let stream = TcpStream::connect(server.http_address())
                .await
                .expect("the server listens");
            let url = format!("ws://{}/ws", server.http_address());
            if client_async(url, stream).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(5), again)
        .await
        .expect("places come back");
    server.shutdown().await;
}
