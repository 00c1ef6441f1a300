//! Checks the webhook that a tenant registers.

use data_encoding::HEXLOWER;
use reqwest::Url;
use tidegate_base::clock;
use tidegate_outgoing::webhook::names_private_address;
use tidegate_settings::{Hidden, WebhookSettings};
use tidegate_store::Webhook;
use uuid::Uuid;

const LONGEST_URL: usize = 2_048;
const MOST_KINDS: usize = 32;
const LONGEST_KIND: usize = 64;

/// A tenant's request for a webhook.
#[derive(Debug, Clone)]
pub struct NewWebhook<'a> {
    /// URL that events are posted to.
    pub url: &'a str,
    /// Kinds of events. Empty for all.
    pub kinds: Vec<String>,
}

/// Why a webhook was refused. The text repeats no part of the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The URL is not allowed.
    Url(String),
    /// The kinds are not valid.
    Kinds(String),
}

impl NewWebhook<'_> {
    /// Returns the webhook with a new secret.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the reason.
    pub fn check(self, settings: &WebhookSettings) -> Result<Webhook, Refused> {
        let refused = |reason: &str| Refused::Url(reason.to_owned());
        if self.url.len() > LONGEST_URL {
            return Err(Refused::Url(format!("is longer than {LONGEST_URL} bytes")));
        }
        let url: Url = self.url.parse().map_err(|_| refused("is no URL such as https://example.com/hook"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(refused("is no URL such as https://example.com/hook"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(refused("has a user, a password or a fragment, which a webhook has not"));
        }
        if !settings.private_addresses && names_private_address(&url) {
            return Err(refused("names a private address, and webhooks: private_addresses is off"));
        }
        let is_kind = |kind: &String| {
            let goes =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
            (1..=LONGEST_KIND).contains(&kind.len()) && kind.bytes().all(goes)
        };
        if self.kinds.len() > MOST_KINDS || !self.kinds.iter().all(is_kind) {
            let wanted = "are at most 32 texts, each 1 to 64 of a-z, 0-9, '.', '_' and '-'";
            return Err(Refused::Kinds(wanted.to_owned()));
        }
        let secret: [u8; 32] = rand::random();
        Ok(Webhook {
            id: Uuid::now_v7(),
            url: Hidden::new(url.as_str()),
            secret: Hidden::new(&format!("whsec_{}", HEXLOWER.encode(&secret))),
            kinds: self.kinds,
            created_at: clock::now(),
            disabled_at: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_settings::test_ground::check_with;

    fn check(url: &str) -> Result<Webhook, Refused> {
        NewWebhook { url, kinds: Vec::new() }.check(&check_with(&[]).unwrap().webhook)
    }

    #[test]
    fn a_webhook_is_an_http_url_on_the_internet_with_a_secret_of_its_own() {
        let (one, two) = (check("https://example.com/hook?key=1").unwrap(), check("http://example.com").unwrap());
        assert_ne!(one.secret.reveal(), two.secret.reveal());
        assert!(one.secret.reveal().len() > 64 && !format!("{one:?}").contains(one.secret.reveal()));
        for url in [
            "",
            "example.com",
            "ftp://example.com",
            "file:///etc/passwd",
            "http://",
            "https://user:word@example.com",
            "https://example.com/#x",
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://[::1]/",
            "http://169.254.169.254/latest",
            &format!("https://example.com/{}", "x".repeat(2_048)),
        ] {
            assert!(matches!(check(url), Err(Refused::Url(_))), "{url}");
        }
        for kinds in [vec![String::new()], vec!["A".to_owned()], vec!["a".to_owned(); 33]] {
            let new = NewWebhook { url: "https://example.com", kinds };
            assert!(matches!(new.check(&check_with(&[]).unwrap().webhook), Err(Refused::Kinds(_))));
        }
        let open = check_with(&[("TIDEGATE_WEBHOOKS", "private_addresses=on")]).unwrap().webhook;
        assert!(NewWebhook { url: "http://127.0.0.1:9/", kinds: Vec::new() }.check(&open).is_ok());
    }
}
