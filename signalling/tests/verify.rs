//! `conclave verify-client` before servers that are honest, and before servers that are not.

#![allow(clippy::expect_used)]

mod rig;

use std::{
    convert::Infallible,
    fs, io,
    io::{Read, Write},
    net::{self, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use conclave_signalling::Server;
use http_body_util::{Empty, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{
        CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
        HeaderValue, LINK, LOCATION, USER_AGENT,
    },
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rig::*;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, task::spawn_blocking};

const LIST: &str = "/.well-known/conclave/client.json";

fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/dist")
}

/// The list of the client that was built here.
fn list() -> Vec<u8> {
    fs::read(dist().join(&LIST[1..])).expect("a built client: run make web")
}

/// A file of the client, by the beginning and the end of its path.
fn file(begin: &str, end: &str) -> String {
    let list: serde_json::Value = serde_json::from_slice(&list()).expect("JSON");
    let files = list["files"].as_object().expect("files");
    let found = files
        .keys()
        .find(|p| p.starts_with(begin) && p.ends_with(end));
    found.expect("there is one").clone()
}

/// What the command says, and whether it is content.
async fn verify(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
    command.arg("verify-client").args(arguments);
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    // As in a container that is told how to serve.
    command.env("CONCLAVE_LISTEN", "0.0.0.0:8080");
    let output = spawn_blocking(move || command.output().expect("it starts"))
        .await
        .expect("no panic");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("text");
    let code = output.status.code().expect("it ends by itself");
    assert!(code <= 1, "{said}");
    (code == 0, said)
}

/// A forgery: changes what a server answers.
type Forge = fn(&Parts, &mut Response<Bytes>);

/// A server that passes on what another one answers, and forges some of it.
async fn forger(server: Arc<Server>, forge: Forge) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let service = service_fn(move |asked| pass_on(Arc::clone(&server), forge, asked));
                http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await
            });
        }
    });
    address
}

async fn pass_on(
    server: Arc<Server>,
    forge: Forge,
    asked: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, _) = asked.into_parts();
    let passed = Request::from_parts(head.clone(), Empty::new());
    let mut response = request(&server, passed).await;
    forge(&head, &mut response);
    response.headers_mut().remove(CONTENT_LENGTH);
    Ok(response.map(Full::new))
}

fn swap_body(response: &mut Response<Bytes>, change: impl FnOnce(String) -> String) {
    let text = String::from_utf8(response.body().to_vec()).expect("plain text");
    *response.body_mut() = Bytes::from(change(text));
}

fn is_plain(response: &Response<Bytes>) -> bool {
    !response.headers().contains_key(CONTENT_ENCODING)
}

fn set(response: &mut Response<Bytes>, name: HeaderName, value: &'static str) {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_the_same_build_is_genuine() {
    let server = start();
    let url = format!("http://{}", server.http_address());
    let folder = dist();
    let folder = folder.to_str().expect("text");
    let hash = hex::encode(Sha256::digest(list()));
    for more in [&[][..], &["--dist", folder], &["--hash", &hash]] {
        let (genuine, said) = verify(&[&[&url[..]], more].concat()).await;
        assert!(genuine, "{said}");
        let shown: String = said.split_whitespace().collect();
        assert!(shown.contains(&hash), "{said}");
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_is_served_where_it_is_looked_for() {
    let server = start();
    let response = get(&server, LIST).await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "application/json; charset=utf-8"
    );
    assert_eq!(response.headers()["cache-control"], "no-cache");
    assert_eq!(*response.body(), list());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_server_forges_is_named() {
    let forgeries: &[(&str, Forge, &[&str])] = &[
        (
            "another script",
            |asked, response| {
                if asked.uri.path().ends_with(".js") && is_plain(response) {
                    swap_body(response, |text| text + "\n");
                }
            },
            &["different", "assets/index-", "with identity", ".js"],
        ),
        (
            "another script in one coding, for one browser",
            |asked, response| {
                let agent = asked.headers[USER_AGENT].to_str().expect("text");
                let coding = response.headers().get(CONTENT_ENCODING);
                let is_meant = agent.contains("Firefox") && coding.is_some_and(|c| c == "gzip");
                if asked.uri.path().ends_with(".js") && is_meant {
                    response.headers_mut().remove(CONTENT_ENCODING);
                    swap_body_bytes(response, b"alert(1)");
                }
            },
            &["different", "(only for Firefox with gzip)"],
        ),
        (
            "another page for a call",
            |asked, response| {
                if asked.uri.path().starts_with("/r/") && is_plain(response) {
                    swap_body(response, |page| {
                        page.replace("<body>", "<body><script>1</script>")
                    });
                }
            },
            &["different", "/r/"],
        ),
        (
            "a file that is not there",
            |asked, response| {
                if asked.uri.path().ends_with(".wasm") {
                    *response.status_mut() = StatusCode::NOT_FOUND;
                }
            },
            &["missing (404)", ".wasm"],
        ),
        (
            "a page elsewhere",
            |asked, response| {
                if asked.uri.path() == "/" {
                    *response.status_mut() = StatusCode::FOUND;
                    set(response, LOCATION, "https://evil.example/");
                }
            },
            &["sent elsewhere (302)", "\n  /"],
        ),
        (
            "one file more",
            |asked, response| {
                if asked.uri.path() == LIST && is_plain(response) {
                    let more = format!(r#"{{"files":{{"a.js":"{}","#, "00".repeat(32));
                    swap_body(response, |list| list.replace(r#"{"files":{"#, &more));
                }
            },
            &["extra", "\n  a.js", "client.json"],
        ),
        (
            "a weaker policy",
            |_, response| {
                let policy = "default-src *; script-src * 'unsafe-inline'";
                set(response, CONTENT_SECURITY_POLICY, policy);
            },
            &[
                "content-security-policy",
                "'unsafe-inline'",
                "default-src 'none'",
            ],
        ),
        (
            "no isolation",
            |_, response| {
                drop(response.headers_mut().remove("cross-origin-opener-policy"));
            },
            &["header cross-origin-opener-policy is missing"],
        ),
        (
            "a script as something else",
            |asked, response| {
                if asked.uri.path().ends_with(".js") {
                    set(response, CONTENT_TYPE, "text/html");
                }
            },
            &["header content-type is \"text/html\"", "text/javascript"],
        ),
        (
            "a style beside the page",
            |_, response| set(response, LINK, "</evil.css>; rel=stylesheet"),
            &["header link changes what the page is", "evil.css"],
        ),
        (
            "an unknown coding",
            |_, response| set(response, CONTENT_ENCODING, "zstd"),
            &["sent in \"zstd\"", "index.html"],
        ),
    ];
    let server = Arc::new(start());
    for (what, forge, named) in forgeries {
        let address = forger(Arc::clone(&server), *forge).await;
        let (genuine, said) = verify(&[&format!("http://{address}")]).await;
        assert!(!genuine, "{what}: {said}");
        assert!(said.contains("does NOT serve"), "{what}: {said}");
        for name in *named {
            assert!(said.contains(name), "{what}: {name} in\n{said}");
        }
    }
    // The forger itself changes nothing that matters.
    let address = forger(server, |_, _| {}).await;
    let (genuine, said) = verify(&[&format!("http://{address}/")]).await;
    assert!(genuine, "{said}");
}

fn swap_body_bytes(response: &mut Response<Bytes>, bytes: &'static [u8]) {
    *response.body_mut() = Bytes::from_static(bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_held_to_another_build_as_well() {
    let server = start();
    let url = format!("http://{}", server.http_address());
    let (genuine, said) = verify(&[&url, "--hash", &"0".repeat(64)]).await;
    assert!(!genuine && said.contains("expected 0000 0000"), "{said}");

    // A build whose style sheet is another one.
    let other = tempfile::tempdir().expect("a folder");
    let style = file("assets/", ".css");
    for entry in ["index.html", &style, &LIST[1..]] {
        let place = other.path().join(entry);
        fs::create_dir_all(place.parent().expect("a folder")).expect("made");
        fs::copy(dist().join(entry), place).expect("copied");
    }
    let folder = other.path().to_str().expect("text");
    let (genuine, said) = verify(&[&url, "--dist", folder]).await;
    assert!(!genuine && said.contains("is not as listed"), "{said}");

    let write = |path: &str, bytes: &[u8]| fs::write(other.path().join(path), bytes);
    write(&style, b"body {}").expect("written");
    let page = fs::read(dist().join("index.html")).expect("a page");
    let hashes = [("index.html", &page[..]), (&style, b"body {}")]
        .map(|(path, bytes)| format!("\"{path}\":\"{}\"", hex::encode(Sha256::digest(bytes))));
    let list = format!("{{\"files\":{{{}}}}}", hashes.join(","));
    write(&LIST[1..], list.as_bytes()).expect("written");
    let (genuine, said) = verify(&[&url, "--dist", folder]).await;
    assert!(!genuine, "{said}");
    let (_, different) = said.split_once("different").expect("a file differs");
    assert!(different.contains(&style), "{said}");
    assert!(!different.contains("index.html"), "{said}");
    assert!(said.contains("extra") && said.contains(".wasm"), "{said}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_https_a_certificate_is_needed_that_is_trusted() {
    let server = start();
    let folder = tempfile::tempdir().expect("a folder");
    let (address, certificate) = tls_before(server.http_address());
    let ca = folder.path().join("ca.pem");
    let pem = BASE64_STANDARD.encode(certificate);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n");
    fs::write(&ca, pem).expect("written");
    let url = format!("https://localhost:{}", address.port());
    let (genuine, said) = verify(&[&url, "--ca", ca.to_str().expect("text")]).await;
    assert!(genuine, "{said}");
    let (genuine, said) = verify(&[&url]).await;
    assert!(!genuine && said.contains("could not be asked"), "{said}");
    assert!(said.contains("certificate"), "{said}");
    fs::write(&ca, "nothing").expect("written");
    let (genuine, said) = verify(&[&url, "--ca", ca.to_str().expect("text")]).await;
    assert!(!genuine && said.contains("--ca"), "{said}");
    server.shutdown().await;
}

/// A proxy that speaks TLS, one request for each connection. Its address and certificate.
fn tls_before(server: SocketAddr) -> (SocketAddr, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let certificate = made.cert.der().to_vec();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::from(key))
        .expect("a usable certificate");
    let config = Arc::new(config);
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let config = Arc::clone(&config);
            thread::spawn(move || relay(client, config, server));
        }
    });
    (address, certificate)
}

fn relay(
    client: net::TcpStream,
    config: Arc<rustls::ServerConfig>,
    server: SocketAddr,
) -> io::Result<()> {
    let tls = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
    let mut client = rustls::StreamOwned::new(tls, client);
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        asked.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&asked).replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut server = net::TcpStream::connect(server)?;
    server.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    client.write_all(&answer)?;
    client.conn.send_close_notify();
    client.flush()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_asked_is_named() {
    for (address, named) in [
        ("call.example.org", "https://call.example.org"),
        ("http://127.0.0.1:9", "127.0.0.1:9"),
    ] {
        let (genuine, said) = verify(&[address]).await;
        assert!(!genuine && said.contains(named), "{said}");
    }
}
