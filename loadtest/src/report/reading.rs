//! Reads reports back.

use std::{fs, io, path::Path};

use serde::Deserialize;

use super::{Report, SCHEMA};

/// Why a report cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such file, or none that may be read.
    #[error("{path} cannot be read: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// Not a report.
    #[error("{path} is not a report of the load test: {error}")]
    NotAReport {
        /// The file.
        path: String,
        /// Why.
        error: serde_json::Error,
    },
    /// Of another version.
    #[error(
        "{path} has version {found} of the format, and this program reads version {SCHEMA}; run it again with this one"
    )]
    OtherVersion {
        /// The file.
        path: String,
        /// Its version.
        found: u64,
    },
}

#[derive(Deserialize)]
struct Version {
    schema: u64,
}

impl Report {
    /// Reads a file that `--json` wrote.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let name = || path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| ReadError::File {
            path: name(),
            error,
        })?;
        let not_a_report = |error| ReadError::NotAReport {
            path: name(),
            error,
        };
        let version: Version = serde_json::from_str(&text).map_err(not_a_report)?;
        if version.schema != u64::from(SCHEMA) {
            return Err(ReadError::OtherVersion {
                path: name(),
                found: version.schema,
            });
        }
        serde_json::from_str(&text).map_err(not_a_report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn what_is_no_report_of_this_version_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            Report::read(&path).map_err(|error| error.to_string())
        };
        let sample = sample::report();
        let text = serde_json::to_string(&sample).unwrap();
        assert_eq!(read(&text), Ok(sample));
        let older = text.replacen("\"schema\":3", "\"schema\":1", 1);
        assert!(
            read(&older)
                .unwrap_err()
                .contains("version 1 of the format")
        );
        for text in ["{}", "", "[]", "{\"schema\":3}"] {
            assert!(
                read(text)
                    .unwrap_err()
                    .contains("report.json is not a report")
            );
        }
        let missing = Report::read(&directory.path().join("none.json"));
        assert!(matches!(missing, Err(ReadError::File { .. })));
    }
}
