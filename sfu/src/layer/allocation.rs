//! Giving out a subscriber's bandwidth to the videos that it watches.

use super::{BitRate, LayerState, MOST_TEMPORAL};
use crate::rewrite::LayerId;

/// The part of the estimate that is given out to video; the rest is for audio, key frames
/// and the estimate's own error.
const USABLE_PERCENT: u64 = 85;

/// A layer may be shown at up to this many times its own height before the next one is
/// worth its bits.
const STRETCH: u32 = 3;
const STRETCH_DIVISOR: u32 = 2;

/// The full height of a video whose sender does not tell it. The heights of the smaller
/// sizes follow by halving.
const FULL_HEIGHT: u32 = 720;

/// What a video keeps for longest when bandwidth is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preference {
    /// A camera: a small picture that moves shows more of a person than a large one that
    /// stutters.
    Motion,
    /// A shared screen: a text that cannot be read is worth nothing, however often it is
    /// sent.
    Detail,
}

/// One watched video.
#[derive(Debug)]
pub(crate) struct Demand {
    /// Its sizes, low to high.
    pub(crate) layers: Vec<LayerState>,
    /// How high it is shown, in pixels; as high as can be when that is not known.
    pub(crate) height: Option<u16>,
    pub(crate) keeps: Preference,
    /// Nothing of it is sent now.
    pub(crate) paused: bool,
    /// The least of it is sent, whatever the estimate says: see [`super::Trial`].
    pub(crate) tried: bool,
}

impl Demand {
    /// The lowest size that fills the tile, or the highest that is awake below it.
    fn ideal(&self) -> usize {
        let top = self.layers.len().saturating_sub(1);
        let fitting = match self.height {
            None => top,
            Some(height) => (0..top)
                .find(|&size| {
                    let supposed = FULL_HEIGHT >> (top - size).min(8);
                    let own = self.layers[size].height.map_or(supposed, u32::from);
                    u32::from(height) * STRETCH_DIVISOR <= own * STRETCH
                })
                .unwrap_or(top),
        };
        self.awake_at_or_below(fitting)
    }

    fn awake_at_or_below(&self, size: usize) -> usize {
        let is_awake = |size: &usize| self.layers.get(*size).is_some_and(|layer| layer.awake);
        let lower = (0..=size).rev().find(is_awake);
        let higher = || (size..self.layers.len()).find(is_awake);
        lower.or_else(higher).unwrap_or(size)
    }

    /// What it gets when there is room for everything.
    pub(crate) fn best(&self) -> Option<LayerId> {
        self.ladder().first().copied()
    }

    /// All that would do, the best first.
    fn ladder(&self) -> Vec<LayerId> {
        let ideal = self.ideal();
        let lowest = self.awake_at_or_below(0).min(ideal);
        let sizes = (lowest..=ideal)
            .rev()
            .filter(|size| *size == ideal || self.layers[*size].awake);
        let mut ladder = vec![];
        for size in sizes {
            let spatial = size as u8;
            ladder.push(LayerId {
                spatial,
                temporal: LayerId::ALL.temporal,
            });
            if self.keeps == Preference::Detail || size == lowest {
                let temporal_layers = self.layers.get(size).map_or(1, |l| l.temporal_layers);
                let slower = (0..temporal_layers.saturating_sub(1)).rev();
                ladder.extend(slower.map(|temporal| LayerId { spatial, temporal }));
            }
        }
        ladder
    }

    /// What it takes to send this.
    fn rate(&self, choice: LayerId) -> u64 {
        let temporal = usize::from(choice.temporal).min(MOST_TEMPORAL - 1);
        let mut rate = 0;
        let sizes = self.layers.iter().take(usize::from(choice.spatial) + 1);
        for layer in sizes.rev() {
            rate += layer.rates[temporal].0;
            if !layer.carries_lower {
                break;
            }
        }
        rate
    }
}

/// Gives out the estimated bandwidth to the demands, the most wanted first. First everyone
/// gets the least that there is, then what is left improves on it. Whoever's least does not
/// fit gets nothing, so that the others' stays whole; the most wanted video is not given up
/// before it takes twice what there is, since estimates err. Without one everyone gets what
/// fits the tile.
pub(crate) fn allocate(estimate: Option<BitRate>, demands: &[Demand]) -> Vec<Option<LayerId>> {
    let ladders: Vec<Vec<LayerId>> = demands.iter().map(Demand::ladder).collect();
    let Some(BitRate(whole)) = estimate else {
        return ladders.iter().map(|l| l.first().copied()).collect();
    };
    let usable = whole / 100 * USABLE_PERCENT;
    let mut spent = 0;
    let mut chosen: Vec<Option<LayerId>> = demands
        .iter()
        .zip(&ladders)
        .enumerate()
        .map(|(rank, (demand, ladder))| {
            let least = *ladder.last()?;
            if demand.tried {
                return Some(least);
            }
            // What is shown may use up the reserve before it is paused; what is paused comes
            // back only when it leaves the reserve alone.
            let limit = match (demand.paused, rank) {
                (true, _) => usable,
                (false, 0) => whole.saturating_mul(2),
                (false, _) => whole,
            };
            let rate = demand.rate(least);
            if spent + rate > limit {
                return None;
            }
            spent += rate;
            Some(least)
        })
        .collect();
    let mut left = usable.saturating_sub(spent);
    for ((demand, ladder), choice) in demands.iter().zip(&ladders).zip(&mut chosen) {
        let Some(least) = *choice else {
            continue;
        };
        let more = |better: LayerId| demand.rate(better).saturating_sub(demand.rate(least));
        if let Some(best) = ladder.iter().copied().find(|c| more(*c) <= left) {
            left -= more(best);
            *choice = Some(best);
        }
    }
    chosen
}

/// What all demands would take at the best that there is. Larger tiles may be wished for at
/// any time, so this is what the estimator should find out about.
pub(crate) fn desired(demands: &[Demand]) -> BitRate {
    let best = |demand: &Demand| {
        let sizes = 0..demand.layers.len();
        sizes
            .map(|size| {
                demand.rate(LayerId {
                    spatial: size as u8,
                    temporal: LayerId::ALL.temporal,
                })
            })
            .max()
    };
    BitRate(demands.iter().filter_map(best).sum())
}

/// Whether someone gets less than what fits its tile.
pub(crate) fn falls_short(demands: &[Demand], chosen: &[Option<LayerId>]) -> bool {
    let mut both = demands.iter().zip(chosen);
    both.any(|(demand, choice)| demand.best() != *choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes of 150, 500 and 1,500 kbit/s, of which 60, 80 and 100 % are in the temporal
    /// layers below.
    fn layers(awake: [bool; 3], carries_lower: bool) -> Vec<LayerState> {
        [150_000, 500_000, 1_500_000]
            .into_iter()
            .zip(awake)
            .map(|(rate, awake)| LayerState {
                awake,
                rates: [60, 80, 100, 100].map(|percent| BitRate(rate / 100 * percent)),
                temporal_layers: 3,
                height: None,
                carries_lower,
            })
            .collect()
    }

    fn demand(height: u16) -> Demand {
        Demand {
            layers: layers([true; 3], false),
            height: Some(height),
            keeps: Preference::Motion,
            paused: false,
            tried: false,
        }
    }

    fn screen() -> Demand {
        Demand {
            keeps: Preference::Detail,
            ..demand(1080)
        }
    }

    fn given(estimate: u64, demands: &[Demand]) -> Vec<Option<(u8, u8)>> {
        allocate(Some(BitRate(estimate)), demands)
            .into_iter()
            .map(|choice| choice.map(|c| (c.spatial, c.temporal.min(2))))
            .collect()
    }

    #[test]
    fn the_tile_decides_when_there_is_no_estimate() {
        let chosen = allocate(None, &[demand(90), demand(270), demand(400), demand(1080)]);
        let sizes: Vec<u8> = chosen.iter().map(|c| c.unwrap().spatial).collect();
        assert_eq!(sizes, [0, 0, 1, 2]);
    }

    #[test]
    fn true_heights_count_more_than_supposed_ones() {
        let mut demand = demand(400);
        for (layer, height) in demand.layers.iter_mut().zip([270, 540, 1080]) {
            layer.height = Some(height);
        }
        assert_eq!(demand.ideal(), 0);
    }

    #[test]
    fn a_sleeping_layer_is_replaced_by_the_next_lower_one() {
        let mut demand = demand(1080);
        demand.layers = layers([true, true, false], false);
        assert_eq!(demand.ideal(), 1);
        demand.layers = layers([false, false, true], false);
        demand.height = Some(90);
        assert_eq!(demand.ideal(), 2);
        demand.layers = layers([false; 3], false);
        assert_eq!(demand.ideal(), 0);
        demand.layers = vec![];
        assert_eq!(allocate(Some(BitRate(0)), &[demand]).len(), 1);
    }

    #[test]
    fn the_first_gets_the_bits_and_the_last_keeps_the_lowest() {
        let demands = [demand(1080), demand(1080)];
        assert_eq!(given(2_000_000, &demands), [Some((2, 2)), Some((0, 2))]);
        assert_eq!(given(9_000_000, &demands), [Some((2, 2)), Some((2, 2))]);
        assert_eq!(desired(&demands), BitRate(3_000_000));
    }

    #[test]
    fn a_choice_falls_short_of_the_tile_or_does_not() {
        let demands = [demand(1080), demand(90)];
        let whole = allocate(Some(BitRate(9_000_000)), &demands);
        assert!(!falls_short(&demands, &whole));
        for estimate in [100_000, 1_000_000] {
            let less = allocate(Some(BitRate(estimate)), &demands);
            assert!(falls_short(&demands, &less), "{less:?}");
        }
    }

    #[test]
    fn a_camera_keeps_its_motion_and_a_screen_its_size() {
        assert_eq!(given(1_500_000, &[demand(1080)]), [Some((1, 2))]);
        assert_eq!(given(160_000, &[demand(1080)]), [Some((0, 1))]);
        assert_eq!(given(1_500_000, &[screen()]), [Some((2, 1))]);
        assert_eq!(given(1_100_000, &[screen()]), [Some((2, 0))]);
        assert_eq!(given(500_000, &[screen()]), [Some((1, 1))]);
    }

    #[test]
    fn layers_that_build_on_others_cost_as_much_as_all_of_them() {
        let mut demand = demand(1080);
        demand.layers = layers([true; 3], true);
        assert_eq!(desired(std::slice::from_ref(&demand)), BitRate(2_150_000));
        let demands = [demand];
        assert_eq!(given(2_150_000 * 100 / 85 + 100, &demands), [Some((2, 2))]);
        assert_eq!(given(2_150_000, &demands), [Some((1, 2))]);
    }

    #[test]
    fn the_least_wanted_is_paused_when_not_even_its_lowest_layer_fits() {
        let two = || [demand(1080), demand(1080)];
        assert_eq!(given(180_000, &two()), [Some((0, 0)), Some((0, 0))]);
        assert_eq!(given(170_000, &two()), [Some((0, 1)), None]);
        assert_eq!(given(80_000, &two()), [Some((0, 0)), None], "estimates err");
        assert_eq!(given(40_000, &two()), [None, None]);
    }

    #[test]
    fn what_is_tried_gets_its_least_and_takes_nothing_from_the_others() {
        let mut demands = [demand(180), demand(180)];
        demands[0].paused = true;
        let without = allocate(Some(BitRate(70_000)), &demands);
        assert_eq!(without[0], None);
        demands[0].tried = true;
        let with = allocate(Some(BitRate(70_000)), &demands);
        assert!(with[0].is_some());
        assert_eq!(with[1], without[1]);
    }

    #[test]
    fn what_is_paused_comes_back_with_a_reserve() {
        let mut demands = [demand(1080), demand(1080)];
        demands[1].paused = true;
        assert_eq!(given(180_000, &demands)[1], None);
        assert_eq!(given(211_000, &demands)[1], None);
        assert_eq!(given(213_000, &demands)[1], Some((0, 0)));
    }
}
