//! Settings as text, with the place each came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::catalogue::{CATALOGUE, Setting};
use super::{Settings, SettingsError};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The settings file.
    File(PathBuf),
    /// An environment variable.
    Variable(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// The text of every setting that somebody set.
#[derive(Debug, Clone, Default)]
pub struct RawSettings {
    values: BTreeMap<&'static str, (String, Source)>,
}

impl RawSettings {
    /// Reads the settings file, if any, and lays the environment over it.
    ///
    /// `file` must exist when it is given; without it, `tidegate.toml` in the working directory is read if it is there.
    ///
    /// # Errors
    ///
    /// When the file can't be read, is not TOML, or holds an unknown key.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        match file {
            Some(path) => settings.read_file(path)?,
            None => {
                let path = Path::new("tidegate.toml");
                if path.exists() {
                    settings.read_file(path)?;
                }
            }
        }
        settings.read_environment(environment);
        Ok(settings)
    }

    /// The text of a setting and where it came from; `None` when it is neither set nor has a default.
    ///
    /// An empty text counts as not set, so that `VARIABLE=` in a unit file switches a setting off.
    pub(super) fn get(&self, setting: &'static Setting) -> Option<(&str, Source)> {
        match self.values.get(setting.key) {
            Some((text, source)) if !text.trim().is_empty() => Some((text.trim(), source.clone())),
            _ => setting.default.map(|text| (text, Source::Default)),
        }
    }

    /// Every setting with its value, secrets masked, for `--print-settings`.
    pub fn shown(&self) -> impl Iterator<Item = (&'static Setting, String, Source)> + '_ {
        CATALOGUE.iter().map(|setting| match self.get(setting) {
            Some((_, source)) if setting.is_secret => (setting, "****".to_owned(), source),
            Some((text, source)) => (setting, text.to_owned(), source),
            None => (setting, String::new(), Source::Default),
        })
    }

    /// Checks everything.
    ///
    /// # Errors
    ///
    /// The first setting that can't be used.
    pub fn check(&self) -> Result<Settings, SettingsError> {
        super::check::check(self)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| SettingsError::Syntax {
            path: path.to_owned(),
            reason: place_and_reason(&text, &error),
        })?;
        self.read_table(path, "", &table)
    }

    fn read_table(&mut self, path: &Path, prefix: &str, table: &toml::Table) -> Result<(), SettingsError> {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if let toml::Value::Table(inner) = value {
                self.read_table(path, &key, inner)?;
                continue;
            }
            let Some(setting) = Setting::named(&key) else {
                return Err(SettingsError::Unknown { path: path.to_owned(), nearest: nearest(&key), key });
            };
            let source = Source::File(path.to_owned());
            let text = scalar(value).ok_or_else(|| SettingsError::Invalid {
                setting: setting.key,
                origin: source.clone(),
                reason: "wants a text, a number, true, false, or a list of texts".to_owned(),
            })?;
            self.values.insert(setting.key, (text, source));
        }
        Ok(())
    }

    fn read_environment(&mut self, environment: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in environment {
            if let Some(setting) = CATALOGUE.iter().find(|setting| setting.variable == name) {
                self.values.insert(setting.key, (value, Source::Variable(setting.variable)));
            }
        }
    }
}

/// Where a text stops to be TOML, and why. The parser's own message also shows the line, which may hold a token.
fn place_and_reason(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}

/// The text of a TOML value that is not a table; lists of texts join with commas.
fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        _ => None,
    }
}

/// The known key that shares most of its beginning and end, so that a typo is found at a glance.
fn nearest(key: &str) -> Option<&'static str> {
    let likeness = |known: &str| {
        let head = known.bytes().zip(key.bytes()).take_while(|(a, b)| a == b).count();
        let tail = known.bytes().rev().zip(key.bytes().rev()).take_while(|(a, b)| a == b).count();
        (head + tail).min(known.len()).min(key.len())
    };
    CATALOGUE.iter().map(|setting| setting.key).max_by_key(|known| likeness(known)).filter(|known| likeness(known) >= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(text: &str) -> Result<RawSettings, SettingsError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        RawSettings::load(Some(file.path()), [])
    }

    #[test]
    fn environment_wins_over_file_and_file_over_default() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "listen = '127.0.0.1:1'\n[limits]\napi = '7/minute'").unwrap();
        let raw =
            RawSettings::load(Some(file.path()), [("TIDEGATE_LISTEN".to_owned(), "127.0.0.1:2".to_owned())]).unwrap();
        let settings = raw.check().unwrap();
        assert_eq!(settings.listen.port(), 2);
        assert_eq!(settings.api.quota.limit(), 7);
        assert_eq!(settings.ddos.quota.limit(), 1000);
    }

    #[test]
    fn unknown_keys_are_named_with_the_nearest_known() {
        let message = from_file("[limits]\napi_blok = '1s'").unwrap_err().to_string();
        assert!(message.contains("limits.api_blok") && message.contains("limits.api_block"), "{message}");
    }

    #[test]
    fn syntax_errors_say_where() {
        let message = from_file("listen = ").unwrap_err().to_string();
        assert!(message.contains("line 1"), "{message}");
    }

    #[test]
    fn secrets_are_masked_when_shown() {
        let raw = from_file("[tokens]\nadmin = 'a-long-secret-token'").unwrap();
        assert!(raw.shown().all(|(_, text, _)| !text.contains("long-secret")));
    }
}
