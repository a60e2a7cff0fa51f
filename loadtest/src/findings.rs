//! Makes a report of what the bots, the server and this process have to say.

use std::{
    thread,
    time::{Duration, SystemTime},
};

use hdrhistogram::Histogram;

use crate::{
    drive::{DriveError, Outcome},
    impair::namespace::NamespaceError,
    measure::{
        attendance::{Attendance, Window},
        delivery,
        generator::Load,
        join::JoinTimes,
        process::ProcessUse,
        server::CostPerPacket,
        tally::{Latency, SenderCount, Tally, Unopened, durations},
    },
    report::{
        self, Bandwidth, BuildProfile, CostSource, Distribution, Encryption, Fanout, FrameLatency,
        Generator, Join, Known, Loss, Machine, PacketCounter, Report, Run, Server, Spread, Times,
        Verdict,
    },
    run::{Mark, Plan, Stay},
    scenario::group::Group,
};

mod faults;

use self::faults::packets;

/// Everything that a report is made from.
pub(crate) struct Findings<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) begun: SystemTime,
    pub(crate) begin: Mark,
    pub(crate) end: Mark,
    /// Bots in the call when measuring began.
    pub(crate) participants: u64,
    pub(crate) stays: Vec<Stay>,
    /// Bots that did not come back.
    pub(crate) missing: usize,
    /// Why blackouts did not come about.
    pub(crate) blackouts: Option<NamespaceError>,
}

impl Findings<'_> {
    fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.stays.iter().map(|stay| &stay.outcome)
    }

    /// Of the bots of those groups that send something, or that receive something.
    fn tallies(&self, wanted: fn(&Group) -> bool) -> Vec<&Tally> {
        let groups = &self.plan.scenario.bots;
        self.stays
            .iter()
            .filter(|stay| groups.get(stay.part.group).is_some_and(wanted))
            .map(|stay| &stay.outcome.tally)
            .collect()
    }

    fn once(&self, value: impl Fn(&Outcome) -> Option<Duration>) -> Known<Times> {
        let times = self.outcomes().filter_map(value);
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
            bots: self.participants as usize,
        };
        for outcome in self.outcomes() {
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

    fn run(&self, seconds: f64) -> Run {
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
            measured_seconds: seconds,
            seed: Known::Yes(scenario.seed),
            machine: Machine::this(),
        }
    }

    fn fanout(&self, receivers: &[&Tally]) -> Fanout {
        let latency = |of: fn(&Tally) -> &Latency| {
            let mut all = Latency::default();
            receivers.iter().for_each(|tally| all.add(of(tally)));
            let distribution = |histogram| {
                let distribution = Distribution::of_histogram(histogram);
                Known::of(distribution, "no frame with a stamp was opened")
            };
            FrameLatency {
                from_schedule: distribution(&all.from_schedule),
                from_send: distribution(&all.from_send),
                jitter: Known::no("frames are not compared one by one"),
            }
        };
        Fanout {
            video: Known::Yes(latency(|tally| &tally.video_latency)),
            audio: if self.plan.existing_call {
                Known::no("sounds are not stamped where others listen")
            } else {
                Known::Yes(latency(|tally| &tally.audio_latency))
            },
            skew: Known::no("frames are not compared one by one"),
        }
    }

    fn server(&self, receivers: &[&Tally], seconds: f64) -> Known<Server> {
        let (begin, end) = match (&self.begin.server, &self.end.server) {
            (Ok(begin), Ok(end)) => (begin, end),
            (Err(reason), _) | (_, Err(reason)) => return Known::no(reason.to_string()),
        };
        let cost = end.since(begin, sum(receivers, |tally| tally.packets));
        let source = match &self.plan.server_processes[..] {
            [] => CostSource::Metrics,
            pids => CostSource::Proc { pids: pids.into() },
        };
        Known::from(cost).map(|cost| {
            let processes = begin.processes.zip(end.processes);
            server(source, &cost, processes, seconds)
        })
    }

    fn join(&self) -> Join {
        let step = |step: fn(&JoinTimes) -> Option<Duration>| {
            self.once(move |outcome| step(&outcome.join))
        };
        Join {
            asked: (self.stays.len() + self.missing) as u64,
            succeeded: self.outcomes().filter(|o| o.in_call_at.is_some()).count() as u64,
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
        let delivery = if self.plan.existing_call || publishers.is_empty() {
            delivery::by_counters(receivers)
        } else {
            let attendances: Vec<Attendance> = self
                .stays
                .iter()
                .filter_map(|stay| stay.attendance(self.plan))
                .collect();
            let window = Window {
                from: self.begin.at,
                until: self.end.at,
            };
            delivery::by_sent(publishers, receivers, &attendances, window)
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
        let count = |value: fn(&Outcome) -> u64| self.outcomes().map(value).sum();
        let members = self.outcomes().map(|outcome| outcome.members);
        Encryption {
            frames_sealed: publishers
                .iter()
                .flat_map(|tally| tally.sent.values())
                .map(|stream| stream.span.count())
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
        let publishers = self.tallies(Group::sends);
        let receivers = self.tallies(Group::receives);
        let seconds = (self.end.at - self.begin.at).as_secs_f64();
        Report {
            schema: report::SCHEMA,
            verdict: Verdict::Failed,
            failures: self.failures(),
            slos: Vec::new(),
            run: self.run(seconds),
            fanout: Known::Yes(self.fanout(&receivers)),
            server: self.server(&receivers, seconds),
            join: self.join(),
            video: Known::no("pictures are not watched for freezes"),
            bandwidth: Known::Yes(bandwidth(&receivers, seconds)),
            encryption: Known::Yes(self.encryption(&publishers, &receivers)),
            loss: self.loss(&publishers, &receivers),
            faults: self.faults(),
            soak: Known::no("the server was not watched over the run"),
            generator: Generator {
                receive_offload: self.plan.receive_offload,
                ..self
                    .load(wake_lateness, datagrams_not_read)
                    .judge(self.plan.lateness_bound)
            },
            timeline: Vec::new(),
        }
    }
}

fn sum(tallies: &[&Tally], value: fn(&Tally) -> u64) -> u64 {
    tallies.iter().map(|tally| value(tally)).sum()
}

fn server(
    source: CostSource,
    cost: &CostPerPacket,
    processes: Option<(ProcessUse, ProcessUse)>,
    seconds: f64,
) -> Server {
    let seconds = seconds.max(1e-9);
    let unasked = "the server's processes were not named: give --server-pid";
    let held =
        |value: fn(&ProcessUse) -> u64| Known::of(processes.map(|(_, end)| value(&end)), unasked);
    let part = |value: fn(&ProcessUse) -> Duration| {
        let part = processes.map(|(begin, end)| value(&end).saturating_sub(value(&begin)));
        Known::of(
            part.map(|time| time.as_secs_f64() * 1e6 / cost.packets),
            unasked,
        )
    };
    let switches = processes.map(|(begin, end)| {
        end.context_switches.saturating_sub(begin.context_switches) as f64 / seconds
    });
    let files = processes.map(|(_, end)| end.files);
    Server {
        source,
        packets_counted_by: match cost.counted_by_server {
            true => PacketCounter::Server,
            false => PacketCounter::Receivers,
        },
        packets_forwarded: cost.packets as u64,
        packets_per_second: cost.packets / seconds,
        packets_per_second_per_core: Known::of(
            (cost.process_seconds > 0.0).then(|| cost.packets / cost.process_seconds),
            "the server used no CPU time that its clock shows",
        ),
        cpu_cores: Known::Yes(cost.process_seconds / seconds),
        cpu_us_per_packet: Known::Yes(cost.process_micros),
        user_us_per_packet: part(|used| used.user),
        system_us_per_packet: part(|used| used.system),
        worker_us_per_packet: Known::of(
            cost.worker_micros,
            "nothing tells its media threads apart",
        ),
        syscalls_per_packet: Known::no("they are not counted"),
        context_switches_per_second: Known::of(switches, unasked),
        memory_bytes: held(|used| used.resident_bytes),
        memory_per_participant_bytes: Known::no("it was not looked at before anyone joined"),
        file_descriptors: match files {
            Some(files) => Known::of(files, "the processes are another user's"),
            None => Known::no(unasked),
        },
        threads: held(|used| used.threads),
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
