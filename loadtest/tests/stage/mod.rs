//! A server in this process, and load tests against it.

#![allow(dead_code, reason = "no test needs all of it")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};

use conclave_e2ee::{Link, LinkSecret};
use conclave_loadtest::{
    bot::publish::Sabotage,
    drive::Live,
    impair::Paths,
    media::material::Library,
    report::Report,
    run::{self, Plan},
    scenario::{Scenario, built_in, group::Video},
    target::Target,
};
use conclave_protocol::RoomId;
use conclave_signalling::{FrontDoor, Server, ServerConfig, files::FilesConfig};
use serde_json::Value;
use tokio::sync::oneshot;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Late enough for a machine that compiles something else meanwhile.
const LATENESS_BOUND: Duration = Duration::from_millis(500);

/// What the command did.
pub(crate) struct Run {
    pub(crate) exit_code: i32,
    pub(crate) json: Value,
    pub(crate) said: String,
}

/// A server, and what is played on it.
pub(crate) struct Stage {
    server: Server,
    address: String,
}

/// The recordings with the known picture.
pub(crate) fn media() -> &'static Path {
    static MEDIA: OnceLock<PathBuf> = OnceLock::new();
    MEDIA.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let media = root.join("target/media");
        let made = Command::new("sh")
            .arg(root.join("scripts/media.sh"))
            .arg(&media)
            .status()
            .unwrap();
        assert!(made.success());
        media
    })
}

/// The call of a plan.
pub(crate) fn call(plan: &Plan) -> (RoomId, LinkSecret) {
    let Target::Conclave { room, secret, .. } = &plan.target else {
        panic!("{:?}", plan.target);
    };
    (room.clone(), secret.clone())
}

impl Stage {
    pub(crate) fn set() -> Self {
        let config = ServerConfig {
            front: FrontDoor::Local,
            listen: SocketAddr::new(LOOPBACK, 0),
            media_port: 0,
            public_addresses: vec![LOOPBACK],
            media_threads: None,
            data_dir: None,
            files: FilesConfig::default(),
        };
        let server = Server::start(config).unwrap();
        let address = format!("http://{}", server.http_address());
        Self { server, address }
    }

    /// Where the server is.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Stops the server; gives the address that it had.
    pub(crate) async fn strike(self) -> String {
        self.server.shutdown().await;
        self.address
    }

    /// A broadcast of the recordings with the known picture.
    pub(crate) fn plan(&self, publishers: usize, subscribers: usize) -> Plan {
        let mut scenario = built_in::scenario("broadcast").unwrap();
        scenario.bots[0].count = publishers;
        scenario.bots[1].count = subscribers;
        let sender = &mut scenario.bots[0];
        sender.camera.as_mut().unwrap().video = Some(Video::File(media().join("camera.ivf")));
        sender.microphone.as_mut().unwrap().audio = Some(media().join("voice.ogg"));
        scenario.warmup = Duration::from_secs(2);
        scenario.duration = Duration::from_secs(3);
        self.plan_of(scenario)
    }

    /// A scenario on this server, in a call of its own.
    pub(crate) fn plan_of(&self, scenario: Scenario) -> Plan {
        Plan {
            target: Target::conclave(self.address.parse().unwrap(), None, false).unwrap(),
            server_processes: Vec::new(),
            existing_call: false,
            library: Arc::new(Library::load(&scenario, false).unwrap()),
            scenario,
            name: "Bot".to_owned(),
            join_patience: Duration::from_secs(60),
            linger: Duration::ZERO,
            lateness_bound: LATENESS_BOUND,
            count_syscalls: false,
            sabotage: Sabotage::None,
            paths: Paths::default(),
            receive_offload: false,
            roams: Vec::new(),
        }
    }

    /// Runs a plan in this process.
    pub(crate) async fn run(&self, plan: &Plan) -> Report {
        self.run_with(plan, std::future::ready(())).await.0
    }

    /// Runs a plan in this process, and something else once everyone is in the call.
    pub(crate) async fn run_with<T>(
        &self,
        plan: &Plan,
        meanwhile: impl Future<Output = T>,
    ) -> (Report, T) {
        let (in_call, told) = oneshot::channel();
        let mut in_call = Some(in_call);
        let run = run::run(
            plan,
            Arc::new(Live::default()),
            |now| match now {
                run::Stage::WarmingUp(_) => {
                    let _ = in_call.take().unwrap().send(());
                }
                run::Stage::Leaving => drop(in_call.take()),
                _ => {}
            },
            std::future::pending(),
        );
        let (report, happened) = tokio::join!(run, async {
            match told.await {
                Ok(()) => Some(meanwhile.await),
                Err(_) => None,
            }
        });
        match happened {
            Some(happened) => (report, happened),
            None => panic!("nobody came into the call: {report}"),
        }
    }

    /// Runs the command on a call of its own.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Run {
        let server = ["--server", &self.address];
        command(&[&server[..], arguments].concat(), None).await
    }

    /// Runs a scenario of a file for a few seconds.
    pub(crate) async fn scenario_file(&self, path: &Path) -> Run {
        let path = path.to_str().unwrap();
        let arguments = ["--server", &self.address, "--scenario", path];
        command(&arguments, None).await
    }

    /// Runs the command in a call that is already there.
    pub(crate) async fn command_in(
        &self,
        secret: &LinkSecret,
        room: &RoomId,
        arguments: &[&str],
    ) -> Run {
        let link = Link {
            base: self.address.clone(),
            room: room.clone(),
            secret: secret.clone(),
        };
        command(arguments, Some(link)).await
    }
}

/// Runs a command that runs no bots; gives its exit code and what it said.
pub(crate) async fn said(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave-loadtest"));
    command.args(arguments).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

/// Runs the command for a few seconds.
pub(crate) async fn command(arguments: &[&str], link: Option<Link>) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("report.json");
    let bound = format!("{}ms", LATENESS_BOUND.as_millis());
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave-loadtest"));
    command
        .arg("run")
        .args(["--duration", "3s", "--warmup", "2s"])
        .arg("--json")
        .arg(&report)
        .stdin(Stdio::null());
    for (name, value) in [
        ("--video", media().join("camera.ivf").to_str().unwrap()),
        ("--audio", media().join("voice.ogg").to_str().unwrap()),
        ("--lateness-bound", &bound),
    ] {
        if !arguments.contains(&name) {
            command.args([name, value]);
        }
    }
    command.args(arguments);
    if let Some(link) = link {
        command.env("CONCLAVE_LINK", link.to_text().as_str());
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let json =
        std::fs::read(&report).map_or(Value::Null, |json| serde_json::from_slice(&json).unwrap());
    Run {
        exit_code: output.status.code().unwrap(),
        json,
        said: String::from_utf8(output.stderr).unwrap(),
    }
}
