//! How much each layer of a stream sends.

use std::time::{Duration, Instant};

use super::{BitRate, MOST_SPATIAL, MOST_TEMPORAL};
use crate::rewrite::LayerId;

/// A layer that sent nothing for this long is asleep.
const ASLEEP: Duration = Duration::from_millis(750);

const WINDOW: Duration = Duration::from_secs(1);

/// Measures the layers of one incoming stream.
#[derive(Debug, Default)]
pub(crate) struct StreamMeter {
    spatial: Vec<[LayerMeter; MOST_TEMPORAL]>,
}

/// Measures how much one layer sends and whether it is awake.
#[derive(Debug, Default)]
struct LayerMeter {
    window: Option<Instant>,
    bytes: u64,
    rate: BitRate,
    last: Option<Instant>,
}

impl StreamMeter {
    /// Takes note of one packet. True when it wakes a spatial layer.
    pub(crate) fn packet(&mut self, now: Instant, layer: LayerId, bytes: usize) -> bool {
        let spatial = usize::from(layer.spatial).min(MOST_SPATIAL - 1);
        let temporal = usize::from(layer.temporal).min(MOST_TEMPORAL - 1);
        let woke = !self.is_awake(now, spatial);
        if self.spatial.len() <= spatial {
            self.spatial.resize_with(spatial + 1, Default::default);
        }
        self.spatial[spatial][temporal].packet(now, bytes);
        woke
    }

    /// How many spatial layers were seen.
    pub(crate) fn spatial_layers(&self) -> usize {
        self.spatial.len()
    }

    pub(crate) fn is_awake(&self, now: Instant, spatial: usize) -> bool {
        let meters = self.spatial.get(spatial);
        meters.is_some_and(|meters| meters.iter().any(|meter| meter.is_awake(now)))
    }

    /// How many temporal layers a spatial layer was seen to have.
    pub(crate) fn temporal_layers(&self, spatial: usize) -> u8 {
        let meters = self.spatial.get(spatial);
        let highest = meters.and_then(|m| m.iter().rposition(|meter| meter.last.is_some()));
        highest.map_or(1, |highest| highest as u8 + 1)
    }

    /// What a spatial layer takes up to each of its temporal layers.
    pub(crate) fn rates(&self, now: Instant, spatial: usize) -> [BitRate; MOST_TEMPORAL] {
        let mut rates = [BitRate::default(); MOST_TEMPORAL];
        let mut sum = 0;
        if let Some(meters) = self.spatial.get(spatial) {
            for (rate, meter) in rates.iter_mut().zip(meters) {
                sum += meter.rate(now).0;
                *rate = BitRate(sum);
            }
        }
        rates
    }
}

impl LayerMeter {
    fn packet(&mut self, now: Instant, bytes: usize) {
        // The silence before is no part of what it sends.
        if !self.is_awake(now) {
            self.window = None;
            self.bytes = 0;
        }
        self.last = Some(now);
        let start = *self.window.get_or_insert(now);
        let elapsed = now.saturating_duration_since(start);
        if elapsed >= WINDOW {
            let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
            self.rate = BitRate(self.bytes.saturating_mul(8_000_000) / micros.max(1));
            self.window = Some(now);
            self.bytes = 0;
        }
        self.bytes += bytes as u64;
    }

    fn is_awake(&self, now: Instant) -> bool {
        self.last
            .is_some_and(|last| now.saturating_duration_since(last) < ASLEEP)
    }

    fn rate(&self, now: Instant) -> BitRate {
        if self.is_awake(now) {
            self.rate
        } else {
            BitRate::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(spatial: u8, temporal: u8) -> LayerId {
        LayerId { spatial, temporal }
    }

    #[test]
    fn the_meter_measures_and_notices_sleep() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut meter = StreamMeter::default();
        for i in 0..=100 {
            let woke = meter.packet(at(i * 20), layer(0, 0), 1000);
            assert_eq!(woke, i == 0);
        }
        assert_eq!(meter.rates(at(2_000), 0)[0], BitRate(400_000));
        assert!(meter.is_awake(at(2_100), 0));
        assert!(!meter.is_awake(at(2_800), 0));
        assert_eq!(meter.rates(at(2_800), 0)[0], BitRate(0));
        assert!(meter.packet(at(9_000), layer(0, 0), 1000));
        assert_eq!(
            meter.rates(at(9_000), 0)[0],
            BitRate(400_000),
            "the rate before stands until there is a new one"
        );
    }

    #[test]
    fn each_layer_is_measured_and_temporal_ones_add_up() {
        let start = Instant::now();
        let mut meter = StreamMeter::default();
        let mut now = start;
        for i in 0..=200u64 {
            now = start + Duration::from_millis(i * 10);
            meter.packet(now, layer(0, (i % 2) as u8), 125);
            meter.packet(now, layer(2, 1), 1_250);
        }
        assert_eq!(meter.spatial_layers(), 3);
        let rates = meter.rates(now, 0);
        assert_eq!((rates[0].0, rates[1].0), (50_000, 100_000));
        assert_eq!(rates[3], rates[1]);
        assert_eq!(meter.rates(now, 2)[1], BitRate(1_000_000));
        assert_eq!(meter.temporal_layers(0), 2);
        assert!(!meter.is_awake(now, 1));
    }
}
