//! What receivers got, and how well limited links were used.

use std::time::Duration;

use super::Findings;
use crate::{
    impair::usage::Use,
    report::{self, Bandwidth, Known, Spread, Times},
    scenario::group::Group,
};

impl Findings<'_> {
    pub(super) fn bandwidth(&self) -> Bandwidth {
        // Who came late got as much a second, not less.
        let window = &self.measurement.window;
        let rates: Vec<f64> = self
            .of(Group::receives)
            .map(|it| (it.tally.payload_bytes as f64 * 8.0, it.time_in(window)))
            .filter(|(_, time)| !time.is_zero())
            .map(|(bits, time)| bits / time.as_secs_f64())
            .collect();
        let delivered: u64 = self.receivers().map(|tally| tally.payload_bytes).sum();
        let uses: Vec<&Use> = self
            .of(Group::receives)
            .filter_map(|outcome| outcome.downlink_use.as_ref())
            .collect();
        let sum = |value: fn(&Use) -> f64| uses.iter().map(|it| value(it)).sum::<f64>();
        let capacity = sum(|it| it.capacity);
        let times = |of: fn(&Use) -> &Vec<Duration>, nothing: &str| {
            let times = Times::of(uses.iter().flat_map(|it| of(it)).copied());
            let reason = if uses.is_empty() { UNLIMITED } else { nothing };
            Known::of(times, reason)
        };
        Bandwidth {
            delivered_bits_per_second: delivered as f64 * 8.0 / self.seconds(),
            per_receiver_bits_per_second: Known::of(
                Spread::of(rates.iter().copied()),
                "there was no receiver",
            ),
            utilisation_ratio: Known::of(
                (capacity > 0.0).then(|| sum(|it| it.passed) / capacity),
                UNLIMITED,
            ),
            limits: uses.iter().map(|it| it.limits).sum(),
            time_to_80_percent: times(|it| &it.to_80_percent, "no limit was used to 80 %"),
            time_to_90_percent: times(|it| &it.to_90_percent, "no limit was used to 90 %"),
            standing_queue: times(|it| &it.queue, "nothing passed a limited link"),
            fairness_ratio: Known::of(report::fairness(&rates), "nobody received anything"),
        }
    }
}

/// The kernel keeps to itself how the line of a household is used.
const UNLIMITED: &str = "no link to a receiver was limited in process (--impair rate=…)";
