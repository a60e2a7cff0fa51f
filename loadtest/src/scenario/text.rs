//! Reads scenarios from TOML; says in which line something is wrong.

use std::{collections::VecDeque, fs, io, ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Problem, Scenario};

/// Why a file is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// A line is not TOML, or not of a scenario.
    #[error("{file}:{line}: {what}")]
    Line {
        /// Which file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what would be right.
        what: String,
    },
}

/// Reads a file. It is named after the file unless it has a name of its own.
pub fn read(path: &Path) -> Result<Scenario, ScenarioError> {
    let text = fs::read_to_string(path).map_err(|error| ScenarioError::Unreadable {
        path: path.display().to_string(),
        error,
    })?;
    let name = path.file_stem().unwrap_or(path.as_os_str());
    parse(&text, &path.display().to_string(), &name.to_string_lossy())
}

/// Reads a text out of `file`, which is only named in errors.
pub fn parse(text: &str, file: &str, name: &str) -> Result<Scenario, ScenarioError> {
    let wrong = |place: Option<Range<usize>>, what: String| ScenarioError::Line {
        file: file.to_owned(),
        line: line(text, place),
        what,
    };
    let mut scenario: Scenario =
        toml::from_str(text).map_err(|error| wrong(error.span(), error.message().to_owned()))?;
    if scenario.name.is_empty() {
        name.clone_into(&mut scenario.name);
    }
    scenario
        .check()
        .map_err(|problem| wrong(find(text, &problem), problem.to_string()))?;
    Ok(scenario)
}

fn line(text: &str, place: Option<Range<usize>>) -> usize {
    let before = place.and_then(|place| text.get(..place.start));
    before.map_or(0, |before| before.matches('\n').count()) + 1
}

/// Where a key stands, or the table that it would be in.
fn find(text: &str, problem: &Problem) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let mut path: VecDeque<Step<'_>> = problem.key.split('.').map(Step::Key).collect();
    if let Some(group) = problem.group {
        path.push_front(Step::Item(group));
        path.push_front(Step::Key("bots"));
    }
    let Some(Step::Key(first)) = path.pop_front() else {
        return None;
    };
    let mut at: &Spanned<DeValue<'_>> = document.get_ref().get(first)?;
    for step in path {
        let next = match (step, at.get_ref()) {
            (Step::Key(key), DeValue::Table(table)) => table.get(key),
            (Step::Item(number), DeValue::Array(array)) => array.get(number),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    Some(at.span())
}

enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

#[cfg(test)]
mod tests;
