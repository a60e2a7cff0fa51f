//! What happened in the last few seconds.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::Snapshot;

/// How far back "recently" goes.
const SPAN: Duration = Duration::from_secs(3);

/// What was known at one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    /// When.
    pub at: Instant,
    /// CPU time of the load test so far.
    pub cpu: Duration,
    /// What the bots did so far.
    pub counts: Snapshot,
}

/// Keeps the readings of the last few seconds.
#[derive(Debug, Default)]
pub struct Recent(VecDeque<Reading>);

/// What happened recently.
#[derive(Debug, Clone, PartialEq)]
pub struct Recently {
    /// RTP packets that came.
    pub packets_per_second: f64,
    /// RTP payload that came.
    pub bits_per_second: f64,
    /// Frames opened.
    pub frames_per_second: f64,
    /// Half of the pictures took at most this; none when none was opened that tells.
    pub latency_p50: Option<Duration>,
    /// 99 of 100 took at most this.
    pub latency_p99: Option<Duration>,
    /// How late 99 of 100 frames at most were sent; none when none was sent.
    pub lateness_p99: Option<Duration>,
    /// CPU time of the load test by wall time.
    pub cpu_cores: f64,
}

impl Recent {
    /// Takes in what is known now.
    pub fn note(&mut self, reading: Reading) {
        let oldest = reading.at.checked_sub(SPAN);
        while self.0.len() > 1 && self.0.get(1).map(|second| second.at) <= oldest {
            self.0.pop_front();
        }
        self.0.push_back(reading);
    }

    /// What happened between the first and the last reading kept; none of a single one.
    pub fn read(&self) -> Option<Recently> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let seconds = (last.at - first.at).as_secs_f64();
        let (before, now) = (&first.counts, &last.counts);
        let rate = |of: fn(&Snapshot) -> u64| (of(now) - of(before)) as f64 / seconds;
        let latency = now.latency.since(&before.latency);
        (seconds > 0.0).then(|| Recently {
            packets_per_second: rate(|counts| counts.packets),
            bits_per_second: rate(|counts| counts.payload_bytes) * 8.0,
            frames_per_second: rate(|counts| counts.audio_frames + counts.video_frames),
            latency_p50: latency.quantile(0.5),
            latency_p99: latency.quantile(0.99),
            lateness_p99: now.lateness.since(&before.lateness).quantile(0.99),
            cpu_cores: last.cpu.saturating_sub(first.cpu).as_secs_f64() / seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Counts;

    #[test]
    fn rates_are_of_the_last_seconds_only() {
        let (counts, start) = (Counts::default(), Instant::now());
        let mut recent = Recent::default();
        let mut step = |quarter: u32, packets: u32| {
            for _ in 0..packets {
                counts.packet(125);
                counts.opened(true, Some(Duration::from_millis(quarter.into())));
            }
            recent.note(Reading {
                at: start + Duration::from_millis(250) * quarter,
                cpu: Duration::from_millis(100) * quarter,
                counts: counts.snapshot(),
            });
            recent.read()
        };
        assert_eq!(step(0, 9), None, "one reading is no rate");
        // Ten seconds with ten packets each quarter, then five with four.
        for quarter in 1..=40 {
            step(quarter, 10);
        }
        let mut last = None;
        for quarter in 41..=60 {
            last = step(quarter, 4);
        }
        let recently = last.unwrap();
        assert_eq!(recently.packets_per_second, 16.0);
        assert_eq!(recently.bits_per_second, 16_000.0);
        assert!((recently.cpu_cores - 0.4).abs() < 1e-9);
        let p50 = recently.latency_p50.unwrap();
        assert!(
            p50 > Duration::from_millis(48),
            "older pictures have no part in it: {p50:?}"
        );
        assert_eq!(recently.lateness_p99, None);
        assert!(recent.0.len() <= 14);
    }
}
