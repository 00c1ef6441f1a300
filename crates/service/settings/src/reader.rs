//! Reads one setting at a time, from text to value.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use reqwest::Url;
use tidegate_base::similar::most_like;
use tidegate_ratelimit::{Ipv6Prefix, Quota, network_of};

use super::catalogue::Setting;
use super::{Hidden, LimitMode, LimitSettings, MAX_SMALL_LIMIT, RawSettings, Secret, SettingsError, Source};

/// Shorter tokens are too easy to guess.
const MIN_TOKEN: usize = 16;

/// Reads one setting at a time, and names it in errors.
pub(super) struct Reader<'a>(pub(super) &'a RawSettings);

/// Returns why a text is not a token. `None` if it is one.
pub fn token_fault(text: &str) -> Option<String> {
    let is_token = text.len() >= MIN_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic());
    (!is_token).then(|| format!("must be {MIN_TOKEN} or more visible ASCII characters without spaces"))
}

/// Returns a word of a log filter that is almost a level. `None` if there is none. The filter would
/// take that word for the name of a module, and log only that module.
pub fn misspelt_level(filter: &str) -> Option<String> {
    const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];
    let words = filter.split(',').map(|word| word.trim().to_lowercase());
    words.filter(|word| !LEVELS.contains(&&**word) && word != "warning").find_map(|word| {
        let level = most_like(&word, LEVELS.into_iter())?;
        Some(format!("`{word}` is no level: did you mean `{level}`?"))
    })
}

impl Reader<'_> {
    pub(super) fn text(&self, key: &'static str) -> Option<(&str, Source)> {
        Setting::named(key).and_then(|setting| self.0.get(setting))
    }

    pub(super) fn invalid(&self, key: &'static str, reason: String) -> SettingsError {
        let origin = self.text(key).map_or(Source::Default, |(_, source)| source);
        SettingsError::Invalid { setting: key, origin, reason }
    }

    pub(super) fn optional<T>(
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

    pub(super) fn required<T>(
        &self,
        key: &'static str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, SettingsError> {
        self.optional(key, wanted, parse)?.ok_or_else(|| self.invalid(key, format!("is empty; it must be {wanted}")))
    }

    pub(super) fn token(&self, key: &'static str) -> Result<Option<Secret>, SettingsError> {
        Ok(self.hard_to_guess(key)?.map(Secret::new))
    }

    /// A key that both sides sign with, and that is therefore kept as text.
    pub(super) fn signing_key(&self, key: &'static str) -> Result<Option<Hidden>, SettingsError> {
        Ok(self.hard_to_guess(key)?.map(Hidden::new))
    }

    fn hard_to_guess(&self, key: &'static str) -> Result<Option<&str>, SettingsError> {
        let Some((text, _)) = self.text(key) else { return Ok(None) };
        match token_fault(text) {
            None => Ok(Some(text)),
            Some(fault) => Err(self.invalid(key, fault)),
        }
    }

    pub(super) fn duration(
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

    pub(super) fn size(&self, key: &'static str, range: RangeInclusive<u64>) -> Result<u64, SettingsError> {
        let wanted = format!(
            "a size from {} to {}, such as 512KiB or 64MiB",
            bytesize::ByteSize(*range.start()),
            bytesize::ByteSize(*range.end())
        );
        self.required(key, &wanted, |text| {
            text.parse::<bytesize::ByteSize>().ok().map(|size| size.as_u64()).filter(|size| range.contains(size))
        })
    }

    /// A Redis URL. Errors do not repeat it, because it may contain a password.
    pub(super) fn redis_url(&self, key: &'static str) -> Result<Option<tidegate_redis::Config>, SettingsError> {
        let Some((text, _)) = self.text(key) else { return Ok(None) };
        let asks_for_timeout = text
            .split_once('?')
            .is_some_and(|(_, query)| query.split('&').any(|parameter| parameter.split('=').next() == Some("timeout")));
        if asks_for_timeout {
            let reason = "`timeout` after `?` is not supported: set redis.timeout and redis.request_timeout";
            return Err(self.invalid(key, reason.to_owned()));
        }
        tidegate_redis::Config::parse(text).map(Some).map_err(|error| self.invalid(key, error.to_string()))
    }

    pub(super) fn count<N>(&self, key: &'static str, range: RangeInclusive<N>) -> Result<N, SettingsError>
    where
        N: FromStr + PartialOrd + Display,
    {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        self.required(key, &wanted, |text| text.parse().ok().filter(|count| range.contains(count)))
    }

    pub(super) fn limit(
        &self,
        quota: &'static str,
        block: &'static str,
        mode: &'static str,
    ) -> Result<LimitSettings, SettingsError> {
        let (text, _) =
            self.text(quota).ok_or_else(|| self.invalid(quota, "must be a rate such as 100/minute".to_owned()))?;
        // No limiter of the API has a burst.
        let parsed = text.parse::<Quota>().and_then(|parsed| parsed.ensure_no_burst().map(|()| parsed));
        Ok(LimitSettings {
            quota: parsed.map_err(|error| self.invalid(quota, format!("`{text}`: {error}")))?,
            block: self.duration(block, Duration::ZERO, Duration::from_secs(24 * 3600))?,
            mode: self.mode(mode)?,
        })
    }

    /// A limit whose charges are stored one by one.
    pub(super) fn small_limit(
        &self,
        quota: &'static str,
        block: &'static str,
        mode: &'static str,
    ) -> Result<LimitSettings, SettingsError> {
        let settings = self.limit(quota, block, mode)?;
        if settings.quota.limit() > MAX_SMALL_LIMIT {
            return Err(self.invalid(quota, format!("`{}` is above {MAX_SMALL_LIMIT}", settings.quota)));
        }
        Ok(settings)
    }

    /// Addresses and networks, separated by commas.
    pub(super) fn networks(&self, key: &'static str) -> Result<Vec<IpNet>, SettingsError> {
        let Some((text, _)) = self.text(key) else { return Ok(Vec::new()) };
        let wrong = |entry: &str| {
            let shown: String = entry.chars().take(64).collect();
            self.invalid(key, format!("`{shown}` is neither an address nor a CIDR such as 10.0.0.0/8"))
        };
        let network = |entry| network_of(entry).map(|network| network.trunc()).ok_or_else(|| wrong(entry));
        text.split(',').map(str::trim).map(network).collect()
    }

    /// Networks that a limiter can distinguish from their neighbours. An entry that is smaller than
    /// a client would never match.
    pub(super) fn allowed(&self, key: &'static str, prefix: Ipv6Prefix) -> Result<Vec<IpNet>, SettingsError> {
        let networks = self.networks(key)?;
        match networks.iter().find(|network| matches!(network, IpNet::V6(v6) if v6.prefix_len() > prefix.bits())) {
            Some(narrow) => {
                let bits = prefix.bits();
                Err(self.invalid(
                    key,
                    format!("`{narrow}` is less than one client, which is a /{bits}: see limits.ipv6_prefix"),
                ))
            }
            None => Ok(networks),
        }
    }

    pub(super) fn mode(&self, key: &'static str) -> Result<LimitMode, SettingsError> {
        self.required(key, "`on`, `shadow` or `off`", |text| {
            [LimitMode::On, LimitMode::Shadow, LimitMode::Off].into_iter().find(|mode| mode.name() == text)
        })
    }

    /// A share between 0 and 1.
    pub(super) fn share(&self, key: &'static str) -> Result<f64, SettingsError> {
        self.required(key, "a share above 0 and below 1, such as 0.05", |text| {
            text.parse().ok().filter(|share| *share > 0.0 && *share < 1.0)
        })
    }

    pub(super) fn switch(&self, key: &'static str) -> Result<bool, SettingsError> {
        self.required(key, "`on` or `off`", |text| match text {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        })
    }

    /// An HTTP URL without user and password.
    pub(super) fn url(&self, key: &'static str) -> Result<Option<String>, SettingsError> {
        let wanted = "a URL such as https://example.com/path, without user and password";
        let is_right = |url: &Url| url.username().is_empty() && url.password().is_none();
        Ok(self.checked_url(key, wanted, is_right)?.map(|url| url.reveal().to_owned()))
    }

    /// An HTTP URL that may contain a secret in its path or query. Errors do not repeat it.
    pub(super) fn secret_url(&self, key: &'static str) -> Result<Option<Hidden>, SettingsError> {
        self.checked_url(key, "a URL such as https://alerts.example.com/hook", |_| true)
    }

    /// Like [`Self::secret_url`], for a URL that a path is appended to. So it has no query,
    /// fragment, user or password.
    pub(super) fn secret_base_url(&self, key: &'static str) -> Result<Option<Hidden>, SettingsError> {
        let wanted = "a URL such as http://127.0.0.1:4318, without user, password, `?` and `#`";
        self.checked_url(key, wanted, |url| {
            url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none()
        })
    }

    fn checked_url(
        &self,
        key: &'static str,
        wanted: &str,
        is_right: impl Fn(&Url) -> bool,
    ) -> Result<Option<Hidden>, SettingsError> {
        let Some((text, _)) = self.text(key) else { return Ok(None) };
        // Parsed in the same way as by the HTTP client.
        let is_http = |url: Url| matches!(url.scheme(), "http" | "https") && url.has_host() && is_right(&url);
        if text.parse::<Url>().is_ok_and(is_http) {
            return Ok(Some(Hidden::new(text)));
        }
        Err(self.invalid(key, format!("must be {wanted}")))
    }

    /// Headers as `name=value`, separated by commas. Their values are secrets, and errors do not
    /// repeat them.
    pub(super) fn headers(&self, key: &'static str) -> Result<Option<Hidden>, SettingsError> {
        let Some((text, _)) = self.text(key) else { return Ok(None) };
        let is_header = |entry: &str| {
            entry.split_once('=').is_some_and(|(name, value)| {
                HeaderName::from_bytes(name.trim().as_bytes()).is_ok() && HeaderValue::from_str(value.trim()).is_ok()
            })
        };
        if text.split(',').all(is_header) {
            return Ok(Some(Hidden::new(text)));
        }
        Err(self.invalid(key, "must be `name=value`, separated by commas".to_owned()))
    }
}
