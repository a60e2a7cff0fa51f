//! Servers that are killed, and disks that are full.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use conclave_protocol::signal::{ClientMessage, ServerMessage};
use hyper::StatusCode;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    MIB,
    rig::sealed as opaque,
    sharer::{Sharer, chunks, problem, sealed},
};

/// A server that can be killed.
struct Mortal(Child);

impl Mortal {
    async fn start(command: &mut Command, address: &str) -> Self {
        let args = ["--listen", address, "--media-port", "0"];
        let child = command
            .args(args)
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let up = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), up)
            .await
            .expect("it listens");
        Self(child)
    }
}

impl Drop for Mortal {
    /// SIGKILL: nothing is written on the way out.
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn free_address() -> String {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("bound").to_string()
}

#[tokio::test]
async fn an_upload_goes_on_after_the_server_was_killed_in_the_middle_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = free_address();
    let conclave = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
        command
            .arg("--data")
            .arg(folder.path())
            .args(["--files-leave-free", "0"]);
        command
    };
    let bytes = sealed(5 * MIB);
    let all: Vec<&[u8]> = chunks(&bytes).collect();
    let server = Mortal::start(&mut conclave(), &address).await;
    let ada = Sharer::join(&address, "garden").await;
    let file = ada.declared(bytes.len() as u64).await;
    for number in [0, 3] {
        assert_eq!(
            ada.put(&file, number, all[number as usize]).await.status(),
            StatusCode::NO_CONTENT
        );
    }
    // Another one is half way there.
    let mut half = TcpStream::connect(&address).await.expect("it listens");
    let head = format!(
        "PUT /api/v1/files/{file}/1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        ada.token,
        all[1].len()
    );
    half.write_all(head.as_bytes()).await.expect("written");
    half.write_all(&all[1][..all[1].len() / 2])
        .await
        .expect("written");
    drop(server);

    let _server = Mortal::start(&mut conclave(), &address).await;
    let again = Sharer::join(&address, "garden").await;
    assert_eq!(again.missing(&file).await, [(1, 3), (4, 5)]);
    for number in [1, 2, 4] {
        assert_eq!(
            again
                .put(&file, number, all[number as usize])
                .await
                .status(),
            StatusCode::NO_CONTENT
        );
    }
    assert!(
        again.get(&file, &[]).await.body() == &bytes,
        "other bytes than were sent"
    );
}

/// On a disk of its own, of 12 MB.
#[tokio::test]
async fn a_full_disk_is_a_clear_error_and_harms_no_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = free_address();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "--kill-child", "sh", "-c"]);
    command.arg("mount -t tmpfs -o size=12m conclave \"$0\" && exec \"$@\"");
    command
        .arg(folder.path())
        .arg(env!("CARGO_BIN_EXE_conclave"));
    command
        .arg("--data")
        .arg(folder.path())
        .args(["--files-leave-free", "4MiB"]);
    let server = Mortal::start(&mut command, &address).await;
    let mut ada = Sharer::join(&address, "garden").await;
    ada.say(&ClientMessage::CreateGroup {
        group_info: opaque("g0"),
    })
    .await;

    // What does not fit is not begun.
    assert_eq!(problem(&ada.declare(9 * MIB).await), "disk-full");
    // Two that fit, each for itself; then something else takes their room.
    let file = ada.declared(5 * MIB).await;
    let bytes = sealed(5 * MIB - 5 * 16);
    let all: Vec<&[u8]> = chunks(&bytes).collect();
    assert_eq!(
        ada.put(&file, 0, all[0]).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        problem(&ada.declare(5 * MIB).await),
        "disk-full",
        "what is promised counts"
    );
    let filler = format!(
        "/proc/{}/root{}/filler",
        root_of(&server),
        folder.path().display()
    );
    fs::write(&filler, vec![1; 6 << 20]).expect("it fits");
    let refused = ada.put(&file, 1, all[1]).await;
    assert_eq!(
        (refused.status(), problem(&refused).as_str()),
        (StatusCode::INSUFFICIENT_STORAGE, "disk-full")
    );
    // The call goes on, and so does the upload when there is room again.
    ada.say(&ClientMessage::Send {
        message: opaque("still here"),
    })
    .await;
    ada.hear(|message| matches!(message, ServerMessage::Delivered { .. }).then_some(()))
        .await;
    fs::remove_file(&filler).expect("deleted");
    for number in 1..5 {
        assert_eq!(
            ada.put(&file, number, all[number as usize]).await.status(),
            StatusCode::NO_CONTENT
        );
    }
    assert!(
        ada.get(&file, &[]).await.body() == &bytes,
        "other bytes than were sent"
    );
}

/// The process that sees the disk: `unshare` becomes it, or its parent.
fn root_of(server: &Mortal) -> u32 {
    let id = server.0.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let first = children
        .ok()
        .and_then(|all| all.split_whitespace().next()?.parse().ok());
    first.unwrap_or(id)
}
