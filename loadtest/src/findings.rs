//! Makes a report of what the bots, the server and this process have to say.

use std::{
    collections::BTreeMap,
    ops::Range,
    thread,
    time::{Duration, Instant, SystemTime},
};

use hdrhistogram::Histogram;

use crate::{
    drive::{DriveError, Outcome},
    impair::namespace::NamespaceError,
    measure::{
        attendance::Attendance,
        delivery,
        generator::Load,
        join::JoinTimes,
        server::{Observer, ServerSample, Span, Work},
        tally::{SenderCount, Tally, Unopened},
        totals::{Ages, Measurement, Totals},
    },
    report::{
        self, BuildProfile, Distribution, Encryption, Fanout, FrameLatency, Freezes, Generator,
        Join, Known, Loss, Machine, RekeysBySize, Report, Run, Spread, Times, Verdict, Video,
    },
    run::{Mark, Plan, Stay},
    scenario::group::Group,
};

mod bandwidth;
mod faults;
mod soak;

use self::faults::packets;

/// Everything that a report is made from.
pub(crate) struct Findings<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) begun: SystemTime,
    pub(crate) measurement: &'a Measurement,
    pub(crate) observer: &'a Observer,
    /// Before anyone had joined.
    pub(crate) before: ServerSample,
    pub(crate) begin: Mark,
    pub(crate) end: Mark,
    /// After everyone had left.
    pub(crate) after: ServerSample,
    /// Of the whole run, second by second.
    pub(crate) samples: Vec<ServerSample>,
    pub(crate) syscalls_per_second: Known<f64>,
    /// Bots in the call when measuring began.
    pub(crate) participants: u64,
    pub(crate) stays: Vec<Stay>,
    /// Bots that did not come back.
    pub(crate) missing: usize,
    /// Why blackouts did not come about.
    pub(crate) blackouts: Option<NamespaceError>,
    pub(crate) wake_lateness: Histogram<u64>,
    pub(crate) datagrams_not_read: Option<u64>,
}

impl Findings<'_> {
    fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.stays.iter().map(|stay| &stay.outcome)
    }

    /// Of the bots of those groups that send something, or that receive something.
    fn of(&self, wanted: fn(&Group) -> bool) -> impl Iterator<Item = &Outcome> {
        let groups = &self.plan.scenario.bots;
        let is_wanted = move |stay: &&Stay| groups.get(stay.part.group).is_some_and(wanted);
        self.stays
            .iter()
            .filter(is_wanted)
            .map(|stay| &stay.outcome)
    }

    fn receivers(&self) -> impl Iterator<Item = &Tally> {
        self.of(Group::receives).map(|outcome| &outcome.tally)
    }

    fn sum(&self, value: fn(&Tally) -> u64) -> u64 {
        self.outcomes().map(|outcome| value(&outcome.tally)).sum()
    }

    fn window(&self) -> Range<Instant> {
        let bounds = self.measurement.window.bounds();
        bounds.unwrap_or(self.begin.at..self.end.at)
    }

    fn seconds(&self) -> f64 {
        let window = self.window();
        (window.end - window.start).as_secs_f64().max(1e-9)
    }

    fn load(&self, totals: &Totals) -> Load {
        Load {
            cpu: self.end.cpu.saturating_sub(self.begin.cpu),
            wall: self.end.at - self.begin.at,
            available_cores: thread::available_parallelism().map_or(1, usize::from),
            send_lateness: totals.send_lateness.clone(),
            wake_lateness: self.wake_lateness.clone(),
            frames_left_out: self.sum(|tally| tally.left_out),
            datagrams_not_sent: self.outcomes().map(|it| it.datagrams_not_sent).sum(),
            datagrams_not_read: self.datagrams_not_read,
            packets_received: self.sum(|tally| tally.packets),
            memory_bytes: self.end.memory_bytes,
            bots: self.participants as usize,
        }
    }

    fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for Stay { part, outcome } in &self.stays {
            if let Some(failure) = &outcome.failure {
                let is_cut_short = matches!(failure, DriveError::Stopped);
                if is_cut_short && (part.is_dismissed || part.is_late) {
                    continue;
                }
                let stage = match outcome.join.in_call {
                    Some(_) => "did not stay in the call",
                    None => "could not join",
                };
                failures.push(format!("a bot {stage}: {failure}"));
            }
        }
        if let Some(problem) = &self.blackouts {
            failures.push(format!("a blackout could not be made: {problem}"));
        }
        let silent = self.outcomes().filter(|o| o.roamed_into_silence).count();
        if silent > 0 {
            failures.push(format!(
                "{silent} bots heard nothing more after their address changed"
            ));
        }
        if self.missing > 0 {
            failures.push(format!("{} bots did not come back", self.missing));
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
            .outcomes()
            .flat_map(|outcome| outcome.tally.senders())
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

    fn run(&self) -> Run {
        let plan = self.plan;
        let scenario = &plan.scenario;
        let mut settings = match serde_json::to_value(scenario) {
            Ok(serde_json::Value::Object(settings)) => settings,
            _ => serde_json::Map::new(),
        };
        settings.insert("existing-call".to_owned(), plan.existing_call.into());
        Run {
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            build_profile: BuildProfile::of_this(),
            target: plan.target.name().to_owned(),
            server: plan.target.server().to_string(),
            scenario: scenario.name.clone(),
            settings,
            publishers: scenario.publishers() as u64,
            subscribers: scenario.receivers() as u64,
            participants: self.participants,
            begun_at: humantime::format_rfc3339_seconds(self.begun).to_string(),
            measured_seconds: self.seconds(),
            seed: Known::Yes(scenario.seed),
            machine: Machine::this(),
        }
    }

    fn join(&self) -> Join {
        let step = |step: fn(&JoinTimes) -> Option<Duration>| {
            let times = self.outcomes().filter_map(|outcome| step(&outcome.join));
            Known::of(Times::of(times), "no bot got so far")
        };
        Join {
            asked: (self.stays.len() + self.missing) as u64,
            succeeded: self.outcomes().filter(|o| o.in_call_at.is_some()).count() as u64,
            joins_per_second: Known::of(
                JoinTimes::rate(self.outcomes().map(|outcome| &outcome.join)),
                "no bot came into the call",
            ),
            total: step(|join| join.in_call),
            signalling: step(|join| join.admitted),
            group: step(|join| join.in_group),
            ice: step(|join| join.ice),
            dtls: step(|join| join.media),
            control_channel: step(|join| join.channel),
            first_audio: step(|join| join.first_sound),
            first_picture: step(|join| join.first_picture),
        }
    }

    fn loss(&self) -> Loss {
        let of = |wanted| -> Vec<&Tally> { self.of(wanted).map(|it| &it.tally).collect() };
        let (publishers, receivers) = (of(Group::sends), of(Group::receives));
        let delivery = if self.plan.existing_call || publishers.is_empty() {
            delivery::by_counters(&receivers)
        } else {
            let attendances: Vec<Attendance> = self
                .stays
                .iter()
                .filter_map(|stay| stay.attendance(self.plan))
                .collect();
            delivery::by_sent(&publishers, &receivers, &attendances, &self.window())
        };
        let wire = self.wire();
        let lost = self.lost_after_repair();
        Loss {
            packets_delivered: self.sum(|tally| tally.packets),
            packets_sent: self.sum(|tally| tally.packets_sent),
            all: packets(&wire.media(), lost.sum()),
            audio: Known::Yes(packets(&wire.audio, lost.audio)),
            video: Known::Yes(packets(&wire.video, lost.video)),
            // What is lost of these is sent once more, under another number.
            retransmission: Known::Yes(packets(&wire.retransmission, wire.retransmission.lost())),
            frames_expected: delivery.expected,
            frames_delivered: delivery.opened,
            delivered_ratio: Known::of(delivery.ratio(), "no frame was expected"),
            delivered_basis: delivery.basis,
        }
    }

    fn video(&self, totals: &Totals) -> Known<Video> {
        if self.receivers().next().is_none() {
            return Known::no("there was no receiver");
        }
        let sums: Vec<_> = self.receivers().map(Tally::pictures).collect();
        let watched: Duration = sums.iter().map(|sums| sums.watched).sum();
        let frozen: Duration = sums.iter().map(|sums| sums.frozen).sum();
        let freezes = sums.iter().map(|sums| sums.freezes).sum();
        let hours = watched.as_secs_f64() / 3_600.0;
        let paces = sums.iter().flat_map(|sums| sums.paces.iter().copied());
        Known::Yes(Video {
            key_frame_wait: times(&totals.key_frame_wait, "no stream began"),
            key_frame_requests_asked: Known::Yes(self.sum(|tally| tally.key_frames_asked)),
            key_frame_requests_received: Known::Yes(self.sum(|tally| tally.key_frames_wanted)),
            layer_switches: Known::Yes(sums.iter().map(|sums| sums.layer_switches).sum()),
            layer_switch: times(&totals.layer_switch, "no wish for another layer came true"),
            freezes: Known::of(
                (hours > 0.0).then(|| Freezes {
                    count: freezes,
                    total_seconds: frozen.as_secs_f64(),
                    per_hour: freezes as f64 / hours,
                }),
                "no moving picture was watched",
            ),
            frames_per_second: Known::of(
                Spread::of(paces),
                "no picture was watched for a second or longer",
            ),
        })
    }

    fn encryption(&self, totals: &Totals) -> Encryption {
        let mut unopened = Unopened::default();
        for tally in self.receivers() {
            unopened.add(&tally.unopened);
        }
        let count = |value: fn(&Outcome) -> u64| self.outcomes().map(value).sum();
        let members = self.outcomes().map(|outcome| outcome.members);
        let changes: Vec<_> = totals.rekeys.changes().collect();
        let mut by_size: BTreeMap<u64, Vec<Duration>> = BTreeMap::new();
        for change in &changes {
            let up_to = change.members.next_power_of_two();
            by_size.entry(up_to).or_default().push(change.took);
        }
        Encryption {
            frames_sealed: self.sum(|tally| tally.frames_sealed),
            frames_opened: self.sum(|tally| tally.frames_opened),
            frames_opened_total: self.sum(|tally| tally.frames_opened_total),
            failures: unopened.failures(),
            unopened,
            group_size: members.max().unwrap_or_default() as u64,
            rekey: Known::of(
                Times::of(changes.iter().map(|change| change.took)),
                "no two bots changed keys together",
            ),
            rekey_by_group_size: by_size
                .into_iter()
                .filter_map(|(members_up_to, took)| {
                    let times = Times::of(took)?;
                    Some(RekeysBySize {
                        members_up_to,
                        times,
                    })
                })
                .collect(),
            rekey_gap: times(&totals.rekey_gap, "keys never changed while frames came"),
            commits_refused: count(|outcome| outcome.commits_refused),
            strangers_refused: count(|outcome| outcome.strangers_refused),
            senders: self.senders(),
        }
    }

    /// Puts it together; the report is not judged yet.
    pub(crate) fn report(self) -> Report {
        let totals = &*self.measurement.totals();
        let work = Work {
            packets_received: self.sum(|tally| tally.packets),
            bots: self.participants as usize,
            syscalls_per_second: self.syscalls_per_second.clone(),
        };
        let span = Span {
            before: &self.before,
            begin: &self.begin.server,
            end: &self.end.server,
            observer: self.observer,
        };
        Report {
            schema: report::SCHEMA,
            verdict: Verdict::Failed,
            failures: self.failures(),
            slos: Vec::new(),
            run: self.run(),
            fanout: Known::Yes(fanout(totals)),
            server: span.report(work),
            join: self.join(),
            video: self.video(totals),
            bandwidth: Known::Yes(self.bandwidth()),
            encryption: Known::Yes(self.encryption(totals)),
            loss: self.loss(),
            faults: self.faults(),
            soak: self.soak(),
            generator: Generator {
                receive_offload: self.plan.receive_offload,
                ..self.load(totals).judge(self.plan.lateness_bound)
            },
            timeline: totals.timeline.report(&self.measurement.window),
        }
    }
}

fn times(histogram: &Histogram<u64>, nothing: &str) -> Known<Times> {
    Known::of(Times::of_histogram(histogram), nothing)
}

fn fanout(totals: &Totals) -> Fanout {
    let latency = |ages: &Ages, nothing: &str| {
        let distribution = |histogram| Known::of(Distribution::of_histogram(histogram), nothing);
        let is_known = !ages.from_schedule.is_empty();
        let known = is_known.then(|| FrameLatency {
            from_schedule: distribution(&ages.from_schedule),
            from_send: distribution(&ages.from_sending),
            jitter: times(&ages.jitter, "no two frames of a stream were opened"),
        });
        Known::of(known, nothing)
    };
    Fanout {
        video: latency(&totals.video, "no picture with a stamp was opened"),
        audio: latency(&totals.audio, "no sound with a stamp was opened"),
        skew: Known::of(
            Times::of(totals.skew.spans()),
            "no frame came to two receivers",
        ),
    }
}
