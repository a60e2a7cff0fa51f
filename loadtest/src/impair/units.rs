//! Probabilities, bit rates and durations as people write them.

use std::{
    fmt::{self, Display},
    str::FromStr,
    time::Duration,
};

/// How likely something is, between never and always.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Probability {
    /// As it was written, so that it is shown the same.
    percent: f64,
}

impl Probability {
    /// It does not happen.
    pub const NEVER: Self = Self { percent: 0.0 };

    /// From 0 to 1.
    pub fn ratio(self) -> f64 {
        self.percent / 100.0
    }

    /// From 0 to 100.
    pub fn percent(self) -> f64 {
        self.percent
    }

    /// True if it does not happen.
    pub fn is_never(self) -> bool {
        self.percent == 0.0
    }
}

/// Why a value is not what its key stands for. Says what it ought to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a percentage from 0 to 100.
    #[error("a percentage between 0% and 100%, such as 2%")]
    Probability,
    /// Not a bit rate.
    #[error("a rate in bits per second with its unit, such as 2mbit or 500kbit")]
    Bitrate,
    /// Not a duration.
    #[error("a time with its unit, such as 50ms or 3s")]
    Duration,
}

impl FromStr for Probability {
    type Err = UnitError;

    /// Only with its sign: `0.02` might be meant either way.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let percent = text
            .strip_suffix('%')
            .and_then(number)
            .ok_or(UnitError::Probability)?;
        if percent > 100.0 {
            return Err(UnitError::Probability);
        }
        Ok(Self { percent })
    }
}

impl Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.percent)
    }
}

/// Bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bitrate(u64);

/// As `tc` counts: powers of ten.
const UNITS: [(&str, u64); 4] = [
    ("gbit", 1_000_000_000),
    ("mbit", 1_000_000),
    ("kbit", 1_000),
    ("bit", 1),
];

impl Bitrate {
    /// None for zero, at which nothing would ever pass.
    pub fn bits_per_second(rate: u64) -> Option<Self> {
        (rate > 0).then_some(Self(rate))
    }

    /// As a number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// How long so many bytes take.
    pub fn time_for(self, bytes: usize) -> Duration {
        let nanoseconds = bytes as u128 * 8 * 1_000_000_000 / u128::from(self.0);
        Duration::from_nanos(nanoseconds.try_into().unwrap_or(u64::MAX))
    }

    /// How many whole bytes pass in a time.
    pub fn bytes_in(self, time: Duration) -> u64 {
        let bytes = u128::from(self.0) * time.as_nanos() / (8 * 1_000_000_000);
        bytes.try_into().unwrap_or(u64::MAX)
    }
}

impl FromStr for Bitrate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (value, unit) = UNITS
            .iter()
            .find_map(|(name, bits)| Some((number(text.strip_suffix(name)?)?, *bits)))
            .ok_or(UnitError::Bitrate)?;
        let rate = value * unit as f64;
        if rate > u64::MAX as f64 {
            return Err(UnitError::Bitrate);
        }
        Self::bits_per_second(rate.round() as u64).ok_or(UnitError::Bitrate)
    }
}

impl Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bits) = UNITS
            .into_iter()
            .find(|(_, bits)| self.0.is_multiple_of(*bits))
            .unwrap_or(("bit", 1));
        write!(f, "{}{name}", self.0 / bits)
    }
}

/// Reads a duration such as `1s500ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, UnitError> {
    humantime::parse_duration(text).map_err(|_| UnitError::Duration)
}

/// Writes a duration so that [`duration`] reads it.
pub(crate) fn duration_text(duration: Duration) -> String {
    humantime::format_duration(duration)
        .to_string()
        .replace(' ', "")
}

/// A plain decimal number that is not negative. (`f64` would take `inf` and `1e3` too.)
pub(crate) fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_probability_needs_its_sign_and_its_bounds() {
        let two: Probability = "2%".parse().unwrap();
        assert!((two.ratio() - 0.02).abs() < 1e-12);
        assert_eq!("0.07%".parse::<Probability>().unwrap().to_string(), "0.07%");
        for text in ["0.02", "101%", "-1%", "inf%", "NaN%", "%", "1e1%", "2 %"] {
            let read = text.parse::<Probability>();
            assert_eq!(read, Err(UnitError::Probability), "{text}");
        }
    }

    #[test]
    fn a_rate_needs_its_unit() {
        for (text, rate) in [
            ("2mbit", 2_000_000),
            ("1.5mbit", 1_500_000),
            ("64kbit", 64_000),
            ("1gbit", 1_000_000_000),
            ("9bit", 9),
        ] {
            assert_eq!(text.parse(), Ok(Bitrate(rate)), "{text}");
        }
        for text in ["2", "0mbit", "mbit", "2mb", "99999999999999gbit", "0.1bit"] {
            assert_eq!(text.parse::<Bitrate>(), Err(UnitError::Bitrate), "{text}");
        }
    }

    #[test]
    fn a_rate_is_time_for_bytes() {
        let rate = Bitrate(8_000_000);
        assert_eq!(rate.time_for(1_000), Duration::from_millis(1));
        assert_eq!(rate.bytes_in(Duration::from_millis(1)), 1_000);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            percent in 0.0..=100.0_f64, bits in 1..=u64::from(u32::MAX), nanoseconds in 0..=1_u64 << 50
        ) {
            let probability = Probability { percent };
            prop_assert_eq!(probability.to_string().parse(), Ok(probability));
            let rate = Bitrate(bits);
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
            let time = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(duration(&duration_text(time)), Ok(time));
        }
    }
}
