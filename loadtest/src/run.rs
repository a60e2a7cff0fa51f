//! A whole run: bots join, everyone plays, a window is measured, bots leave.

use std::{
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use tokio::{sync::oneshot, time::sleep};

use crate::{
    bot::publish::Sabotage,
    drive::{Live, Phase},
    findings::Findings,
    impair::{BotPlace, Paths, Roam},
    measure::{
        generator,
        server::{Observer, ServerSample},
        totals::durations,
    },
    media::{Codec, material::Library},
    report::{Known, Report},
    scenario::{Scenario, group::Group},
    target::Target,
};

use self::crew::Crew;
pub(crate) use self::crew::Stay;

mod crew;
mod watch;

/// How long the server has to forget those who have left before it is looked at again.
const AFTERMATH: Duration = Duration::from_secs(1);

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// On which server, in which call.
    pub target: Target,
    /// The server's processes on this machine, if its cost is to be measured by them.
    pub server_processes: Vec<u32>,
    /// Whether others may be in it.
    pub existing_call: bool,
    /// Who takes part and what they do.
    pub scenario: Scenario,
    /// What they play.
    pub library: Arc<Library>,
    /// What the bots are called, with a number behind it.
    pub name: String,
    /// How long a bot may take to join.
    pub join_patience: Duration,
    /// How long bots stay after measuring.
    pub linger: Duration,
    /// How late sends and wake-ups may be before the run is void.
    pub lateness_bound: Duration,
    /// Whether the server's system calls are counted.
    pub count_syscalls: bool,
    /// Deliberate damage by publishers.
    pub sabotage: Sabotage,
    /// What is wrong with whose path.
    pub paths: Paths,
    /// Whether sockets take several datagrams in one read (UDP GRO).
    pub receive_offload: bool,
    /// Whose address changes, and when.
    pub roams: Vec<Roam>,
}

impl Plan {
    /// All bots of the call.
    pub fn places(&self) -> impl Iterator<Item = BotPlace> + '_ {
        (0..self.scenario.size()).map(|place| self.place(place))
    }

    /// Where the bot in a place stands among the others.
    fn place(&self, place: usize) -> BotPlace {
        let is = |place: usize, wanted: fn(&Group) -> bool| {
            let group = self.scenario.group_of(place);
            group.is_some_and(|(group, _)| wanted(&self.scenario.bots[group]))
        };
        let nth = |wanted: fn(&Group) -> bool| {
            is(place, wanted).then(|| (0..=place).filter(|other| is(*other, wanted)).count())
        };
        BotPlace {
            number: place + 1,
            publisher: nth(Group::sends),
            subscriber: nth(Group::receives),
        }
    }

    /// The video codecs that every bot knows: those that any sends.
    fn codecs(&self) -> Vec<Codec> {
        let mut codecs = Vec::new();
        let groups = self.scenario.bots.iter();
        let pictures = groups.flat_map(|group| [&group.camera, &group.screen]);
        for codec in pictures.flatten().map(|picture| picture.codec.into()) {
            if !codecs.contains(&codec) {
                codecs.push(codec);
            }
        }
        // Others may send it; every browser does.
        if !codecs.contains(&Codec::Vp8) {
            codecs.push(Codec::Vp8);
        }
        codecs
    }
}

/// What a run does now, for progress bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Bots join, so many of them in all.
    Joining(usize),
    /// Everyone plays.
    WarmingUp(Duration),
    /// The window.
    Measuring(Duration),
    /// Bots stay in the call.
    Lingering(Duration),
    /// Bots leave.
    Leaving,
}

/// Waits, until the run is to end early.
struct Waiting<'a, F> {
    stop: Pin<&'a mut F>,
    stopped: bool,
}

impl<F: Future<Output = ()>> Waiting<'_, F> {
    async fn until<T>(&mut self, event: impl Future<Output = T>) {
        if !self.stopped {
            tokio::select! {
                () = &mut self.stop => self.stopped = true,
                _ = event => {}
            }
        }
    }
}

/// A moment of the server and of this process.
pub(crate) struct Mark {
    pub(crate) at: Instant,
    pub(crate) cpu: Duration,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) server: ServerSample,
}

impl Mark {
    async fn now(observer: &Observer) -> Self {
        let server = observer.look().await;
        Self {
            at: Instant::now(),
            cpu: generator::cpu_time(),
            memory_bytes: generator::resident_memory(),
            server,
        }
    }
}

/// Runs a plan. `on_stage` hears what is going on; when `stop` comes, the run ends early
/// and still reports.
pub async fn run(
    plan: &Plan,
    live: Arc<Live>,
    mut on_stage: impl FnMut(Stage),
    stop: impl Future<Output = ()>,
) -> Report {
    let mut waiting = Waiting {
        stop: pin!(stop),
        stopped: false,
    };
    let scenario = &plan.scenario;
    let begun = SystemTime::now();
    let window = &live.measurement.window;
    let observer = Observer::new(plan.target.server(), &plan.server_processes);
    let before = observer.look().await;
    let (enough, is_enough) = oneshot::channel();
    let seconds = watch::the_seconds(observer.clone(), live.clone(), is_enough);
    on_stage(Stage::Joining(scenario.size()));
    let mut crew = Crew::new(plan, live.clone());
    waiting.until(crew.gather()).await;
    let joined = live.joined.load(Ordering::Relaxed);
    let origin = Instant::now();
    if joined > 0 {
        on_stage(Stage::WarmingUp(scenario.warmup));
        waiting
            .until(crew.play(origin, origin + scenario.warmup))
            .await;
    }

    let begin = Mark::now(&observer).await;
    window.open(begin.at);
    plan.paths.begin_window(begin.at);
    let participants = live.joined.load(Ordering::Relaxed);
    crew.phase.send_replace(Phase::Measure);
    crew.roam(begin.at);
    let syscalls = match plan.count_syscalls {
        true => observer.count_syscalls(),
        false => Known::no("they are counted with --syscalls"),
    };
    let clock = watch::the_clock(crew.phase.subscribe());
    if joined > 0 {
        on_stage(Stage::Measuring(scenario.duration));
        let end = Instant::now() + scenario.duration;
        waiting.until(crew.play(origin, end)).await;
    }
    window.close(Instant::now());
    crew.phase.send_replace(Phase::Settle);
    let end = Mark::now(&observer).await;
    let syscalls_per_second = syscalls.and_then(|count| count.end().into());
    let ports = live.ports.lock().map(|ports| ports.clone());
    if joined > 0 {
        sleep(scenario.drain).await;
        if !plan.linger.is_zero() {
            on_stage(Stage::Lingering(plan.linger));
            waiting.until(sleep(plan.linger)).await;
        }
    }
    let blackouts = plan.paths.end().err();
    let datagrams_not_read = plan.paths.dropped_by_kernel(&ports.unwrap_or_default());

    on_stage(Stage::Leaving);
    let (stays, missing) = crew.dismiss().await;
    drop(enough);
    let samples = seconds.await.unwrap_or_default();
    sleep(AFTERMATH).await;
    let wake_lateness = clock.await.map(|mut watch| watch.take());
    let mut report = Findings {
        plan,
        begun,
        measurement: &live.measurement,
        observer: &observer,
        before,
        begin,
        end,
        after: observer.look().await,
        samples,
        syscalls_per_second,
        participants,
        stays,
        missing,
        blackouts,
        wake_lateness: wake_lateness.unwrap_or_else(|_| durations()),
        datagrams_not_read,
    }
    .report();
    report.judge();
    report
}
