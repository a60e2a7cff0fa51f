//! What is wrong with one direction of one path, and how that is written.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    steps::RateSteps,
    units::{Bitrate, Probability, UnitError, duration, duration_text, number},
};

/// How long packets are held back when nobody says.
const BEHIND: Duration = Duration::from_millis(20);
/// The standing queue of a bottleneck when nobody says.
const QUEUE: Duration = Duration::from_millis(200);

/// The keys, in the order in which they are written.
const KEYS: [&str; 12] = [
    "loss",
    "burst",
    "delay",
    "jitter",
    "reorder",
    "behind",
    "duplicate",
    "rate",
    "then",
    "queue",
    "blackout",
    "every",
];
/// What stands for a path with nothing wrong.
const NONE: &str = "none";

/// What one direction of one path does to packets. Nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Impairment {
    /// Packets that never arrive.
    pub loss: Option<Loss>,
    /// Time on the way.
    pub delay: Option<Delay>,
    /// Packets that others overtake.
    pub reorder: Option<Reorder>,
    /// Packets that arrive twice.
    pub duplicate: Probability,
    /// The narrowest place.
    pub bottleneck: Option<Bottleneck>,
    /// Times when nothing passes.
    pub blackout: Option<Blackout>,
}

/// Packets that never arrive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// How many, in the long run.
    pub share: Probability,
    /// The mean number of packets lost in a row (the Gilbert model: a path is good or
    /// bad, loses nothing or everything). Without it each packet has its own fate.
    pub burst: Option<f64>,
}

impl Loss {
    /// How likely a packet finds the path bad after a good one, and good after a bad one;
    /// none where each packet has its own fate.
    pub fn turns(&self) -> Option<(f64, f64)> {
        // A bad spell lasts `burst` packets on average, and the spells' share of all
        // packets is worsens / (worsens + recovers).
        let recovers = 1.0 / self.burst?;
        let share = self.share.ratio();
        Some((recovers * share / (1.0 - share), recovers))
    }
}

/// Time on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// On average.
    pub mean: Duration,
    /// More or less by up to this, evenly spread.
    pub jitter: Duration,
}

/// Packets that others overtake.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reorder {
    /// How many are held back.
    pub share: Probability,
    /// For how long.
    pub behind: Duration,
}

/// The narrowest place of a path, with a queue before it that drops at its tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bottleneck {
    /// What passes at first, IP headers included.
    pub rate: Bitrate,
    /// What passes later.
    pub then: RateSteps,
    /// What would have to wait longer is dropped.
    pub queue: Duration,
}

/// Times when nothing passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blackout {
    /// How long.
    pub length: Duration,
    /// Since the beginning of the measured window.
    pub at: Duration,
    /// From one beginning to the next.
    pub every: Option<Duration>,
}

impl Blackout {
    /// Whether nothing passes so long after the beginning of the window.
    pub fn covers(&self, elapsed: Duration) -> bool {
        elapsed
            .checked_sub(self.at)
            .is_some_and(|since| self.phase(since) < self.length)
    }

    /// When, after `elapsed`, it begins or ends next; none if that was the last time.
    pub fn next_change(&self, elapsed: Duration) -> Option<Duration> {
        let Some(since) = elapsed.checked_sub(self.at) else {
            return Some(self.at);
        };
        let phase = self.phase(since);
        if phase < self.length {
            Some(elapsed - phase + self.length)
        } else {
            self.every.map(|every| elapsed - phase + every)
        }
    }

    fn phase(&self, since: Duration) -> Duration {
        match self.every {
            Some(every) if !every.is_zero() => {
                let phase = since.as_nanos() % every.as_nanos();
                Duration::from_nanos(phase.try_into().unwrap_or(u64::MAX))
            }
            _ => since,
        }
    }
}

/// Why a text is no impairment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Nothing there.
    #[error("no impairment is given: write for example loss=2%,delay=50ms, or none")]
    Empty,
    /// A part without a value.
    #[error("`{0}` is not of the form KEY=VALUE, such as loss=2%")]
    NotAPair(String),
    /// A key that does not exist.
    #[error("`{0}` is no impairment; there are {list}", list = KEYS.join(", "))]
    UnknownKey(String),
    /// A key more than once.
    #[error("{0} is given twice: leave one out")]
    Twice(&'static str),
    /// A value of the wrong kind.
    #[error("{key}={value}: {key} takes {wanted}")]
    Value {
        /// Of which key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What is taken.
        wanted: String,
    },
    /// A key that says more about another, without it.
    #[error("{key} says more about {other}: give {other} too, or leave {key} out")]
    Alone {
        /// What was given.
        key: &'static str,
        /// What is missing.
        other: &'static str,
    },
    /// No path could do this.
    #[error("{key} is impossible: {reason}")]
    Impossible {
        /// Of which key.
        key: &'static str,
        /// Why, and what to do.
        reason: String,
    },
}

/// The pairs of a text, to be taken out one by one.
struct Pairs<'a>(BTreeMap<&'static str, &'a str>);

impl<'a> Pairs<'a> {
    fn read(text: &'a str) -> Result<Self, SpecError> {
        let mut pairs = BTreeMap::new();
        for part in text.split(',').map(str::trim) {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| SpecError::NotAPair(part.to_owned()))?;
            let key = KEYS
                .into_iter()
                .find(|known| *known == key.trim())
                .ok_or_else(|| SpecError::UnknownKey(key.trim().to_owned()))?;
            if pairs.insert(key, value.trim()).is_some() {
                return Err(SpecError::Twice(key));
            }
        }
        Ok(Self(pairs))
    }

    fn take<T, W: Display>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, W>,
    ) -> Result<Option<T>, SpecError> {
        let Some(value) = self.0.remove(key) else {
            return Ok(None);
        };
        read(value).map(Some).map_err(|wanted| SpecError::Value {
            key,
            value: value.to_owned(),
            wanted: wanted.to_string(),
        })
    }

    fn time(&mut self, key: &'static str) -> Result<Option<Duration>, SpecError> {
        self.take(key, duration)
    }

    /// Fails if one of these keys is there, for the one that they belong to is not.
    fn none_of(&self, keys: &[&'static str], other: &'static str) -> Result<(), SpecError> {
        match keys.iter().find(|key| self.0.contains_key(*key)) {
            Some(&key) => Err(SpecError::Alone { key, other }),
            None => Ok(()),
        }
    }

    fn loss(&mut self) -> Result<Option<Loss>, SpecError> {
        let Some(share) = self.take("loss", str::parse::<Probability>)? else {
            self.none_of(&["burst"], "loss")?;
            return Ok(None);
        };
        let burst = self.take("burst", |text| {
            number(text)
                .filter(|burst| *burst >= 1.0)
                .ok_or("the mean number of packets lost in a row, 1 or more, such as 4")
        })?;
        if let Some(burst) = burst {
            // Between two bursts there is at least one packet that passes.
            let most = burst / (burst + 1.0);
            if share.ratio() > most {
                return Err(SpecError::Impossible {
                    key: "burst",
                    reason: format!(
                        "runs of {burst} lost packets with one between them lose {:.1}% at \
                         most; for loss={share} make burst longer",
                        most * 100.0
                    ),
                });
            }
        }
        Ok(Some(Loss { share, burst }))
    }

    fn delay(&mut self) -> Result<Option<Delay>, SpecError> {
        let Some(mean) = self.time("delay")? else {
            self.none_of(&["jitter"], "delay")?;
            return Ok(None);
        };
        let jitter = self.time("jitter")?.unwrap_or_default();
        if jitter > mean {
            return Err(SpecError::Impossible {
                key: "jitter",
                reason: format!(
                    "a packet would arrive before it was sent; make delay at least {}",
                    duration_text(jitter)
                ),
            });
        }
        Ok(Some(Delay { mean, jitter }))
    }

    fn reorder(&mut self) -> Result<Option<Reorder>, SpecError> {
        let Some(share) = self.take("reorder", str::parse::<Probability>)? else {
            self.none_of(&["behind"], "reorder")?;
            return Ok(None);
        };
        let behind = self.time("behind")?.unwrap_or(BEHIND);
        if behind.is_zero() {
            return Err(SpecError::Impossible {
                key: "behind",
                reason: "nothing overtakes what is not held back; make it longer".to_owned(),
            });
        }
        Ok(Some(Reorder { share, behind }))
    }

    fn bottleneck(&mut self) -> Result<Option<Bottleneck>, SpecError> {
        let Some(rate) = self.take("rate", str::parse::<Bitrate>)? else {
            self.none_of(&["then", "queue"], "rate")?;
            return Ok(None);
        };
        let then = self.take("then", str::parse::<RateSteps>)?;
        let queue = self.time("queue")?.unwrap_or(QUEUE);
        Ok(Some(Bottleneck {
            rate,
            then: then.unwrap_or_default(),
            queue,
        }))
    }

    fn blackout(&mut self) -> Result<Option<Blackout>, SpecError> {
        let wanted = "how long and when, such as 3s@10s";
        let pair = self.take("blackout", |text| {
            let (length, at) = text.split_once('@').ok_or(wanted)?;
            let read = |text| duration(text).map_err(|_: UnitError| wanted);
            Ok::<_, &str>((read(length)?, read(at)?))
        })?;
        let Some((length, at)) = pair else {
            self.none_of(&["every"], "blackout")?;
            return Ok(None);
        };
        let every = self.time("every")?;
        let impossible = |key, reason: &str| {
            Err(SpecError::Impossible {
                key,
                reason: reason.to_owned(),
            })
        };
        if length.is_zero() {
            return impossible("blackout", "it has no length; make it longer");
        }
        if every.is_some_and(|every| every <= length) {
            return impossible(
                "every",
                "the next blackout would begin before the last one ends; make it longer, or \
                 write loss=100%",
            );
        }
        Ok(Some(Blackout { length, at, every }))
    }
}

impl FromStr for Impairment {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        match text.trim() {
            "" => return Err(SpecError::Empty),
            NONE => return Ok(Self::default()),
            _ => {}
        }
        let mut pairs = Pairs::read(text)?;
        Ok(Self {
            loss: pairs.loss()?,
            delay: pairs.delay()?,
            reorder: pairs.reorder()?,
            duplicate: pairs
                .take("duplicate", str::parse)?
                .unwrap_or(Probability::NEVER),
            bottleneck: pairs.bottleneck()?,
            blackout: pairs.blackout()?,
        })
    }
}

impl Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs: Vec<String> = Vec::new();
        let mut pair = |key: &str, value: &dyn Display| pairs.push(format!("{key}={value}"));
        if let Some(Loss { share, burst }) = self.loss {
            pair("loss", &share);
            if let Some(burst) = burst {
                pair("burst", &burst);
            }
        }
        if let Some(Delay { mean, jitter }) = self.delay {
            pair("delay", &duration_text(mean));
            if !jitter.is_zero() {
                pair("jitter", &duration_text(jitter));
            }
        }
        if let Some(Reorder { share, behind }) = self.reorder {
            pair("reorder", &share);
            pair("behind", &duration_text(behind));
        }
        if !self.duplicate.is_never() {
            pair("duplicate", &self.duplicate);
        }
        if let Some(Bottleneck { rate, then, queue }) = self.bottleneck {
            pair("rate", &rate);
            if then != RateSteps::default() {
                pair("then", &then);
            }
            pair("queue", &duration_text(queue));
        }
        if let Some(Blackout { length, at, every }) = self.blackout {
            let moment = format!("{}@{}", duration_text(length), duration_text(at));
            pair("blackout", &moment);
            if let Some(every) = every {
                pair("every", &duration_text(every));
            }
        }
        match &pairs[..] {
            [] => f.write_str(NONE),
            pairs => f.write_str(&pairs.join(",")),
        }
    }
}

impl Serialize for Impairment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Impairment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
