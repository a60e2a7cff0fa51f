//! What the shard costs without sockets.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    client::{CAMERA_SLOTS, Publishes, Sections},
    clock::Spread,
    room::{Estimation, RAMP, Room},
    video::Frame,
};

const REPETITIONS: usize = 5;

/// Estimates take some seconds to settle.
const WARM_UP: Duration = Duration::from_secs(15);

/// Forwards in one repetition, about.
const FORWARDS: usize = 30_000;

const VIEWER: Sections = Sections {
    publishes: Publishes::Nothing,
    cameras: CAMERA_SLOTS,
};

const CAMERA: Sections = Sections {
    publishes: Publishes::Camera,
    cameras: CAMERA_SLOTS,
};

/// Who sends to how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One publisher, so many viewers.
    OneTo(usize),
    /// So many, each of whom sends to all others.
    AllOf(usize),
}

impl Shape {
    pub(crate) fn receivers(self) -> usize {
        match self {
            Self::OneTo(viewers) => viewers,
            Self::AllOf(people) => people - 1,
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OneTo(viewers) => write!(f, "1 → {viewers}"),
            Self::AllOf(people) => write!(f, "{people} → {people}"),
        }
    }
}

/// A room of this shape in which estimates have settled.
pub(crate) fn settled(shape: Shape, estimation: Estimation) -> Result<Room> {
    let mut room = Room::new(estimation)?;
    match shape {
        Shape::OneTo(viewers) => {
            room.join(1, CAMERA)?;
            room.begin_publishing(CAMERA);
            room.join(viewers, VIEWER)?;
        }
        Shape::AllOf(people) => {
            room.join(people, CAMERA)?;
            room.begin_publishing(CAMERA);
        }
    }
    room.run(WARM_UP)?;
    Ok(room)
}

/// Nanoseconds for each forwarded packet, frame after frame.
pub(crate) fn saturated(room: &mut Room, shape: Shape, frame: Frame) -> Result<Spread> {
    let frames = FORWARDS.div_ceil(shape.receivers() * frame.packets);
    room.saturate(frames, frame)?;
    let spread = repeated(room, |room| room.saturate(frames, frame))?;
    // What is under way arrives, so that nothing of it is counted elsewhere.
    room.run(Duration::from_secs(1))?;
    Ok(spread)
}

/// Nanoseconds for each forwarded packet when cameras send as they do in calls.
pub(crate) fn paced(room: &mut Room) -> Result<Spread> {
    repeated(room, |room| room.run(Duration::from_secs(2)))
}

/// Nanoseconds for each forwarded packet under heavy load, which estimates have followed.
pub(crate) fn heavy(room: &mut Room) -> Result<Spread> {
    room.begin_ramp();
    room.run(RAMP + Duration::from_secs(1))?;
    repeated(room, |room| room.run(Duration::from_millis(200)))
}

/// Nanoseconds for each forwarded packet where so many publish simulcast and each watches
/// nine, as cameras send in calls.
pub(crate) fn gallery(people: usize) -> Result<Spread> {
    let sections = Sections {
        publishes: Publishes::Simulcast,
        cameras: CAMERA_SLOTS,
    };
    let mut room = Room::new(Estimation::On)?;
    room.join(people, sections)?;
    room.begin_publishing(sections);
    room.everyone_wishes(CAMERA_SLOTS, 240)?;
    room.run(WARM_UP)?;
    repeated(&mut room, |room| room.run(Duration::from_secs(1)))
}

/// Milliseconds of the shard's time that one more person costs in a room of so many, in
/// which nobody sends anything.
pub(crate) fn joins(sizes: &[usize]) -> Result<Vec<(usize, Spread)>> {
    const BATCH: usize = 50;
    /// They come together, so that what they cost stands out from what the others do anyway.
    const NEWCOMERS: usize = 10;
    const WINDOW: Duration = Duration::from_millis(500);
    let mut room = Room::new(Estimation::On)?;
    let mut people = 0;
    let mut costs = vec![];
    for &size in sizes {
        while people < size {
            let count = BATCH.min(size - people);
            room.join(count, VIEWER)?;
            people += count;
        }
        let mut milliseconds = vec![];
        room.run(Duration::from_secs(2))?;
        for _ in 0..REPETITIONS {
            let before = room.work();
            room.run(WINDOW)?;
            let idle = room.work() - before;
            let before = room.work();
            room.join_within(NEWCOMERS, VIEWER, WINDOW)?;
            people += NEWCOMERS;
            let joined = (room.work() - before).saturating_sub(idle);
            milliseconds.push(joined.as_secs_f64() * 1e3 / NEWCOMERS as f64);
        }
        costs.extend(Spread::of(milliseconds).map(|spread| (size, spread)));
    }
    Ok(costs)
}

fn repeated(room: &mut Room, mut load: impl FnMut(&mut Room) -> Result<()>) -> Result<Spread> {
    let mut costs = vec![];
    for _ in 0..REPETITIONS {
        let (work, forwarded, received) = (room.work(), room.forwarded(), room.received());
        load(room)?;
        let forwards = room.forwarded() - forwarded;
        ensure!(forwards > 0, "nothing was forwarded");
        let arrived = room.received() - received;
        ensure!(
            arrived * 10 > forwards * 8,
            "of {forwards} packets forwarded only {arrived} arrived"
        );
        #[allow(clippy::cast_precision_loss)]
        costs.push((room.work() - work).as_secs_f64() * 1e9 / forwards as f64);
    }
    Spread::of(costs).ok_or_else(|| anyhow::anyhow!("no repetitions"))
}
