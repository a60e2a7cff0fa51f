//! Whom something happens to: which bots, and in which direction.

use std::{
    fmt::{self, Display},
    ops::RangeInclusive,
    str::FromStr,
};

/// Seen from the bots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// To the server.
    Up,
    /// From the server.
    Down,
}

impl Way {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Where a bot stands among the others. All numbers begin with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BotPlace {
    /// Its number among all bots.
    pub number: usize,
    /// Its number among those that publish, if it does.
    pub publisher: Option<usize>,
    /// Its number among those that receive, if it does.
    pub subscriber: Option<usize>,
}

/// A kind of bots.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Group {
    All,
    Publishers,
    Subscribers,
    Numbers(RangeInclusive<usize>),
}

/// Of every so many, the first few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    first: usize,
    of: usize,
}

/// Some of the bots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bots {
    part: Option<Part>,
    group: Group,
}

/// Some of the bots, in one direction or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whom {
    /// Both when left out.
    pub way: Option<Way>,
    /// Which bots.
    pub bots: Bots,
}

/// Why a text names no bots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhomError {
    /// Not of the grammar.
    #[error(
        "`{0}` names no bots: write all, publishers, subscribers, bot3, bots3-7, 1/10 or \
         1/10-subscribers, and before it up@ or down@ for one direction"
    )]
    Unknown(String),
    /// Bots have numbers from 1.
    #[error("`{0}` is empty: bots are numbered from 1, and a range goes upwards")]
    EmptyRange(String),
    /// No part of a whole.
    #[error("`{0}` is no part of them: write 1/10 for the first of every ten")]
    Part(String),
}

impl Bots {
    /// Everyone.
    pub const ALL: Self = Self {
        part: None,
        group: Group::All,
    };

    /// Whether it is one of them.
    pub fn include(&self, bot: &BotPlace) -> bool {
        let number = match &self.group {
            Group::All => Some(bot.number),
            Group::Publishers => bot.publisher,
            Group::Subscribers => bot.subscriber,
            Group::Numbers(numbers) => numbers.contains(&bot.number).then_some(bot.number),
        };
        number.is_some_and(|number| match self.part {
            None => true,
            Some(Part { first, of }) => number.saturating_sub(1) % of < first,
        })
    }
}

impl Whom {
    /// Whether this direction of this bot's path is meant.
    pub fn includes(&self, way: Way, bot: &BotPlace) -> bool {
        self.way.is_none_or(|only| only == way) && self.bots.include(bot)
    }
}

impl FromStr for Bots {
    type Err = WhomError;

    fn from_str(text: &str) -> Result<Self, WhomError> {
        let text = text.trim();
        let unknown = || WhomError::Unknown(text.to_owned());
        let Some((first, rest)) = text.split_once('/') else {
            let group = group(text).ok_or_else(unknown)?;
            if matches!(&group, Group::Numbers(numbers) if *numbers.start() == 0 || numbers.is_empty())
            {
                return Err(WhomError::EmptyRange(text.to_owned()));
            }
            return Ok(Self { part: None, group });
        };
        let (of, name) = rest.split_once('-').unwrap_or((rest, "all"));
        let (Some(first), Some(of)) = (whole(first), whole(of)) else {
            return Err(unknown());
        };
        if first == 0 || first > of {
            return Err(WhomError::Part(text.to_owned()));
        }
        // A part of a range of numbers would be yet another range of numbers.
        let group = group(name)
            .filter(|group| !matches!(group, Group::Numbers(_)))
            .ok_or_else(unknown)?;
        Ok(Self {
            part: Some(Part { first, of }),
            group,
        })
    }
}

fn whole(text: &str) -> Option<usize> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

fn group(text: &str) -> Option<Group> {
    match text {
        "all" => return Some(Group::All),
        "publishers" => return Some(Group::Publishers),
        "subscribers" => return Some(Group::Subscribers),
        _ => {}
    }
    if let Some(numbers) = text.strip_prefix("bots") {
        let (first, last) = numbers.split_once('-')?;
        return Some(Group::Numbers(whole(first)?..=whole(last)?));
    }
    let number = whole(text.strip_prefix("bot")?)?;
    Some(Group::Numbers(number..=number))
}

impl Display for Bots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Part { first, of }) = self.part {
            write!(f, "{first}/{of}-")?;
        }
        match &self.group {
            Group::All => f.write_str("all"),
            Group::Publishers => f.write_str("publishers"),
            Group::Subscribers => f.write_str("subscribers"),
            Group::Numbers(numbers) if numbers.start() == numbers.end() => {
                write!(f, "bot{}", numbers.start())
            }
            Group::Numbers(numbers) => write!(f, "bots{}-{}", numbers.start(), numbers.end()),
        }
    }
}

impl FromStr for Whom {
    type Err = WhomError;

    fn from_str(text: &str) -> Result<Self, WhomError> {
        let direction = |name: &str| match name.trim() {
            "up" => Some(Way::Up),
            "down" => Some(Way::Down),
            _ => None,
        };
        match text.split_once('@') {
            Some((name, bots)) => Ok(Self {
                way: Some(direction(name).ok_or_else(|| WhomError::Unknown(text.to_owned()))?),
                bots: bots.parse()?,
            }),
            None => match direction(text) {
                Some(direction) => Ok(Self {
                    way: Some(direction),
                    bots: Bots::ALL,
                }),
                None => Ok(Self {
                    way: None,
                    bots: text.parse()?,
                }),
            },
        }
    }
}

impl Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.way {
            Some(way) => write!(f, "{}@{}", way.name(), self.bots),
            None => self.bots.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two publishers, one of whom receives too, and ten who only receive.
    fn call() -> Vec<BotPlace> {
        (1..=12)
            .map(|number| BotPlace {
                number,
                publisher: (number <= 2).then_some(number),
                subscriber: (number >= 2).then(|| number - 1),
            })
            .collect()
    }

    fn numbers(text: &str) -> Vec<usize> {
        let bots: Bots = text.parse().unwrap();
        let call = call();
        let named = call.iter().filter(|bot| bots.include(bot));
        named.map(|bot| bot.number).collect()
    }

    #[test]
    fn bots_are_named_by_what_they_do_by_number_and_by_part() {
        assert_eq!(numbers("all"), (1..=12).collect::<Vec<_>>());
        assert_eq!(numbers("publishers"), [1, 2]);
        assert_eq!(numbers("subscribers"), (2..=12).collect::<Vec<_>>());
        assert_eq!(numbers("bot3"), [3]);
        assert_eq!(numbers("bots3-5"), [3, 4, 5]);
        assert_eq!(numbers("1/10"), [1, 11]);
        assert_eq!(numbers("2/5"), [1, 2, 6, 7, 11, 12]);
        assert_eq!(numbers("1/10-subscribers"), [2, 12]);
    }

    #[test]
    fn a_direction_stands_before_the_bots() {
        let bot = call()[11];
        for (text, up, down) in [
            ("up", true, false),
            ("down", false, true),
            ("down@subscribers", false, true),
            ("up@publishers", false, false),
            ("subscribers", true, true),
        ] {
            let whom: Whom = text.parse().unwrap();
            assert_eq!(whom.includes(Way::Up, &bot), up, "{text}");
            assert_eq!(whom.includes(Way::Down, &bot), down, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "all",
            "up@all",
            "down@subscribers",
            "publishers",
            "bot3",
            "up@bots3-7",
            "1/10-all",
            "3/4-publishers",
        ] {
            let whom: Whom = text.parse().unwrap();
            assert_eq!(whom.to_string(), text);
        }
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for text in [
            "",
            "bot",
            "bots",
            "bots3",
            "boss",
            "sideways@all",
            "up@",
            "1/",
            "/2",
            "1/2/3",
            "1/2-bot3",
            "bot+3",
            "down@up",
        ] {
            let refused = text.parse::<Whom>();
            assert!(
                matches!(refused, Err(WhomError::Unknown(_))),
                "{text}: {refused:?}"
            );
        }
        for text in ["bot0", "bots0-3", "bots5-4"] {
            let refused = text.parse::<Bots>();
            assert!(matches!(refused, Err(WhomError::EmptyRange(_))), "{text}");
        }
        for text in ["0/3", "4/3", "0/0"] {
            let refused = text.parse::<Bots>();
            assert!(matches!(refused, Err(WhomError::Part(_))), "{text}");
        }
    }
}
