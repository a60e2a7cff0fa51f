//! How a run goes, second by second. Every bot adds what it noted in a second once that
//! second is over; what is known of the machine comes from one that looks once a second.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::window::Window;
use crate::report::Second;

/// Latencies of a second are kept whole for so long, for bots that are late in telling.
const KEPT_WHOLE: usize = 10;
/// The longest latency that is told from longer ones, in microseconds.
const LONGEST: u64 = 60_000_000;

/// What one bot noted in one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BotSecond {
    /// RTP packets that came.
    pub packets: u64,
    /// Their payload, in bytes.
    pub payload_bytes: u64,
    /// Packets more that are missing than before; fewer when some came late after all.
    pub more_lost: i64,
    /// Whether a picture stood still.
    pub is_frozen: bool,
}

/// What is known of the machine at the end of a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MachineSecond {
    /// Bots in the call.
    pub participants: u64,
    /// The server's CPU time by wall time, if it was asked.
    pub server_cpu_cores: Option<f64>,
    /// The load test's CPU time by wall time.
    pub generator_cpu_cores: f64,
}

#[derive(Debug, Default)]
struct Sums {
    packets: u64,
    payload_bytes: u64,
    more_lost: i64,
    frozen: u64,
    /// In milliseconds.
    p50_p99: Option<(f64, f64)>,
    machine: Option<MachineSecond>,
}

/// All seconds of a run.
#[derive(Debug, Default)]
pub struct Timeline {
    seconds: Vec<Sums>,
    /// Of the last seconds.
    latencies: Vec<(u64, Histogram<u32>)>,
}

impl Timeline {
    /// A bot tells of a second.
    pub fn add(&mut self, second: u64, bot: &BotSecond) {
        let sums = self.second(second);
        sums.packets += bot.packets;
        sums.payload_bytes += bot.payload_bytes;
        sums.more_lost += bot.more_lost;
        sums.frozen += u64::from(bot.is_frozen);
    }

    /// A bot opened a picture that was so old.
    pub fn latency(&mut self, second: u64, latency: Duration) {
        if let Some(histogram) = self.histogram(second) {
            histogram.saturating_record(latency.as_micros().try_into().unwrap_or(LONGEST));
        }
    }

    /// The machine at the end of a second.
    pub fn sampled(&mut self, second: u64, machine: MachineSecond) {
        self.second(second).machine = Some(machine);
    }

    /// The seconds at whose end the machine was looked at, the first one first.
    pub fn report(&self, window: &Window) -> Vec<Second> {
        let lost = lost_for_good(self.seconds.iter().map(|sums| sums.more_lost).collect());
        let half = Duration::from_millis(500);
        self.seconds
            .iter()
            .zip(lost)
            .zip(0..)
            .filter_map(|((sums, packets_lost), number)| {
                let machine = sums.machine?;
                let (p50, p99) = self.percentiles(number, sums).unzip();
                Some(Second {
                    at_seconds: (number + 1) as f64,
                    measured: window.contains(window.second_begins(number) + half),
                    participants: machine.participants,
                    packets_per_second: sums.packets as f64,
                    bits_per_second: sums.payload_bytes as f64 * 8.0,
                    latency_p50_ms: p50,
                    latency_p99_ms: p99,
                    packets_lost,
                    frozen: sums.frozen,
                    server_cpu_cores: machine.server_cpu_cores,
                    generator_cpu_cores: machine.generator_cpu_cores,
                })
            })
            .collect()
    }

    fn second(&mut self, number: u64) -> &mut Sums {
        let place = usize::try_from(number).unwrap_or(usize::MAX - 1);
        if self.seconds.len() <= place {
            self.seconds.resize_with(place + 1, Sums::default);
        }
        &mut self.seconds[place]
    }

    fn percentiles(&self, number: u64, sums: &Sums) -> Option<(f64, f64)> {
        let whole = self.latencies.iter().find(|(second, _)| *second == number);
        whole.map_or(sums.p50_p99, |(_, latencies)| p50_p99(latencies))
    }

    /// The latencies of a second, unless it is too long ago.
    fn histogram(&mut self, second: u64) -> Option<&mut Histogram<u32>> {
        let place = match self
            .latencies
            .iter()
            .position(|(known, _)| *known == second)
        {
            Some(place) => place,
            None => {
                if self.latencies.len() == KEPT_WHOLE {
                    let oldest = self.latencies.iter().map(|(known, _)| *known).min()?;
                    if second < oldest {
                        return None;
                    }
                    self.settle(oldest);
                }
                // Fails on wrong bounds only.
                let histogram = Histogram::new_with_bounds(1, LONGEST, 2).ok()?;
                self.latencies.push((second, histogram));
                self.latencies.len() - 1
            }
        };
        Some(&mut self.latencies[place].1)
    }

    fn settle(&mut self, second: u64) {
        if let Some(place) = self
            .latencies
            .iter()
            .position(|(known, _)| *known == second)
        {
            let (_, latencies) = self.latencies.swap_remove(place);
            self.second(second).p50_p99 = p50_p99(&latencies);
        }
    }
}

fn p50_p99(microseconds: &Histogram<u32>) -> Option<(f64, f64)> {
    let at = |quantile| microseconds.value_at_quantile(quantile) as f64 / 1e3;
    (!microseconds.is_empty()).then(|| (at(0.5), at(0.99)))
}

/// A packet that comes late after all is taken back from the seconds before.
fn lost_for_good(more_lost: Vec<i64>) -> Vec<u64> {
    let mut lost = vec![0; more_lost.len()];
    let mut late = 0;
    for (lost, more) in lost.iter_mut().zip(more_lost).rev() {
        let remaining = more + late;
        *lost = remaining.max(0) as u64;
        late = remaining.min(0);
    }
    lost
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn window() -> Window {
        let origin = Instant::now();
        let window = Window::new(origin);
        window.open(origin + Duration::from_millis(1_900));
        window.close(origin + Duration::from_millis(3_900));
        window
    }

    #[test]
    fn a_second_is_the_sum_of_what_the_bots_tell() {
        let mut timeline = Timeline::default();
        let bot = BotSecond {
            packets: 10,
            payload_bytes: 1_000,
            more_lost: 0,
            is_frozen: true,
        };
        for second in [0, 2, 2] {
            timeline.add(second, &bot);
        }
        for second in 0..5 {
            let machine = MachineSecond {
                participants: second,
                server_cpu_cores: None,
                generator_cpu_cores: 0.5,
            };
            timeline.sampled(second, machine);
        }
        let report = timeline.report(&window());
        let packets: Vec<_> = report
            .iter()
            .map(|second| (second.at_seconds, second.packets_per_second, second.frozen))
            .collect();
        let expected = [
            (1.0, 10.0, 1),
            (2.0, 0.0, 0),
            (3.0, 20.0, 2),
            (4.0, 0.0, 0),
            (5.0, 0.0, 0),
        ];
        assert_eq!(packets, expected);
        assert_eq!(report[2].bits_per_second, 16_000.0);
        assert_eq!(report[4].participants, 4);
        let measured: Vec<_> = report.iter().map(|second| second.measured).collect();
        assert_eq!(measured, [false, false, true, true, false]);
    }

    #[test]
    fn latencies_are_told_second_by_second_long_afterwards_too() {
        let mut timeline = Timeline::default();
        for second in 0..30 {
            for latency in 1..=100 {
                timeline.latency(second, Duration::from_millis(latency + second));
            }
            timeline.sampled(second, MachineSecond::default());
        }
        // Too late: this second has been told of.
        timeline.latency(3, Duration::from_secs(50));
        assert!(timeline.latencies.len() <= KEPT_WHOLE);
        for (number, second) in timeline.report(&window()).iter().enumerate() {
            let (p50, p99) = (
                second.latency_p50_ms.unwrap(),
                second.latency_p99_ms.unwrap(),
            );
            let number = number as f64;
            assert!(
                (p50 - 50.0 - number).abs() <= 0.01 * p50,
                "{p50} in {number}"
            );
            assert!(
                (p99 - 99.0 - number).abs() <= 0.01 * p99,
                "{p99} in {number}"
            );
        }
    }

    #[test]
    fn what_comes_late_was_not_lost() {
        assert_eq!(lost_for_good(vec![0, 5, 3, -2, 0]), [0, 5, 1, 0, 0]);
        assert_eq!(lost_for_good(vec![4, 1, -3, 2]), [2, 0, 0, 2]);
        assert_eq!(lost_for_good(vec![1, -3]), [0, 0]);
    }
}
