//! Settings from a file.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, Command, builder::OsStr, error::ErrorKind};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Flags that mean nothing in a file.
const FLAGS_ONLY: [&str; 3] = ["config", "help", "version"];

/// Less alike than this is not what was meant.
const ALIKE: f64 = 0.8;

/// Why a file of settings is refused.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be read.
    #[error("cannot read the settings {path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{path}, line {line}: {what}")]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Where in it, counted from 1.
        line: usize,
        /// What, and what to do.
        what: String,
    },
}

struct Setting {
    key: String,
    values: Vec<String>,
    line: usize,
}

/// A file of settings, read.
pub struct ConfigFile {
    path: PathBuf,
    settings: Vec<Setting>,
}

impl ConfigFile {
    /// Reads a file. What its keys mean is looked at in [`Self::apply`].
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = fs::read_to_string(path).map_err(|source| FileError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let line_at = |at: usize| text[..at].matches('\n').count() + 1;
        let wrong = |at: usize, what: String| FileError::Wrong {
            path: path.to_owned(),
            line: line_at(at),
            what,
        };
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            wrong(at, error.message().to_owned())
        })?;
        let mut settings = Vec::new();
        for (key, value) in table.get_ref() {
            let values = words(value).ok_or_else(|| {
                let what = format!(
                    "{} has to be a text, a number, true or false, or a list",
                    key.get_ref()
                );
                wrong(value.span().start, what)
            })?;
            settings.push(Setting {
                key: key.get_ref().to_string(),
                values,
                line: line_at(key.span().start),
            });
        }
        settings.sort_by_key(|setting| setting.line);
        Ok(Self {
            path: path.to_owned(),
            settings,
        })
    }

    /// The command with what the file says as the defaults of its flags.
    ///
    /// # Errors
    ///
    /// Fails for keys that are no flags, and for values that the flag does not take.
    pub fn apply(&self, command: &Command) -> Result<Command, FileError> {
        let mut filled = command.clone();
        for setting in &self.settings {
            let arg = find(command, &setting.key).ok_or_else(|| self.unknown(command, setting))?;
            let id = arg.get_id().clone();
            self.check(command, arg, setting)?;
            let values: Vec<OsStr> = setting.values.iter().map(|it| it.clone().into()).collect();
            filled = filled.mut_arg(id, |arg| arg.default_values(values));
        }
        Ok(filled)
    }

    fn unknown(&self, command: &Command, setting: &Setting) -> FileError {
        let plain = setting.key.replace('_', "-").to_lowercase();
        let known = command.get_arguments().filter_map(Arg::get_long);
        let known = known.filter(|name| !FLAGS_ONLY.contains(name));
        let nearest = known
            .map(|name| (strsim::jaro_winkler(name, &plain), name))
            .max_by(|one, other| one.0.total_cmp(&other.0));
        let remedy = match nearest {
            Some((alike, name)) if alike >= ALIKE => format!("did you mean {name}?"),
            _ => "`conclave config example` shows all there are".to_owned(),
        };
        self.wrong(
            setting,
            format!("there is no setting {}: {remedy}", setting.key),
        )
    }

    /// The flag has to take this value, whatever else is set.
    fn check(&self, command: &Command, arg: &Arg, setting: &Setting) -> Result<(), FileError> {
        let long = arg.get_long().unwrap_or_default();
        let mut words: Vec<OsString> = vec!["conclave".into()];
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            if !matches!(setting.values.as_slice(), [value] if value == "true" || value == "false")
            {
                return Err(self.wrong(setting, format!("{long} is true or false")));
            }
        } else {
            let flags = setting
                .values
                .iter()
                .map(|value| format!("--{long}={value}").into());
            words.extend(flags);
        }
        match command.clone().try_get_matches_from(words) {
            Err(error) if is_about_value(error.kind()) => {
                let rendered = error.render().to_string();
                let first = rendered.lines().next().unwrap_or_default();
                let what = first.trim_start_matches("error: ").to_owned();
                Err(self.wrong(setting, what))
            }
            _ => Ok(()),
        }
    }

    fn wrong(&self, setting: &Setting, what: String) -> FileError {
        FileError::Wrong {
            path: self.path.clone(),
            line: setting.line,
            what,
        }
    }
}

/// Errors that another setting cannot mend.
const fn is_about_value(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ValueValidation
            | ErrorKind::InvalidValue
            | ErrorKind::ArgumentConflict
            | ErrorKind::TooManyValues
    )
}

fn find<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    let mut all = command.get_arguments();
    all.find(|arg| arg.get_long() == Some(key) && !FLAGS_ONLY.contains(&key))
}

/// A value as one would write it behind a flag.
fn words(value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
    let word = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    };
    match value.get_ref() {
        DeValue::Array(list) => list.iter().map(|item| word(item.get_ref())).collect(),
        single => word(single).map(|word| vec![word]),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::settings::{Contradiction, LogFormat, Settings};

    fn command() -> Command {
        Settings::augment_args(Command::new("conclave"))
    }

    fn settings(text: &str, flags: &[&str]) -> Result<Settings, String> {
        let file = ConfigFile::parse(Path::new("conclave.toml"), text);
        let command = file.and_then(|file| file.apply(&command()));
        let command = command.map_err(|error| error.to_string())?;
        let words = ["conclave"].iter().chain(flags);
        let matches = command.try_get_matches_from(words);
        let matches = matches.map_err(|error| error.to_string())?;
        Settings::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn the_file_says_what_flags_would_and_flags_come_first() {
        let text = r#"
            listen = "127.0.0.1:9000"
            media-port = 4000
            public-address = ["192.0.2.7", "2001:db8::7"]
            log = "json"
            plain-http = true
        "#;
        let read = settings(text, &["--media-port", "5000"]).expect("valid");
        assert_eq!(read.listen.port(), 9000);
        assert_eq!(read.media_port, 5000);
        assert_eq!(read.public_addresses.len(), 2);
        assert_eq!(read.log, LogFormat::Json);
        assert!(read.plain_http);
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        assert_eq!(settings("# nothing\n", &[]), settings("", &[]));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_what_to_do() {
        for (text, expected) in [
            (
                "\nmedia_port = 1",
                "line 2: there is no setting media_port: did you mean media-port?",
            ),
            (
                "zebra = 1",
                "line 1: there is no setting zebra: `conclave config example`",
            ),
            ("config = \"x\"", "line 1: there is no setting config"),
            (
                "# a\n# b\nmedia-port = 70000",
                "line 3: invalid value '70000' for '--media-port <PORT>'",
            ),
            (
                "listen = true",
                "line 1: invalid value 'true' for '--listen",
            ),
            ("log = \"xml\"", "line 1: invalid value 'xml' for '--log"),
            (
                "plain-http = \"maybe\"",
                "line 1: plain-http is true or false",
            ),
            ("media-port = [1, 2]", "line 1: "),
            (
                "[server]\nlisten = \"127.0.0.1:1\"",
                "server has to be a text",
            ),
            (
                "listen = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"",
                "line 2: duplicate key",
            ),
            ("listen = ", "line 1: "),
        ] {
            let said = settings(text, &[]).expect_err(text);
            assert!(said.starts_with("conclave.toml, "), "{said}");
            assert!(said.contains(expected), "{text}: {said}");
        }
    }

    #[test]
    fn settings_that_need_each_other_do_so_wherever_they_were_said() {
        let config = |text, flags| settings(text, flags).expect("each is valid").into_config();
        let key = "tls-key = \"key.pem\"";
        assert_eq!(config(key, &[]), Err(Contradiction::HalfTls));
        let certificate = &["--tls-certificate", "cert.pem"];
        config(key, certificate).expect("both");
        let plain = format!("{key}\nplain-http = true");
        assert_eq!(config(&plain, certificate), Err(Contradiction::PlainAndTls));
        let redirect = config("redirect-http = \"127.0.0.1:80\"", &[]);
        assert_eq!(redirect, Err(Contradiction::NothingToRedirectTo));
    }
}
