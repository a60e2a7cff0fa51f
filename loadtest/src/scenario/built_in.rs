//! The scenarios that are part of this program: the files of `loadtest/scenarios`.

use super::{
    Scenario,
    text::{self, ScenarioError},
};

/// Name and text of each, in the order in which they are listed.
const FILES: [(&str, &str); 9] = [
    ("broadcast", include_str!("../../scenarios/broadcast.toml")),
    ("audience", include_str!("../../scenarios/audience.toml")),
    ("gallery", include_str!("../../scenarios/gallery.toml")),
    ("webinar", include_str!("../../scenarios/webinar.toml")),
    ("churn", include_str!("../../scenarios/churn.toml")),
    (
        "join-storm",
        include_str!("../../scenarios/join-storm.toml"),
    ),
    (
        "screen-share",
        include_str!("../../scenarios/screen-share.toml"),
    ),
    ("mixed", include_str!("../../scenarios/mixed.toml")),
    ("soak", include_str!("../../scenarios/soak.toml")),
];

/// There is no such scenario.
#[derive(Debug, thiserror::Error)]
pub enum NoScenario {
    /// Nothing has this name.
    #[error("there is no scenario “{name}”: give one of {known}, or a file with --scenario")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ScenarioError),
}

/// The names, in the order in which they are listed.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// The text of a scenario.
pub fn text(name: &str) -> Result<&'static str, NoScenario> {
    let found = FILES.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, text)| *text)
        .ok_or_else(|| NoScenario::Unknown {
            name: name.to_owned(),
            known: names().collect::<Vec<_>>().join(", "),
        })
}

/// A scenario by its name.
pub fn scenario(name: &str) -> Result<Scenario, NoScenario> {
    Ok(text::parse(text(name)?, &format!("{name}.toml"), name)?)
}
