//! The paths of a run's bots, ready to be used: what each goes through in process, and in
//! which household it lives.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use super::{
    BotPlace, LinkPair, Rules, Way,
    household::{Household, HouseholdError, Subnet},
    namespace::NamespaceError,
};
use crate::measure::generator;

/// The path of one bot.
#[derive(Debug, Clone, Default)]
pub struct Path {
    /// What happens to its datagrams in process.
    pub links: LinkPair,
    /// Where the chances of its two links come from.
    pub seed: u64,
    /// Where its sockets live, if not beside the server.
    pub household: Option<Arc<Household>>,
    /// When the measured window began, once it has.
    pub window: Arc<OnceLock<Instant>>,
}

/// The paths of all bots.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    impair: Rules,
    netem: Rules,
    seed: u64,
    households: Vec<Arc<Household>>,
    window: Arc<OnceLock<Instant>>,
}

impl Paths {
    /// Paths that are impaired in process only.
    pub fn in_process(impair: Rules, seed: u64) -> Self {
        Self {
            impair,
            seed,
            ..Self::default()
        }
    }

    /// Builds a household for those bots of a call whom these rules treat alike, the
    /// first one in this network, the others in free ones.
    pub fn with_households(
        mut self,
        netem: Rules,
        first: Subnet,
        call: impl IntoIterator<Item = BotPlace>,
    ) -> Result<Self, HouseholdError> {
        let mut first = Some(first);
        for bot in call {
            let path = netem.path_of(&bot);
            if path.is_clean() || self.household_on(&path).is_some() {
                continue;
            }
            let subnet = match first.take() {
                Some(subnet) => subnet,
                None => Subnet::free()?,
            };
            let household = Household::build(self.households.len(), subnet, path)?;
            self.households.push(Arc::new(household));
        }
        self.netem = netem;
        Ok(self)
    }

    /// The path of a bot.
    pub fn of(&self, bot: &BotPlace) -> Path {
        // Wide apart, so that no two links draw the same chances.
        let seed = self.seed ^ (bot.number as u64).rotate_left(32);
        Path {
            links: self.impair.path_of(bot),
            seed,
            household: self.household_on(&self.netem.path_of(bot)).cloned(),
            window: self.window.clone(),
        }
    }

    /// What chance is drawn from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What is wrong with the path of a bot, in process and in its household.
    pub fn impairments_of(&self, bot: &BotPlace) -> [LinkPair; 2] {
        [self.impair.path_of(bot), self.netem.path_of(bot)]
    }

    /// Whether anything is wrong with anyone's path.
    pub fn are_clean(&self) -> bool {
        self.impair.0.is_empty() && self.netem.0.is_empty()
    }

    /// The measured window begins: blackouts count from here.
    pub fn begin_window(&self, now: Instant) {
        // A run has one window.
        if self.window.set(now).is_ok() {
            for household in &self.households {
                household.begin_window(now);
            }
        }
    }

    /// Ends the blackouts; says so if one could not be made.
    pub fn end(&self) -> Result<(), NamespaceError> {
        self.households
            .iter()
            .try_for_each(|household| household.end())
    }

    /// Datagrams that the kernel dropped at the sockets of these ports, here and in all
    /// households; none where the system does not tell.
    pub fn dropped_by_kernel(&self, ports: &[u16]) -> Option<u64> {
        let households = self.households.iter().map(|household| {
            let dropped = household.within(|| generator::dropped_by_kernel(ports));
            dropped.ok().flatten()
        });
        std::iter::once(generator::dropped_by_kernel(ports))
            .chain(households)
            .sum()
    }

    fn household_on(&self, path: &LinkPair) -> Option<&Arc<Household>> {
        let mut households = self.households.iter();
        households.find(|household| household.path() == *path)
    }
}

impl Path {
    /// The seed of the chances of one of its links.
    pub fn seed_of(&self, way: Way) -> u64 {
        match way {
            Way::Up => self.seed,
            Way::Down => !self.seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bot(number: usize) -> BotPlace {
        BotPlace {
            number,
            publisher: None,
            subscriber: Some(number),
        }
    }

    #[test]
    fn bots_have_chances_of_their_own_from_one_seed() {
        let rules: Rules = serde_json::from_str(r#"["bot2:loss=2%"]"#).unwrap();
        let paths = Paths::in_process(rules, 7);
        assert!(paths.of(&bot(1)).links.is_clean());
        assert!(!paths.of(&bot(2)).links.is_clean());
        let seeds = (0..1_000).flat_map(|number| {
            let path = paths.of(&bot(number));
            [Way::Up, Way::Down].map(|way| path.seed_of(way))
        });
        let mut seeds: Vec<_> = seeds.collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 2_000);
        assert_eq!(paths.of(&bot(5)).seed, paths.clone().of(&bot(5)).seed);
    }
}
