//! What changes in the course of a scenario: who is on, who looks at what, who leaves and
//! who comes. Sans-IO, and the same for the same scenario and seed.
//!
//! Bots have *places*, which count through all groups. When a bot leaves by churn, another
//! one comes in its place: it is a new participant, which does what is done in that place.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use conclave_protocol::signal::Source;

use super::{Scenario, group::Group};
use crate::{bot::Direction, media::voice::exponential, target::View};

/// What happens to a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A bot comes.
    Join,
    /// The bot leaves.
    Leave,
    /// The bot is told something.
    Direct(Direction),
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// When, since everyone was in the call.
    pub at: Duration,
    /// In which place.
    pub place: usize,
    /// What.
    pub act: Act,
}

/// How a bot comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// The sources that it has on.
    pub on: Vec<Source>,
    /// What it looks at.
    pub view: View,
}

/// What is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Plan {
    /// Others of a group are on.
    Rotate { group: usize },
    /// Someone turns the page.
    Turn { place: usize },
    /// One of a group leaves.
    Depart { group: usize },
    /// A place is taken again.
    Return { place: usize },
}

#[derive(Debug, Clone)]
struct Place {
    group: usize,
    index: usize,
    is_taken: bool,
    page: usize,
}

/// The course of a scenario.
#[derive(Debug)]
pub struct Timeline {
    groups: Vec<Group>,
    places: Vec<Place>,
    /// Turns of each group's rotation so far.
    turns: Vec<u64>,
    /// Cameras that are on at once, of all groups.
    cameras: usize,
    chance: fastrand::Rng,
    /// In the order of time, and of planning where that is the same.
    planned: BinaryHeap<Reverse<(Duration, u64, Plan)>>,
    plans: u64,
    due: VecDeque<Cue>,
}

impl Timeline {
    /// Everyone is there, and nothing has happened yet.
    pub fn new(scenario: &Scenario) -> Self {
        let places = scenario.bots.iter().enumerate().flat_map(|(group, of)| {
            (0..of.count).map(move |index| Place {
                group,
                index,
                is_taken: true,
                page: 0,
            })
        });
        let mut timeline = Self {
            places: places.collect(),
            turns: vec![0; scenario.bots.len()],
            cameras: scenario.on_at_once(Source::Camera),
            groups: scenario.bots.clone(),
            chance: fastrand::Rng::with_seed(scenario.seed),
            planned: BinaryHeap::new(),
            plans: 0,
            due: VecDeque::new(),
        };
        for group in 0..timeline.groups.len() {
            if let Some(every) = timeline.rotation(group) {
                timeline.plan(every, Plan::Rotate { group });
            }
            timeline.plan_departure(Duration::ZERO, group);
        }
        for place in 0..timeline.places.len() {
            if let Some(every) = timeline.page_turn(place) {
                // Not all at the same moment.
                let first = every.mul_f64(timeline.chance.f64());
                timeline.plan(first, Plan::Turn { place });
            }
        }
        timeline
    }

    /// How a bot comes into a place now.
    pub fn entrance(&self, place: usize) -> Option<Entrance> {
        let Place {
            group, index, page, ..
        } = *self.places.get(place)?;
        let of = self.groups.get(group)?;
        Some(Entrance {
            on: of.on(index, self.turns[group]),
            view: view(of, page),
        })
    }

    /// When something happens next.
    pub fn next_at(&self) -> Option<Duration> {
        let due = self.due.front().map(|cue| cue.at);
        due.or_else(|| self.planned.peek().map(|Reverse((at, ..))| *at))
    }

    /// What happens next, if it happens by `now`.
    pub fn take(&mut self, now: Duration) -> Option<Cue> {
        while self.due.is_empty() {
            let Reverse((at, ..)) = self.planned.peek()?;
            if *at > now {
                return None;
            }
            let Reverse((at, _, plan)) = self.planned.pop()?;
            self.carry_out(at, plan);
        }
        self.due.pop_front()
    }

    fn carry_out(&mut self, at: Duration, plan: Plan) {
        match plan {
            Plan::Rotate { group } => self.rotate(at, group),
            Plan::Turn { place } => self.turn(at, place),
            Plan::Depart { group } => self.depart(at, group),
            Plan::Return { place } => {
                self.places[place].is_taken = true;
                self.places[place].page = 0;
                self.cue(at, place, Act::Join);
            }
        }
    }

    fn rotate(&mut self, at: Duration, group: usize) {
        let before = self.turns[group];
        self.turns[group] += 1;
        for place in 0..self.places.len() {
            let Place {
                group: of,
                index,
                is_taken,
                ..
            } = self.places[place];
            let members = &self.groups[group];
            let on = members.on(index, before + 1);
            if of == group && is_taken && on != members.on(index, before) {
                self.cue(at, place, Act::Direct(Direction::Publish(on)));
            }
        }
        if let Some(every) = self.rotation(group) {
            self.plan(at + every, Plan::Rotate { group });
        }
    }

    fn turn(&mut self, at: Duration, place: usize) {
        let Some(every) = self.page_turn(place) else {
            return;
        };
        let Place {
            group,
            index,
            is_taken,
            page,
        } = self.places[place];
        let of = &self.groups[group];
        let own = usize::from(of.on(index, self.turns[group]).contains(&Source::Camera));
        let pages = (self.cameras - own.min(self.cameras)).div_ceil(of.tiles().max(1));
        let next = (page + 1) % pages.max(1);
        if is_taken && next != page {
            self.places[place].page = next;
            let view = view(of, next);
            self.cue(at, place, Act::Direct(Direction::Look(view)));
        }
        self.plan(at + every, Plan::Turn { place });
    }

    fn depart(&mut self, at: Duration, group: usize) {
        let away = self.groups[group].churn.as_ref().map(|churn| churn.away);
        let there = |place: &Place| place.group == group && place.is_taken;
        let count = self.places.iter().filter(|place| there(place)).count();
        if let Some(away) = away
            && count > 0
        {
            let chosen = self.chance.usize(..count);
            let mut those = self.places.iter().enumerate();
            let chosen = those.by_ref().filter(|(_, place)| there(place)).nth(chosen);
            if let Some((place, _)) = chosen {
                self.places[place].is_taken = false;
                self.cue(at, place, Act::Leave);
                let away = away.mul_f64(exponential(&mut self.chance));
                self.plan(at + away, Plan::Return { place });
            }
        }
        self.plan_departure(at, group);
    }

    fn plan_departure(&mut self, now: Duration, group: usize) {
        if let Some(churn) = &self.groups[group].churn {
            let pause = exponential(&mut self.chance) / churn.per_second;
            self.plan(now + Duration::from_secs_f64(pause), Plan::Depart { group });
        }
    }

    fn rotation(&self, group: usize) -> Option<Duration> {
        let rotate = self.groups[group].rotate.as_ref()?;
        Some(rotate.every)
    }

    fn page_turn(&self, place: usize) -> Option<Duration> {
        self.groups[self.places[place].group].view.turn
    }

    fn plan(&mut self, at: Duration, plan: Plan) {
        self.plans += 1;
        self.planned.push(Reverse((at, self.plans, plan)));
    }

    fn cue(&mut self, at: Duration, place: usize, act: Act) {
        self.due.push_back(Cue { at, place, act });
    }
}

fn view(group: &Group, page: usize) -> View {
    View {
        page,
        tiles: group.tiles(),
        size: group.view.size,
    }
}

#[cfg(test)]
mod tests;
