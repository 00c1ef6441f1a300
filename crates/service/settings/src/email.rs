//! The mail server, and the sender of mails.

use std::time::Duration;

use lettre::message::Mailbox;
use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::error::SettingsError;
use crate::hidden::Hidden;
use crate::reader::Reader;
use crate::setting::{Setting, secret, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    secret(
        "email.url",
        "TIDEGATE_EMAIL_URL",
        "SMTP server, such as smtp://user:password@mail.example.com:587; not set: mails are written to files in data_dir/outbox",
    ),
    setting("email.from", "TIDEGATE_EMAIL_FROM", Some("Tidegate <tidegate@localhost>"), "sender address of mails"),
    setting(
        "email.limits",
        "TIDEGATE_EMAIL_LIMITS",
        Some("timeout=10s, max_recipients=50"),
        "timeout of one mail, and maximum recipients per mail",
    ),
];

/// Settings for mail.
#[derive(Debug, Clone)]
pub struct EmailSettings {
    /// The SMTP server. `None` if each mail becomes a file.
    pub server: Option<SmtpServer>,
    /// Sender address.
    pub from: Mailbox,
    /// Timeout of one mail, from the first packet to its acknowledgement.
    pub timeout: Duration,
    /// Maximum number of recipients per mail.
    pub max_recipients: usize,
}

/// An SMTP server.
#[derive(Debug, Clone)]
pub struct SmtpServer {
    /// Its host name, which its certificate must contain.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub security: Security,
    /// User and password, if it needs them.
    pub login: Option<(String, Hidden)>,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// At once: `smtps:`.
    Implicit,
    /// With STARTTLS. Without it no mail is sent.
    Required,
    /// With STARTTLS if the server offers it. An attacker on the path can suppress the offer.
    Offered,
    /// Never.
    None,
}

const WANTED: &str = "must be a URL such as smtp://user:password@mail.example.com:587 or smtps://mail.example.com, \
                      for smtp: with ?tls=required, ?tls=offered or ?tls=none if need be";

pub(crate) fn email(raw: &Reader<'_>) -> Result<EmailSettings, SettingsError> {
    let limits = raw.options("email.limits")?;
    let timeout = limits.duration("timeout", Duration::from_millis(100), Duration::from_secs(600))?;
    let max_recipients = limits.count("max_recipients", 1..=1000)?;
    let from =
        raw.required("email.from", "an address such as Tidegate <tidegate@example.com>", |text| text.parse().ok())?;
    let server = match raw.text("email.url") {
        // The error does not repeat the URL, because it contains a password.
        Some((text, _)) => Some(server(text).ok_or_else(|| raw.invalid("email.url", WANTED.to_owned()))?),
        None => None,
    };
    Ok(EmailSettings { server, from, timeout, max_recipients })
}

fn server(text: &str) -> Option<SmtpServer> {
    let url: Url = text.parse().ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?.trim_matches(['[', ']']).to_owned();
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return None;
    }
    let login = match (url.username(), url.password()) {
        ("", None) => None,
        (user, Some(password)) if !user.is_empty() => {
            let plain = |text| percent_decode_str(text).decode_utf8().ok();
            Some((plain(user)?.into_owned(), Hidden::new(&plain(password)?)))
        }
        _ => return None,
    };
    let (security, port) = match (url.scheme(), url.query()) {
        ("smtps", None) => (Security::Implicit, 465),
        ("smtp", Some("tls=required")) => (Security::Required, 587),
        ("smtp", Some("tls=offered")) => (Security::Offered, 25),
        ("smtp", Some("tls=none")) => (Security::None, 25),
        // A password is sent unencrypted only if the operator asks for it.
        ("smtp", None) if login.is_some() => (Security::Required, 587),
        ("smtp", None) => (Security::Offered, 25),
        _ => return None,
    };
    Some(SmtpServer { host, port: url.port().unwrap_or(port), security, login })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ground::check_with;

    fn set(url: &str) -> SmtpServer {
        check_with(&[("TIDEGATE_EMAIL_URL", url)]).unwrap().email.server.unwrap()
    }

    #[test]
    fn mails_are_files_unless_a_server_is_named() {
        let email = check_with(&[]).unwrap().email;
        assert!(email.server.is_none());
        assert_eq!((email.timeout, email.max_recipients), (Duration::from_secs(10), 50));
        assert_eq!(email.from.to_string(), "Tidegate <tidegate@localhost>");
    }

    #[test]
    fn a_password_wants_tls_unless_the_url_says_otherwise() {
        let with = |url: &str| {
            let server = set(url);
            (server.host, server.port, server.security)
        };
        assert_eq!(with("smtp://mail.example.com"), ("mail.example.com".to_owned(), 25, Security::Offered));
        assert_eq!(with("smtps://mail.example.com"), ("mail.example.com".to_owned(), 465, Security::Implicit));
        assert_eq!(with("smtp://u:p@mail.example.com").2, Security::Required);
        assert_eq!(
            with("smtp://u:p@mail.example.com:25?tls=none"),
            ("mail.example.com".to_owned(), 25, Security::None)
        );
        let (user, password) = set("smtps://ada%40example.org:a%2Fb%40@mail.example.com").login.unwrap();
        assert_eq!((user.as_str(), password.reveal()), ("ada@example.org", "a/b@"));
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_without_its_password() {
        for url in [
            "mail.example.com:25",
            "http://u:hunter2@mail.example.com",
            "smtp://u:hunter2@",
            "smtp://u@mail.example.com",
            "smtp://:hunter2@mail.example.com",
            "smtp://u:hunter2@mail.example.com/path",
            "smtp://u:hunter2@mail.example.com?tls=maybe",
            "smtps://u:hunter2@mail.example.com?tls=none",
            "smtp://u:hunter2%ff@mail.example.com",
        ] {
            let error = check_with(&[("TIDEGATE_EMAIL_URL", url)]).unwrap_err().to_string();
            assert!(error.contains("TIDEGATE_EMAIL_URL") && !error.contains("hunter2"), "{url}: {error}");
        }
        let settings = check_with(&[("TIDEGATE_EMAIL_URL", "smtps://u:hunter2@mail.example.com")]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
