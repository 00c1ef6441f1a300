//! Settings that are URLs, or headers of requests.

use http::{HeaderName, HeaderValue};
use reqwest::Url;

use super::Reader;
use crate::error::SettingsError;
use crate::hidden::Hidden;

impl Reader<'_> {
    /// An HTTP URL without user and password.
    pub(crate) fn url(&self, key: &'static str) -> Result<Option<String>, SettingsError> {
        let wanted = "a URL such as https://example.com/path, without user and password";
        let is_right = |url: &Url| url.username().is_empty() && url.password().is_none();
        Ok(self.checked_url(key, wanted, is_right)?.map(|url| url.reveal().to_owned()))
    }

    /// An HTTP URL that may contain a secret in its path or query. Errors do not repeat it.
    pub(crate) fn secret_url(&self, key: &'static str) -> Result<Option<Hidden>, SettingsError> {
        self.checked_url(key, "a URL such as https://alerts.example.com/hook", |_| true)
    }

    /// Like [`Self::secret_url`], for a URL that a path is appended to. So it has no query,
    /// fragment, user or password.
    pub(crate) fn secret_base_url(&self, key: &'static str) -> Result<Option<Hidden>, SettingsError> {
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
    pub(crate) fn headers(&self, key: &'static str) -> Result<Option<Hidden>, SettingsError> {
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
