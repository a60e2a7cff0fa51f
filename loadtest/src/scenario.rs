//! A whole run: bots join, everyone plays, a window is measured, bots leave.

use std::{
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use conclave_e2ee::{Link, LinkSecret};
use conclave_protocol::{RoomId, signal::Source};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{sleep, sleep_until, timeout},
};

use crate::{
    bot::BotConfig,
    delivery,
    drive::{self, JoinTurn, Live, Outcome, Phase},
    generator::{self, Load, Watch},
    publish::{Recordings, Sabotage},
    report::{self, LatencyMs, OnceMs, Participants, Report, Verdict},
    server::{CostUnknown, ServerAddress, ServerCost},
    stamp::MonotonicClock,
    tally::{SenderCount, Tally, Unopened, durations},
};

/// How long packets may be on their way after the window.
const SETTLE: Duration = Duration::from_secs(1);
/// How long bots may take to leave.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where.
    pub server: ServerAddress,
    /// The call.
    pub room: RoomId,
    /// Its secret.
    pub secret: LinkSecret,
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
    /// Bots that join at the same time.
    pub join_concurrency: usize,
    /// Time between the last join and the window.
    pub warmup: Duration,
    /// Length of the window.
    pub duration: Duration,
    /// How long bots stay after it.
    pub linger: Duration,
    /// How late sends and wake-ups may be before the run is void.
    pub lateness_bound: Duration,
    /// Deliberate damage by publishers.
    pub sabotage: Sabotage,
}

impl Plan {
    /// Where and in which call, new or existing.
    pub fn call(link: Option<Link>) -> Result<(RoomId, LinkSecret, bool), String> {
        if let Some(link) = link {
            return Ok((link.room, link.secret, true));
        }
        let number = getrandom::u64().map_err(|error| error.to_string())?;
        let room = format!("load-test-{number:016x}")
            .parse()
            .map_err(|_| "no room name could be made".to_owned())?;
        let secret = LinkSecret::generate().map_err(|error| error.to_string())?;
        Ok((room, secret, false))
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
struct Mark {
    at: Instant,
    cpu: Duration,
    server: Result<ServerCost, CostUnknown>,
}

impl Mark {
    async fn now(server: &ServerAddress) -> Self {
        let cost = server.cost().await;
        Self {
            at: Instant::now(),
            cpu: generator::cpu_time(),
            server: cost,
        }
    }
}

/// Bots that are in the call, or on their way into it.
struct Crew {
    tasks: JoinSet<(Role, Outcome)>,
    phase: watch::Sender<Phase>,
    permits: Arc<Semaphore>,
    all_had_their_turn: mpsc::Receiver<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
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
    on_stage(Stage::Joining(plan.publishers + plan.subscribers));
    let mut crew = Crew::muster(plan, recordings.as_ref(), &live);
    waiting.until(crew.all_had_their_turn.recv()).await;
    let joined = live.joined.load(Ordering::Relaxed);
    if joined > 0 {
        on_stage(Stage::WarmingUp(plan.warmup));
        waiting.until(sleep(plan.warmup)).await;
    }

    let begin = Mark::now(&plan.server).await;
    crew.phase.send_replace(Phase::Measure);
    let watch = watch_the_clock(crew.phase.subscribe());
    if joined > 0 {
        on_stage(Stage::Measuring(plan.duration));
        waiting.until(sleep(plan.duration)).await;
    }
    crew.phase.send_replace(Phase::Settle);
    let end = Mark::now(&plan.server).await;
    let ports = live.ports.lock().map(|ports| ports.clone());
    if joined > 0 {
        sleep(SETTLE).await;
        if !plan.linger.is_zero() {
            on_stage(Stage::Lingering(plan.linger));
            waiting.until(sleep(plan.linger)).await;
        }
    }
    let datagrams_not_read = generator::dropped_by_kernel(&ports.unwrap_or_default());

    on_stage(Stage::Leaving);
    let outcomes = crew.dismiss().await;
    let wake_lateness = watch.await.map(|mut watch| watch.take());
    let mut report = Findings {
        plan,
        begin,
        end,
        joined: joined as usize,
        outcomes,
    }
    .report(
        wake_lateness.unwrap_or_else(|_| durations()),
        datagrams_not_read,
    );
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

impl Crew {
    /// Sends all bots on their way, publishers first.
    fn muster(plan: &Plan, recordings: Option<&Arc<Recordings>>, live: &Arc<Live>) -> Self {
        let clock = MonotonicClock::start();
        let (phase, _) = watch::channel(Phase::Gather);
        let permits = Arc::new(Semaphore::new(plan.join_concurrency.max(1)));
        let (done, all_had_their_turn) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        let roles = std::iter::repeat_n(Role::Publisher, plan.publishers)
            .chain(std::iter::repeat_n(Role::Subscriber, plan.subscribers));
        for (number, role) in roles.enumerate() {
            let publishes = role == Role::Publisher;
            let config = BotConfig {
                room: plan.room.clone(),
                secret: plan.secret.clone(),
                name: format!("{} {}", plan.name, number + 1),
                recordings: recordings.filter(|_| publishes).cloned(),
                slots: if publishes { Vec::new() } else { plan.slots() },
                clock,
                sabotage: plan.sabotage,
            };
            let turn = JoinTurn {
                permits: permits.clone(),
                done: done.clone(),
            };
            let (server, live, phase) = (plan.server.clone(), live.clone(), phase.subscribe());
            tasks
                .spawn(async move { (role, drive::run(&server, config, phase, turn, live).await) });
        }
        Self {
            tasks,
            phase,
            permits,
            all_had_their_turn,
        }
    }

    /// Lets all bots leave.
    async fn dismiss(mut self) -> Vec<(Role, Outcome)> {
        self.permits.close();
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
    fn slots(&self) -> Vec<Source> {
        let mut slots = vec![Source::Camera; self.camera_slots];
        slots.extend(vec![Source::Microphone; self.audio_slots]);
        slots.push(Source::Screen);
        slots
    }
}

/// Everything that a report is made from.
struct Findings<'a> {
    plan: &'a Plan,
    begin: Mark,
    end: Mark,
    joined: usize,
    outcomes: Vec<(Role, Outcome)>,
}

impl Findings<'_> {
    fn tallies(&self, wanted: Role) -> Vec<&Tally> {
        self.outcomes
            .iter()
            .filter(|(role, _)| *role == wanted)
            .map(|(_, outcome)| &outcome.tally)
            .collect()
    }

    fn once(&self, value: impl Fn(&Outcome) -> Option<Duration>) -> Option<OnceMs> {
        let milliseconds = |outcome| value(outcome).map(|time| time.as_secs_f64() * 1e3);
        OnceMs::of(
            self.outcomes
                .iter()
                .filter_map(|(_, outcome)| milliseconds(outcome))
                .collect(),
        )
    }

    fn load(
        &self,
        wake_lateness: hdrhistogram::Histogram<u64>,
        datagrams_not_read: Option<u64>,
    ) -> Load {
        let mut load = Load {
            cpu: self.end.cpu.saturating_sub(self.begin.cpu),
            wall: self.end.at - self.begin.at,
            available_cores: thread::available_parallelism().map_or(1, usize::from),
            send_lateness: durations(),
            wake_lateness,
            frames_left_out: 0,
            datagrams_not_sent: 0,
            datagrams_not_read,
        };
        for (_, outcome) in &self.outcomes {
            // Both have the same bounds, so adding cannot fail.
            let _ = load.send_lateness.add(&outcome.tally.lateness);
            load.frames_left_out += outcome.tally.left_out;
            load.datagrams_not_sent += outcome.datagrams_not_sent;
        }
        load
    }

    fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (_, outcome) in &self.outcomes {
            if let Some(failure) = &outcome.failure {
                let stage = match outcome.join {
                    Some(_) => "did not stay in the call",
                    None => "could not join",
                };
                failures.push(format!("a bot {stage}: {failure}"));
            }
        }
        let bots = self.plan.publishers + self.plan.subscribers;
        let missing = bots.saturating_sub(self.outcomes.len());
        if missing > 0 {
            failures.push(format!("{missing} bots did not come back"));
        }
        // The same failure of many bots is told once.
        let mut counted: Vec<(String, usize)> = Vec::new();
        for failure in failures {
            match counted.iter_mut().find(|(known, _)| *known == failure) {
                Some((_, count)) => *count += 1,
                None => counted.push((failure, 1)),
            }
        }
        counted
            .into_iter()
            .map(|(failure, count)| match count {
                1 => failure,
                _ => format!("{failure} ({count} times)"),
            })
            .collect()
    }

    fn senders(&self) -> Vec<SenderCount> {
        let mut senders: Vec<SenderCount> = Vec::new();
        for count in self
            .outcomes
            .iter()
            .flat_map(|(_, outcome)| outcome.tally.senders())
            .filter(|count| count.audio_frames + count.video_frames > 0)
        {
            match senders.iter_mut().find(|known| known.name == count.name) {
                Some(known) => {
                    known.audio_frames += count.audio_frames;
                    known.video_frames += count.video_frames;
                    known.video_key_frames += count.video_key_frames;
                    known.stamped_frames += count.stamped_frames;
                }
                None => senders.push(count.clone()),
            }
        }
        senders
    }

    fn report(
        &self,
        wake_lateness: hdrhistogram::Histogram<u64>,
        datagrams_not_read: Option<u64>,
    ) -> Report {
        let plan = self.plan;
        let publishers = self.tallies(Role::Publisher);
        let receivers = self.tallies(Role::Subscriber);
        let slots = plan.slots();
        let slotted: Vec<_> = receivers.iter().map(|tally| (*tally, &slots[..])).collect();
        let delivery = if plan.existing_call || publishers.is_empty() {
            delivery::by_counters(&slotted)
        } else {
            delivery::by_sent(&publishers, &slotted)
        };

        let mut latency = durations();
        let mut unopened = Unopened::default();
        for tally in &receivers {
            let _ = latency.add(&tally.latency);
            unopened.add(&tally.unopened);
        }
        let sum = |tallies: &[&Tally], value: fn(&Tally) -> u64| -> u64 {
            tallies.iter().map(|tally| value(tally)).sum()
        };
        let seconds = (self.end.at - self.begin.at).as_secs_f64();
        let payload_bits = sum(&receivers, |tally| tally.payload_bytes) as f64 * 8.0;
        let cost = match (&self.begin.server, &self.end.server) {
            (Ok(begin), Ok(end)) => end.since(begin),
            (Err(reason), _) | (_, Err(reason)) => Err(reason.clone()),
        };
        let known = cost.as_ref().ok();
        Report {
            schema: report::SCHEMA,
            scenario: report::Scenario {
                name: format!("{} to {}", plan.publishers, plan.subscribers),
                publishers: plan.publishers,
                subscribers: plan.subscribers,
                camera_slots: plan.camera_slots,
                audio_slots: plan.audio_slots,
                duration_seconds: plan.duration.as_secs_f64(),
                warmup_seconds: plan.warmup.as_secs_f64(),
                existing_call: plan.existing_call,
            },
            participants: Participants {
                publishers: plan.publishers,
                subscribers: plan.subscribers,
                joined: self.joined,
                in_group: self
                    .outcomes
                    .iter()
                    .map(|(_, outcome)| outcome.members)
                    .max()
                    .unwrap_or_default(),
            },
            measured_seconds: seconds,
            packets_delivered: sum(&receivers, |tally| tally.packets),
            packets_sent: sum(&publishers, |tally| tally.packets_sent),
            packets_lost: sum(&receivers, |tally| tally.packets_lost),
            delivered_bits_per_second: payload_bits / seconds.max(1e-9),
            delivered_ratio: delivery.ratio(),
            delivered_basis: delivery.basis,
            frames_expected: delivery.expected,
            frames_opened: delivery.opened,
            frames_opened_total: sum(&receivers, |tally| tally.frames_opened_total),
            decrypt_failures: unopened.failures(),
            frames_unopened: unopened,
            fanout_latency_ms: LatencyMs::of(&latency),
            join_ms: self.once(|outcome| outcome.join),
            first_picture_ms: self.once(|outcome| outcome.first_picture),
            server_cpu_us_per_forwarded_packet: known.map(|cost| cost.process_micros),
            server_cpu_reason: cost.as_ref().err().map(ToString::to_string),
            server_worker_cpu_us_per_forwarded_packet: known.and_then(|cost| cost.worker_micros),
            server_cpu_cores: known.map(|cost| cost.process_seconds / seconds.max(1e-9)),
            server_packets_out: known.map(|cost| cost.packets),
            generator: self
                .load(wake_lateness, datagrams_not_read)
                .judge(plan.lateness_bound),
            senders: self.senders(),
            commits_refused: self
                .outcomes
                .iter()
                .map(|(_, outcome)| outcome.commits_refused)
                .sum(),
            strangers_refused: self
                .outcomes
                .iter()
                .map(|(_, outcome)| outcome.strangers_refused)
                .sum(),
            failures: self.failures(),
            verdict: Verdict::Failed,
        }
    }
}
