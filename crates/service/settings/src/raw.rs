//! Settings as text, each with its source.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tidegate_base::similar::most_like;

use super::catalogue::{CATALOGUE, RETIRED, Setting};
use super::{SecretFile, Settings, SettingsError};

/// Prefix of most settings' variables.
const PREFIX: &str = "TIDEGATE_";
/// Variables of the command line tool `tidegate`. An operator may have set them in the same shell.
const OF_COMMAND_LINE: [&str; 4] = ["TIDEGATE_CA", "TIDEGATE_TOKEN", "TIDEGATE_TOKEN_FILE", "TIDEGATE_URL"];
const ADMIN_TOKEN: &str = "tokens.admin";

/// Source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The default.
    Default,
    /// The settings file.
    File(PathBuf),
    /// An environment variable.
    Variable(&'static str),
    /// A file that contains only the secret, and that a setting names.
    SecretFile(PathBuf),
    /// A command line flag.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::SecretFile(path) => write!(f, "secret file {}", path.display()),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// The text of every setting that is set.
#[derive(Debug, Default)]
pub struct RawSettings {
    values: BTreeMap<&'static str, (String, Source)>,
    /// The files of secrets. A file named by a variable overrides one named in the settings file.
    secret_files: BTreeMap<&'static str, PathBuf>,
    /// Faults of the settings, in the order in which they were found.
    faults: Vec<SettingsError>,
    /// Settings that are no longer read, each with its replacement.
    warnings: Vec<String>,
}

impl RawSettings {
    /// Reads the settings file, if any, and applies the environment on top of it.
    ///
    /// `file` must exist if given. The default is an optional `./tidegate.toml`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is not TOML. All other faults are reported by
    /// [`judge`](Self::judge).
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
        settings.read_environment(environment);
        settings.read_secret_files();
        Ok(settings)
    }

    /// Sets a setting, and overrides its earlier value.
    pub fn lay_over(&mut self, key: &'static str, text: &str, source: Source) {
        self.values.insert(key, (text.to_owned(), source));
    }

    /// Returns the files that secrets were read from.
    pub(super) fn secret_files(&self) -> Vec<SecretFile> {
        let file = |(key, path): (&&'static str, &PathBuf)| {
            let text = self.values.get(key).map_or("", |(text, _)| text.as_str());
            let digest = Sha256::digest(text).into();
            Setting::named(key).map(|setting| SecretFile { setting, path: path.clone(), digest })
        };
        self.secret_files.iter().filter_map(file).collect()
    }

    /// Returns the text of a setting and its source. `None` if it is not set and has no default.
    ///
    /// An empty text counts as not set, so that `VARIABLE=` in a unit file switches a setting off.
    pub(super) fn get(&self, setting: &'static Setting) -> Option<(&str, Source)> {
        match self.values.get(setting.key) {
            Some((text, source)) if !text.trim().is_empty() => Some((text.trim(), source.clone())),
            _ => setting.default.map(|text| (text, Source::Default)),
        }
    }

    /// Returns every setting with its value, secrets masked, for `--print-settings`.
    pub fn shown(&self) -> impl Iterator<Item = (&'static Setting, String, Source)> + '_ {
        CATALOGUE.iter().map(|setting| match self.get(setting) {
            Some((_, source)) if setting.is_secret => (setting, "****".to_owned(), source),
            Some((text, source)) => (setting, text.to_owned(), source),
            None => (setting, String::new(), Source::Default),
        })
    }

    /// Adds a fault that was found elsewhere.
    pub fn add_fault(&mut self, fault: SettingsError) {
        self.faults.push(fault);
    }

    /// Returns the faults of reading: unknown names, and values that are not text.
    pub fn take_faults(&mut self) -> Vec<SettingsError> {
        std::mem::take(&mut self.faults)
    }

    /// Returns a line for each retired setting that is still set: it has no effect.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Checks all settings.
    ///
    /// # Errors
    ///
    /// The first invalid setting.
    pub fn check(self) -> Result<Settings, SettingsError> {
        let (settings, mut faults) = self.judge();
        match settings {
            Some(settings) if faults.is_empty() => Ok(settings),
            _ => Err(faults.swap_remove(0)),
        }
    }

    /// Checks all settings, and returns all faults.
    ///
    /// If there are faults, each invalid setting has its default in the result. `None` if the
    /// defaults do not help.
    pub fn judge(mut self) -> (Option<Settings>, Vec<SettingsError>) {
        let mut faults = self.take_faults();
        let mut replaced = BTreeSet::new();
        loop {
            match super::check::check(&self) {
                Ok(settings) => return (Some(settings), faults),
                Err(fault) => {
                    let key = match &fault {
                        SettingsError::Invalid { setting, .. } => Some(*setting),
                        _ => None,
                    };
                    // Its default is invalid too in combination with the other settings.
                    if key.is_some_and(|key| !replaced.insert(key)) {
                        return (None, faults);
                    }
                    faults.push(fault);
                    let Some(key) = key else { return (None, faults) };
                    self.values.remove(key);
                    if key == ADMIN_TOKEN {
                        self.take_any_admin_token();
                    }
                }
            }
        }
    }

    fn read_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| SettingsError::Syntax {
            path: path.to_owned(),
            reason: place_and_reason(&text, &error),
        })?;
        self.read_table(path, "", &table);
        Ok(())
    }

    fn read_table(&mut self, path: &Path, prefix: &str, table: &toml::Table) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if let toml::Value::Table(inner) = value {
                self.read_table(path, &key, inner);
                continue;
            }
            let Some(setting) = Setting::named(&key) else {
                if let Some(secret) = key.strip_suffix("_file").and_then(Setting::secret) {
                    let path_of_file = scalar(value).unwrap_or_default();
                    self.set_secret_file(secret, &path_of_file, Source::File(path.to_owned()));
                    continue;
                }
                if let Some(retired) = RETIRED.iter().find(|retired| retired.key == key) {
                    let warning =
                        format!("settings file {}: `{key}` is no longer read: {}", path.display(), retired.instead);
                    self.warnings.push(warning);
                    continue;
                }
                self.faults.push(SettingsError::Unknown {
                    path: path.to_owned(),
                    nearest: most_like(&key, CATALOGUE.iter().map(|setting| setting.key)),
                    key,
                });
                continue;
            };
            let source = Source::File(path.to_owned());
            let Some(text) = scalar(value) else {
                self.faults.push(SettingsError::Invalid {
                    setting: setting.key,
                    origin: source,
                    reason: "must be a text, a number, true, false, or a list of texts".to_owned(),
                });
                continue;
            };
            self.set(setting, text, source);
        }
    }

    fn read_environment(&mut self, environment: impl IntoIterator<Item = (OsString, OsString)>) {
        for (name, value) in environment {
            let Some(name) = name.to_str() else { continue };
            let Some(setting) = CATALOGUE.iter().find(|setting| setting.variable == name) else {
                let secret =
                    |setting: &&Setting| setting.is_secret && name.strip_suffix("_FILE") == Some(setting.variable);
                if let Some(secret) = CATALOGUE.iter().find(secret) {
                    let path = value.to_string_lossy();
                    self.set_secret_file(secret, &path, Source::Variable(secret.variable));
                    continue;
                }
                if let Some(retired) = RETIRED.iter().find(|retired| retired.variable == name) {
                    let warning = format!("environment variable {name} is no longer read: {}", retired.instead);
                    self.warnings.push(warning);
                } else if is_meant_for_us(name) {
                    let nearest = nearest_variable(name);
                    self.faults.push(SettingsError::UnknownVariable { name: name.to_owned(), nearest });
                }
                continue;
            };
            let source = Source::Variable(setting.variable);
            let Ok(value) = value.into_string() else {
                let reason = "is not UTF-8".to_owned();
                self.faults.push(SettingsError::Invalid { setting: setting.key, origin: source, reason });
                continue;
            };
            self.set(setting, value, source);
        }
    }

    /// A variable overrides the settings file, and a file that it names for the secret.
    fn set(&mut self, setting: &'static Setting, text: String, source: Source) {
        let is_set = !text.trim().is_empty();
        let before = self.values.insert(setting.key, (text, source.clone()));
        if !self.secret_files.contains_key(setting.key) {
            return;
        }
        match before {
            Some((_, before)) if before == source && is_set => self.set_twice(setting, source),
            Some((_, before)) if before == source => {}
            _ => drop(self.secret_files.remove(setting.key)),
        }
    }

    /// Records the file of a secret. Its source is the setting that names it until it is read.
    fn set_secret_file(&mut self, setting: &'static Setting, path: &str, source: Source) {
        if path.trim().is_empty() {
            return;
        }
        let is_set = |(text, before): &(String, Source)| *before == source && !text.trim().is_empty();
        if self.values.get(setting.key).is_some_and(is_set) {
            return self.set_twice(setting, source);
        }
        self.values.insert(setting.key, (String::new(), source));
        self.secret_files.insert(setting.key, PathBuf::from(path.trim()));
    }

    fn set_twice(&mut self, setting: &'static Setting, origin: Source) {
        let reason = format!(
            "is set twice, by itself and by its file: set only one of {variable} and {variable}_FILE",
            variable = setting.variable
        );
        self.faults.push(SettingsError::Invalid { setting: setting.key, origin, reason });
    }

    fn read_secret_files(&mut self) {
        for file in self.secret_files() {
            let (key, origin) = (file.setting.key, Source::SecretFile(file.path.clone()));
            match file.read() {
                Ok(text) => {
                    self.values.insert(key, (text, origin));
                }
                Err(error) => {
                    let reason = error.to_string();
                    self.faults.push(SettingsError::Invalid { setting: key, origin, reason });
                    if key == ADMIN_TOKEN {
                        self.take_any_admin_token();
                    }
                }
            }
        }
    }

    /// Otherwise a bad token would also be reported as an open address without a token.
    fn take_any_admin_token(&mut self) {
        self.values.insert(ADMIN_TOKEN, ("a-token-in-its-place".to_owned(), Source::Default));
    }
}

/// Whether a variable is probably a misspelt setting. Kubernetes sets its own for a service named
/// `tidegate`, such as `TIDEGATE_SERVICE_HOST` and `TIDEGATE_PORT_8080_TCP`.
fn is_meant_for_us(name: &str) -> bool {
    let is_of_command_line = OF_COMMAND_LINE.contains(&name);
    name.strip_prefix(PREFIX).filter(|_| !is_of_command_line).is_some_and(|rest| {
        !rest.contains("SERVICE_HOST") && !rest.contains("SERVICE_PORT") && !rest.split('_').any(|word| word == "PORT")
    })
}

/// Position and reason of a syntax error. The parser's message shows the line, maybe with a token.
fn place_and_reason(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}

/// Returns the text of a TOML value that is not a table. Lists of texts are joined with commas.
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

/// Returns the variable that is most similar to the name. The prefix is not compared, so that
/// `TIDEGATE_REDIS_URL` finds `REDIS_URL`.
fn nearest_variable(name: &str) -> Option<&'static str> {
    let without = |name: &'static str| name.strip_prefix(PREFIX).unwrap_or(name);
    let like = most_like(name.strip_prefix(PREFIX)?, CATALOGUE.iter().map(|setting| without(setting.variable)))?;
    CATALOGUE.iter().map(|setting| setting.variable).find(|variable| without(variable) == like)
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
        let message = from_file("[limits]\napi_blok = '1s'").unwrap().check().unwrap_err().to_string();
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
        let faults: Vec<_> = raw.judge().1.iter().map(ToString::to_string).collect();
        assert_eq!(faults, ["unknown environment variable TIDEGATE_LISTN (did you mean TIDEGATE_LISTEN?)"]);
        let like = |name| nearest_variable(name).unwrap_or_default();
        assert_eq!((like("TIDEGATE_REDIS_URL"), like("TIDEGATE_ADMIN_TOKN")), ("REDIS_URL", "TIDEGATE_ADMIN_TOKEN"));
        assert_eq!(nearest_variable("TIDEGATE_SOMETHING_ELSE"), None);
    }

    #[test]
    fn variables_of_the_command_line_do_not_stop_a_start() {
        let names = ["TIDEGATE_CA", "TIDEGATE_TOKEN", "TIDEGATE_TOKEN_FILE", "TIDEGATE_URL"];
        let raw = RawSettings::load(None, names.map(|name| (name.into(), "x".into()))).unwrap();
        let faults: Vec<_> = raw.judge().1.iter().map(ToString::to_string).collect();
        assert_eq!(faults, [""; 0]);
    }

    #[test]
    fn a_retired_setting_is_a_warning_that_names_its_replacement() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[performance]\npool_connections = 80").unwrap();
        let variable = ("TIDEGATE_PERFORMANCE_POOL_CONNECTIONS".into(), "80".into());
        let mut raw = RawSettings::load(Some(file.path()), [variable]).unwrap();
        let warnings = raw.take_warnings();
        assert_eq!(warnings.len(), 2, "{warnings:#?}");
        for (warning, old) in
            warnings.iter().zip(["`performance.pool_connections`", "TIDEGATE_PERFORMANCE_POOL_CONNECTIONS"])
        {
            assert!(warning.contains(old) && warning.contains("not a number of connections"), "{warning}");
        }
        for retired in RETIRED {
            assert!(Setting::named(retired.key).is_none(), "{} is retired and read", retired.key);
            let is_named = CATALOGUE.iter().any(|setting| retired.instead.contains(setting.key));
            assert!(is_named, "{} has no replacement", retired.key);
        }
        let (settings, faults) = raw.judge();
        assert!(settings.is_some() && faults.is_empty(), "{faults:#?}");
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "listn = 'a'\nlog = { a = 1 }\n[cache]\nsize = 1.5\n[http]\nmax_body = 'x'")
            .unwrap();
        let variables = [
            ("TIDEGATE_LISTEN", "0.0.0.0:80"),
            ("TIDEGATE_ADMIN_TOKEN", "short"),
            ("TIDEGATE_REDIS_PREFIX", "a b"),
            ("TIDEGATE_LIMT_API", "1/s"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let (settings, faults) = RawSettings::load(Some(file.path()), variables).unwrap().judge();
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let named =
            ["listn", "log.a", "cache.size", "TIDEGATE_LIMT_API", "tokens.admin", "http.max_body", "redis.prefix"];
        assert_eq!(faults.len(), named.len(), "{faults:#?}");
        for name in named {
            assert_eq!(faults.iter().filter(|fault| fault.contains(name)).count(), 1, "{name}: {faults:#?}");
        }
        assert!(settings.is_some(), "what is left can be looked at");
        let half = [("TIDEGATE_TLS_CERTIFICATE".into(), "certificate.pem".into())];
        let (settings, faults) = RawSettings::load(None, half).unwrap().judge();
        assert_eq!((settings.is_some(), faults.len()), (true, 1), "a fault is reported once: {faults:#?}");
    }

    #[test]
    fn a_value_that_is_no_text_is_refused_not_guessed() {
        let value = std::os::unix::ffi::OsStringExt::from_vec(vec![b'/', 0xff]);
        let error =
            RawSettings::load(None, [("TIDEGATE_DATA_DIR".into(), value)]).unwrap().check().unwrap_err().to_string();
        assert!(error.contains("data_dir") && error.contains("TIDEGATE_DATA_DIR"), "{error}");
    }
}
