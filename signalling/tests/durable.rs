//! The server is killed at random moments while people talk and the group moves on. Whatever
//! was acknowledged is there afterwards, once, and in the same order for everyone.

#![allow(clippy::expect_used)]

mod rig;

use std::{
    net::Ipv4Addr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use conclave_protocol::{
    Epoch, Sequence,
    signal::{ClientMessage, ServerMessage},
};
use rig::{daemon::free_port, line::Staying, sealed};
use tokio::time::{sleep, timeout};

/// How often the server is killed; a longer run says another number.
fn kills() -> u32 {
    let told = std::env::var("CONCLAVE_KILLS").ok();
    told.map_or(8, |text| text.parse().expect("a number"))
}

const ROOMS: usize = 3;
const IN_EACH: usize = 4;

/// A server that can be killed.
struct Mortal {
    child: Child,
}

impl Mortal {
    async fn start(address: &str, data: &Path) -> Self {
        Self::start_with_log(address, data, Stdio::inherit(), "warn").await
    }

    async fn start_with_log(address: &str, data: &Path, log: Stdio, level: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_conclave"))
            .args(["--listen", address, "--media-port", "0"])
            .arg("--data")
            .arg(data)
            .env("RUST_LOG", level)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it starts");
        let up = async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), up)
            .await
            .expect("it listens");
        Self { child }
    }
}

impl Drop for Mortal {
    /// SIGKILL: nothing is written on the way out.
    fn drop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

/// One entry of the group's log, as a member got it.
type Line = (Sequence, String);

/// What one person said and heard.
struct Diary {
    name: String,
    said: Vec<String>,
    heard: Vec<Line>,
    resumptions: u32,
}

/// Talks until told to stop, and then hears to the end. The first in a room also moves the
/// group on.
async fn live(mut person: Staying, name: String, commits: bool, stop: Arc<AtomicBool>) -> Diary {
    let mut diary = Diary {
        name,
        said: Vec::new(),
        heard: Vec::new(),
        resumptions: 0,
    };
    let mut epoch = (IN_EACH - 1) as u64;
    let mut is_pending = false;
    let mut heard_own = 0;
    loop {
        let stopped = stop.load(Ordering::Relaxed);
        if !stopped {
            let text = format!("{} {}", diary.name, diary.said.len());
            diary.said.push(text.clone());
            let message = sealed(&text);
            person.say(ClientMessage::Send { message }).await;
            if commits && !is_pending {
                is_pending = true;
                let commit = ClientMessage::Commit {
                    epoch: Epoch::new(epoch),
                    commit: sealed(&format!("commit {epoch}")),
                    group_info: Some(sealed("state")),
                    admission: None,
                    rules: None,
                };
                person.say(commit).await;
            }
        } else if heard_own == diary.said.len() && !is_pending {
            break;
        }
        // What comes meanwhile; while stopped, until everything of ours has come.
        let pause = Duration::from_millis(fastrand::u64(1..15));
        while let Some(heard) = person.hear_within(pause).await {
            match heard.expect("the place is kept") {
                ServerMessage::Delivered {
                    sequence,
                    author,
                    message,
                } => {
                    let text = String::from_utf8(message.as_bytes().to_vec()).expect("text");
                    heard_own += usize::from(author == person.participant);
                    diary.heard.push((sequence, text));
                }
                ServerMessage::Committed {
                    sequence,
                    author,
                    epoch: next,
                    ..
                } => {
                    diary.heard.push((sequence, format!("epoch {next}")));
                    if author == person.participant {
                        is_pending = false;
                        epoch = next.get();
                    }
                    person
                        .say(ClientMessage::EpochReached { epoch: next })
                        .await;
                }
                // Lost would be a commit of which nobody heard.
                ServerMessage::Stale { .. } => panic!("a commit was heard twice"),
                ServerMessage::Error { code, detail } => panic!("{code:?}: {detail}"),
                _ => {}
            }
        }
    }
    diary.resumptions = person.resumptions;
    // Stays for the others' sake: who leaves changes what they hear.
    person.break_off();
    diary
}

/// A room with everyone in its group.
async fn gather(address: &str, room: &str) -> Vec<Staying> {
    let mut people: Vec<Staying> = Vec::new();
    for number in 0..IN_EACH {
        let mut person = Staying::join(address, room).await;
        let group_info = sealed("state");
        if number == 0 {
            person.say(ClientMessage::CreateGroup { group_info }).await;
        } else {
            let commit = ClientMessage::Commit {
                epoch: Epoch::new(number as u64 - 1),
                commit: sealed("in"),
                group_info: Some(group_info),
                admission: None,
                rules: None,
            };
            person.say(commit).await;
        }
        people.push(person);
        let entered = Epoch::new(number as u64);
        for person in &mut people {
            loop {
                match person.hear().await.expect("a line") {
                    ServerMessage::Committed { epoch, .. } if epoch == entered => break,
                    ServerMessage::GroupCreated {} => break,
                    _ => {}
                }
            }
        }
    }
    people
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_acknowledged_is_lost_or_reordered_by_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = format!("127.0.0.1:{}", free_port(Ipv4Addr::LOCALHOST));
    let mut server = Mortal::start(&address, folder.path()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut rooms = Vec::new();
    for room in 0..ROOMS {
        let people = gather(&address, &format!("room-{room}")).await;
        let lives = people.into_iter().enumerate().map(|(number, person)| {
            let name = format!("{room}-{number}");
            tokio::spawn(live(person, name, number == 0, Arc::clone(&stop)))
        });
        rooms.push(lives.collect::<Vec<_>>());
    }
    for _ in 0..kills() {
        sleep(Duration::from_millis(fastrand::u64(50..500))).await;
        drop(server);
        server = Mortal::start(&address, folder.path()).await;
    }
    sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);

    let mut entries = 0;
    let mut resumptions = 0;
    for room in rooms {
        let mut diaries = Vec::new();
        for life in room {
            let diary = timeout(Duration::from_secs(30), life).await;
            diaries.push(diary.expect("everything comes").expect("no one fails"));
        }
        for diary in &diaries {
            let own = format!("{} ", diary.name);
            let mine = diary
                .heard
                .iter()
                .filter(|(_, text)| text.starts_with(&own));
            let mine: Vec<_> = mine.map(|(_, text)| text.clone()).collect();
            assert_eq!(
                mine, diary.said,
                "{} hears itself once, in order",
                diary.name
            );
            let gap = diary
                .heard
                .windows(2)
                .find(|pair| pair[1].0 != pair[0].0.next());
            assert_eq!(gap, None, "{} misses something", diary.name);
            resumptions += diary.resumptions;
        }
        // Each stopped to listen at another time.
        let shortest = diaries.iter().map(|diary| diary.heard.len()).min();
        let shortest = shortest.expect("somebody");
        for diary in &diaries[1..] {
            assert_eq!(diary.heard[..shortest], diaries[0].heard[..shortest]);
        }
        entries += shortest;
    }
    println!(
        "{} kills, {resumptions} resumptions, {entries} entries: none lost, doubled or reordered",
        kills()
    );
    assert!(resumptions >= kills() * (ROOMS * IN_EACH) as u32 / 2);
}

/// Libraries are named with their modules too: what is more exact counts for more.
const EVERYTHING: &str = "trace,tungstenite=trace,tungstenite::protocol=trace,\
     tungstenite::protocol::frame=trace,tokio_tungstenite=trace,tokio_tungstenite::compat=trace";

#[tokio::test]
async fn the_log_at_its_most_talkative_holds_no_secret_and_nothing_that_was_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let address = format!("127.0.0.1:{}", free_port(Ipv4Addr::LOCALHOST));
    let file = || {
        Stdio::from(
            std::fs::File::options()
                .append(true)
                .create(true)
                .open(&path)
                .expect("a file"),
        )
    };
    let data = folder.path().join("data");
    let server = Mortal::start_with_log(&address, &data, file(), EVERYTHING).await;
    let mut people = gather(&address, "the-orangery").await;
    let speaker = &mut people[0];
    let message = sealed("words that nobody else may read");
    speaker
        .say(ClientMessage::Send {
            message: message.clone(),
        })
        .await;
    // Also what is logged of coming back, before and after a restart.
    speaker.break_off();
    speaker.come_back().await.expect("kept");
    log_says(&path, "came back", 1).await;
    drop(server);
    let server = Mortal::start_with_log(&address, &data, file(), EVERYTHING).await;
    speaker.come_back().await.expect("kept");
    log_says(&path, "came back", 2).await;
    drop(server);

    let log = std::fs::read_to_string(&path).expect("a log");
    let token = String::from(speaker.token.clone());
    let said = String::from(message);
    let proof = String::from(rig::LINK);
    for secret in ["the-orangery", &token, &said, &proof] {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
}

/// Waits for the log: who comes back may hear of it before that is written down.
async fn log_says(path: &Path, what: &str, times: usize) {
    for _ in 0..500 {
        let log = std::fs::read_to_string(path).expect("a log");
        if log.matches(what).count() >= times {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("the log does not say {what:?} {times} times");
}
