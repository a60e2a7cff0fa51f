//! Which simulcast layer each subscriber gets of each track that it watches.

use std::time::{Duration, Instant};

/// A step up waits this long after the last step in either direction.
const UPGRADE_HOLD: Duration = Duration::from_secs(3);

/// A layer that sent nothing for this long is asleep.
const ASLEEP: Duration = Duration::from_millis(750);

/// The part of the estimate that is given out to video; the rest is for audio, key frames
/// and the estimate's own error.
const USABLE: f64 = 0.85;

/// A layer may be shown at up to this many times its own height before the next one is
/// worth its bits.
const STRETCH: u32 = 3;
const STRETCH_DIVISOR: u32 = 2;

/// A camera's full height, from which the heights of the smaller layers follow by halving.
/// The SFU does not look into the video, so it has to suppose one.
const FULL_HEIGHT: u32 = 720;

/// Bits in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct BitRate(pub(crate) u64);

/// Measures how much one layer sends and whether it is awake.
#[derive(Debug, Default)]
pub(crate) struct LayerMeter {
    window: Option<Instant>,
    bytes: u64,
    rate: BitRate,
    last: Option<Instant>,
}

impl LayerMeter {
    /// Takes note of one packet. True when it wakes the layer.
    pub(crate) fn packet(&mut self, now: Instant, bytes: usize) -> bool {
        let woke = !self.is_awake(now);
        self.last = Some(now);
        self.bytes += bytes as u64;
        let start = *self.window.get_or_insert(now);
        let elapsed = now.saturating_duration_since(start);
        if elapsed >= Duration::from_secs(1) {
            let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
            self.rate = BitRate(self.bytes.saturating_mul(8_000_000) / micros.max(1));
            self.window = Some(now);
            self.bytes = 0;
        }
        woke
    }

    pub(crate) fn is_awake(&self, now: Instant) -> bool {
        self.last
            .is_some_and(|last| now.saturating_duration_since(last) < ASLEEP)
    }

    pub(crate) fn rate(&self) -> BitRate {
        self.rate
    }
}

/// One layer of a track as the choice sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LayerState {
    pub(crate) awake: bool,
    pub(crate) rate: BitRate,
}

/// One watched track: its layers, low to high, and the height at which it is shown.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) layers: Vec<LayerState>,
    pub(crate) height: Option<u16>,
}

impl Demand {
    /// The lowest layer that fills the tile, or the highest that is awake below it.
    pub(crate) fn ideal(&self) -> usize {
        let top = self.layers.len().saturating_sub(1);
        let fitting = match self.height {
            None => top,
            Some(height) => (0..top)
                .find(|&layer| {
                    let own = FULL_HEIGHT >> (top - layer).min(8);
                    u32::from(height) * STRETCH_DIVISOR <= own * STRETCH
                })
                .unwrap_or(top),
        };
        self.awake_at_or_below(fitting)
    }

    fn awake_at_or_below(&self, layer: usize) -> usize {
        let lower = (0..=layer).rev().find(|&l| self.layers[l].awake);
        let higher = || (layer..self.layers.len()).find(|&l| self.layers[l].awake);
        lower.or_else(higher).unwrap_or(layer)
    }

    fn lowest(&self) -> usize {
        self.awake_at_or_below(0)
    }

    fn rate(&self, layer: usize) -> u64 {
        self.layers.get(layer).map_or(0, |l| l.rate.0)
    }
}

/// Gives out the estimated bandwidth to the demands, the most wanted first. Everyone gets
/// the lowest layer whatever it costs: a slot that shows nothing would not be noticed by
/// the one it is for. Without an estimate everyone gets what fits the tile.
pub(crate) fn allocate(estimate: Option<BitRate>, demands: &[Demand]) -> Vec<usize> {
    let Some(estimate) = estimate else {
        return demands.iter().map(Demand::ideal).collect();
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let mut left = (estimate.0 as f64 * USABLE) as u64;
    let mut chosen: Vec<usize> = demands.iter().map(Demand::lowest).collect();
    for (demand, layer) in demands.iter().zip(&chosen) {
        left = left.saturating_sub(demand.rate(*layer));
    }
    for (demand, layer) in demands.iter().zip(&mut chosen) {
        let base = demand.rate(*layer);
        let affordable = (*layer + 1..=demand.ideal())
            .rev()
            .filter(|&l| demand.layers[l].awake)
            .find(|&l| demand.rate(l).saturating_sub(base) <= left);
        if let Some(better) = affordable {
            left -= demand.rate(better).saturating_sub(base);
            *layer = better;
        }
    }
    chosen
}

/// What all demands would take at the best that there is. Larger tiles may be wished for at
/// any time, so this is what the estimator should find out about.
pub(crate) fn desired(demands: &[Demand]) -> BitRate {
    let best = |demand: &Demand| demand.layers.iter().map(|layer| layer.rate.0).max();
    BitRate(demands.iter().filter_map(best).sum())
}

/// Lets a choice fall at once and rise only slowly.
#[derive(Debug, Default)]
pub(crate) struct LayerGate {
    target: Option<usize>,
    changed: Option<Instant>,
}

impl LayerGate {
    /// The layer to head for, given the one that the allocation would choose.
    pub(crate) fn settle(&mut self, now: Instant, choice: usize) -> usize {
        let settled = match self.target {
            Some(target) if choice > target => {
                let held = self
                    .changed
                    .is_some_and(|at| now.saturating_duration_since(at) < UPGRADE_HOLD);
                if held { target } else { choice }
            }
            _ => choice,
        };
        if self.target.is_some_and(|target| target != settled) {
            self.changed = Some(now);
        }
        self.target = Some(settled);
        settled
    }

    /// The tile changed its size: the next choice holds at once.
    pub(crate) fn open(&mut self) {
        self.changed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(awake: [bool; 3]) -> Vec<LayerState> {
        [150_000, 500_000, 1_500_000]
            .into_iter()
            .zip(awake)
            .map(|(rate, awake)| LayerState {
                awake,
                rate: BitRate(rate),
            })
            .collect()
    }

    fn demand(height: u16) -> Demand {
        Demand {
            layers: layers([true; 3]),
            height: Some(height),
        }
    }

    #[test]
    fn the_tile_decides_when_there_is_no_estimate() {
        let chosen = allocate(None, &[demand(90), demand(270), demand(400), demand(1080)]);
        assert_eq!(chosen, [0, 0, 1, 2]);
    }

    #[test]
    fn a_sleeping_layer_is_replaced_by_the_next_lower_one() {
        let mut demand = demand(1080);
        demand.layers = layers([true, true, false]);
        assert_eq!(demand.ideal(), 1);
        demand.layers = layers([false, false, true]);
        demand.height = Some(90);
        assert_eq!(demand.ideal(), 2);
        demand.layers = layers([false; 3]);
        assert_eq!(demand.ideal(), 0);
    }

    #[test]
    fn the_first_gets_the_bits_and_the_last_keeps_the_lowest() {
        let demands = [demand(1080), demand(1080)];
        assert_eq!(allocate(Some(BitRate(2_000_000)), &demands), [2, 0]);
        assert_eq!(allocate(Some(BitRate(100_000)), &demands), [0, 0]);
        assert_eq!(allocate(Some(BitRate(9_000_000)), &demands), [2, 2]);
        assert_eq!(desired(&demands), BitRate(3_000_000));
    }

    #[test]
    fn down_at_once_and_up_slowly() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut gate = LayerGate::default();
        assert_eq!(gate.settle(at(0), 2), 2);
        assert_eq!(gate.settle(at(10), 0), 0);
        assert_eq!(gate.settle(at(20), 2), 0);
        assert_eq!(gate.settle(at(3_009), 2), 0);
        assert_eq!(gate.settle(at(3_011), 1), 1);
        assert_eq!(gate.settle(at(3_012), 2), 1);
        gate.open();
        assert_eq!(gate.settle(at(3_013), 2), 2);
    }

    #[test]
    fn the_meter_measures_and_notices_sleep() {
        let start = Instant::now();
        let mut meter = LayerMeter::default();
        for i in 0..=100 {
            let woke = meter.packet(start + Duration::from_millis(i * 20), 1000);
            assert_eq!(woke, i == 0);
        }
        let rate = meter.rate().0;
        assert!((390_000..=420_000).contains(&rate), "{rate}");
        assert!(meter.is_awake(start + Duration::from_millis(2_100)));
        assert!(!meter.is_awake(start + Duration::from_millis(2_800)));
    }
}
