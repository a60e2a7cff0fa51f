//! A server gets its certificate from a certificate authority: Pebble, which Let's Encrypt makes
//! for such tests, with a DNS in which every name is this machine's.

#![allow(clippy::expect_used)]

mod rig;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use conclave_signalling::{FrontDoor, Server, ServerConfig, acme::AcmeConfig, files::FilesConfig};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rig::daemon::{Daemon, free_port, listens};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

const NAME: &str = "call.example";

/// How to get Pebble.
const REMEDY: &str = "scripts/setup.sh test";

/// Certificate and key of the authority's own address, and what vouches for them.
fn authority_files(folder: &Path) {
    let root_key = KeyPair::generate().expect("a key");
    let mut root = CertificateParams::new(Vec::new()).expect("parameters");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = root.self_signed(&root_key).expect("a certificate");
    fs::write(folder.join("root.pem"), certificate.pem()).expect("written");
    let issuer = Issuer::new(root, root_key);
    let key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(vec!["127.0.0.1".into()]).expect("parameters");
    let own = own.signed_by(&key, &issuer).expect("a certificate");
    fs::write(folder.join("cert.pem"), own.pem()).expect("written");
    fs::write(folder.join("key.pem"), key.serialize_pem()).expect("written");
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// The authority and its DNS. It looks for answers at `http`.
async fn authority(folder: &Path, port: u16, http: u16) -> [Daemon; 2] {
    authority_files(folder);
    let at = Ipv4Addr::LOCALHOST;
    let (dns, management) = (free_port(at), free_port(at));
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let config = serde_json::json!({"pebble": {
        "listenAddress": format!("127.0.0.1:{port}"),
        "managementListenAddress": format!("127.0.0.1:{}", free_port(at)),
        "certificate": path("cert.pem"),
        "privateKey": path("key.pem"),
        "httpPort": http,
        "tlsPort": 1,
    }});
    fs::write(folder.join("pebble.json"), config.to_string()).expect("written");
    let mut names = Command::new("pebble-challtestsrv");
    names
        .args(["-dns01", &format!("127.0.0.1:{dns}")])
        .args(["-management", &format!("127.0.0.1:{management}")])
        .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
        .args(["-defaultIPv6", ""]);
    let mut pebble = Command::new("pebble");
    pebble
        .args(["-config", &path("pebble.json")])
        .args(["-dnsserver", &format!("127.0.0.1:{dns}")])
        .env("PEBBLE_VA_NOSLEEP", "1");
    let daemons = [
        Daemon::start(&mut names, &folder.join("names.log"), REMEDY),
        Daemon::start(&mut pebble, &folder.join("pebble.log"), REMEDY),
    ];
    // Both have to be there before the first attempt: the second comes a minute later.
    for port in [dns, port] {
        assert!(listens(at, port).await, "nobody listens: {}", said(folder));
    }
    daemons
}

/// What the authority and its DNS have said.
fn said(folder: &Path) -> String {
    let read = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
    read("names.log") + &read("pebble.log")
}

/// True once the server shows a certificate for its name that the authority vouches for.
async fn is_certified(server: &Server, certificate: &Path) -> bool {
    let chain = CertificateDer::pem_file_iter(certificate).expect("a file");
    let chain: Vec<_> = chain.collect::<Result<_, _>>().expect("certificates");
    // The one that we made ourselves stands alone.
    let Some(authority) = chain.get(1) else {
        return false;
    };
    let mut trusted = RootCertStore::empty();
    trusted.add(authority.clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.http_address()).await;
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(NAME).expect("a name");
    let shaken = connector.connect(name, stream.expect("it listens")).await;
    shaken.is_ok()
}

#[tokio::test]
async fn a_certificate_comes_by_itself_and_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let at = Ipv4Addr::LOCALHOST;
    let (port, http) = (free_port(at), free_port(at));
    let _authority = authority(folder.path(), port, http).await;
    let config = ServerConfig {
        listen: local(0),
        front: FrontDoor::Automatic {
            acme: AcmeConfig {
                domains: vec![NAME.into()],
                contact: Some("operator@example.org".into()),
                directory: format!("https://127.0.0.1:{port}/dir"),
                trusted: Some(folder.path().join("root.pem")),
            },
            redirect: local(http),
        },
        media_port: 0,
        public_addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        media_threads: None,
        data_dir: Some(data.clone()),
        files: FilesConfig::default(),
    };
    let server = Server::start(config.clone()).expect("a server");
    let mut folders = fs::read_dir(data.join("acme")).expect("a folder for authorities");
    let its = folders.next().expect("one for this").expect("read");
    let certificate = its.path().join("certificate.pem");
    let comes = async {
        while !is_certified(&server, &certificate).await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let came = timeout(Duration::from_secs(30), comes).await;
    assert!(came.is_ok(), "no certificate: {}", said(folder.path()));
    server.shutdown().await;

    // The next start has it at once, and asks nobody.
    let kept = fs::read(&certificate).expect("kept");
    let server = Server::start(config).expect("a server");
    assert!(is_certified(&server, &certificate).await);
    assert_eq!(fs::read(&certificate).expect("kept"), kept);
    server.shutdown().await;
}
