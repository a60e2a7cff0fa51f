//! A whole run: bots join, everyone plays, a window is measured, bots leave.

use std::{
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use conclave_protocol::control::PixelSize;
use conclave_protocol::signal::Source;
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::{sleep, sleep_until, timeout},
};

use conclave_e2ee::Codec;

use crate::{
    bot::{
        BotConfig, Direction,
        peer::Layout,
        publish::{Recordings, Sabotage},
    },
    drive::{self, JoinTurn, Live, Outcome, Phase},
    findings::Findings,
    impair::{BotPlace, Paths, Roam},
    measure::{
        generator::{self, Watch},
        server::{self, Observer, ServerSample},
        timeline::MachineSecond,
        totals::durations,
        window::DRAIN,
    },
    media::stamp::MonotonicClock,
    report::{Known, Report},
    target::{Seat, Target, View},
};

/// How often the server's page is read while its process cannot be looked at, in seconds:
/// each time costs the server something.
const PAGE_BEAT: u64 = 5;
/// How long bots may take to leave.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// On which server, in which call.
    pub target: Target,
    /// The server's processes on this machine, if its cost is to be measured by them.
    pub server_processes: Vec<u32>,
    /// Whether others may be in it.
    pub existing_call: bool,
    /// Bots that publish.
    pub publishers: usize,
    /// Bots that receive.
    pub subscribers: usize,
    /// Slots for cameras that each receiver offers.
    pub camera_slots: usize,
    /// Slots for sound that each receiver offers.
    pub audio_slots: usize,
    /// What the bots are called, with a number behind it.
    pub name: String,
    /// Bots that join at the same time; none: all at once.
    pub join_concurrency: Option<usize>,
    /// How long a bot may take to join.
    pub join_patience: Duration,
    /// Time between the last join and the window.
    pub warmup: Duration,
    /// Length of the window.
    pub duration: Duration,
    /// How long bots stay after it.
    pub linger: Duration,
    /// How late sends and wake-ups may be before the run is void.
    pub lateness_bound: Duration,
    /// Whether the server's system calls are counted.
    pub count_syscalls: bool,
    /// Deliberate damage by publishers.
    pub sabotage: Sabotage,
    /// What is wrong with whose path.
    pub paths: Paths,
    /// Whose address changes, and when.
    pub roams: Vec<Roam>,
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

/// Bots that are in the call, or on their way into it.
struct Crew {
    clock: MonotonicClock,
    tasks: JoinSet<Outcome>,
    phase: watch::Sender<Phase>,
    permits: Option<Arc<Semaphore>>,
    /// One for each bot, in the order in which they were sent in.
    directions: Vec<mpsc::UnboundedSender<Direction>>,
    all_had_their_turn: mpsc::Receiver<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Publisher,
    Subscriber,
}

/// Runs a plan. `on_stage` hears what is going on; when `stop` comes, the run ends early
/// and still reports.
pub async fn run(
    plan: &Plan,
    recordings: Option<Arc<Recordings>>,
    live: Arc<Live>,
    mut on_stage: impl FnMut(Stage),
    stop: impl Future<Output = ()>,
) -> Report {
    let mut waiting = Waiting {
        stop: pin!(stop),
        stopped: false,
    };
    let begun = SystemTime::now();
    let window = &live.measurement.window;
    let observer = Observer::new(plan.target.server(), &plan.server_processes);
    let before = observer.look().await;
    let (enough, is_enough) = oneshot::channel();
    let seconds = watch_the_seconds(observer.clone(), live.clone(), is_enough);
    on_stage(Stage::Joining(plan.publishers + plan.subscribers));
    let mut crew = Crew::muster(plan, recordings.as_ref(), &live);
    waiting.until(crew.all_had_their_turn.recv()).await;
    let joined = live.joined.load(Ordering::Relaxed);
    if joined > 0 {
        on_stage(Stage::WarmingUp(plan.warmup));
        waiting.until(sleep(plan.warmup)).await;
    }

    let begin = Mark::now(&observer).await;
    let opened = Instant::now();
    window.open(opened);
    plan.paths.begin_window(opened);
    crew.phase.send_replace(Phase::Measure);
    crew.roam(plan, opened);
    let syscalls = match plan.count_syscalls {
        true => observer.count_syscalls(),
        false => Known::no("they were not asked for"),
    };
    let watch = watch_the_clock(crew.phase.subscribe());
    if joined > 0 {
        on_stage(Stage::Measuring(plan.duration));
        waiting.until(sleep(plan.duration)).await;
    }
    window.close(Instant::now());
    crew.phase.send_replace(Phase::Settle);
    let end = Mark::now(&observer).await;
    let syscalls_per_second = syscalls.and_then(|count| count.end().into());
    let ports = live.ports.lock().map(|ports| ports.clone());
    if joined > 0 {
        sleep(DRAIN).await;
        if !plan.linger.is_zero() {
            on_stage(Stage::Lingering(plan.linger));
            waiting.until(sleep(plan.linger)).await;
        }
    }
    let blackouts = plan.paths.end().err();
    let datagrams_not_read = plan.paths.dropped_by_kernel(&ports.unwrap_or_default());

    on_stage(Stage::Leaving);
    let bots = crew.directions.len();
    let outcomes = crew.dismiss().await;
    drop(enough);
    let samples = seconds.await.unwrap_or_default();
    sleep(DRAIN).await;
    let wake_lateness = watch.await.map(|mut watch| watch.take());
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
        joined: joined as usize,
        bots,
        outcomes,
        blackouts,
        wake_lateness: wake_lateness.unwrap_or_else(|_| durations()),
        datagrams_not_read,
    }
    .report();
    report.judge();
    report
}

/// Wakes up regularly during the window and notes how late that is.
fn watch_the_clock(mut phase: watch::Receiver<Phase>) -> JoinHandle<Watch> {
    tokio::spawn(async move {
        let mut watch = Watch::new(Instant::now());
        let mut next = Instant::now() + generator::BEAT;
        while *phase.borrow_and_update() == Phase::Measure {
            tokio::select! {
                _ = phase.changed() => {}
                () = sleep_until(next.into()) => next = watch.stumble(Instant::now()),
            }
        }
        watch
    })
}

/// Looks at the machine at the end of every second, until it is enough.
fn watch_the_seconds(
    observer: Observer,
    live: Arc<Live>,
    mut is_enough: oneshot::Receiver<()>,
) -> JoinHandle<Vec<ServerSample>> {
    tokio::spawn(async move {
        let window = &live.measurement.window;
        let mut samples: Vec<ServerSample> = Vec::new();
        let mut process = observer.watch_cpu();
        let (mut at, mut cpu) = (Instant::now(), generator::cpu_time());
        let mut next = window.second(at);
        loop {
            let end_of_second = window.second_begins(next + 1);
            tokio::select! {
                _ = &mut is_enough => return samples,
                () = sleep_until(end_of_second.into()) => {}
            }
            let (now, spent) = (Instant::now(), generator::cpu_time());
            let seconds = (now - at).as_secs_f64();
            let mut server_cpu_cores = None;
            if let Some(process) = &mut process {
                server_cpu_cores = process.spent().map(|cpu| cpu.as_secs_f64() / seconds);
                samples.push(observer.glance());
            } else if next.is_multiple_of(PAGE_BEAT) {
                let sample = observer.look().await;
                let before = samples.last();
                server_cpu_cores = before.and_then(|before| server::cpu_cores(before, &sample));
                samples.push(sample);
            }
            let participants = live.joined.load(Ordering::Relaxed);
            let machine = MachineSecond {
                participants: participants.saturating_sub(live.left.load(Ordering::Relaxed)),
                server_cpu_cores,
                generator_cpu_cores: (spent - cpu).as_secs_f64() / seconds,
            };
            (at, cpu) = (now, spent);
            // More than one, if it was kept from looking.
            for second in next..window.second(now) {
                live.measurement.totals().timeline.sampled(second, machine);
            }
            next = window.second(now);
        }
    })
}

impl Crew {
    /// Sends all bots on their way, publishers first.
    fn muster(plan: &Plan, recordings: Option<&Arc<Recordings>>, live: &Arc<Live>) -> Self {
        let (phase, _) = watch::channel(Phase::Gather);
        let (done, all_had_their_turn) = mpsc::channel(1);
        let mut crew = Self {
            clock: MonotonicClock::start(),
            tasks: JoinSet::new(),
            phase,
            permits: plan
                .join_concurrency
                .map(|at_once| Arc::new(Semaphore::new(at_once.max(1)))),
            directions: Vec::new(),
            all_had_their_turn,
        };
        let roles = std::iter::repeat_n(Role::Publisher, plan.publishers)
            .chain(std::iter::repeat_n(Role::Subscriber, plan.subscribers));
        for role in roles {
            crew.send_in(plan, role, recordings, live, done.clone());
        }
        crew
    }

    /// Sends one more bot on its way.
    fn send_in(
        &mut self,
        plan: &Plan,
        role: Role,
        recordings: Option<&Arc<Recordings>>,
        live: &Arc<Live>,
        done: mpsc::Sender<()>,
    ) {
        let number = self.directions.len();
        let config = BotConfig {
            target: plan.target.clone(),
            seat: Seat {
                number: number.try_into().unwrap_or(u32::MAX),
                name: format!("{} {}", plan.name, number + 1),
                layout: plan.layout(role),
                view: plan.view(),
            },
            recordings: recordings.filter(|_| role == Role::Publisher).cloned(),
            clock: self.clock,
            sabotage: plan.sabotage,
        };
        let turn = JoinTurn {
            permits: self.permits.clone(),
            patience: plan.join_patience,
            done,
        };
        let path = plan.paths.of(&plan.place(number));
        let (live, phase) = (live.clone(), self.phase.subscribe());
        let (direct, directions) = mpsc::unbounded_channel();
        self.directions.push(direct);
        self.tasks
            .spawn(async move { drive::run(config, path, phase, directions, turn, live).await });
    }

    /// Lets bots change their addresses when it is time.
    fn roam(&self, plan: &Plan, window: Instant) {
        for roam in &plan.roams {
            let numbers = 0..self.directions.len();
            let who: Vec<_> = numbers
                .filter(|number| roam.bots.include(&plan.place(*number)))
                .filter_map(|number| self.directions.get(number).cloned())
                .collect();
            let at = window + roam.at;
            tokio::spawn(async move {
                sleep_until(at.into()).await;
                for bot in who {
                    // One that has left has no address to change.
                    let _ = bot.send(Direction::Roam);
                }
            });
        }
    }

    /// Lets all bots leave.
    async fn dismiss(mut self) -> Vec<Outcome> {
        if let Some(permits) = &self.permits {
            permits.close();
        }
        self.phase.send_replace(Phase::Leave);
        let mut outcomes = Vec::new();
        let leaving = async {
            while let Some(outcome) = self.tasks.join_next().await {
                outcomes.extend(outcome);
            }
        };
        // Bots that do not come back in time have no outcome, and are missed below.
        let _ = timeout(LEAVE_PATIENCE, leaving).await;
        outcomes
    }
}

impl Plan {
    /// All bots of the call.
    pub fn places(&self) -> impl Iterator<Item = BotPlace> + '_ {
        (0..self.publishers + self.subscribers).map(|number| self.place(number))
    }

    /// Where a bot stands among the others; publishers are sent in first.
    fn place(&self, number: usize) -> BotPlace {
        let publishes = number < self.publishers;
        BotPlace {
            number: number + 1,
            publisher: publishes.then_some(number + 1),
            subscriber: (!publishes).then(|| number + 1 - self.publishers),
        }
    }

    /// What a bot of this role sends and takes.
    pub(crate) fn layout(&self, role: Role) -> Layout {
        Layout {
            tracks: match role {
                Role::Publisher => Recordings::TRACKS.to_vec(),
                Role::Subscriber => Vec::new(),
            },
            slots: match role {
                Role::Publisher => Vec::new(),
                Role::Subscriber => self.slots(),
            },
            codecs: vec![Codec::Vp8],
            channel: None,
        }
    }

    fn view(&self) -> View {
        View {
            page: 0,
            tiles: self.camera_slots,
            size: PixelSize {
                width: 640,
                height: 360,
            },
        }
    }

    pub(crate) fn slots(&self) -> Vec<Source> {
        let mut slots = vec![Source::Camera; self.camera_slots];
        slots.extend(vec![Source::Microphone; self.audio_slots]);
        slots.push(Source::Screen);
        slots
    }
}
