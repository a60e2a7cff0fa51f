//! Sealed files: sending, fetching, bounds, and what is left of them.

#![allow(clippy::expect_used, unreachable_pub)]

mod bucket;
mod hardship;
#[path = "../rig/mod.rs"]
mod rig;
mod sharer;
mod swift;

use std::{fs, path::Path, time::Duration};

use conclave_protocol::{
    Epoch,
    signal::{ClientMessage, RuleChange, ServerMessage},
};
use conclave_signalling::{
    Limits, Server, ServerConfig,
    files::{FileLimits, FilesConfig},
};
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, body::Bytes};
use rig::{loopback_config, metric, metric_becomes, request_at};
use sharer::{Sharer, chunks, problem, sealed};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

const MIB: u64 = 1 << 20;

fn start(limits: FileLimits) -> Server {
    start_in(None, limits)
}

fn start_in(data: Option<&Path>, limits: FileLimits) -> Server {
    let config = ServerConfig {
        data_dir: data.map(Path::to_owned),
        files: FilesConfig {
            bucket: None,
            limits,
        },
        ..loopback_config()
    };
    Server::start_with_limits(config, Limits::default()).expect("a server on loopback")
}

/// No more is left free than there is on a small machine.
fn limits() -> FileLimits {
    FileLimits {
        disk_reserve: 0,
        ..FileLimits::default()
    }
}

async fn enter(server: &Server, room: &str) -> Sharer {
    Sharer::join(&server.http_address().to_string(), room).await
}

#[tokio::test]
async fn a_file_goes_up_in_any_order_and_comes_down_in_parts() {
    let server = start(limits());
    let (ada, grace) = (
        enter(&server, "garden").await,
        enter(&server, "garden").await,
    );
    let bytes = sealed(2 * MIB + 500);
    let all: Vec<&[u8]> = chunks(&bytes).collect();
    let file = ada.declared(bytes.len() as u64).await;
    assert_eq!(ada.missing(&file).await, [(0, 3)]);
    for number in [2, 0] {
        let stored = ada.put(&file, number, all[number as usize]).await;
        assert_eq!(stored.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(ada.missing(&file).await, [(1, 2)]);
    let early = grace.get(&file, &[]).await;
    assert_eq!(
        (early.status(), problem(&early).as_str()),
        (StatusCode::CONFLICT, "incomplete")
    );

    // Again the same is as good as once; something else is not.
    assert_eq!(
        ada.put(&file, 0, all[0]).await.status(),
        StatusCode::NO_CONTENT
    );
    let other = ada.put(&file, 0, all[1]).await;
    assert_eq!(
        (other.status(), problem(&other).as_str()),
        (StatusCode::CONFLICT, "other-bytes")
    );
    assert_eq!(
        ada.put(&file, 1, all[1]).await.status(),
        StatusCode::NO_CONTENT
    );
    assert!(ada.missing(&file).await.is_empty());

    let whole = grace.get(&file, &[]).await;
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    assert_eq!(whole.headers()["cache-control"], "no-store");
    assert!(whole.body() == &bytes, "other bytes than were sent");
    for (range, start, end) in [
        ("bytes=0-9", 0, 10),
        ("bytes=1048580-2097200", 1_048_580, 2_097_201),
    ] {
        let part = grace.get(&file, &[("range", range)]).await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        let told = format!("bytes {start}-{}/{}", end - 1, bytes.len());
        assert_eq!(part.headers()["content-range"], told.as_str());
        assert!(part.body() == &bytes[start..end], "{range}");
    }
    let outside = grace.get(&file, &[("range", "bytes=99999999-")]).await;
    assert_eq!(problem(&outside), "out-of-range");
    assert_eq!(
        outside.headers()["content-range"],
        format!("bytes */{}", bytes.len()).as_str()
    );
    let head = grace.ask(Method::HEAD, &format!("/{file}"), &[], "").await;
    assert_eq!(
        head.headers()["content-length"],
        bytes.len().to_string().as_str()
    );
    assert!(head.body().is_empty());

    assert_eq!(
        metric(&server, "conclave_files_stored_bytes", "").await,
        bytes.len() as f64
    );
    assert_eq!(
        metric(&server, "conclave_files_chunks_total", "stored").await,
        3.0
    );
    assert_eq!(
        metric(&server, "conclave_files_chunks_total", "repeated").await,
        1.0
    );
    assert_eq!(problem(&grace.delete(&file).await), "not-yours");
    assert_eq!(ada.delete(&file).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(problem(&grace.get(&file, &[]).await), "no-such-file");
    assert_eq!(
        metric(&server, "conclave_files_stored_bytes", "").await,
        0.0
    );
    server.shutdown().await;
}

#[tokio::test]
async fn nobody_outside_of_the_room_has_its_files() {
    let server = start(limits());
    let (ada, stranger) = (enter(&server, "garden").await, enter(&server, "roof").await);
    let bytes = sealed(10);
    let file = ada.send(&bytes).await;
    let begun = ada.declared(26).await;
    for answer in [
        stranger.get(&file, &[]).await,
        stranger.put(&begun, 0, &bytes).await,
        stranger.delete(&begun).await,
        stranger
            .ask(Method::GET, &format!("/{file}/chunks"), &[], "")
            .await,
    ] {
        assert_eq!(
            (answer.status(), problem(&answer).as_str()),
            (StatusCode::NOT_FOUND, "no-such-file")
        );
    }
    for credentials in [
        None,
        Some("Bearer "),
        Some("Bearer AAAA"),
        Some("Basic QTpC"),
        Some(&*format!("Bearer {}", "A".repeat(43))),
    ] {
        let mut request = Request::get(format!("/api/v1/files/{file}"));
        if let Some(credentials) = credentials {
            request = request.header("authorization", credentials);
        }
        let request = request.body(Full::<Bytes>::default()).expect("a request");
        let answer = request_at(&ada.address, request).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{credentials:?}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    }
    // Whoever has left is nobody.
    let (address, token) = (ada.address.clone(), ada.token.clone());
    ada.leave().await;
    let late = Request::get(format!("/api/v1/files/{file}"))
        .header("authorization", format!("Bearer {token}"))
        .body(Full::<Bytes>::default())
        .expect("a request");
    assert_eq!(
        request_at(&address, late).await.status(),
        StatusCode::UNAUTHORIZED
    );
    server.shutdown().await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_what_to_do() {
    let server = start(FileLimits {
        per_file: 3 * MIB,
        per_participant: 4 * MIB,
        per_room: 5 * MIB,
        in_all: 6 * MIB,
        ..limits()
    });
    let (ada, grace, other) = (
        enter(&server, "garden").await,
        enter(&server, "garden").await,
        enter(&server, "roof").await,
    );
    let expect = async |who: &Sharer, bytes: u64, status: StatusCode, kind: &str| {
        let refused = who.declare(bytes).await;
        assert_eq!(
            (refused.status(), problem(&refused).as_str()),
            (status, kind)
        );
    };
    let large = StatusCode::PAYLOAD_TOO_LARGE;
    let full = StatusCode::INSUFFICIENT_STORAGE;
    expect(&ada, 4 * MIB, large, "file-too-large").await;
    let first = ada.declared(3 * MIB).await;
    expect(&ada, 3 * MIB, full, "participant-quota").await;
    expect(&grace, 3 * MIB, full, "room-quota").await;
    other.declared(2 * MIB).await;
    expect(&other, 2 * MIB, full, "server-quota").await;
    // What is deleted makes room.
    assert_eq!(ada.delete(&first).await.status(), StatusCode::NO_CONTENT);
    ada.declared(3 * MIB).await;
    assert_eq!(
        metric(&server, "conclave_files_refused_total", "room-quota").await,
        1.0
    );

    for body in [
        "",
        "{}",
        "{\"bytes\":15}",
        "{\"bytes\":-1}",
        "{\"bytes\":1048593}",
        "{\"bytes\":20,\"name\":\"secret.pdf\"}",
        &"x".repeat(5000),
    ] {
        let refused = ada.ask(Method::POST, "", &[], body.to_owned()).await;
        assert_eq!(problem(&refused), "malformed", "{body}");
    }
    server.shutdown().await;

    let off = start(FileLimits {
        per_file: 0,
        ..limits()
    });
    let refused = enter(&off, "garden").await.declare(20).await;
    assert_eq!(
        (refused.status(), problem(&refused).as_str()),
        (StatusCode::FORBIDDEN, "switched-off")
    );
    off.shutdown().await;
    let full = start(FileLimits {
        disk_reserve: u64::MAX,
        ..limits()
    });
    let refused = enter(&full, "garden").await.declare(20).await;
    assert_eq!(problem(&refused), "disk-full");
    full.shutdown().await;
}

#[tokio::test]
async fn a_chunk_has_the_length_of_its_place() {
    let server = start(limits());
    let ada = enter(&server, "garden").await;
    let bytes = sealed(MIB + 5);
    let file = ada.declared(bytes.len() as u64).await;
    let all: Vec<&[u8]> = chunks(&bytes).collect();
    for (number, chunk) in [(0, all[1]), (1, all[0]), (1, &all[1][1..]), (0, &[])] {
        assert_eq!(
            problem(&ada.put(&file, number, chunk).await),
            "wrong-length"
        );
    }
    assert_eq!(problem(&ada.put(&file, 2, all[1]).await), "no-such-chunk");
    assert_eq!(
        problem(&ada.put("0".repeat(32).as_str(), 0, all[1]).await),
        "no-such-file"
    );
    assert_eq!(
        problem(&ada.ask(Method::PUT, &format!("/{file}"), &[], "").await),
        "wrong-method"
    );
    assert_eq!(ada.missing(&file).await, [(0, 2)]);
    server.shutdown().await;
}

#[tokio::test]
async fn a_chunk_that_trickles_in_is_given_up() {
    let server = start(FileLimits {
        chunk_within: Duration::from_millis(300),
        transfers_per_participant: 1,
        ..limits()
    });
    let ada = enter(&server, "garden").await;
    let file = ada.declared(1000).await;
    let mut slow = TcpStream::connect(&ada.address).await.expect("it listens");
    let head = format!(
        "PUT /api/v1/files/{file}/0 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 1000\r\n\r\nhalf",
        ada.token
    );
    slow.write_all(head.as_bytes()).await.expect("written");
    sleep(Duration::from_millis(100)).await;
    // Meanwhile it takes the place that there is.
    assert_eq!(problem(&ada.put(&file, 0, &[0; 1000]).await), "too-many");
    let mut answer = vec![0; 4096];
    let read = timeout(Duration::from_secs(5), slow.read(&mut answer)).await;
    let read = read.expect("in time").expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(
        ada.put(&file, 0, &[0; 1000]).await.status(),
        StatusCode::NO_CONTENT
    );
    server.shutdown().await;
}

fn kept_in(folder: &Path) -> usize {
    fs::read_dir(folder.join("files"))
        .expect("a folder")
        .count()
}

#[tokio::test]
async fn files_expire_and_nothing_is_left_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start_in(
        Some(folder.path()),
        FileLimits {
            kept: Duration::from_secs(3),
            swept_every: Duration::from_millis(100),
            ..limits()
        },
    );
    let ada = enter(&server, "garden").await;
    let file = ada.send(&sealed(MIB + 1)).await;
    assert_eq!(kept_in(folder.path()), 1);
    metric_becomes(&server, "conclave_files_stored_bytes", "", 0.0).await;
    assert_eq!(problem(&ada.get(&file, &[]).await), "no-such-file");
    assert_eq!(kept_in(folder.path()), 0);
    server.shutdown().await;
}

/// As after a backup was restored that is older than a file.
#[tokio::test]
async fn what_stands_in_no_record_is_deleted_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start_in(Some(folder.path()), limits());
    let ada = enter(&server, "garden").await;
    let file = ada.send(&sealed(10)).await;
    server.shutdown().await;
    let files = folder.path().join("files");
    let stray = files.join("00000000000000000000000000000000");
    fs::create_dir(&stray).expect("made");
    fs::write(stray.join("00000000"), "bytes").expect("written");
    // Nothing of ours is touched.
    fs::write(files.join("note"), "by the operator").expect("written");

    let server = start_in(Some(folder.path()), limits());
    for _ in 0..200 {
        if !stray.exists() {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(!stray.exists(), "it is still there");
    assert!(files.join(file).exists() && files.join("note").exists());
    server.shutdown().await;
}

#[tokio::test]
async fn who_waits_before_a_guarded_door_shares_no_files() {
    let server = start(limits());
    let mut ada = enter(&server, "garden").await;
    let state = || rig::sealed("state");
    ada.say(&ClientMessage::CreateGroup {
        group_info: state(),
    })
    .await;
    ada.say(&ClientMessage::Commit {
        epoch: Epoch::new(0),
        commit: state(),
        group_info: Some(state()),
        admission: None,
        rules: Some(RuleChange {
            guarded: true,
            removed: None,
            lock: None,
        }),
    })
    .await;
    ada.hear(|message| matches!(message, ServerMessage::Committed { .. }).then_some(()))
        .await;
    let outside = enter(&server, "garden").await;
    let refused = outside.declare(26).await;
    assert_eq!(
        (refused.status(), problem(&refused).as_str()),
        (StatusCode::FORBIDDEN, "not-let-in")
    );
    ada.send(&sealed(10)).await;
    server.shutdown().await;
}

#[tokio::test]
async fn files_go_some_time_after_everybody_has_gone() {
    let server = start(FileLimits {
        kept_after_call: Duration::ZERO,
        swept_every: Duration::from_millis(100),
        ..limits()
    });
    let ada = enter(&server, "garden").await;
    let grace = enter(&server, "roof").await;
    let file = grace.send(&sealed(1)).await;
    ada.send(&sealed(100)).await;
    ada.leave().await;
    metric_becomes(&server, "conclave_files_stored_bytes", "", 17.0).await;
    assert_eq!(
        grace.get(&file, &[]).await.status(),
        StatusCode::OK,
        "somebody is there"
    );
    server.shutdown().await;
}
