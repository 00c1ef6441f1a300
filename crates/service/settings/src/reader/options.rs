//! Settings with several options: `name=value`, separated by commas.

use super::Reader;
use crate::error::SettingsError;

/// The options of one setting. An option without a name has the name "".
pub(crate) struct Options<'a> {
    /// The setting.
    pub(super) key: &'static str,
    texts: Vec<(&'a str, &'a str)>,
}

impl<'a> Options<'a> {
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.texts.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }
}

impl<'a> Reader<'a> {
    /// Returns a reader of the options of a setting. Its default has all of them. An option that is
    /// not set keeps its default.
    pub(crate) fn options(&self, key: &'static str) -> Result<Reader<'a>, SettingsError> {
        let (values, mut texts) = (self.values, self.default_options(key));
        let text = values.named(key).and_then(|setting| values.get(setting)).map_or("", |(text, _)| text);
        for part in text.split(',').map(str::trim) {
            let (name, value) = name_and_value(part);
            match texts.iter_mut().find(|(known, _)| *known == name) {
                Some(option) => option.1 = value,
                None => {
                    let names: Vec<_> = texts.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect();
                    let reason = format!("`{part}` is not `name=value` with one of the names {}", names.join(", "));
                    return Err(self.invalid(key, reason));
                }
            }
        }
        Ok(Reader { values, options: Some(Options { key, texts }) })
    }

    /// Like [`Self::options`]. A value without a name is for every option.
    pub(crate) fn options_or_one(&self, key: &'static str) -> Result<Reader<'a>, SettingsError> {
        match self.values.named(key).and_then(|setting| self.values.get(setting)) {
            Some((one, _)) if !one.contains(['=', ',']) => {
                let texts = self.default_options(key).into_iter().map(|(name, _)| (name, one)).collect();
                Ok(Reader { values: self.values, options: Some(Options { key, texts }) })
            }
            _ => self.options(key),
        }
    }

    fn default_options(&self, key: &str) -> Vec<(&'a str, &'a str)> {
        self.default(key).split(',').map(|part| name_and_value(part.trim())).collect()
    }
}

fn name_and_value(part: &str) -> (&str, &str) {
    part.split_once('=').map_or(("", part), |(name, value)| (name.trim(), value.trim()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::test_ground::check_with;

    #[test]
    fn an_option_that_is_not_named_keeps_its_default() {
        let reminders = |text| check_with(&[("TIDEGATE_REMINDERS", text)]).map(|settings| settings.reminders);
        let set = reminders("lead = 5m,email=on").unwrap();
        assert_eq!((set.lead, set.horizon, set.email), (Duration::from_secs(300), Duration::from_secs(3600), true));
        assert_eq!(reminders("").unwrap().lead, Duration::from_secs(900));
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (text, reason) in [
            ("5m", "`5m` is not `name=value` with one of the names lead, horizon, email, per_tenant_day"),
            ("led=5m", "`led=5m` is not"),
            ("lead=5m,", "`` is not"),
            ("lead=soon", "`lead`: `soon` is not a time from 0s to 7days"),
            ("email=", "`email`: `` is not `on` or `off`"),
        ] {
            let error = check_with(&[("TIDEGATE_REMINDERS", text)]).unwrap_err().to_string();
            let wanted = "reminders (environment variable TIDEGATE_REMINDERS): ";
            assert!(error.starts_with(wanted) && error.contains(reason), "{text}: {error}");
        }
    }
}
