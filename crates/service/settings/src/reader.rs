//! Reads one setting at a time, from text to value.

mod options;
mod urls;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use self::options::Options;
use crate::error::SettingsError;
use crate::hidden::Hidden;
use crate::secret::Secret;
use crate::source::Source;
use crate::values::Values;

/// Shorter tokens are too easy to guess.
const MIN_TOKEN: usize = 16;

/// Reads one setting at a time, or one option of a setting, and names it in errors.
pub(crate) struct Reader<'a> {
    values: &'a Values,
    /// The options that it reads. `None` if it reads settings.
    options: Option<Options<'a>>,
}

/// Returns why a text is not a token. `None` if it is one.
pub fn token_fault(text: &str) -> Option<String> {
    let is_token = text.len() >= MIN_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic());
    (!is_token).then(|| format!("must be {MIN_TOKEN} or more visible ASCII characters without spaces"))
}

impl<'a> Reader<'a> {
    /// Returns a reader of these settings.
    pub(crate) fn new(values: &'a Values) -> Self {
        Self { values, options: None }
    }

    pub(crate) fn text(&self, key: &'static str) -> Option<(&str, Source)> {
        match &self.options {
            Some(options) => options.text(key).map(|text| (text, self.source(options.key))),
            None => self.values.named(key).and_then(|setting| self.values.get(setting)),
        }
    }

    fn source(&self, key: &str) -> Source {
        let set = self.values.named(key).and_then(|setting| self.values.get(setting));
        set.map_or(Source::Default, |(_, source)| source)
    }

    /// Returns the default of a setting. Empty if it has none.
    pub(crate) fn default(&self, key: &str) -> &'static str {
        self.values.named(key).and_then(|setting| setting.default).unwrap_or_default()
    }

    pub(crate) fn invalid(&self, key: &'static str, reason: String) -> SettingsError {
        let (setting, reason) = match &self.options {
            Some(options) if key.is_empty() => (options.key, reason),
            Some(options) => (options.key, format!("`{key}`: {reason}")),
            None => (key, reason),
        };
        SettingsError::Invalid { setting, origin: self.source(setting), reason }
    }

    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, SettingsError> {
        let Some((text, _)) = self.text(key) else { return Ok(None) };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(self.invalid(key, format!("`{text}` is not {wanted}"))),
        }
    }

    pub(crate) fn required<T>(
        &self,
        key: &'static str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, SettingsError> {
        self.optional(key, wanted, parse)?.ok_or_else(|| self.invalid(key, format!("is empty; it must be {wanted}")))
    }

    pub(crate) fn token(&self, key: &'static str) -> Result<Option<Secret>, SettingsError> {
        Ok(self.hard_to_guess(key)?.map(Secret::new))
    }

    /// A key that both sides sign with, and that is therefore kept as text.
    pub(crate) fn signing_key(&self, key: &'static str) -> Result<Option<Hidden>, SettingsError> {
        Ok(self.hard_to_guess(key)?.map(Hidden::new))
    }

    fn hard_to_guess(&self, key: &'static str) -> Result<Option<&str>, SettingsError> {
        let Some((text, _)) = self.text(key) else { return Ok(None) };
        match token_fault(text) {
            None => Ok(Some(text)),
            Some(fault) => Err(self.invalid(key, fault)),
        }
    }

    pub(crate) fn duration(
        &self,
        key: &'static str,
        least: Duration,
        most: Duration,
    ) -> Result<Duration, SettingsError> {
        let wanted = format!(
            "a time from {} to {}, such as 500ms or 2m",
            humantime::format_duration(least),
            humantime::format_duration(most)
        );
        self.required(key, &wanted, |text| {
            humantime::parse_duration(text).ok().filter(|value| (least..=most).contains(value))
        })
    }

    pub(crate) fn size(&self, key: &'static str, range: RangeInclusive<u64>) -> Result<u64, SettingsError> {
        let wanted = format!(
            "a size from {} to {}, such as 512KiB or 64MiB",
            bytesize::ByteSize(*range.start()),
            bytesize::ByteSize(*range.end())
        );
        self.required(key, &wanted, |text| {
            text.parse::<bytesize::ByteSize>().ok().map(|size| size.as_u64()).filter(|size| range.contains(size))
        })
    }

    pub(crate) fn count<N>(&self, key: &'static str, range: RangeInclusive<N>) -> Result<N, SettingsError>
    where
        N: FromStr + PartialOrd + Display,
    {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        self.required(key, &wanted, |text| text.parse().ok().filter(|count| range.contains(count)))
    }

    /// A share between 0 and 1.
    pub(crate) fn share(&self, key: &'static str) -> Result<f64, SettingsError> {
        self.required(key, "a share above 0 and below 1, such as 0.05", |text| {
            text.parse().ok().filter(|share| *share > 0.0 && *share < 1.0)
        })
    }

    pub(crate) fn switch(&self, key: &'static str) -> Result<bool, SettingsError> {
        self.required(key, "`on` or `off`", |text| match text {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        })
    }
}
