//! The JSON Schema of reports, for those who read them with programs of their own.

use schemars::schema_for;

use super::Report;

/// The schema as it is published, `docs/load-test-report.schema.json`.
pub fn schema_json() -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(&schema_for!(Report))?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::report::sample;

    const PUBLISHED: &str = include_str!("../../../docs/load-test-report.schema.json");

    fn validator() -> jsonschema::Validator {
        let schema: Value = serde_json::from_str(PUBLISHED).unwrap();
        jsonschema::draft202012::new(&schema).unwrap()
    }

    #[test]
    fn the_published_schema_is_that_of_the_code() {
        assert!(
            schema_json().unwrap() == PUBLISHED,
            "the format of reports has changed: renew its schema with \
             `cargo run -p conclave-loadtest -- schema > docs/load-test-report.schema.json`, \
             and raise report::SCHEMA if a field changed its meaning or went away"
        );
    }

    #[test]
    fn a_report_keeps_to_the_published_schema() {
        let report = serde_json::to_value(sample::report()).unwrap();
        let validator = validator();
        let mistakes: Vec<_> = validator
            .iter_errors(&report)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }

    #[test]
    fn the_published_schema_refuses_what_is_no_report() {
        let report = serde_json::to_value(sample::report()).unwrap();
        for (pointer, value) in [
            ("/server/cpu_us_per_packet", json!("little")),
            ("/server/cpu_us_per_packet", json!(null)),
            ("/server", json!({ "source": "hearsay" })),
            ("/verdict", json!("splendid")),
            ("/timeline/0", json!({})),
            ("/run/participants", json!(-1)),
        ] {
            let mut changed = report.clone();
            *changed.pointer_mut(pointer).unwrap() = value.clone();
            assert!(!validator().is_valid(&changed), "{pointer} as {value}");
        }
        let unknown = json!({ "unknown": "it was not asked" });
        let mut changed = report.clone();
        *changed.pointer_mut("/server").unwrap() = unknown;
        assert!(validator().is_valid(&changed));
    }
}
