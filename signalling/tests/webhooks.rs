//! Webhooks: told in order, signed, again and again, and past a crash.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod rig;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use conclave_protocol::signal::ClientMessage;
use hmac::{Hmac, KeyInit, Mac};
use rig::{
    line::Staying,
    operator::ask,
    running::{Running, conclave},
};
use serde_json::{Value, json};
use sha2::Sha256;

/// A delivery, as a receiver sees it.
#[derive(Debug)]
struct Told {
    id: String,
    timestamp: String,
    signature: String,
    body: String,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    fn kind(&self) -> String {
        self.json()["type"].as_str().expect("a type").to_owned()
    }

    fn is_signed_with(&self, secret: &str) -> bool {
        let key = secret.strip_prefix("whsec_").expect("a secret");
        let key = STANDARD.decode(key).expect("base64");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
        mac.update(format!("{}.{}.{}", self.id, self.timestamp, self.body).as_bytes());
        let signature = self.signature.strip_prefix("v1,").expect("the version");
        mac.verify_slice(&STANDARD.decode(signature).expect("base64"))
            .is_ok()
    }
}

/// Answers deliveries with these statuses, the last one over and over.
fn receive(listener: TcpListener, statuses: &'static [u16]) -> mpsc::Receiver<Told> {
    let (sender, told) = mpsc::channel();
    std::thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.expect("a connection"));
            let mut headers = std::collections::HashMap::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).expect("text");
                match line.trim_end().split_once(": ") {
                    Some((name, value)) => {
                        headers.insert(name.to_lowercase(), value.to_owned());
                    }
                    None if line.trim_end().is_empty() => break,
                    None => {}
                }
            }
            let length = headers["content-length"].parse().expect("a length");
            let mut body = vec![0; length];
            stream.read_exact(&mut body).expect("a body");
            let status = statuses[count.min(statuses.len() - 1)];
            let answer = format!(
                "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\nlocation: /\r\n\r\n"
            );
            stream.get_mut().write_all(answer.as_bytes()).expect("sent");
            let sent = sender.send(Told {
                id: headers["webhook-id"].clone(),
                timestamp: headers["webhook-timestamp"].clone(),
                signature: headers["webhook-signature"].clone(),
                body: String::from_utf8(body).expect("text"),
            });
            if sent.is_err() {
                return;
            }
        }
    });
    told
}

fn next(told: &mpsc::Receiver<Told>) -> Told {
    told.recv_timeout(Duration::from_secs(10))
        .expect("a delivery")
}

struct House {
    folder: tempfile::TempDir,
    key: String,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = conclave()
            .args(["key", "create", "--name", "all", "--scopes"])
            .arg("create,invite,moderate,observe,operate")
            .arg("--data")
            .arg(folder.path())
            .output()
            .expect("it runs");
        let key = String::from_utf8(made.stdout)
            .expect("text")
            .trim()
            .to_owned();
        assert!(key.starts_with("conclave_"), "{key}");
        Self { folder, key }
    }

    fn start(&self) -> Running {
        let ports = ["--listen", "127.0.0.1:0", "--media-port", "0"];
        Running::start(conclave().args(ports).arg("--data").arg(self.folder.path()))
    }

    async fn hook(
        &self,
        server: &Running,
        listener: &TcpListener,
        events: Value,
    ) -> (String, String) {
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let body = json!({"url": url, "events": events});
        let made = ask(
            &server.address,
            "POST",
            "webhooks",
            Some(&self.key),
            Some(body),
        )
        .await;
        assert_eq!(made.status, 201, "{made:?}");
        let text = |name: &str| made.body[name].as_str().expect("text").to_owned();
        (text("id"), text("secret"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_in_order_until_it_has_heard_and_again_when_asked() {
    let house = House::new();
    let server = house.start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (id, secret) = house.hook(&server, &listener, json!([])).await;
    // A redirect is a refusal, too.
    let told = receive(listener, &[500, 307, 200]);
    let mut anna = Staying::join(&server.address, "garden").await;
    let first = next(&told);
    assert_eq!(first.kind(), "room_started");
    assert!(first.is_signed_with(&secret), "{first:?}");
    for _ in 0..2 {
        let again = next(&told);
        assert_eq!((&again.id, &again.body), (&first.id, &first.body));
        assert!(again.is_signed_with(&secret), "{again:?}");
    }
    anna.say(ClientMessage::Leave {}).await;
    let mut heard = vec![first];
    while heard.len() < 4 {
        heard.push(next(&told));
    }
    let kinds: Vec<_> = heard.iter().map(Told::kind).collect();
    assert_eq!(
        kinds,
        [
            "room_started",
            "participant_joined",
            "participant_left",
            "room_ended"
        ]
    );
    let sequences: Vec<_> = heard
        .iter()
        .map(|it| it.json()["data"]["sequence"].clone())
        .collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    let who = anna.participant.to_string();
    assert_eq!(heard[1].json()["data"]["participant"], who);

    let after: u64 = heard[1].id.parse().expect("a number");
    let path = format!("webhooks/{id}/replay");
    let replay = ask(
        &server.address,
        "POST",
        &path,
        Some(&house.key),
        Some(json!({"after": after})),
    );
    assert_eq!(replay.await.status, 202);
    for expected in &heard[2..] {
        let again = next(&told);
        assert_eq!((&again.id, &again.body), (&expected.id, &expected.body));
    }
    let path = "rooms/garden/events?after=2&limit=1";
    let pulled = ask(&server.address, "GET", path, Some(&house.key), None)
        .await
        .body;
    assert_eq!(pulled["items"][0]["type"], "participant_left");
    assert_eq!(pulled["next"], "3");

    let metrics = rig::running::get(&server.address, "/metrics");
    assert!(
        metrics.contains("conclave_webhook_deliveries_total{result=\"refused\"} 2"),
        "{metrics}"
    );
    let path = format!("webhooks/{id}");
    assert_eq!(
        ask(&server.address, "DELETE", &path, Some(&house.key), None)
            .await
            .status,
        204
    );
    let _ben = Staying::join(&server.address, "garden").await;
    assert!(
        told.recv_timeout(Duration::from_millis(500)).is_err(),
        "it is no more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_before_a_crash_is_told_after_it() {
    let house = House::new();
    let server = house.start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (_, secret) = house
        .hook(
            &server,
            &listener,
            json!(["participant_joined", "room_ended"]),
        )
        .await;
    // Nobody accepts: the first delivery hangs when the server is killed.
    let anna = Staying::join(&server.address, "garden").await;
    server.signal("KILL");
    server.wait();
    drop(anna.token.clone());

    // The queue of connections that the dead server has left is not to be answered.
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let listener = TcpListener::bind(address).expect("the same port");
    let told = receive(listener, &[200]);
    let server = house.start();
    let first = next(&told);
    assert_eq!(first.kind(), "participant_joined");
    assert_eq!(
        first.json()["data"]["participant"],
        anna.participant.to_string()
    );
    assert!(first.is_signed_with(&secret));
    let closed = ask(
        &server.address,
        "DELETE",
        "rooms/garden",
        Some(&house.key),
        None,
    )
    .await;
    assert_eq!(closed.status, 204);
    let last = next(&told);
    assert_eq!(last.kind(), "room_ended");
    assert_eq!(
        last.json()["data"]["sequence"],
        5,
        "closed and left come before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_lets_calls_end_and_takes_no_new_ones() {
    for by_api in [false, true] {
        let house = House::new();
        let server = Running::start(
            conclave()
                .args([
                    "--listen",
                    "127.0.0.1:0",
                    "--media-port",
                    "0",
                    "--drain-within",
                    "60s",
                ])
                .arg("--data")
                .arg(house.folder.path()),
        );
        let mut anna = Staying::join(&server.address, "garden").await;
        if by_api {
            let asked = ask(&server.address, "POST", "drain", Some(&house.key), None).await;
            assert_eq!(asked.status, 202);
        } else {
            server.signal("TERM");
        }
        let ready = || rig::running::get(&server.address, "/readyz");
        while ready().starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(ready().starts_with("HTTP/1.1 503"));
        let metrics = rig::running::get(&server.address, "/metrics");
        assert!(metrics.contains("conclave_draining 1"), "{metrics}");
        // The call goes on, also for who comes late or breaks off.
        let mut ben = Staying::join(&server.address, "garden").await;
        ben.break_off();
        ben.come_back().await.expect("the place was kept");
        let refused = rig::line::refusal(&server.address, "meadow").await;
        assert_eq!(refused, conclave_protocol::signal::ErrorCode::Draining);
        for one in [&mut anna, &mut ben] {
            one.say(ClientMessage::Leave {}).await;
        }
        let (code, log, took) = server.wait();
        assert_eq!(code, Some(0), "{log}");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_and_the_end_of_the_time_stop_a_server_that_drains() {
    for (within, signals) in [("60s", 2), ("1s", 1)] {
        let server = Running::start(conclave().args([
            "--listen",
            "127.0.0.1:0",
            "--media-port",
            "0",
            "--drain-within",
            within,
        ]));
        let _anna = Staying::join(&server.address, "garden").await;
        server.signal("TERM");
        if signals == 2 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.signal("TERM");
        }
        let (code, log, took) = server.wait();
        assert_eq!(code, Some(0), "{log}");
        assert!(took < Duration::from_secs(9), "{took:?}: {log}");
    }
}
