//! Finds the largest call that keeps its promises: doubles until one breaks them, halves
//! the gap, and then repeats the answer until it is sure.
//!
//! Sans-IO: [`Search`] says how many to try next and is told what came of it.

use serde::Serialize;

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every bound held.
    Held,
    /// A bound did not hold.
    Broke,
    /// The load test was itself the bottleneck: nothing is known about the server.
    Void,
}

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The size that is tried first.
    pub from: usize,
    /// No size above this is tried.
    pub to: usize,
    /// The search ends when the sizes that hold and break are this close, in hundredths.
    pub resolution_percent: usize,
    /// How often the answer has to hold, in a row, to be the answer.
    pub confirmations: u32,
}

/// What ended the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// A larger call broke a bound.
    Server,
    /// In a larger call the load test was itself the bottleneck.
    Generator,
    /// No larger call was to be tried.
    Asked,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Capacity {
    /// The largest size that held, every time; 0 if none did.
    pub largest: usize,
    /// How often it held.
    pub held: u32,
    /// With 95 % confidence it holds in at least this part of all runs (Clopper and
    /// Pearson's bound).
    pub holds_at_least: f64,
    /// The smallest size that did not hold.
    pub smallest_broken: Option<usize>,
    /// What ended the search.
    pub limit: Limit,
}

/// A search.
#[derive(Debug, Clone)]
pub struct Search {
    bounds: Bounds,
    /// The largest size that held, and how often in a row.
    good: Option<(usize, u32)>,
    /// The smallest size that did not.
    bad: Option<(usize, Outcome)>,
}

impl Search {
    /// Begins.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            good: None,
            bad: None,
        }
    }

    /// The size to try next; none when the search is over.
    pub fn next(&self) -> Option<usize> {
        let Bounds { from, to, .. } = self.bounds;
        let from = from.clamp(1, to.max(1));
        match (self.good, self.bad) {
            (None, None) => Some(from),
            // Not even the first one: look below it.
            (None, Some((bad, _))) => (bad > 1).then_some(bad / 2),
            (Some((good, held)), None) if good >= to => self.again(good, held),
            (Some((good, _)), None) => Some((good * 2).min(to)),
            (Some((good, held)), Some((bad, _))) => {
                let gap = bad.saturating_sub(good);
                if gap <= 1 || gap * 100 <= self.bounds.resolution_percent * bad {
                    self.again(good, held)
                } else {
                    Some(good + gap / 2)
                }
            }
        }
    }

    fn again(&self, size: usize, held: u32) -> Option<usize> {
        (held < self.bounds.confirmations).then_some(size)
    }

    /// Takes what came of a run of this size.
    pub fn tell(&mut self, size: usize, outcome: Outcome) {
        if outcome == Outcome::Held {
            let held = match self.good {
                Some((good, held)) if good == size => held + 1,
                _ => 1,
            };
            if self.good.is_none_or(|(good, _)| size >= good) {
                self.good = Some((size, held));
            }
            return;
        }
        if self.bad.is_none_or(|(bad, _)| size <= bad) {
            self.bad = Some((size, outcome));
        }
        // What held once and breaks now was luck: look below it again.
        if self.good.is_some_and(|(good, _)| good >= size) {
            self.good = None;
        }
    }

    /// What is known by now.
    pub fn capacity(&self) -> Capacity {
        let (largest, held) = self.good.unwrap_or_default();
        let smallest_broken = self.bad.map(|(size, _)| size);
        Capacity {
            largest,
            held,
            holds_at_least: if held == 0 {
                0.0
            } else {
                0.05_f64.powf(1.0 / f64::from(held))
            },
            smallest_broken,
            limit: match self.bad {
                Some((_, Outcome::Void)) => Limit::Generator,
                Some(_) => Limit::Server,
                None => Limit::Asked,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        from: 10,
        to: 1_000,
        resolution_percent: 5,
        confirmations: 3,
    };

    /// Runs a search against a server; gives the answer and the sizes that were tried.
    fn search(bounds: Bounds, mut server: impl FnMut(usize) -> Outcome) -> (Capacity, Vec<usize>) {
        let mut search = Search::new(bounds);
        let mut tried = Vec::new();
        while let Some(size) = search.next() {
            assert!(tried.len() < 100, "no end: {tried:?}");
            tried.push(size);
            search.tell(size, server(size));
        }
        (search.capacity(), tried)
    }

    fn up_to(limit: usize) -> impl Fn(usize) -> Outcome {
        move |size| {
            if size <= limit {
                Outcome::Held
            } else {
                Outcome::Broke
            }
        }
    }

    #[test]
    fn the_largest_size_is_found_and_repeated() {
        let (found, tried) = search(BOUNDS, up_to(137));
        assert!((130..=137).contains(&found.largest), "{found:?}");
        assert_eq!((found.held, found.limit), (3, Limit::Server));
        assert!(tried.len() <= 12, "{tried:?}");
        // 0.05^(1/3): three of three say no more than that.
        assert!((found.holds_at_least - 0.368).abs() < 0.001);
    }

    #[test]
    fn a_generator_at_its_end_says_nothing_about_the_server() {
        let (found, _) = search(BOUNDS, |size| {
            if size <= 60 {
                Outcome::Held
            } else {
                Outcome::Void
            }
        });
        assert_eq!(found.limit, Limit::Generator);
        assert!(found.largest <= 60);
    }

    #[test]
    fn a_server_that_holds_all_is_asked_no_further() {
        let (found, tried) = search(BOUNDS, up_to(5_000));
        assert_eq!((found.largest, found.limit), (1_000, Limit::Asked));
        assert_eq!(tried.iter().max(), Some(&1_000));
    }

    #[test]
    fn a_server_that_holds_nothing_has_no_capacity() {
        let (found, tried) = search(BOUNDS, up_to(0));
        assert_eq!((found.largest, found.held), (0, 0));
        assert_eq!(tried, [10, 5, 2, 1]);
    }

    #[test]
    fn what_held_by_luck_does_not_stand() {
        let mut lucky = true;
        let (found, _) = search(BOUNDS, |size| {
            if size > 50 && std::mem::take(&mut lucky) {
                return Outcome::Held;
            }
            up_to(50)(size)
        });
        assert!((45..=50).contains(&found.largest), "{found:?}");
    }

    proptest! {
        #[test]
        fn the_answer_is_within_the_resolution(limit in 1_usize..1_000) {
            let (found, _) = search(BOUNDS, up_to(limit));
            prop_assert!(found.largest <= limit);
            let slack = (limit + 1) * BOUNDS.resolution_percent / 100 + 1;
            prop_assert!(found.largest + slack >= limit, "{found:?} for {limit}");
            prop_assert_eq!(found.held, BOUNDS.confirmations);
        }
    }
}
