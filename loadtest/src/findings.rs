//! Makes a report of what the bots, the server and this process have to say.

use std::{thread, time::Duration};

use hdrhistogram::Histogram;

use crate::{
    drive::Outcome,
    measure::{
        delivery,
        generator::Load,
        tally::{SenderCount, Tally, Unopened, durations},
    },
    report::{self, LatencyMs, OnceMs, Report, Verdict},
    run::{Mark, Plan, Role},
};

/// Everything that a report is made from.
pub(crate) struct Findings<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) begin: Mark,
    pub(crate) end: Mark,
    pub(crate) joined: usize,
    pub(crate) outcomes: Vec<(Role, Outcome)>,
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
                let stage = match outcome.join.in_call {
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

    /// Puts it together; the report is not judged yet.
    pub(crate) fn report(
        &self,
        wake_lateness: Histogram<u64>,
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
            (Ok(begin), Ok(end)) => end.since(begin, sum(&receivers, |tally| tally.packets)),
            (Err(reason), _) | (_, Err(reason)) => Err(reason.clone()),
        };
        let known = cost.as_ref().ok();
        Report {
            schema: report::SCHEMA,
            target: plan.target.name(),
            scenario: format!("{} to {}", plan.publishers, plan.subscribers),
            settings: report::Settings {
                publishers: plan.publishers,
                subscribers: plan.subscribers,
                camera_slots: plan.camera_slots,
                audio_slots: plan.audio_slots,
                duration_seconds: plan.duration.as_secs_f64(),
                warmup_seconds: plan.warmup.as_secs_f64(),
                existing_call: plan.existing_call,
            },
            participants: self.joined,
            group_members: self
                .outcomes
                .iter()
                .map(|(_, outcome)| outcome.members)
                .max()
                .unwrap_or_default(),
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
            join_ms: self.once(|outcome| outcome.join.in_call),
            first_picture_ms: self.once(|outcome| outcome.join.first_picture),
            server_cpu_us_per_forwarded_packet: known.map(|cost| cost.process_micros),
            server_system_cpu_us_per_forwarded_packet: known.and_then(|cost| cost.system_micros),
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
