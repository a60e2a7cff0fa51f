//! A store that speaks Amazon's protocol and that people run: OpenStack Swift, all four of its
//! servers on one address of loopback.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use futures_util::TryStreamExt as _;
use http_body_util::Empty;
use hyper::{Method, Request, StatusCode, body::Bytes};
use object_store::{
    ObjectStore as _,
    aws::{AmazonS3, AmazonS3Builder},
    signer::Signer as _,
};
use tempfile::TempDir;

use crate::rig::{
    daemon::{Daemon, free_port, listens},
    request_at,
};

/// Nobody else's: the other tests' ports are on 127.0.0.1.
const AT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 83);

/// Who we are there, as `ACCOUNT:USER`, and what proves it.
const USER: &str = "conclave:server";
const SECRET: &str = "not-a-secret-of-anybody";
const REGION: &str = "us-east-1";
const BUCKET: &str = "calls";

/// Each of them keeps a part of what is stored.
const STORAGE: [&str; 3] = ["account", "container", "object"];

/// A running store with an empty bucket in it.
pub struct Swift {
    folder: TempDir,
    port: u16,
    proxy: Option<Daemon>,
    _storage: [Daemon; 3],
}

impl Swift {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let here = folder.path();
        fs::create_dir_all(here.join("devices/disk")).expect("a folder");
        fs::write(here.join("swift.conf"), WHOLE).expect("written");
        let storage = STORAGE.map(|name| (name, free_port(AT)));
        lay_rings(here, &storage);
        let daemons = storage.map(|(name, port)| {
            let pipeline = format!("[pipeline:main]\npipeline = {name}-server\n\n");
            let app = format!("[app:{name}-server]\nuse = egg:swift#{name}\n");
            serve(here, name, port, &(pipeline + &app))
        });
        let mut this = Self {
            port: free_port(AT),
            folder,
            proxy: None,
            _storage: daemons,
        };
        this.answer_again().await;
        for (name, port) in storage {
            assert!(
                listens(AT, port).await,
                "{}",
                said(this.folder.path(), name)
            );
        }
        this.make_bucket().await;
        this
    }

    /// Nobody listens any more.
    pub fn fall_silent(&mut self) {
        self.proxy = None;
    }

    pub async fn answer_again(&mut self) {
        let here = self.folder.path();
        self.proxy = Some(serve(here, "proxy", self.port, PROXY));
        assert!(listens(AT, self.port).await, "{}", said(here, "proxy"));
    }

    /// Where `conclave` is to keep files.
    pub fn place(&self) -> String {
        format!("s3://{BUCKET}/of/ours")
    }

    /// What `conclave` is told in its environment.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ACCESS_KEY_ID", USER.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
            ("AWS_REGION", REGION.into()),
            ("AWS_ENDPOINT", self.endpoint()),
            ("AWS_ALLOW_HTTP", "true".into()),
        ]
    }

    /// What lies in the bucket: names and lengths, in the order of the names.
    pub async fn objects(&self) -> Vec<(String, u64)> {
        let found = self.client().list(None);
        let found = found.map_ok(|object| (object.location.to_string(), object.size));
        let mut found: Vec<_> = found.try_collect().await.expect("a list");
        found.sort();
        found
    }

    fn endpoint(&self) -> String {
        format!("http://{AT}:{}", self.port)
    }

    fn client(&self) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(self.endpoint())
            .with_allow_http(true)
            .with_region(REGION)
            .with_bucket_name(BUCKET)
            .with_access_key_id(USER)
            .with_secret_access_key(SECRET)
            .build()
            .expect("a client")
    }

    async fn make_bucket(&self) {
        let url = self
            .client()
            .signed_url(Method::PUT, &"".into(), Duration::from_secs(60))
            .await
            .expect("a signed URL");
        let address = format!("{AT}:{}", self.port);
        let made = Request::put(format!("{}?{}", url.path(), url.query().expect("signed")))
            .header("host", &address)
            .body(Empty::<Bytes>::new())
            .expect("a request");
        let made = request_at(&address, made).await;
        assert_eq!(made.status(), StatusCode::OK, "{made:?}");
    }
}

const WHOLE: &str = "[swift-hash]
swift_hash_path_suffix = of-a-test

[storage-policy:0]
name = only
default = yes
";

const PROXY: &str = "[pipeline:main]
pipeline = catch_errors s3api tempauth copy slo dlo proxy-server

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:s3api]
use = egg:swift#s3api

[filter:tempauth]
use = egg:swift#tempauth
user_conclave_server = not-a-secret-of-anybody .admin

[filter:copy]
use = egg:swift#copy

[filter:slo]
use = egg:swift#slo

[filter:dlo]
use = egg:swift#dlo

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
";

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/tools/swift/bin")
        .join(name)
}

const REMEDY: &str = "make target/tools/swift/bin/swift-proxy-server";

/// Everything lies on the one disk that there is. As `swift-ring-builder` does it, which would
/// have to be started nine times.
const RINGS: &str = "
import sys
from swift.common.ring import RingBuilder
ip, *storage = sys.argv[1:]
for name, port in zip(storage[::2], storage[1::2]):
    ring = RingBuilder(part_power=1, replicas=1, min_part_hours=1)
    ring.add_dev({'region': 1, 'zone': 1, 'ip': ip, 'port': int(port), 'device': 'disk', 'weight': 1})
    ring.rebalance()
    ring.get_ring().save(name + '.ring.gz')
";

fn lay_rings(here: &Path, storage: &[(&str, u16)]) {
    let mut python = Command::new(program("python"));
    python
        .current_dir(here)
        .args(["-c", RINGS, &AT.to_string()]);
    for (name, port) in storage {
        python.args([*name, &port.to_string()]);
    }
    let laid = python.output();
    let laid = laid.unwrap_or_else(|error| panic!("python ({REMEDY}): {error}"));
    assert!(laid.status.success(), "{laid:?}");
}

fn serve(here: &Path, name: &str, port: u16, what: &str) -> Daemon {
    let user = Command::new("id").arg("-un").output().expect("a name");
    let user = String::from_utf8(user.stdout).expect("text");
    let whole = format!(
        "[DEFAULT]\nbind_ip = {AT}\nbind_port = {port}\nworkers = 0\nuser = {user}\n\
         swift_dir = {here}\ndevices = {here}/devices\nmount_check = false\n\n{what}",
        user = user.trim(),
        here = here.display(),
    );
    let path = here.join(format!("{name}.conf"));
    fs::write(&path, whole).expect("written");
    let mut command = Command::new(program(&format!("swift-{name}-server")));
    command.arg(path).arg("--verbose");
    Daemon::start(&mut command, &here.join(format!("{name}.log")), REMEDY)
}

fn said(here: &Path, name: &str) -> String {
    fs::read_to_string(here.join(format!("{name}.log"))).unwrap_or_default()
}
