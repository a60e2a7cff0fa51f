//! A figure, or the reason why there is none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A figure or a group of them, or why it could not be had. In JSON it is the figure
/// itself, or an object with nothing but `unknown`, the reason. So nobody takes what was
/// not measured for zero.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Known<T> {
    /// It could not be had.
    #[schemars(with = "Unknown")]
    No {
        /// Why, for people.
        unknown: String,
    },
    /// It was measured.
    Yes(T),
}

/// Why something could not be had. (Names it once in the schema.)
#[derive(JsonSchema)]
struct Unknown {
    /// Why, for people.
    #[expect(dead_code, reason = "only its name and its kind count")]
    unknown: String,
}

impl<T> Known<T> {
    /// It could not be had, for this reason.
    pub fn no(reason: impl Into<String>) -> Self {
        Self::No {
            unknown: reason.into(),
        }
    }

    /// What was measured, or else the reason why nothing was.
    pub fn of(value: Option<T>, reason: impl Into<String>) -> Self {
        value.map_or_else(|| Self::no(reason), Self::Yes)
    }

    /// What was measured.
    pub fn yes(&self) -> Option<&T> {
        match self {
            Self::Yes(value) => Some(value),
            Self::No { .. } => None,
        }
    }

    /// Why nothing was measured.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Yes(_) => None,
            Self::No { unknown } => Some(unknown),
        }
    }

    /// Borrows what was measured.
    pub fn as_ref(&self) -> Known<&T> {
        match self {
            Self::Yes(value) => Known::Yes(value),
            Self::No { unknown } => Known::no(unknown),
        }
    }

    /// Makes another figure of it.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Known<U> {
        self.and_then(|value| Known::Yes(make(value)))
    }

    /// Makes another figure of it, which may be unknown too.
    pub fn and_then<U>(self, make: impl FnOnce(T) -> Known<U>) -> Known<U> {
        match self {
            Self::Yes(value) => make(value),
            Self::No { unknown } => Known::No { unknown },
        }
    }
}

impl<T, E: ToString> From<Result<T, E>> for Known<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Yes(value),
            Err(error) => Self::no(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Times;

    #[test]
    fn in_json_it_is_the_figure_or_the_reason() {
        for (known, json) in [
            (Known::Yes(2.5), "2.5"),
            (Known::no("not told"), r#"{"unknown":"not told"}"#),
        ] {
            assert_eq!(serde_json::to_string(&known).unwrap(), json);
            assert_eq!(serde_json::from_str::<Known<f64>>(json).unwrap(), known);
        }
        let group: Result<Known<Times>, _> = serde_json::from_str("{}");
        assert!(group.is_err(), "neither a figure nor a reason");
    }
}
