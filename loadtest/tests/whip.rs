//! What a server that speaks WHIP hears of bots.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use conclave_loadtest::{
    drive::Live,
    run,
    target::{Target, whip::Endpoints},
};
use stage::Stage;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};

const SECOND: Duration = Duration::from_secs(1);

/// Methods and paths of requests.
type Requests = Arc<Mutex<Vec<String>>>;

/// Reads a request; gives its method and path, or nothing if none comes.
async fn read(connection: &mut TcpStream) -> Option<String> {
    let mut request = String::new();
    loop {
        let mut buffer = [0; 4_096];
        let length = connection.read(&mut buffer).await.unwrap();
        if length == 0 {
            return None;
        }
        request += std::str::from_utf8(&buffer[..length]).unwrap();
        let Some((head, body)) = request.split_once("\r\n\r\n") else {
            continue;
        };
        let mut headers = head.lines().filter_map(|line| line.split_once(": "));
        let expected = headers
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, length)| length.parse().unwrap());
        if body.len() >= expected {
            let line = head.lines().next().unwrap();
            return line.strip_suffix(" HTTP/1.1").map(str::to_owned);
        }
    }
}

/// A server that takes its time to open a resource.
async fn serve(listener: TcpListener, requests: Requests, patience: Duration) {
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        let requests = requests.clone();
        tokio::spawn(async move {
            let Some(request) = read(&mut connection).await else {
                return;
            };
            let method = request.split(' ').next().unwrap().to_owned();
            // There are no metrics.
            if method != "GET" {
                requests.lock().unwrap().push(request);
            }
            if method == "POST" {
                sleep(patience).await;
            }
            let response = match method.as_str() {
                "POST" => "201 Created\r\nLocation: /resource",
                "DELETE" => "200 OK",
                _ => "404 Not Found",
            };
            let response = format!("HTTP/1.1 {response}\r\nContent-Length: 0\r\n\r\n");
            connection.write_all(response.as_bytes()).await.unwrap();
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_gives_up_waits_for_its_resource_and_deletes_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Requests::default();
    tokio::spawn(serve(listener, requests.clone(), 2 * SECOND));

    let stage = Stage::set();
    let mut plan = stage.plan(1, 0);
    plan.scenario.duration = SECOND;
    plan.target = Target::whip(Endpoints {
        publish: format!("http://{address}/in/{{stream}}"),
        watch: format!("http://{address}/out/{{stream}}"),
        token: None,
        publishers: 1,
    })
    .unwrap();
    plan.join_patience = SECOND;
    let live = Arc::new(Live::default());
    let report = run::run(&plan, live, |_| {}, std::future::pending()).await;
    stage.strike().await;

    let told = |failure: &String| failure.contains("it was not in the call after 1 s");
    assert!(report.failures.iter().any(told), "{report}");
    let requests = requests.lock().unwrap();
    assert_eq!(*requests, ["POST /in/0", "DELETE /resource"], "{report}");
}
