//! Which impairment holds for whom.

use std::{
    fmt::{self, Display},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{BotPlace, Bots, Impairment, SpecError, Way, Whom, WhomError};

/// One `--impair`: whom, and what.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Whose path.
    pub whom: Whom,
    /// What is wrong with it.
    pub impairment: Impairment,
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// What stands before the colon.
    #[error(transparent)]
    Whom(#[from] WhomError),
    /// What stands behind it.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (whom, spec) = match text.split_once(':') {
            Some((whom, spec)) => (whom.parse()?, spec),
            None => (
                Whom {
                    way: None,
                    bots: Bots::ALL,
                },
                text,
            ),
        };
        Ok(Self {
            whom,
            impairment: spec.parse()?,
        })
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.whom, self.impairment)
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// All `--impair` of a run, in their order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rules(pub Vec<Rule>);

/// The path of one bot.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LinkPair {
    /// To the server.
    pub up: Impairment,
    /// From the server.
    pub down: Impairment,
}

impl LinkPair {
    /// True when nothing is wrong either way.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl Rules {
    /// The path of a bot. In each direction the last rule that names it holds, whole:
    /// rules are not added up.
    pub fn path_of(&self, bot: &BotPlace) -> LinkPair {
        let of = |direction| {
            self.0
                .iter()
                .rev()
                .find(|rule| rule.whom.includes(direction, bot))
                .map(|rule| rule.impairment)
                .unwrap_or_default()
        };
        LinkPair {
            up: of(Way::Up),
            down: of(Way::Down),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Rules {
        Rules(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn bot(number: usize) -> BotPlace {
        BotPlace {
            number,
            publisher: (number == 1).then_some(1),
            subscriber: number.checked_sub(1).filter(|number| *number > 0),
        }
    }

    #[test]
    fn the_last_rule_that_names_a_bot_and_a_direction_holds() {
        let rules = rules(&["loss=2%", "down@subscribers:delay=50ms", "bot3:none"]);
        let read = |text: &str| text.parse::<Impairment>().unwrap();
        let both = LinkPair {
            up: read("loss=2%"),
            down: read("loss=2%"),
        };
        assert_eq!(rules.path_of(&bot(1)), both);
        let down = LinkPair {
            down: read("delay=50ms"),
            ..both
        };
        assert_eq!(rules.path_of(&bot(2)), down);
        assert!(rules.path_of(&bot(3)).is_clean());
    }

    #[test]
    fn a_rule_is_one_string_in_files() {
        let rules = rules(&["loss=2%", "up@1/10-subscribers:rate=1mbit"]);
        let json = serde_json::to_string(&rules).unwrap();
        assert_eq!(
            json,
            r#"["all:loss=2%","up@1/10-subscribers:rate=1mbit,queue=200ms"]"#
        );
        assert_eq!(serde_json::from_str::<Rules>(&json).unwrap(), rules);
    }

    #[test]
    fn either_half_may_be_wrong() {
        let refused = |text: &str| text.parse::<Rule>().unwrap_err().to_string();
        assert!(refused("nobody:loss=2%").contains("`nobody`"));
        assert!(refused("up:lost=2%").contains("`lost`"));
    }
}
