//! Reads the settings file.

use std::path::Path;

use tidegate_base::similar::most_like;

use super::RawSettings;
use crate::catalogue::CATALOGUE;
use crate::error::SettingsError;
use crate::retired::Retired;
use crate::source::Source;

impl RawSettings {
    pub(super) fn read_file(&mut self, path: &Path) -> Result<(), SettingsError> {
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
            let Some(setting) = self.values.named(&key) else {
                if let Some(secret) = key.strip_suffix("_file").and_then(|key| self.values.secret(key)) {
                    let path_of_file = scalar(value).unwrap_or_default();
                    self.set_secret_file(secret, &path_of_file, Source::File(path.to_owned()));
                    continue;
                }
                if let Some(retired) = Retired::named(&key) {
                    let name = format!("settings file {}: `{key}`", path.display());
                    self.faults.push(SettingsError::Retired { name, instead: retired.advice() });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(text: &str) -> Result<RawSettings, SettingsError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        RawSettings::load(Some(file.path()), [])
    }

    #[test]
    fn unknown_keys_are_named_with_the_nearest_known() {
        let message = from_file("[limits]\nddos_alow = '::1'").unwrap().check().unwrap_err().to_string();
        assert!(message.contains("limits.ddos_alow") && message.contains("limits.ddos_allow"), "{message}");
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
