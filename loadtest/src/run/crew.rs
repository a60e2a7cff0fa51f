//! The bots of a run: sent in, told what to do as the timeline says, and called out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::{sleep_until, timeout},
};

use super::Plan;
use crate::{
    bot::{BotConfig, Direction, peer::Layout, publish::Craft, ring::KeyRing},
    drive::{self, JoinTurn, Live, Outcome, Phase},
    measure::attendance::{Attendance, SOURCES},
    media::{program::Program, stamp::MonotonicClock},
    scenario::{
        JoinPace,
        timeline::{Act, Entrance, Timeline},
    },
    target::Seat,
};

/// How long bots may take to leave.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

/// What one bot was sent in for, and what it was told.
pub(crate) struct Part {
    number: u32,
    /// Its group in the scenario.
    pub(crate) group: usize,
    /// It came in another one's place.
    pub(crate) is_late: bool,
    /// It was told to leave.
    pub(crate) is_dismissed: bool,
    entrance: Entrance,
    told: Vec<(Instant, Direction)>,
}

/// What a bot was sent in for, and what it was in the end.
pub(crate) struct Stay {
    pub(crate) part: Part,
    pub(crate) outcome: Outcome,
}

/// Bots that are in the call, or on their way into it.
pub(super) struct Crew<'a> {
    plan: &'a Plan,
    live: Arc<Live>,
    clock: MonotonicClock,
    ring: Arc<KeyRing>,
    tasks: JoinSet<(usize, Outcome)>,
    pub(super) phase: watch::Sender<Phase>,
    permits: Option<Arc<Semaphore>>,
    /// One for each bot that was ever sent in.
    parts: Vec<Part>,
    directions: Vec<mpsc::UnboundedSender<Direction>>,
    /// The bot in each place.
    places: Vec<Option<usize>>,
    timeline: Timeline,
}

impl<'a> Crew<'a> {
    /// Nobody yet.
    pub(super) fn new(plan: &'a Plan, live: Arc<Live>) -> Self {
        let (phase, _) = watch::channel(Phase::Gather);
        let permits = match plan.scenario.join {
            JoinPace::AtATime(at_once) => Some(Arc::new(Semaphore::new(at_once.max(1)))),
            JoinPace::AtOnce | JoinPace::PerSecond(_) => None,
        };
        Self {
            plan,
            live,
            clock: MonotonicClock::start(),
            ring: Arc::default(),
            tasks: JoinSet::new(),
            phase,
            permits,
            parts: Vec::new(),
            directions: Vec::new(),
            places: vec![None; plan.scenario.size()],
            timeline: Timeline::new(&plan.scenario),
        }
    }

    /// Sends all bots on their way at the scenario's pace, and waits until each has had
    /// its turn.
    pub(super) async fn gather(&mut self) {
        let (done, mut all_had_their_turn) = mpsc::channel(1);
        let begin = Instant::now();
        for place in 0..self.places.len() {
            let moment = self.plan.scenario.join.moment(place);
            if !moment.is_zero() {
                sleep_until((begin + moment).into()).await;
            }
            self.send_in(place, self.permits.clone(), done.clone());
        }
        drop(done);
        all_had_their_turn.recv().await;
    }

    /// Does what the timeline, which began at `origin`, says until some moment.
    pub(super) async fn play(&mut self, origin: Instant, until: Instant) {
        loop {
            let next = self
                .timeline
                .next_at()
                .and_then(|at| origin.checked_add(at));
            match next.filter(|next| *next < until) {
                Some(next) => sleep_until(next.into()).await,
                None => return sleep_until(until.into()).await,
            }
            let now = origin.elapsed();
            while let Some(cue) = self.timeline.take(now) {
                match cue.act {
                    Act::Join => {
                        let (done, _) = mpsc::channel(1);
                        self.send_in(cue.place, None, done);
                    }
                    Act::Leave => self.direct(cue.place, Direction::Leave),
                    Act::Direct(direction) => self.direct(cue.place, direction),
                }
            }
        }
    }

    /// Lets bots that are there now change their addresses when it is time.
    pub(super) fn roam(&self, window: Instant) {
        for roam in &self.plan.roams {
            let who: Vec<_> = self
                .plan
                .places()
                .zip(&self.places)
                .filter(|(place, _)| roam.bots.include(place))
                .filter_map(|(_, number)| self.directions.get((*number)?).cloned())
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

    /// Tells the bot in a place what to do.
    fn direct(&mut self, place: usize, direction: Direction) {
        let Some(number) = self.places.get(place).copied().flatten() else {
            return;
        };
        let part = &mut self.parts[number];
        if direction == Direction::Leave {
            part.is_dismissed = true;
            self.places[place] = None;
        }
        part.told.push((Instant::now(), direction.clone()));
        // Who is out of the call already cannot be told anything; its outcome says why.
        let _ = self.directions[number].send(direction);
    }

    /// Sends one more bot on its way.
    fn send_in(&mut self, place: usize, permits: Option<Arc<Semaphore>>, done: mpsc::Sender<()>) {
        let plan = self.plan;
        let (Some((group, index)), Some(entrance)) =
            (plan.scenario.group_of(place), self.timeline.entrance(place))
        else {
            return;
        };
        let number = self.parts.len();
        let seat_number = number.try_into().unwrap_or(u32::MAX);
        let members = &plan.scenario.bots[group];
        let programs = plan.library.programs(members, index);
        let config = BotConfig {
            target: plan.target.clone(),
            seat: Seat {
                number: seat_number,
                name: format!("{} {}", plan.name, number + 1),
                layout: Layout {
                    tracks: programs.iter().map(Program::layout).collect(),
                    slots: members.slots.list(),
                    codecs: plan.codecs(),
                    channel: None,
                    largest_first: false,
                },
                is_member: plan.scenario.is_member(place),
                on: entrance.on.clone(),
                view: entrance.view,
            },
            programs,
            ring: self.ring.clone(),
            craft: Craft {
                clock: self.clock,
                // Different for each bot, and for the same bot with another seed.
                seed: fastrand::Rng::with_seed(plan.scenario.seed ^ (number as u64) << 32).u64(..),
                sabotage: plan.sabotage,
            },
        };
        let turn = JoinTurn {
            permits,
            patience: plan.join_patience,
            done,
        };
        let receive_offload = plan.receive_offload;
        let path = plan.paths.of(&plan.place(place));
        let (live, phase) = (self.live.clone(), self.phase.subscribe());
        let (direct, directions) = mpsc::unbounded_channel();
        self.directions.push(direct);
        self.parts.push(Part {
            number: seat_number,
            group,
            is_late: number >= self.places.len(),
            is_dismissed: false,
            entrance,
            told: Vec::new(),
        });
        self.places[place] = Some(number);
        self.tasks.spawn(async move {
            let outcome =
                drive::run(config, path, phase, directions, turn, receive_offload, live).await;
            (number, outcome)
        });
    }

    /// Lets all bots leave; tells what each was, and how many did not come back.
    pub(super) async fn dismiss(mut self) -> (Vec<Stay>, usize) {
        if let Some(permits) = &self.permits {
            permits.close();
        }
        self.phase.send_replace(Phase::Leave);
        let mut parts: Vec<Option<Part>> = self.parts.into_iter().map(Some).collect();
        let mut stays = Vec::new();
        let leaving = async {
            while let Some(result) = self.tasks.join_next().await {
                if let Ok((number, outcome)) = result
                    && let Some(part) = parts[number].take()
                {
                    stays.push((number, Stay { part, outcome }));
                }
            }
        };
        // Bots that do not come back in time have no outcome, and are missed.
        let _ = timeout(LEAVE_PATIENCE, leaving).await;
        stays.sort_by_key(|(number, _)| *number);
        let missing = parts.iter().flatten().count();
        (stays.into_iter().map(|(_, stay)| stay).collect(), missing)
    }
}

impl Stay {
    /// When it was in the call and what it did there; none when it never was.
    pub(crate) fn attendance(&self, plan: &Plan) -> Option<Attendance> {
        let group = plan.scenario.bots.get(self.part.group)?;
        let from = self.outcome.in_call_at?;
        let until = self.outcome.left_at?;
        let entrance = &self.part.entrance;
        let mut sends = vec![(from, entrance.on.clone())];
        let mut pages = vec![(from, entrance.view.page)];
        for (at, direction) in &self.part.told {
            match direction {
                Direction::Publish(sources) => sends.push((*at, sources.clone())),
                Direction::Look(view) => pages.push((*at, view.page)),
                Direction::Roam | Direction::Leave => {}
            }
        }
        Some(Attendance {
            from,
            until,
            sends,
            pages,
            tiles: group.tiles(),
            slots: SOURCES.map(|source| group.slots.of(source)),
            number: self.part.number,
            streams: plan.target.streams(),
        })
    }
}
