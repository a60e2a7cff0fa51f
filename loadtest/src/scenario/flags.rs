//! The flags that choose a scenario and change single values of it.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{
    JoinPace, Problem, Scenario,
    built_in::{self, NoScenario},
    group::{Group, Video, VideoCodec},
    text::{self, ScenarioError},
};

/// Which scenario, and what is different from it.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// A scenario that is part of this program; `conclave-loadtest scenarios` lists them.
    #[arg(
        value_name = "SCENARIO",
        default_value = "broadcast",
        conflicts_with = "scenario"
    )]
    pub built_in: String,

    /// A scenario of your own.
    #[arg(long, value_name = "FILE.toml")]
    pub scenario: Option<PathBuf>,

    /// Bots of the group that sends.
    #[arg(long)]
    pub publishers: Option<usize>,

    /// Bots of the group that only receives.
    #[arg(long)]
    pub subscribers: Option<usize>,

    /// How many bots, the first ones, are members of the group. The others take part in
    /// media only, and open frames with the members' keys.
    #[arg(long)]
    pub members: Option<usize>,

    /// What chance is drawn from: the same seed gives the same run.
    #[arg(long)]
    pub seed: Option<u64>,

    /// How long to measure.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,

    /// How long everyone plays before measuring.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub warmup: Option<Duration>,

    /// How long what is on its way has to arrive after measuring.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub drain: Option<Duration>,

    /// What all cameras show: a VP8 recording (IVF), or for instance
    /// generated:640x360@30,1mbit.
    #[arg(long, value_name = "FILE.ivf|generated:…")]
    pub video: Option<Video>,

    /// How all cameras are coded, if they show generated pictures.
    #[arg(long, value_enum)]
    pub codec: Option<VideoCodec>,

    /// An Opus recording for all microphones (Ogg).
    #[arg(long, value_name = "FILE.ogg")]
    pub audio: Option<PathBuf>,

    /// Cameras that a receiver can take at once.
    #[arg(long)]
    pub camera_slots: Option<usize>,

    /// Voices that a receiver can take at once.
    #[arg(long)]
    pub audio_slots: Option<usize>,

    /// Bots that join at the same time; 0: all at once. More make each commit race with
    /// others.
    #[arg(long, conflicts_with = "join_rate")]
    pub join_concurrency: Option<usize>,

    /// Bots that set out in a second, however long they take.
    #[arg(long)]
    pub join_rate: Option<f64>,
}

/// Why there is no scenario to run.
#[derive(Debug, thiserror::Error)]
pub enum FlagsError {
    /// Nothing has this name.
    #[error(transparent)]
    Unknown(#[from] NoScenario),
    /// The file is not in order.
    #[error(transparent)]
    File(#[from] ScenarioError),
    /// A flag changes one group, and there is not just one.
    #[error(
        "{flag} changes the group that {does}, and scenario {scenario} has {groups} of them: \
         change a copy of it (conclave-loadtest scenarios {scenario}) and give it with --scenario"
    )]
    WhichGroup {
        /// The flag.
        flag: &'static str,
        /// What its group does.
        does: &'static str,
        /// The scenario.
        scenario: String,
        /// How many such groups there are.
        groups: usize,
    },
    /// With the flags it cannot be done.
    #[error(transparent)]
    Problem(#[from] Problem),
}

impl Flags {
    /// The scenario as it is to be run.
    pub fn scenario(&self) -> Result<Scenario, FlagsError> {
        let mut scenario = match &self.scenario {
            Some(path) => text::read(path)?,
            None => built_in::scenario(&self.built_in)?,
        };
        if let Some(count) = self.publishers {
            one_group(&mut scenario, "--publishers", "sends", Group::sends)?.count = count;
        }
        if let Some(count) = self.subscribers {
            let receives = |group: &Group| !group.sends();
            one_group(&mut scenario, "--subscribers", "only receives", receives)?.count = count;
        }
        let set = |value: &mut Duration, flag: Option<Duration>| *value = flag.unwrap_or(*value);
        set(&mut scenario.warmup, self.warmup);
        set(&mut scenario.duration, self.duration);
        set(&mut scenario.drain, self.drain);
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        scenario.members = self.members.or(scenario.members);
        scenario.join = match (self.join_concurrency, self.join_rate) {
            (Some(0), _) => JoinPace::AtOnce,
            (Some(at_a_time), _) => JoinPace::AtATime(at_a_time),
            (None, Some(rate)) => JoinPace::PerSecond(rate),
            (None, None) => scenario.join,
        };
        for group in &mut scenario.bots {
            self.change(group);
        }
        scenario.check()?;
        Ok(scenario)
    }

    fn change(&self, group: &mut Group) {
        if let (Some(camera), Some(video)) = (&mut group.camera, &self.video) {
            camera.video = Some(video.clone());
        }
        if let (Some(camera), Some(codec)) = (&mut group.camera, self.codec) {
            camera.codec = codec;
        }
        if let (Some(microphone), Some(audio)) = (&mut group.microphone, &self.audio) {
            microphone.audio = Some(audio.clone());
        }
        let slots = &mut group.slots;
        if let Some(count) = self.camera_slots.filter(|_| slots.cameras > 0) {
            slots.cameras = count;
            group.view.tiles = group.view.tiles.filter(|tiles| *tiles <= count);
        }
        if let Some(count) = self.audio_slots.filter(|_| slots.microphones > 0) {
            slots.microphones = count;
        }
    }
}

fn one_group<'a>(
    scenario: &'a mut Scenario,
    flag: &'static str,
    does: &'static str,
    wanted: impl Fn(&Group) -> bool,
) -> Result<&'a mut Group, FlagsError> {
    let groups = scenario.bots.iter().filter(|group| wanted(group)).count();
    let found = scenario.bots.iter_mut().find(|group| wanted(group));
    found
        .filter(|_| groups == 1)
        .ok_or_else(|| FlagsError::WhichGroup {
            flag,
            does,
            scenario: scenario.name.clone(),
            groups,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(built_in: &str) -> Flags {
        Flags {
            built_in: built_in.to_owned(),
            ..Flags::default()
        }
    }

    #[test]
    fn flags_change_what_the_file_says() {
        let scenario = Flags {
            publishers: Some(2),
            subscribers: Some(40),
            members: Some(10),
            seed: Some(5),
            duration: Some(Duration::from_secs(60)),
            warmup: Some(Duration::from_secs(1)),
            drain: Some(Duration::from_secs(2)),
            video: Some("generated:320x180@15,200kbit".parse().unwrap()),
            codec: Some(VideoCodec::H264),
            audio: Some("voice.ogg".into()),
            camera_slots: Some(2),
            audio_slots: Some(1),
            join_rate: Some(50.0),
            ..flags("broadcast")
        };
        let scenario = scenario.scenario().unwrap();
        assert_eq!((scenario.publishers(), scenario.receivers()), (2, 40));
        assert_eq!((scenario.members, scenario.seed), (Some(10), 5));
        assert_eq!(scenario.duration, Duration::from_secs(60));
        assert_eq!(scenario.warmup, Duration::from_secs(1));
        assert_eq!(scenario.drain, Duration::from_secs(2));
        assert_eq!(scenario.join, JoinPace::PerSecond(50.0));
        let [sender, receiver] = &scenario.bots[..] else {
            panic!("two groups");
        };
        let camera = sender.camera.as_ref().unwrap();
        let video = camera.video.as_ref().unwrap().to_string();
        assert_eq!(video, "generated:320x180@15,200kbit");
        assert_eq!(camera.codec, VideoCodec::H264);
        let audio = sender.microphone.as_ref().unwrap().audio.as_ref();
        assert_eq!(audio.unwrap(), &PathBuf::from("voice.ogg"));
        let slots = receiver.slots;
        assert_eq!((slots.cameras, slots.microphones, slots.screens), (2, 1, 1));
        assert_eq!(sender.slots.total(), 0, "who takes nothing goes on so");
    }

    #[test]
    fn without_flags_the_file_holds() {
        let scenario = flags("gallery").scenario().unwrap();
        assert_eq!(scenario, built_in::scenario("gallery").unwrap());
    }

    #[test]
    fn joining_without_a_limit_is_at_once() {
        let join = |at_a_time| {
            let flags = Flags {
                join_concurrency: Some(at_a_time),
                ..flags("broadcast")
            };
            flags.scenario().unwrap().join
        };
        assert_eq!(join(0), JoinPace::AtOnce);
        assert_eq!(join(7), JoinPace::AtATime(7));
    }

    #[test]
    fn what_flags_make_impossible_is_refused() {
        let refused = |flags: Flags| flags.scenario().unwrap_err().to_string();
        let nobody = Flags {
            publishers: Some(0),
            subscribers: Some(0),
            ..flags("broadcast")
        };
        assert!(refused(nobody).contains("nobody to run"));
        let which = Flags {
            publishers: Some(9),
            ..flags("mixed")
        };
        assert!(refused(which).contains("has 3 of them"));
        let none = Flags {
            subscribers: Some(9),
            ..flags("gallery")
        };
        assert!(refused(none).contains("has 0 of them"));
        assert!(refused(flags("bingo")).contains("no scenario “bingo”"));
        let recorded = Flags {
            video: Some("a.ivf".parse().unwrap()),
            ..flags("gallery")
        };
        assert!(refused(recorded).contains("one layer of VP8"));
        let recorded = Flags {
            video: Some("a.ivf".parse().unwrap()),
            codec: Some(VideoCodec::H264),
            ..flags("broadcast")
        };
        assert!(refused(recorded).contains("one layer of VP8"));
        let layered = Flags {
            codec: Some(VideoCodec::H264),
            ..flags("mixed")
        };
        assert!(refused(layered).contains("temporal-layers = 1"));
    }
}
