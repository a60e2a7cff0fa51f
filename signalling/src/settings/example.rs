//! A file of settings to begin with, made from their definition.

use clap::{Arg, ArgAction, Args as _, Command};

use super::Settings;

/// Every setting with what it means and its default, commented out.
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of Conclave. Flags and variables of the environment come before what is said\n\
         # here; `conclave config check FILE` looks for mistakes.\n",
    );
    let command = Settings::augment_args(Command::new("conclave"));
    for arg in command.get_arguments() {
        let Some(key) = arg.get_long().filter(|long| *long != "config") else {
            continue;
        };
        let help = arg
            .get_long_help()
            .or(arg.get_help())
            .map(ToString::to_string);
        text.push('\n');
        for line in help.unwrap_or_default().split('\n') {
            text += &wrapped(line);
        }
        text += &format!("# {key} = {}\n", value(arg));
    }
    text
}

/// The default, or something of the right kind.
fn value(arg: &Arg) -> String {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return "false".to_owned();
    }
    let default = arg.get_default_values().first();
    let default = default.map(|value| value.to_string_lossy().into_owned());
    let name = arg.get_value_names().and_then(|names| names.first());
    let name = name.map_or_else(String::new, ToString::to_string);
    let text = default.unwrap_or_else(|| match name.as_str() {
        "COUNT" => "2".to_owned(),
        "IP" => "203.0.113.7".to_owned(),
        "ADDRESS:PORT" => "0.0.0.0:80".to_owned(),
        "s3://BUCKET/PREFIX" => "s3://calls/files".to_owned(),
        "FOLDER" => "/var/lib/conclave".to_owned(),
        _ => "/etc/conclave/file.pem".to_owned(),
    });
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let quoted = if is_number {
        text
    } else {
        format!("\"{text}\"")
    };
    match arg.get_action() {
        ArgAction::Append => format!("[{quoted}]"),
        _ => quoted,
    }
}

/// A line of a comment, broken where it gets long.
fn wrapped(line: &str) -> String {
    const WIDTH: usize = 96;
    let mut text = String::from("#");
    let mut length = 1;
    for word in line.split_whitespace() {
        if length + 1 + word.len() > WIDTH {
            text += "\n#";
            length = 1;
        }
        text.push(' ');
        text += word;
        length += 1 + word.len();
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::FromArgMatches as _;

    use super::*;
    use crate::settings::ConfigFile;

    #[test]
    fn every_line_of_the_example_is_a_setting_that_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("conclave.toml");
        let settings: Vec<String> = example()
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| {
                line.split_once(" = ")
                    .is_some_and(|(key, _)| !key.contains(' '))
            })
            // The one excludes the other.
            .filter(|line| !line.starts_with("plain-http"))
            .map(ToOwned::to_owned)
            .collect();
        let command = || Settings::augment_args(Command::new("conclave"));
        let keys = command().get_arguments().count();
        assert_eq!(settings.len(), keys - 2, "{settings:#?}");
        fs::write(&path, settings.join("\n")).expect("written");
        let filled = ConfigFile::read(&path).and_then(|file| file.apply(&command()));
        let matches = filled.expect("valid").try_get_matches_from(["conclave"]);
        let read = Settings::from_arg_matches(&matches.expect("valid")).expect("valid");
        assert_eq!(read.media_port, 3478);
        assert!(read.tls_certificate.is_some());
    }
}
