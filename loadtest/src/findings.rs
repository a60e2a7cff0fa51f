//! Makes a report of what the bots, the server and this process have to say.

use std::{
    thread,
    time::{Duration, SystemTime},
};

use hdrhistogram::Histogram;

use crate::{
    drive::Outcome,
    impair::namespace::NamespaceError,
    measure::{
        delivery,
        generator::Load,
        join::JoinTimes,
        server::CostPerPacket,
        tally::{SenderCount, Tally, Unopened, durations},
    },
    report::{
        self, Bandwidth, BuildProfile, CostSource, Distribution, Encryption, Fanout, FrameLatency,
        Join, Known, Loss, Machine, PacketCounter, Report, Run, Server, Spread, Times, Verdict,
    },
    run::{Mark, Plan, Role},
};

mod faults;

use self::faults::packets;

/// Everything that a report is made from.
pub(crate) struct Findings<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) begun: SystemTime,
    pub(crate) begin: Mark,
    pub(crate) end: Mark,
    pub(crate) joined: usize,
    pub(crate) outcomes: Vec<(Role, Outcome)>,
    /// Why blackouts did not come about.
    pub(crate) blackouts: Option<NamespaceError>,
}

impl Findings<'_> {
    fn tallies(&self, wanted: Role) -> Vec<&Tally> {
        self.outcomes
            .iter()
            .filter(|(role, _)| *role == wanted)
            .map(|(_, outcome)| &outcome.tally)
            .collect()
    }

    fn once(&self, value: impl Fn(&Outcome) -> Option<Duration>) -> Known<Times> {
        let times = self
            .outcomes
            .iter()
            .filter_map(|(_, outcome)| value(outcome));
        Known::of(Times::of(times), "no bot got so far")
    }

    fn load(&self, wake_lateness: Histogram<u64>, datagrams_not_read: Option<u64>) -> Load {
        let mut load = Load {
            cpu: self.end.cpu.saturating_sub(self.begin.cpu),
            wall: self.end.at - self.begin.at,
            available_cores: thread::available_parallelism().map_or(1, usize::from),
            send_lateness: durations(),
            wake_lateness,
            frames_left_out: 0,
            datagrams_not_sent: 0,
            datagrams_not_read,
            packets_received: 0,
            memory_bytes: self.end.memory_bytes,
            bots: self.joined,
        };
        for (_, outcome) in &self.outcomes {
            // Both have the same bounds, so adding cannot fail.
            let _ = load.send_lateness.add(&outcome.tally.lateness);
            load.frames_left_out += outcome.tally.left_out;
            load.datagrams_not_sent += outcome.datagrams_not_sent;
            load.packets_received += outcome.tally.packets;
        }
        load
    }

    fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (_, outcome) in &self.outcomes {
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
        let silent = |(_, outcome): &&(Role, Outcome)| outcome.roamed_into_silence;
        let silent = self.outcomes.iter().filter(silent).count();
        if silent > 0 {
            failures.push(format!(
                "{silent} bots heard nothing more after their address changed"
            ));
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

    fn run(&self, seconds: f64) -> Run {
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
            measured_seconds: seconds,
            seed: self.seed(),
            machine: Machine::this(),
        }
    }

    fn fanout(&self, receivers: &[&Tally]) -> Fanout {
        let (mut from_send, mut from_schedule) = (durations(), durations());
        for tally in receivers {
            let _ = from_send.add(&tally.latency);
            let _ = from_schedule.add(&tally.latency_from_schedule);
        }
        let distribution = |histogram| {
            Known::of(
                Distribution::of_histogram(histogram),
                "no frame with a stamp was opened",
            )
        };
        let unstamped = "frames are not stamped for it";
        Fanout {
            video: Known::Yes(FrameLatency {
                from_schedule: distribution(&from_schedule),
                from_send: distribution(&from_send),
                jitter: Known::no(unstamped),
            }),
            audio: Known::no(unstamped),
            skew: Known::no(unstamped),
        }
    }

    fn server(&self, seconds: f64, receivers: &[&Tally]) -> Known<Server> {
        let cost = match (&self.begin.server, &self.end.server) {
            (Ok(begin), Ok(end)) => end.since(begin, sum(receivers, |tally| tally.packets)),
            (Err(reason), _) | (_, Err(reason)) => Err(reason.clone()),
        };
        let process = self.plan.server_processes.first().copied();
        Known::from(cost).map(|cost| server(&cost, process, seconds))
    }

    fn join(&self) -> Join {
        let step = |step: fn(&JoinTimes) -> Option<Duration>| {
            self.once(move |outcome| step(&outcome.join))
        };
        Join {
            asked: (self.plan.publishers + self.plan.subscribers) as u64,
            succeeded: self.joined as u64,
            joins_per_second: Known::no("the time of the last join is not noted"),
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

    fn loss(&self, publishers: &[&Tally], receivers: &[&Tally]) -> Loss {
        let slots = self.plan.slots();
        let slotted: Vec<_> = receivers.iter().map(|tally| (*tally, &slots[..])).collect();
        let delivery = if self.plan.existing_call || publishers.is_empty() {
            delivery::by_counters(&slotted)
        } else {
            delivery::by_sent(publishers, &slotted)
        };
        let wire = self.wire();
        let lost = self.lost_after_repair();
        Loss {
            packets_delivered: sum(receivers, |tally| tally.packets),
            packets_sent: sum(publishers, |tally| tally.packets_sent),
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

    fn encryption(&self, publishers: &[&Tally], receivers: &[&Tally]) -> Encryption {
        let mut unopened = Unopened::default();
        for tally in receivers {
            unopened.add(&tally.unopened);
        }
        let count = |value: fn(&Outcome) -> u64| {
            self.outcomes
                .iter()
                .map(|(_, outcome)| value(outcome))
                .sum()
        };
        let members = self.outcomes.iter().map(|(_, outcome)| outcome.members);
        Encryption {
            frames_sealed: publishers
                .iter()
                .flat_map(|tally| tally.sent.values())
                .map(|span| span.count())
                .sum(),
            frames_opened: sum(receivers, |tally| tally.frames_opened),
            frames_opened_total: sum(receivers, |tally| tally.frames_opened_total),
            failures: unopened.failures(),
            unopened,
            group_size: members.max().unwrap_or_default() as u64,
            rekey: Known::no("changes of epoch are not timed"),
            rekey_gap: Known::no("changes of epoch are not timed"),
            commits_refused: count(|outcome| outcome.commits_refused),
            strangers_refused: count(|outcome| outcome.strangers_refused),
            senders: self.senders(),
        }
    }

    /// Puts it together; the report is not judged yet.
    pub(crate) fn report(
        &self,
        wake_lateness: Histogram<u64>,
        datagrams_not_read: Option<u64>,
    ) -> Report {
        let publishers = self.tallies(Role::Publisher);
        let receivers = self.tallies(Role::Subscriber);
        let seconds = (self.end.at - self.begin.at).as_secs_f64();
        Report {
            schema: report::SCHEMA,
            verdict: Verdict::Failed,
            failures: self.failures(),
            slos: Vec::new(),
            run: self.run(seconds),
            fanout: Known::Yes(self.fanout(&receivers)),
            server: self.server(seconds, &receivers),
            join: self.join(),
            video: Known::no("pictures are not watched for freezes"),
            bandwidth: Known::Yes(bandwidth(&receivers, seconds)),
            encryption: Known::Yes(self.encryption(&publishers, &receivers)),
            loss: self.loss(&publishers, &receivers),
            faults: self.faults(),
            soak: Known::no("the server was not watched over the run"),
            generator: self
                .load(wake_lateness, datagrams_not_read)
                .judge(self.plan.lateness_bound),
            timeline: Vec::new(),
        }
    }
}

fn sum(tallies: &[&Tally], value: fn(&Tally) -> u64) -> u64 {
    tallies.iter().map(|tally| value(tally)).sum()
}

fn server(cost: &CostPerPacket, process: Option<u32>, seconds: f64) -> Server {
    let seconds = seconds.max(1e-9);
    let not_on_page = "the metrics page is not read for it";
    Server {
        source: match process {
            Some(pid) => CostSource::Proc { pid },
            None => CostSource::Metrics,
        },
        packets_counted_by: match process {
            Some(_) => PacketCounter::Receivers,
            None => PacketCounter::Server,
        },
        packets_forwarded: cost.packets as u64,
        packets_per_second: cost.packets / seconds,
        packets_per_second_per_core: Known::of(
            (cost.process_seconds > 0.0).then(|| cost.packets / cost.process_seconds),
            "the server used no CPU time that its clock shows",
        ),
        cpu_cores: Known::Yes(cost.process_seconds / seconds),
        cpu_us_per_packet: Known::Yes(cost.process_micros),
        user_us_per_packet: Known::of(
            cost.system_micros
                .map(|system| cost.process_micros - system),
            not_on_page,
        ),
        system_us_per_packet: Known::of(cost.system_micros, not_on_page),
        worker_us_per_packet: Known::of(
            cost.worker_micros,
            "the metrics page does not tell its media threads apart",
        ),
        syscalls_per_packet: Known::no(not_on_page),
        context_switches_per_second: Known::no(not_on_page),
        memory_bytes: Known::no(not_on_page),
        memory_per_participant_bytes: Known::no(not_on_page),
        file_descriptors: Known::no(not_on_page),
        threads: Known::no(not_on_page),
    }
}

fn bandwidth(receivers: &[&Tally], seconds: f64) -> Bandwidth {
    let rates: Vec<f64> = receivers
        .iter()
        .map(|tally| tally.payload_bytes as f64 * 8.0 / seconds.max(1e-9))
        .collect();
    let unlimited = || Known::no("no link was limited");
    Bandwidth {
        delivered_bits_per_second: rates.iter().sum(),
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
