//! Users of a tenant.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

/// Longest e-mail address in bytes, as RFC 5321 allows it.
const MAX_EMAIL: usize = 254;
/// Longest part before the `@`, in bytes.
const MAX_LOCAL: usize = 64;
/// Longest name in characters.
const MAX_NAME: usize = 200;
/// Shortest and longest password in characters.
const PASSWORD: std::ops::RangeInclusive<usize> = 8..=256;

/// An e-mail address in lower case, since users write one address in several ways.
///
/// Only ASCII is allowed. Other letters can have several forms that look alike, which would give
/// two accounts that look alike. An internationalized domain has an ASCII form, `xn--…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Email(String);

impl Email {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Email {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        let text = text.trim();
        let has_form = text.split_once('@').is_some_and(|(local, domain)| {
            (1..=MAX_LOCAL).contains(&local.len()) && !domain.is_empty() && !domain.contains('@')
        });
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>,;\"".contains(&byte));
        if has_form && is_plain && text.len() <= MAX_EMAIL {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(BadField::Email)
        }
    }
}

/// Why a new user is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadField {
    /// The text is not an address.
    #[error("`email` is an address such as ada@example.org, of at most {MAX_EMAIL} ASCII characters")]
    Email,
    /// The name is empty or does not fit on one line.
    #[error("`name` is 1 to {MAX_NAME} characters, none of them a control character")]
    Name,
    /// The password is too short to be safe, or too long.
    #[error("`password` is {} to {} characters", PASSWORD.start(), PASSWORD.end())]
    Password,
}

/// Returns the display name, trimmed.
///
/// # Errors
///
/// [`BadField::Name`] if the text is not a valid name.
pub fn name(text: &str) -> Result<String, BadField> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= MAX_NAME && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(BadField::Name) }
}

/// Returns the password unchanged.
///
/// # Errors
///
/// [`BadField::Password`] if it is too short or too long.
pub fn password(text: &str) -> Result<&str, BadField> {
    if PASSWORD.contains(&text.chars().count()) { Ok(text) } else { Err(BadField::Password) }
}

/// A user as it is sent, without the password.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// Its address, unique in its tenant.
    #[schemars(with = "String")]
    pub email: Email,
    /// Its display name.
    pub name: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_one_text_however_it_is_written() {
        for text in ["ada@example.org", " Ada@Example.ORG\n", "ADA@EXAMPLE.ORG"] {
            assert_eq!(text.parse::<Email>().unwrap().as_str(), "ada@example.org");
        }
    }

    #[test]
    fn an_invalid_address_is_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}", "b".repeat(253));
        for text in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a@b@c",
            "a da@example.org",
            "ada@exämple.org",
            "Ada <ada@example.org>",
            "a@b\r\nBcc: c@d",
            "a,b@c",
            &long,
            &longer,
        ] {
            assert_eq!(text.parse::<Email>(), Err(BadField::Email), "{text:?}");
        }
    }

    #[test]
    fn names_and_passwords_have_their_bounds() {
        assert_eq!(name(" Ada ").as_deref(), Ok("Ada"));
        for bad in [String::new(), "  ".into(), "a\nb".into(), "x".repeat(201)] {
            assert_eq!(name(&bad), Err(BadField::Name));
        }
        assert_eq!(password("  länger "), Ok("  länger "));
        for bad in [String::new(), "1234567".into(), "x".repeat(257)] {
            assert_eq!(password(&bad), Err(BadField::Password));
        }
    }
}
