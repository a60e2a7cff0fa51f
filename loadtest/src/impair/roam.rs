//! Who goes on from another address, and when.

use std::{
    fmt::{self, Display},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    Bots, WhomError,
    units::{UnitError, duration, duration_text},
};

/// One `--roam`: these bots change their address so long after the window began. Their
/// sockets are closed and others opened, as when a phone leaves the house; ICE is not
/// restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roam {
    /// Who.
    pub bots: Bots,
    /// When, since the beginning of the measured window.
    pub at: Duration,
}

/// Why a text is no [`Roam`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoamError {
    /// Who.
    #[error(transparent)]
    Whom(#[from] WhomError),
    /// When.
    #[error("`{0}` is no moment for an address to change: give {1}")]
    At(String, UnitError),
}

impl FromStr for Roam {
    type Err = RoamError;

    fn from_str(text: &str) -> Result<Self, RoamError> {
        let (bots, at) = match text.split_once(':') {
            Some((bots, at)) => (bots.parse()?, at),
            None => (Bots::ALL, text),
        };
        let at = duration(at).map_err(|wanted| RoamError::At(at.to_owned(), wanted))?;
        Ok(Self { bots, at })
    }
}

impl Display for Roam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.bots, duration_text(self.at))
    }
}

impl Serialize for Roam {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Roam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_and_when() {
        for (text, written) in [
            ("10s", "all:10s"),
            ("subscribers:1s500ms", "subscribers:1s500ms"),
        ] {
            assert_eq!(text.parse::<Roam>().unwrap().to_string(), written);
        }
        assert!(matches!("bot:1s".parse::<Roam>(), Err(RoamError::Whom(_))));
        let refused = "bot1:5".parse::<Roam>().unwrap_err().to_string();
        assert!(
            refused.contains("`5`") && refused.contains("3s"),
            "{refused}"
        );
    }
}
