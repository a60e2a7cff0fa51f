//! Makes a report of what the bots, the server and this process have to say.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant, SystemTime},
};

use hdrhistogram::Histogram;

use crate::{
    drive::Outcome,
    impair::namespace::NamespaceError,
    measure::{
        delivery,
        generator::Load,
        join::JoinTimes,
        server::{self, Observer, ServerSample, Span, Work},
        tally::{SenderCount, Tally, Unopened},
        totals::{Ages, Measurement, Totals},
    },
    report::{
        self, Bandwidth, BuildProfile, Distribution, Encryption, Fanout, FrameLatency, Freezes,
        Growth, Join, Known, Loss, Machine, RekeysBySize, Report, Run, Soak, Spread, Times,
        Verdict, Video,
    },
    run::{Mark, Plan},
    stats,
};

mod faults;

use self::faults::packets;

/// Of slopes.
const CONFIDENCE: f64 = 0.95;

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
    pub(crate) joined: usize,
    /// Bots that were sent in.
    pub(crate) bots: usize,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) wake_lateness: Histogram<u64>,
    pub(crate) datagrams_not_read: Option<u64>,
    /// Why blackouts did not come about.
    pub(crate) blackouts: Option<NamespaceError>,
}

impl Findings<'_> {
    fn receivers(&self) -> impl Iterator<Item = &Tally> {
        let tallies = self.outcomes.iter().map(|outcome| &outcome.tally);
        tallies.filter(|tally| tally.receives())
    }

    fn sum(&self, value: fn(&Tally) -> u64) -> u64 {
        let outcomes = self.outcomes.iter();
        outcomes.map(|outcome| value(&outcome.tally)).sum()
    }

    fn window(&self) -> (Instant, Instant) {
        let bounds = self.measurement.window.bounds();
        bounds.unwrap_or((self.begin.server.at, self.end.server.at))
    }

    fn seconds(&self) -> f64 {
        let (begin, end) = self.window();
        (end - begin).as_secs_f64().max(1e-9)
    }

    fn load(&self, totals: &Totals) -> Load {
        let datagrams_not_sent = self
            .outcomes
            .iter()
            .map(|outcome| outcome.datagrams_not_sent);
        Load {
            cpu: self.end.cpu.saturating_sub(self.begin.cpu),
            wall: self.end.at - self.begin.at,
            available_cores: thread::available_parallelism().map_or(1, usize::from),
            send_lateness: totals.send_lateness.clone(),
            wake_lateness: self.wake_lateness.clone(),
            frames_left_out: self.sum(|tally| tally.left_out),
            datagrams_not_sent: datagrams_not_sent.sum(),
            datagrams_not_read: self.datagrams_not_read,
            packets_received: self.sum(|tally| tally.packets),
            memory_bytes: self.end.memory_bytes,
            bots: self.joined,
        }
    }

    fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for outcome in &self.outcomes {
            if let Some(failure) = &outcome.failure {
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
        let silent = |outcome: &&Outcome| outcome.roamed_into_silence;
        let silent = self.outcomes.iter().filter(silent).count();
        if silent > 0 {
            failures.push(format!(
                "{silent} bots heard nothing more after their address changed"
            ));
        }
        let missing = self.bots.saturating_sub(self.outcomes.len());
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
        let settings = serde_json::json!({
            "publishers": plan.publishers,
            "subscribers": plan.subscribers,
            "camera_slots": plan.camera_slots,
            "audio_slots": plan.audio_slots,
            "join_concurrency": plan.join_concurrency,
            "warmup_seconds": plan.warmup.as_secs_f64(),
            "duration_seconds": plan.duration.as_secs_f64(),
            "existing_call": plan.existing_call,
        });
        Run {
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            build_profile: BuildProfile::of_this(),
            target: plan.target.name().to_owned(),
            server: plan.target.server().to_string(),
            scenario: format!("{} to {}", plan.publishers, plan.subscribers),
            settings: settings.as_object().cloned().unwrap_or_default(),
            publishers: plan.publishers as u64,
            subscribers: plan.subscribers as u64,
            participants: self.joined as u64,
            begun_at: humantime::format_rfc3339_seconds(self.begun).to_string(),
            measured_seconds: self.seconds(),
            seed: self.seed(),
            machine: Machine::this(),
        }
    }

    fn join(&self) -> Join {
        let succeeded = || {
            let joins = self.outcomes.iter().map(|outcome| &outcome.join);
            joins.filter(|join| join.in_call.is_some())
        };
        let step = |step: fn(&JoinTimes) -> Option<Duration>| {
            let times = self.outcomes.iter().map(|outcome| step(&outcome.join));
            Known::of(Times::of(times.flatten()), "no bot got so far")
        };
        Join {
            asked: self.bots as u64,
            succeeded: succeeded().count() as u64,
            joins_per_second: Known::of(
                JoinTimes::rate(self.outcomes.iter().map(|outcome| &outcome.join)),
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

    fn loss(&self, totals: &Totals) -> Loss {
        let delivery = if self.plan.existing_call || self.sum(|tally| tally.frames_sealed) == 0 {
            delivery::by_counters(self.receivers().flat_map(|tally| tally.opened.values()))
        } else {
            totals.delivery.by_sent()
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

    fn bandwidth(&self) -> Bandwidth {
        // Who came late got as much a second, not less.
        let rates: Vec<f64> = self
            .receivers()
            .map(|tally| (tally.payload_bytes as f64 * 8.0, tally.time_in_window()))
            .filter(|(_, time)| !time.is_zero())
            .map(|(bits, time)| bits / time.as_secs_f64())
            .collect();
        let unlimited = || Known::no("no link was limited");
        let delivered: u64 = self.receivers().map(|tally| tally.payload_bytes).sum();
        Bandwidth {
            delivered_bits_per_second: delivered as f64 * 8.0 / self.seconds(),
            per_receiver_bits_per_second: Known::of(
                Spread::of(rates.iter().copied()),
                "there was no receiver",
            ),
            utilisation_ratio: Known::no("no link was limited"),
            time_to_80_percent: unlimited(),
            time_to_90_percent: unlimited(),
            standing_queue: unlimited(),
            fairness_ratio: Known::of(report::fairness(&rates), "nobody received anything"),
        }
    }

    fn encryption(&self, totals: &Totals) -> Encryption {
        let mut unopened = Unopened::default();
        for tally in self.receivers() {
            unopened.add(&tally.unopened);
        }
        let count = |value: fn(&Outcome) -> u64| self.outcomes.iter().map(value).sum();
        let members = self.outcomes.iter().map(|outcome| outcome.members);
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

    fn server_span(&self) -> Span<'_> {
        Span {
            before: &self.before,
            begin: &self.begin.server,
            end: &self.end.server,
            observer: self.observer,
        }
    }

    fn soak(&self) -> Known<Soak> {
        let growth = |of: fn(&ServerSample) -> Known<f64>| {
            let after = of(&self.after);
            after.clone().map(|_| Growth {
                slope: self.slope(of),
                before: of(&self.before),
                after,
            })
        };
        Known::Yes(Soak {
            memory_bytes: growth(server::memory),
            file_descriptors: growth(server::file_descriptors),
            threads: growth(server::threads),
        })
    }

    fn slope(&self, of: fn(&ServerSample) -> Known<f64>) -> Known<report::Slope> {
        let (begin, end) = self.window();
        let measured = self
            .samples
            .iter()
            .filter(|sample| sample.at >= begin && sample.at < end);
        let points: Vec<_> = measured
            .filter_map(|sample| {
                let hours = (sample.at - begin).as_secs_f64() / 3_600.0;
                Some((hours, *of(sample).yes()?))
            })
            .collect();
        let slope = stats::slope(&points, CONFIDENCE).map(|slope| report::Slope {
            per_hour: slope.value,
            low_per_hour: slope.low,
            high_per_hour: slope.high,
            samples: points.len() as u64,
        });
        Known::of(
            slope,
            "there were too few samples, or they resemble each other too much: measure longer",
        )
    }

    /// Puts it together; the report is not judged yet.
    pub(crate) fn report(self) -> Report {
        let totals = &*self.measurement.totals();
        let work = Work {
            packets_received: self.sum(|tally| tally.packets),
            bots: self.joined,
            syscalls_per_second: self.syscalls_per_second.clone(),
        };
        Report {
            schema: report::SCHEMA,
            verdict: Verdict::Failed,
            failures: self.failures(),
            slos: Vec::new(),
            run: self.run(),
            fanout: Known::Yes(fanout(totals)),
            server: self.server_span().report(work),
            join: self.join(),
            video: self.video(totals),
            bandwidth: Known::Yes(self.bandwidth()),
            encryption: Known::Yes(self.encryption(totals)),
            loss: self.loss(totals),
            faults: self.faults(),
            soak: self.soak(),
            generator: self.load(totals).judge(self.plan.lateness_bound),
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
