//! The text of each setting, and its source.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::error::SettingsError;
use crate::secret_file::SecretFile;
use crate::setting::Setting;
use crate::source::Source;

/// The text of every setting that is set.
#[derive(Debug)]
pub(crate) struct Values {
    /// Every setting that there is.
    settings: &'static [Setting],
    texts: BTreeMap<&'static str, (String, Source)>,
    /// The files of secrets. A file named by a variable overrides one named in the settings file.
    secret_files: BTreeMap<&'static str, PathBuf>,
}

impl Values {
    /// Returns no texts for these settings.
    pub(crate) fn new(settings: &'static [Setting]) -> Self {
        Self { settings, texts: BTreeMap::new(), secret_files: BTreeMap::new() }
    }

    /// Returns the setting with that key.
    pub(crate) fn named(&self, key: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// Returns the secret with that key.
    pub(crate) fn secret(&self, key: &str) -> Option<&'static Setting> {
        self.named(key).filter(|setting| setting.is_secret)
    }

    /// Returns the text of a setting and its source. `None` if it is not set and has no default.
    ///
    /// An empty text counts as not set, so that `VARIABLE=` in a unit file switches a setting off.
    pub(crate) fn get(&self, setting: &'static Setting) -> Option<(&str, Source)> {
        match self.texts.get(setting.key) {
            Some((text, source)) if !text.trim().is_empty() => Some((text.trim(), source.clone())),
            _ => setting.default.map(|text| (text, Source::Default)),
        }
    }

    /// Sets the text of a key, whatever was there.
    pub(crate) fn insert(&mut self, key: &'static str, text: String, source: Source) {
        self.texts.insert(key, (text, source));
    }

    /// Removes the text of a key, which then has its default.
    pub(crate) fn remove(&mut self, key: &str) {
        self.texts.remove(key);
    }

    /// Sets a setting, and overrides its earlier value.
    ///
    /// A variable overrides the settings file, and a file that it names for the secret.
    pub(crate) fn set(&mut self, setting: &'static Setting, text: String, source: Source) -> Result<(), SettingsError> {
        let is_set = !text.trim().is_empty();
        let before = self.texts.insert(setting.key, (text, source.clone()));
        if !self.secret_files.contains_key(setting.key) {
            return Ok(());
        }
        match before {
            Some((_, before)) if before == source && is_set => return Err(set_twice(setting, source)),
            Some((_, before)) if before == source => {}
            _ => drop(self.secret_files.remove(setting.key)),
        }
        Ok(())
    }

    /// Records the file of a secret. Its source is the setting that names it until it is read.
    pub(crate) fn set_secret_file(
        &mut self,
        setting: &'static Setting,
        path: &str,
        source: Source,
    ) -> Result<(), SettingsError> {
        if path.trim().is_empty() {
            return Ok(());
        }
        let is_set = |(text, before): &(String, Source)| *before == source && !text.trim().is_empty();
        if self.texts.get(setting.key).is_some_and(is_set) {
            return Err(set_twice(setting, source));
        }
        self.texts.insert(setting.key, (String::new(), source));
        self.secret_files.insert(setting.key, PathBuf::from(path.trim()));
        Ok(())
    }

    /// Returns the files that secrets were read from.
    pub(crate) fn secret_files(&self) -> Vec<SecretFile> {
        let file = |(key, path): (&&'static str, &PathBuf)| {
            let text = self.texts.get(key).map_or("", |(text, _)| text.as_str());
            let digest = Sha256::digest(text).into();
            self.named(key).map(|setting| SecretFile { setting, path: path.clone(), digest })
        };
        self.secret_files.iter().filter_map(file).collect()
    }
}

fn set_twice(setting: &'static Setting, origin: Source) -> SettingsError {
    let reason = format!(
        "is set twice, by itself and by its file: set only one of {variable} and {variable}_FILE",
        variable = setting.variable
    );
    SettingsError::Invalid { setting: setting.key, origin, reason }
}
