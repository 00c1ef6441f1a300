//! Settings as text, with the place each came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
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
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// The text of every setting that somebody set.
#[derive(Debug, Clone, Default)]
pub struct RawSettings {
    values: BTreeMap<&'static str, (String, Source)>,
    /// Variables that look like settings and are none.
    ignored: Vec<String>,
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
        environment: impl IntoIterator<Item = (OsString, OsString)>,
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
        settings.read_environment(environment)?;
        Ok(settings)
    }

    /// Sets a setting over whatever was set before.
    pub(crate) fn lay_over(&mut self, key: &'static str, text: &str, source: Source) {
        self.values.insert(key, (text.to_owned(), source));
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

    /// Variables named like settings that are none, each with the one that it is most like.
    pub fn ignored_variables(&self) -> impl Iterator<Item = (&str, Option<&'static str>)> {
        let variables = || CATALOGUE.iter().map(|setting| setting.variable);
        self.ignored.iter().map(move |name| (name.as_str(), nearest(name, variables())))
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
                return Err(SettingsError::Unknown {
                    path: path.to_owned(),
                    nearest: nearest(&key, CATALOGUE.iter().map(|setting| setting.key)),
                    key,
                });
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

    fn read_environment(
        &mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), SettingsError> {
        for (name, value) in environment {
            let Some(name) = name.to_str() else { continue };
            let Some(setting) = CATALOGUE.iter().find(|setting| setting.variable == name) else {
                if is_meant_for_us(name) {
                    self.ignored.push(name.to_owned());
                }
                continue;
            };
            let source = Source::Variable(setting.variable);
            let value = value.into_string().map_err(|_| SettingsError::Invalid {
                setting: setting.key,
                origin: source.clone(),
                reason: "is not UTF-8".to_owned(),
            })?;
            self.values.insert(setting.key, (value, source));
        }
        Ok(())
    }
}

/// Whether a variable that no setting knows is likely a setting's name misspelt. Kubernetes names a service `tidegate`
/// in variables of its own, such as `TIDEGATE_SERVICE_HOST` and `TIDEGATE_PORT_8080_TCP`.
fn is_meant_for_us(name: &str) -> bool {
    name.strip_prefix("TIDEGATE_").is_some_and(|rest| {
        !rest.contains("SERVICE_HOST") && !rest.contains("SERVICE_PORT") && !rest.split('_').any(|word| word == "PORT")
    })
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

/// The known name that shares most of its beginning and end, so that a typo is found at a glance.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let likeness = |known: &str| {
        let head = known.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        let tail = known.bytes().rev().zip(name.bytes().rev()).take_while(|(a, b)| a == b).count();
        (head + tail).min(known.len()).min(name.len())
    };
    known.max_by_key(|known| likeness(known)).filter(|known| likeness(known) >= 3)
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
        let raw = RawSettings::load(Some(file.path()), [("TIDEGATE_LISTEN".into(), "127.0.0.1:2".into())]).unwrap();
        let settings = raw.check().unwrap();
        assert_eq!(settings.listen.port(), 2);
        assert_eq!(settings.limits.api.quota.limit(), 7);
        assert_eq!(settings.limits.ddos.quota.limit(), 1000);
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

    #[test]
    fn an_address_whose_path_is_a_key_is_masked_when_shown() {
        for variable in ["TIDEGATE_OTLP_ENDPOINT", "TIDEGATE_ALERTS_WEBHOOK"] {
            let raw =
                RawSettings::load(None, [(variable.into(), "https://host/otlp/abcdef0123456789key".into())]).unwrap();
            let shown: Vec<_> = raw.shown().filter(|(setting, ..)| setting.variable == variable).collect();
            assert!(matches!(&shown[..], [(_, text, _)] if text == "****"), "{variable}");
        }
    }

    #[test]
    fn a_misspelt_variable_is_told_from_what_an_orchestrator_sets() {
        let names =
            ["TIDEGATE_LISTN", "TIDEGATE_SERVICE_HOST", "TIDEGATE_API_PORT_8080_TCP", "TIDEGATE_LISTEN", "HOME"];
        let raw = RawSettings::load(None, names.map(|name| (name.into(), "127.0.0.1:0".into()))).unwrap();
        assert_eq!(raw.ignored_variables().collect::<Vec<_>>(), [("TIDEGATE_LISTN", Some("TIDEGATE_LISTEN"))]);
    }

    #[test]
    fn a_value_that_is_no_text_is_refused_not_guessed() {
        let value = std::os::unix::ffi::OsStringExt::from_vec(vec![b'/', 0xff]);
        let error = RawSettings::load(None, [("TIDEGATE_DATA_DIR".into(), value)]).unwrap_err().to_string();
        assert!(error.contains("data_dir") && error.contains("TIDEGATE_DATA_DIR"), "{error}");
    }
}
