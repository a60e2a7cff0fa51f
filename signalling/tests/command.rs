//! The `conclave` command as people start and stop it.

#![allow(clippy::expect_used)]

mod rig;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Command, Output},
    time::Duration,
};

use rig::{
    daemon::free_port,
    running::{Running, conclave, get},
};

fn refused(command: &mut Command) -> String {
    let Output {
        status,
        stderr,
        stdout,
    } = command.output().expect("it starts");
    let stderr = String::from_utf8(stderr).expect("text");
    assert!(!status.success(), "{stderr}");
    assert!(stdout.is_empty(), "nothing was ready");
    stderr
}

#[test]
fn both_signals_end_it_cleanly_with_a_client_connected() {
    for signal in ["INT", "TERM"] {
        let server =
            Running::start(conclave().args(["--listen", "127.0.0.1:0", "--media-port", "0"]));
        assert!(get(&server.address, "/readyz").starts_with("HTTP/1.1 200"));
        for said in [
            "open     http://localhost:",
            "/metrics",
            "UDP and TCP port ",
        ] {
            assert!(server.said.contains(said), "{}", server.said);
        }
        assert!(!server.said.contains("TCP port 0"), "{}", server.said);
        let mut idle = TcpStream::connect(&server.address).expect("it listens");
        let mut socket = TcpStream::connect(&server.address).expect("it listens");
        write!(
            socket,
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            server.address
        )
        .expect("written");
        let mut head = [0; 12];
        socket.read_exact(&mut head).expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 101");
        server.signal(signal);
        let (code, log, took) = server.wait();
        assert_eq!(code, Some(0), "{signal}: {log}");
        assert!(took < Duration::from_secs(8), "{signal}: {took:?}");
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).ok();
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.contains("shutting_down"), "{signal}: {rest}");
        assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
    }
}

#[test]
fn flags_come_from_the_environment_too_and_the_data_folder_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("deep/data");
    let server = Running::start(
        conclave()
            .env("CONCLAVE_LISTEN", "127.0.0.1:0")
            .env("CONCLAVE_MEDIA_PORT", "0")
            .env("CONCLAVE_PUBLIC_ADDRESS", "192.0.2.1,2001:db8::1")
            .env("CONCLAVE_DATA", &data)
            .args(["--log", "json"]),
    );
    server.signal("TERM");
    let (code, log, _) = server.wait();
    assert_eq!(code, Some(0), "{log}");
    let messages: Vec<_> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|entry| entry["fields"]["message"].clone())
        .collect();
    assert_eq!(messages, ["taking no new calls", "shutting down"]);
    assert!(data.join("conclave.sqlite").is_file());
}

#[test]
fn a_taken_port_is_named_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let said = refused(conclave().args(["--listen", &address, "--media-port", "0"]));
    assert!(said.contains(&address), "{said}");
    assert!(
        said.contains("--listen") && said.contains("another"),
        "{said}"
    );

    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let said = refused(conclave().args(["--listen", "127.0.0.1:0", "--media-port", &port]));
    assert!(said.contains(&port), "{said}");
}

#[test]
fn impossible_values_are_refused() {
    for wrong in [
        ["--listen", "nowhere"],
        ["--listen", "127.0.0.1"],
        ["--media-port", "70000"],
        ["--public-address", "example.org"],
        ["--data", "/dev/null/data"],
        ["--colour", "blue"],
    ] {
        let said = refused(conclave().args(wrong));
        assert!(said.contains(wrong[0]), "{wrong:?}: {said}");
    }
}

/// A folder with a certificate for localhost and its key.
fn certificate() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let write = |name, text: String| {
        std::fs::write(folder.path().join(name), text).expect("written");
    };
    write("cert.pem", made.cert.pem());
    write("key.pem", made.signing_key.serialize_pem());
    folder
}

/// Whether an answer tells browsers to come by https from now on.
fn is_to_come_back_by_https(url: &str, certificate: &str) -> bool {
    let pem = std::fs::read(certificate).expect("readable");
    let root = ureq::tls::Certificate::from_pem(&pem).expect("a certificate");
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::from([root]))
        .unversioned_rustls_crypto_provider(std::sync::Arc::new(provider))
        .build();
    let agent = ureq::Agent::config_builder().tls_config(tls).build();
    let answer = agent.new_agent().get(url).call().expect("an answer");
    let header = answer.headers().get("strict-transport-security");
    header.is_some_and(|value| value.as_bytes().starts_with(b"max-age="))
}

#[test]
fn with_a_certificate_it_speaks_https_and_sends_everyone_there() {
    let folder = certificate();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let redirect = format!("127.0.0.1:{}", free_port(Ipv4Addr::LOCALHOST));
    let settings = format!(
        "listen = \"127.0.0.1:0\"\nmedia-port = 0\ntls-certificate = {:?}\ntls-key = {:?}\n\
         redirect-http = {redirect:?}\n",
        file("cert.pem"),
        file("key.pem"),
    );
    std::fs::write(file("conclave.toml"), settings).expect("written");
    let server = Running::start(conclave().args(["--config", &file("conclave.toml")]));
    assert!(
        server.said.contains("https://localhost:"),
        "{}",
        server.said
    );

    let moved = get(&redirect, "/r/standup");
    assert!(moved.starts_with("HTTP/1.1 308"), "{moved}");
    let port = server
        .address
        .rsplit_once(':')
        .expect("a port")
        .1
        .to_owned();
    let there = format!("location: https://127.0.0.1:{port}/r/standup");
    assert!(moved.to_lowercase().contains(&there), "{moved}");

    let url = format!("https://localhost:{port}");
    let verified = conclave()
        .args(["verify-client", &url, "--ca", &file("cert.pem")])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success(), "{said}");
    assert!(
        said.contains("serves the client that is expected"),
        "{said}"
    );
    assert!(is_to_come_back_by_https(&url, &file("cert.pem")));

    // Whoever speaks plain http there gets no answer, and harms nobody.
    let mut plain = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("written");
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).ok();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn a_file_of_settings_is_checked_without_starting_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("conclave.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).expect("written");
        let mut command = conclave();
        command.args(["config", "check"]).arg(&path);
        command.output().expect("it runs")
    };
    let example = conclave()
        .args(["config", "example"])
        .output()
        .expect("it runs");
    let example = String::from_utf8(example.stdout).expect("text");
    assert!(example.contains("# media-port = 3478"), "{example}");
    assert!(check(&example).status.success());
    for (text, expected) in [
        (
            "media_port = 1",
            "line 1: there is no setting media_port: did you mean media-port?",
        ),
        (
            "tls-key = \"key.pem\"",
            "--tls-certificate and --tls-key go together",
        ),
        ("= 1", "line 1"),
    ] {
        let Output { status, stderr, .. } = check(text);
        let said = String::from_utf8_lossy(&stderr);
        assert!(
            !status.success() && said.contains(expected),
            "{text}: {said}"
        );
        assert!(said.contains("conclave.toml"), "{said}");
    }
    std::fs::write(&path, "media_port = 1").expect("written");
    let said = refused(conclave().arg("--config").arg(&path));
    assert!(said.contains("did you mean"), "{said}");
    let example = conclave()
        .env("CONCLAVE_CONFIG", &path)
        .args(["config", "example"])
        .output();
    assert!(
        example.expect("it runs").status.success(),
        "it serves nothing"
    );
    let said = refused(conclave().args(["--config", "/nowhere.toml"]));
    assert!(
        said.contains("cannot read the settings /nowhere.toml"),
        "{said}"
    );
}

#[test]
fn plain_http_is_refused_where_others_can_reach_it_unless_told_so() {
    let open = ["--listen", "0.0.0.0:0", "--media-port", "0"];
    let said = refused(conclave().args(open));
    assert!(
        said.contains("--plain-http") && said.contains("--tls-certificate"),
        "{said}"
    );
    let server = Running::start(conclave().args(open).arg("--plain-http"));
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));
}

fn run(command: &mut Command) -> (bool, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("it runs");
    let said = String::from_utf8(stdout).expect("text") + &String::from_utf8_lossy(&stderr);
    (status.success(), said)
}

#[test]
fn the_doctor_says_what_is_in_the_way_and_how_to_change_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let doctor = || {
        let mut command = conclave();
        command.args(["doctor", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(folder.path());
        command
    };
    let (well, said) = run(doctor().args(["--media-port", "0"]));
    assert!(well, "{said}");
    for what in [
        "front door",
        "media addresses",
        "open files",
        "UDP offload",
        "data folder",
    ] {
        assert!(said.contains(&format!("  {what}: ")), "{what}: {said}");
    }

    let taken = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let (well, said) = run(doctor().args(["--media-port", &port]));
    assert!(!well, "{said}");
    assert!(said.contains("BAD       media port:"), "{said}");
    assert!(said.contains("choose another with --media-port"), "{said}");

    // As the server has them, in a file.
    let path = folder.path().join("conclave.toml");
    std::fs::write(&path, format!("media-port = {port}\n")).expect("written");
    let (well, said) = run(doctor().arg("--config").arg(&path));
    assert!(!well && said.contains("BAD       media port:"), "{said}");
}

#[test]
fn a_backup_is_made_under_a_running_server_and_brought_back_under_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let file = folder.path().join("backup");
    let server = Running::start(
        conclave()
            .args(["--listen", "127.0.0.1:0", "--media-port", "0", "--data"])
            .arg(&data),
    );
    let backup = || {
        let mut command = conclave();
        command.args(["backup", "--data"]).arg(&data).arg(&file);
        command
    };
    let (done, said) = run(&mut backup());
    assert!(done && said.contains("0 rooms"), "{said}");
    let (done, said) = run(&mut backup());
    assert!(!done && said.contains("left as it is"), "{said}");

    let restore = || {
        let mut command = conclave();
        command.args(["restore", "--data"]).arg(&data).arg(&file);
        command
    };
    let (done, said) = run(&mut restore());
    assert!(!done && said.contains("another conclave uses"), "{said}");
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));
    let (done, said) = run(&mut restore());
    assert!(!done && said.contains("--replace"), "{said}");
    let (done, said) = run(restore().arg("--replace"));
    assert!(done, "{said}");
}
