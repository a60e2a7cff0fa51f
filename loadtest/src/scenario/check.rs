//! What cannot be done, and what could be done instead.

use std::time::Duration;

use super::{
    JoinPace, MOST_BOTS, Problem, Scenario,
    group::{Group, Picture, Video, VideoCodec},
};
use crate::media::cadence::TemporalLayers;

/// Media sections in one offer that servers take.
const MOST_SECTIONS: usize = 60;
/// Nothing is turned over more often.
const SHORTEST_TURN: Duration = Duration::from_millis(100);
/// More a second could not be told from all at once.
const MOST_PER_SECOND: f64 = 10_000.0;

type Check = Result<(), (&'static str, String)>;

fn refuse(key: &'static str, what: impl Into<String>) -> Check {
    Err((key, what.into()))
}

pub(super) fn scenario(scenario: &Scenario) -> Result<(), Problem> {
    whole(scenario).map_err(|(key, what)| Problem {
        group: None,
        key: key.to_owned(),
        what,
    })?;
    for (number, group) in scenario.bots.iter().enumerate() {
        in_group(group).map_err(|(key, what)| Problem {
            group: Some(number),
            key: key.to_owned(),
            what,
        })?;
    }
    members(scenario)
}

fn whole(scenario: &Scenario) -> Check {
    let size = scenario.size();
    if size == 0 {
        return refuse(
            "bots",
            "there is nobody to run: give a [[bots]] with a count, or --publishers or --subscribers",
        );
    }
    if size > MOST_BOTS {
        return refuse(
            "bots",
            format!("{size} bots are too many: give at most {MOST_BOTS}"),
        );
    }
    if scenario.duration.is_zero() {
        return refuse(
            "duration",
            "nothing can be measured in no time: give for instance \"10s\"",
        );
    }
    match scenario.join {
        JoinPace::AtATime(0) => refuse(
            "join",
            "nobody at a time means that nobody joins: give 1 or more, or \"at-once\"",
        ),
        JoinPace::PerSecond(rate) if !is_rate(rate) => refuse(
            "join",
            format!("{rate} a second cannot be: give more than 0, and at most {MOST_PER_SECOND}"),
        ),
        _ => Ok(()),
    }
}

fn members(scenario: &Scenario) -> Result<(), Problem> {
    let Some(members) = scenario.members else {
        return Ok(());
    };
    let mut end = 0;
    let mut last_publisher = 0;
    for group in &scenario.bots {
        end += group.count;
        if group.sends() && group.count > 0 {
            last_publisher = end;
        }
    }
    let problem = |what| Problem {
        group: None,
        key: "members".to_owned(),
        what,
    };
    if members < last_publisher {
        return Err(problem(format!(
            "whoever sends has to be a member, and the last of them is bot {last_publisher}: \
             give at least {last_publisher}, or put those who send first"
        )));
    }
    if members == 0 {
        return Err(problem(
            "without members there are no keys: give 1 or more, or --plain".to_owned(),
        ));
    }
    Ok(())
}

fn in_group(group: &Group) -> Check {
    if group.count == 0 {
        return Ok(());
    }
    let sources = group.sources();
    if !group.sends() && !group.receives() {
        return refuse(
            "count",
            "these bots neither send nor receive: give them a microphone, a camera, a screen or slots",
        );
    }
    let sections = sources.len() + group.slots.total();
    if sections > MOST_SECTIONS {
        return refuse(
            "slots",
            format!(
                "{sections} tracks and slots are more than servers take: give at most {MOST_SECTIONS}"
            ),
        );
    }
    if let Some(picture) = &group.camera {
        self::picture("camera", picture)?;
    }
    if let Some(picture) = &group.screen {
        self::picture("screen", picture)?;
    }
    microphone(group)?;
    view(group)?;
    rotation(group)?;
    match &group.churn {
        Some(churn) if !is_rate(churn.per_second) => refuse(
            "churn.per-second",
            format!(
                "{} a second cannot be: give more than 0, and at most {MOST_PER_SECOND}",
                churn.per_second
            ),
        ),
        _ => Ok(()),
    }
}

fn picture(key: &'static str, picture: &Picture) -> Check {
    if !(1..=3).contains(&picture.layers) {
        return refuse(
            key,
            format!(
                "{} layers of simulcast cannot be: give 1 to 3",
                picture.layers
            ),
        );
    }
    if picture.codec == VideoCodec::H264 && picture.temporal_layers != TemporalLayers::One {
        return refuse(
            key,
            "packets of H.264 do not tell temporal layers: give temporal-layers = 1, or another codec",
        );
    }
    match &picture.video {
        Some(Video::File(path)) if !picture.is_recordable() => refuse(
            key,
            format!(
                "{} can only fill one layer of VP8: give \"generated:640x360@30,1mbit\", or \
                 codec = \"vp8\", layers = 1, temporal-layers = 1",
                path.display()
            ),
        ),
        Some(Video::Generated(spec)) => match spec.layer(0, picture.layers).check() {
            Ok(()) => Ok(()),
            Err(error) => refuse(key, format!("its smallest layer: {error}")),
        },
        _ => Ok(()),
    }
}

fn microphone(group: &Group) -> Check {
    let Some(microphone) = &group.microphone else {
        return Ok(());
    };
    if !(0.0..=1.0).contains(&microphone.talk) {
        return refuse(
            "microphone.talk",
            format!("{} is no part of the time: give 0 to 1", microphone.talk),
        );
    }
    if microphone.audio.is_some() && (microphone.speakers.is_some() || microphone.talk < 1.0) {
        return refuse(
            "microphone.audio",
            "a recording says what it says: leave out talk and speakers, or the recording",
        );
    }
    match microphone.speakers {
        Some(speakers) if speakers == 0 || speakers > group.count => refuse(
            "microphone.speakers",
            format!(
                "{speakers} of {} cannot speak: give 1 to {}",
                group.count, group.count
            ),
        ),
        Some(_) => turn("microphone.turn", microphone.turn),
        None => Ok(()),
    }
}

fn view(group: &Group) -> Check {
    let slots = group.slots.cameras;
    match group.view.tiles {
        Some(tiles) if slots > 0 && (tiles == 0 || tiles > slots) => {
            return refuse(
                "view.tiles",
                format!(
                    "{tiles} tiles cannot be filled from {slots} slots: give 1 to {slots}, or \
                     more slots.cameras"
                ),
            );
        }
        _ => {}
    }
    group
        .view
        .turn
        .map_or(Ok(()), |every| turn("view.turn", every))
}

fn rotation(group: &Group) -> Check {
    let Some(rotate) = &group.rotate else {
        return Ok(());
    };
    if rotate.on == 0 || rotate.on > group.count {
        return refuse(
            "rotate.on",
            format!(
                "{} of {} cannot be on: give 1 to {}",
                rotate.on, group.count, group.count
            ),
        );
    }
    let sources = group.sources();
    if !sources.iter().any(|source| rotate.turns(*source)) {
        return refuse(
            "rotate",
            "none of these bots sends any of its sources: give them a track, or other sources",
        );
    }
    turn("rotate.every", rotate.every)
}

fn turn(key: &'static str, every: Duration) -> Check {
    if every < SHORTEST_TURN {
        return refuse(
            key,
            format!("{every:?} is too short: give {SHORTEST_TURN:?} or more"),
        );
    }
    Ok(())
}

fn is_rate(rate: f64) -> bool {
    rate > 0.0 && rate <= MOST_PER_SECOND
}

impl Picture {
    /// One layer of VP8, which is what recordings are.
    pub(crate) fn is_recordable(&self) -> bool {
        self.codec == VideoCodec::Vp8
            && self.layers == 1
            && self.temporal_layers == TemporalLayers::One
    }
}
