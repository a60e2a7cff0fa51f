//! What a group of a size costs its members: coming in, following, taking someone out.
//!
//! A group is filled by one member, twenty-five at a time, with people who never come in:
//! only the founder, a member who watches, and those who are measured take part. So most of
//! the tree's nodes are blank, which makes removals as dear as they get.

pub(crate) mod filled;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use conclave_e2ee::{Device, DisplayName, LinkSecret, Membership, Output, Persona};
use conclave_protocol::{
    Epoch, Opaque, ParticipantId, RoomId, Sequence,
    signal::{ClientMessage, GroupDoor, GroupState, Knock, ServerMessage},
};

use crate::page;

const REPETITIONS: usize = 5;
const AT_ONCE: usize = 25;

/// Someone who takes part.
struct Client {
    id: ParticipantId,
    membership: Membership,
    now: conclave_e2ee::Instant,
}

impl Client {
    /// Hears something. What it says to that, and how long it took.
    fn hear(&mut self, message: ServerMessage) -> Result<(Vec<ClientMessage>, Duration)> {
        let now = self.now;
        self.timed(|membership| membership.handle(now, message))
    }

    /// Lets time pass until it says something. What it says, and how long the last step took.
    fn wait(&mut self) -> Result<(Vec<ClientMessage>, Duration)> {
        loop {
            let due = self.membership.poll_timeout();
            self.now = due.context("there is nothing to wait for")?;
            let now = self.now;
            let (said, took) = self.timed(|membership| membership.handle_timeout(now))?;
            if !said.is_empty() {
                return Ok((said, took));
            }
        }
    }

    fn timed(
        &mut self,
        step: impl FnOnce(&mut Membership),
    ) -> Result<(Vec<ClientMessage>, Duration)> {
        let begun = Instant::now();
        step(&mut self.membership);
        let took = begun.elapsed();
        let mut said = Vec::new();
        while let Some(output) = self.membership.poll() {
            match output {
                Output::Send { message } => said.push(message),
                Output::Failed { reason, .. } => bail!("a membership failed: {reason}"),
                Output::CommitRefused { reason, .. } => bail!("a commit was refused: {reason}"),
                _ => {}
            }
        }
        Ok((said, took))
    }
}

/// A commit as its author sends it.
struct Commit {
    commit: Opaque,
    /// Of a small group only.
    group_info: Option<Opaque>,
    welcome: Option<Opaque>,
}

fn commit_among(said: Vec<ClientMessage>) -> Result<Commit> {
    let commit = said.into_iter().find_map(|message| match message {
        ClientMessage::Commit {
            commit,
            group_info,
            admission,
            ..
        } => Some(Commit {
            commit,
            group_info,
            welcome: admission.map(|it| it.welcome),
        }),
        _ => None,
    });
    commit.context("no commit was made")
}

/// What was measured of one kind of step.
#[derive(Default)]
struct Step {
    make: Vec<Duration>,
    follow: Vec<Duration>,
    enter: Vec<Duration>,
    commit: usize,
    welcome: usize,
    state: usize,
}

impl Step {
    fn weigh(&mut self, commit: &Commit) {
        self.commit = commit.commit.len();
        self.welcome = commit.welcome.as_ref().map_or(0, Opaque::len);
    }
}

/// A room, its server reduced to what is needed.
struct Hall {
    room: RoomId,
    secret: LinkSecret,
    founder: Client,
    watcher: Client,
    epoch: Epoch,
    /// The group's state in this epoch, once it is known.
    state: Option<Opaque>,
    sequence: Sequence,
    last: u64,
    size: usize,
}

fn client(room: &RoomId, secret: &LinkSecret, id: u64) -> Result<Client> {
    let name: DisplayName = format!("Participant {id}").parse()?;
    let persona = Persona::on(&Device::generate()?, room, name)?;
    Ok(Client {
        id: ParticipantId::new(id),
        membership: Membership::new(room.clone(), secret, persona),
        now: conclave_e2ee::Instant::default(),
    })
}

impl Hall {
    fn open() -> Result<Self> {
        let room: RoomId = "measured".parse()?;
        let secret = LinkSecret::generate()?;
        let mut founder = client(&room, &secret, 1)?;
        let joined = ServerMessage::Joined {
            participant: founder.id,
            others: Vec::new(),
            group: None,
        };
        let (said, _) = founder.hear(joined)?;
        let Some(ClientMessage::CreateGroup { group_info }) = said.into_iter().next() else {
            bail!("no group was founded");
        };
        founder.hear(ServerMessage::GroupCreated {})?;
        let watcher = client(&room, &secret, 2)?;
        let mut hall = Self {
            room,
            secret,
            founder,
            watcher,
            epoch: Epoch::FIRST,
            state: Some(group_info),
            sequence: Sequence::START,
            last: 2,
            size: 1,
        };
        let joined = hall.joined_alone(ParticipantId::new(2))?;
        let appeared = ServerMessage::ParticipantJoined {
            participant: ParticipantId::new(2),
        };
        hall.founder.hear(appeared)?;
        let (said, _) = hall.watcher.hear(joined)?;
        let commit = commit_among(said)?;
        let committed = hall.accept(hall.watcher.id, &commit);
        hall.founder.hear(committed.clone())?;
        hall.watcher.hear(committed)?;
        hall.size = 2;
        Ok(hall)
    }

    /// The group's state, which the founder shows if it did not come with the commit.
    fn state(&mut self) -> Result<GroupState> {
        let epoch = self.epoch;
        let group_info = match self.state.take() {
            Some(group_info) => group_info,
            None => {
                let (said, _) = self.founder.hear(ServerMessage::ShowGroup { epoch })?;
                let shown = said.into_iter().find_map(|message| match message {
                    ClientMessage::ShowGroup { group } => Some(group.group_info),
                    _ => None,
                });
                shown.context("the founder does not show the group")?
            }
        };
        self.state = Some(group_info.clone());
        Ok(GroupState { epoch, group_info })
    }

    fn joined_alone(&mut self, participant: ParticipantId) -> Result<ServerMessage> {
        let group = self.state()?;
        Ok(self.joined(participant, GroupDoor::Commit { group }))
    }

    fn joined(&self, participant: ParticipantId, door: GroupDoor) -> ServerMessage {
        ServerMessage::Joined {
            participant,
            others: (1..=self.last).map(ParticipantId::new).collect(),
            group: Some(door),
        }
    }

    fn accept(&mut self, author: ParticipantId, commit: &Commit) -> ServerMessage {
        self.sequence = self.sequence.next();
        self.epoch = self.epoch.next();
        self.state.clone_from(&commit.group_info);
        ServerMessage::Committed {
            sequence: self.sequence,
            author,
            epoch: self.epoch,
            commit: commit.commit.clone(),
            rules: None,
        }
    }

    /// Someone new before the door.
    fn arrival(&mut self) -> Result<Client> {
        self.last += 1;
        let participant = ParticipantId::new(self.last);
        for member in [&mut self.founder, &mut self.watcher] {
            member.hear(ServerMessage::ParticipantJoined { participant })?;
        }
        client(&self.room, &self.secret, self.last)
    }

    /// Some knock and are brought in. Only the last of them is told so.
    fn admit(&mut self, count: usize, step: &mut Step) -> Result<Client> {
        let mut knocks = Vec::new();
        let mut last = None;
        for _ in 0..count {
            let mut newcomer = self.arrival()?;
            let door = GroupDoor::Knock { epoch: self.epoch };
            let (said, _) = newcomer.hear(self.joined(newcomer.id, door))?;
            let Some(ClientMessage::Knock { key_package }) = said.into_iter().next() else {
                bail!("nobody knocked");
            };
            knocks.push(Knock {
                participant: newcomer.id,
                key_package,
            });
            last = Some(newcomer);
        }
        let mut last = last.context("nobody came")?;
        let (said, made) = self.founder.hear(ServerMessage::Admit { knocks })?;
        let commit = commit_among(said)?;
        let committed = self.accept(self.founder.id, &commit);
        let (_, merged) = self.founder.hear(committed.clone())?;
        let (_, followed) = self.watcher.hear(committed)?;
        let welcomed = ServerMessage::Welcomed {
            sequence: self.sequence,
            epoch: self.epoch,
            welcome: commit.welcome.clone().context("there is no welcome")?,
        };
        let (_, entered) = last.hear(welcomed)?;
        self.size += count;
        ensure!(
            last.membership.roster().len() == self.size,
            "not everyone is in"
        );
        step.make.push(made + merged);
        step.follow.push(followed);
        step.enter.push(entered);
        step.weigh(&commit);
        Ok(last)
    }

    /// Someone comes in alone.
    fn come_in(&mut self, step: &mut Step) -> Result<Client> {
        let mut newcomer = self.arrival()?;
        let joined = self.joined_alone(newcomer.id)?;
        step.state = self.state.as_ref().map_or(0, Opaque::len);
        let (said, made) = newcomer.hear(joined)?;
        let commit = commit_among(said)?;
        let committed = self.accept(newcomer.id, &commit);
        self.founder.hear(committed.clone())?;
        let (_, followed) = self.watcher.hear(committed.clone())?;
        let (_, entered) = newcomer.hear(committed)?;
        self.size += 1;
        step.follow.push(followed);
        step.enter.push(made + entered);
        step.weigh(&commit);
        Ok(newcomer)
    }

    /// The founder takes out someone who has left.
    fn remove(&mut self, participant: ParticipantId, step: &mut Step) -> Result<()> {
        self.watcher
            .hear(ServerMessage::ParticipantLeft { participant })?;
        let (said, made) = self
            .founder
            .hear(ServerMessage::ParticipantLeft { participant })?;
        let (said, made) = match said.is_empty() {
            false => (said, made),
            // Others would be first. They have never come in, so they do not.
            true => self.founder.wait()?,
        };
        let commit = commit_among(said)?;
        let committed = self.accept(self.founder.id, &commit);
        let (_, merged) = self.founder.hear(committed.clone())?;
        let (_, followed) = self.watcher.hear(committed)?;
        self.size -= 1;
        step.make.push(made + merged);
        step.follow.push(followed);
        step.weigh(&commit);
        Ok(())
    }
}

fn milliseconds(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    match times.get(times.len() / 2) {
        Some(median) => format!("{:.1}", median.as_secs_f64() * 1e3),
        None => "–".to_owned(),
    }
}

fn kilobytes(bytes: usize) -> String {
    format!("{:.1}", bytes as f64 / 1e3)
}

/// Measures groups of these sizes.
pub(crate) fn table(sizes: &[usize]) -> Result<String> {
    let mut rows = Vec::new();
    for &size in sizes {
        let mut hall = Hall::open()?;
        while hall.size < size {
            let count = AT_ONCE.min(size - hall.size);
            hall.admit(count, &mut Step::default())?;
        }
        let mut steps: BTreeMap<&str, Step> = BTreeMap::new();
        for _ in 0..REPETITIONS {
            let one = hall.admit(1, steps.entry("1 brought in").or_default())?;
            let alone = hall.come_in(steps.entry("2 comes in alone").or_default())?;
            let removal = steps.entry("3 taken out").or_default();
            hall.remove(one.id, removal)?;
            hall.remove(alone.id, removal)?;
        }
        let crowd = steps.entry("4 twenty-five brought in").or_default();
        hall.admit(AT_ONCE, crowd)?;
        rows.extend(steps.iter().map(|(name, step)| {
            vec![
                size.to_string(),
                name[2..].to_owned(),
                milliseconds(&step.make),
                milliseconds(&step.follow),
                milliseconds(&step.enter),
                kilobytes(step.commit),
                kilobytes(step.welcome),
                kilobytes(step.state),
            ]
        }));
    }
    let head = [
        "members",
        "someone is",
        "the member who does it, ms",
        "every other member, ms",
        "the newcomer, ms",
        "commit, kB",
        "welcome, kB",
        "state asked for, kB",
    ];
    Ok(page::table(&head, &rows))
}
