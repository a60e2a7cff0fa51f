//! The same in a group that has filled its tree: all members are real, come in by Welcomes,
//! follow every commit, and renew their keys by the client's own rule (`e2ee/src/filling.rs`)
//! once it is quiet. Who leaves is taken out by the member whose turn it is, the nearest.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use conclave_e2ee::LinkSecret;
use conclave_protocol::{
    Epoch, ParticipantId, RoomId, Sequence,
    signal::{ClientMessage, GroupDoor, Knock, ServerMessage},
};

use super::{
    AT_ONCE, Client, Commit, REPETITIONS, Step, client, commit_among, kilobytes, milliseconds,
};
use crate::page;

/// When nobody has renewed their keys for so long, nobody will: the last of sixteen ranks comes
/// after a minute, on top of ten seconds of quiet.
const SILENCE: Duration = Duration::from_secs(120);

/// Everyone in a room, on one clock.
struct Assembly {
    room: RoomId,
    secret: LinkSecret,
    members: Vec<Client>,
    epoch: Epoch,
    sequence: Sequence,
    last: u64,
    now: conclave_e2ee::Instant,
}

/// What it took to fill the tree.
#[derive(Default)]
struct Filling {
    commits: usize,
    bytes: usize,
}

impl Assembly {
    fn open() -> Result<Self> {
        let room: RoomId = "measured".parse()?;
        let secret = LinkSecret::generate()?;
        let mut founder = client(&room, &secret, 1)?;
        founder.hear(ServerMessage::Joined {
            participant: founder.id,
            others: Vec::new(),
            group: None,
        })?;
        founder.hear(ServerMessage::GroupCreated {})?;
        Ok(Self {
            room,
            secret,
            members: vec![founder],
            epoch: Epoch::FIRST,
            sequence: Sequence::START,
            last: 1,
            now: conclave_e2ee::Instant::default(),
        })
    }

    /// Everyone hears something, on all cores.
    fn all_hear(&mut self, message: &ServerMessage) -> Result<()> {
        let cores = thread::available_parallelism()?.get();
        let each = self.members.len().div_ceil(cores);
        thread::scope(|scope| {
            let hear = |members: &mut [Client]| -> Result<()> {
                members
                    .iter_mut()
                    .try_for_each(|member| member.hear(message.clone()).map(|_| ()))
            };
            let parts = self.members.chunks_mut(each);
            let threads: Vec<_> = parts.map(|part| scope.spawn(move || hear(part))).collect();
            threads.into_iter().try_for_each(|thread| {
                let ended = thread.join();
                ended.unwrap_or_else(|_| bail!("a member panicked"))
            })
        })
    }

    /// Everyone hears a commit: first its author and another member, who are timed.
    fn all_follow(&mut self, author: usize, commit: &Commit, step: &mut Step) -> Result<Duration> {
        self.sequence = self.sequence.next();
        self.epoch = self.epoch.next();
        let committed = ServerMessage::Committed {
            sequence: self.sequence,
            author: self.members[author].id,
            epoch: self.epoch,
            commit: commit.commit.clone(),
            rules: None,
        };
        let (_, merged) = self.members[author].hear(committed.clone())?;
        let watcher = (author + self.members.len() / 2) % self.members.len();
        if watcher != author {
            let (_, followed) = self.members[watcher].hear(committed.clone())?;
            step.follow.push(followed);
        }
        // Those two have seen this sequence, and pass over it.
        self.all_hear(&committed)?;
        let epochs = self.members.iter().map(|member| member.membership.epoch());
        ensure!(
            epochs.into_iter().all(|it| it == Some(self.epoch)),
            "someone stayed behind"
        );
        step.weigh(commit);
        Ok(merged)
    }

    /// Some come, knock and are brought in by the member whose turn it is.
    fn admit(&mut self, count: usize, step: &mut Step) -> Result<()> {
        let mut newcomers = Vec::new();
        let mut knocks = Vec::new();
        for _ in 0..count {
            self.last += 1;
            let participant = ParticipantId::new(self.last);
            self.all_hear(&ServerMessage::ParticipantJoined { participant })?;
            let mut newcomer = client(&self.room, &self.secret, self.last)?;
            newcomer.now = self.now;
            let present = self
                .members
                .iter()
                .chain(&newcomers)
                .map(|member| member.id);
            let (said, _) = newcomer.hear(ServerMessage::Joined {
                participant,
                others: present.collect(),
                group: Some(GroupDoor::Knock { epoch: self.epoch }),
            })?;
            let Some(ClientMessage::Knock { key_package }) = said.into_iter().next() else {
                bail!("nobody knocked");
            };
            for earlier in &mut newcomers {
                let earlier: &mut Client = earlier;
                earlier.hear(ServerMessage::ParticipantJoined { participant })?;
            }
            knocks.push(Knock {
                participant,
                key_package,
            });
            newcomers.push(newcomer);
        }
        let author = self.sequence_number() % self.members.len();
        let (said, made) = self.members[author].hear(ServerMessage::Admit { knocks })?;
        let commit = commit_among(said)?;
        let merged = self.all_follow(author, &commit, step)?;
        step.make.push(made + merged);
        let welcome = commit.welcome.context("there is no welcome")?;
        for mut newcomer in newcomers {
            let (_, entered) = newcomer.hear(ServerMessage::Welcomed {
                sequence: self.sequence,
                epoch: self.epoch,
                welcome: welcome.clone(),
            })?;
            step.enter.push(entered);
            self.members.push(newcomer);
        }
        let size = self.members.len();
        let rosters = self.members.iter().map(|it| it.membership.roster().len());
        ensure!(
            rosters.into_iter().all(|it| it == size),
            "not everyone is in"
        );
        Ok(())
    }

    fn sequence_number(&self) -> usize {
        usize::try_from(self.epoch.get()).unwrap_or_default()
    }

    /// Lets time pass until nobody renews their keys any more.
    fn fill(&mut self) -> Result<Filling> {
        let mut filling = Filling::default();
        let mut end = self.now + SILENCE;
        loop {
            let due = self
                .members
                .iter()
                .filter_map(|it| it.membership.poll_timeout());
            let Some(due) = due.min().filter(|due| *due <= end) else {
                return Ok(filling);
            };
            self.now = self.now.max(due);
            let mut renewed = None;
            for (index, member) in self.members.iter_mut().enumerate() {
                member.now = self.now;
                if member
                    .membership
                    .poll_timeout()
                    .is_none_or(|at| at > self.now)
                {
                    continue;
                }
                let now = self.now;
                let (said, _) = member.timed(|it| it.handle_timeout(now))?;
                if !said.is_empty() {
                    renewed = Some((index, commit_among(said)?));
                    break;
                }
            }
            if let Some((author, commit)) = renewed {
                self.members.iter_mut().for_each(|it| it.now = self.now);
                filling.commits += 1;
                filling.bytes += commit.commit.len();
                self.all_follow(author, &commit, &mut Step::default())?;
                end = self.now + SILENCE;
            }
        }
    }

    /// Someone has left, and the nearest in the tree takes them out at once.
    fn remove(&mut self, index: usize, step: &mut Step) -> Result<()> {
        let leaver = self.members.remove(index);
        let participant = leaver.id;
        let nearest = nearest(&self.members, &leaver)?;
        let left = ServerMessage::ParticipantLeft { participant };
        let (said, made) = self.members[nearest].hear(left.clone())?;
        let commit = commit_among(said).context("the nearest does not take them out")?;
        for (index, member) in self.members.iter_mut().enumerate() {
            if index != nearest {
                member.hear(left.clone())?;
            }
        }
        let merged = self.all_follow(nearest, &commit, step)?;
        step.make.push(made + merged);
        Ok(())
    }
}

/// The member with the least exclusive or of the two leaf indices.
fn nearest(members: &[Client], leaver: &Client) -> Result<usize> {
    let roster = leaver.membership.roster();
    let leaf = |id| {
        roster
            .iter()
            .find(|it| it.participant == id)
            .map(|it| it.leaf.get())
    };
    let own = leaf(leaver.id).context("the leaver was no member")?;
    let distances = members.iter().enumerate().filter_map(|(index, member)| {
        let leaf = leaf(member.id)?;
        Some((leaf ^ own, index))
    });
    distances
        .min()
        .map(|(_, index)| index)
        .context("nobody is left")
}

/// Measures groups of these sizes.
pub(crate) fn table(sizes: &[usize]) -> Result<String> {
    let mut rows = Vec::new();
    for &size in sizes {
        let begun = Instant::now();
        let mut assembly = Assembly::open()?;
        while assembly.members.len() < size {
            let count = AT_ONCE.min(size - assembly.members.len());
            assembly.admit(count, &mut Step::default())?;
        }
        let filling = assembly.fill()?;
        eprintln!(
            "{size} have come in and filled the tree after {:.0?}",
            begun.elapsed()
        );
        let (mut admission, mut removal) = (Step::default(), Step::default());
        let mut removed = 0;
        for turn in 0..REPETITIONS {
            // All over the tree.
            let leaver = size * (turn + 1) / (REPETITIONS + 1);
            assembly.remove(leaver, &mut removal)?;
            removed += removal.commit;
            assembly.admit(1, &mut admission)?;
        }
        let filled = format!("{} of {} kB", filling.commits, kilobytes(filling.bytes));
        for (name, step, commit) in [
            ("brought in", &admission, admission.commit),
            ("taken out", &removal, removed / REPETITIONS),
        ] {
            rows.push(vec![
                size.to_string(),
                filled.clone(),
                name.to_owned(),
                milliseconds(&step.make),
                milliseconds(&step.follow),
                milliseconds(&step.enter),
                kilobytes(commit),
            ]);
        }
    }
    let head = [
        "members",
        "commits that filled the tree",
        "someone is",
        "the member who does it, ms",
        "every other member, ms",
        "the newcomer, ms",
        "commit, kB",
    ];
    Ok(page::table(&head, &rows))
}
