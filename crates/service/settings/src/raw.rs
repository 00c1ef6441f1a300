//! Settings as text, before they are checked.

mod environment;
mod file;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use crate::catalogue::CATALOGUE;
use crate::error::SettingsError;
use crate::setting::Setting;
use crate::settings::{Settings, settings};
use crate::source::Source;
use crate::values::Values;

const ADMIN_TOKEN: &str = "tokens.admin";

/// The text of every setting that is set.
#[derive(Debug)]
pub struct RawSettings {
    values: Values,
    /// Faults of the settings, in the order in which they were found.
    faults: Vec<SettingsError>,
}

impl Default for RawSettings {
    fn default() -> Self {
        Self { values: Values::new(CATALOGUE), faults: Vec::new() }
    }
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
        self.values.insert(key, text.to_owned(), source);
    }

    /// Returns every setting with its value, secrets masked, for `--print-settings`.
    pub fn shown(&self) -> impl Iterator<Item = (&'static Setting, String, Source)> + '_ {
        CATALOGUE.iter().map(|setting| match self.values.get(setting) {
            Some((_, source)) if setting.is_secret => (setting, "****".to_owned(), source),
            Some((text, source)) => (setting, text.to_owned(), source),
            None => (setting, String::new(), Source::Default),
        })
    }

    /// Returns the faults of reading: unknown and retired names, and values that are not text.
    pub fn take_faults(&mut self) -> Vec<SettingsError> {
        std::mem::take(&mut self.faults)
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
            match settings(&self.values) {
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

    fn set(&mut self, setting: &'static Setting, text: String, source: Source) {
        self.faults.extend(self.values.set(setting, text, source).err());
    }

    fn set_secret_file(&mut self, setting: &'static Setting, path: &str, source: Source) {
        self.faults.extend(self.values.set_secret_file(setting, path, source).err());
    }

    fn read_secret_files(&mut self) {
        for file in self.values.secret_files() {
            let (key, origin) = (file.setting.key, Source::SecretFile(file.path.clone()));
            match file.read() {
                Ok(text) => self.values.insert(key, text, origin),
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
        self.values.insert(ADMIN_TOKEN, "a-token-in-its-place".to_owned(), Source::Default);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_address_whose_path_is_a_key_is_masked_when_shown() {
        for variable in ["TIDEGATE_OTLP_ENDPOINT", "TIDEGATE_ALERTS_WEBHOOK"] {
            let raw =
                RawSettings::load(None, [(variable.into(), "https://host/otlp/abcdef0123456789key".into())]).unwrap();
            let shown: Vec<_> = raw.shown().filter(|(setting, ..)| setting.variable == variable).collect();
            assert!(matches!(&shown[..], [(_, text, _)] if text == "****"), "{variable}");
        }
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "listn = 'a'\nlog = { a = 1 }\n[cache]\nsize = 1.5\n[http]\nmax_size = 'body=x'")
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
            ["listn", "log.a", "cache.size", "TIDEGATE_LIMT_API", "tokens.admin", "http.max_size", "redis.prefix"];
        assert_eq!(faults.len(), named.len(), "{faults:#?}");
        for name in named {
            assert_eq!(faults.iter().filter(|fault| fault.contains(name)).count(), 1, "{name}: {faults:#?}");
        }
        assert!(settings.is_some(), "what is left can be looked at");
        let half = [("TIDEGATE_TLS_CERTIFICATE".into(), "certificate.pem".into())];
        let (settings, faults) = RawSettings::load(None, half).unwrap().judge();
        assert_eq!((settings.is_some(), faults.len()), (true, 1), "a fault is reported once: {faults:#?}");
    }
}
