//! The session of a visitor of the pages.
//!
//! It is a cookie with role, start and nonce, signed with a key from the tokens and the
//! installation. It is not stored, so it is valid on every instance and while the database is
//! down. It ends after twelve hours, with a logout, or when a token changes. It is valid only for
//! the pages, never for `/api`.
//!
//! Without tokens there is no login. Then a cookie with a nonce is all that forms need.

pub mod form_token;

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use cookie::SameSite;
use tidegate_settings::Settings;
use uuid::Uuid;

use crate::app::App;
use crate::cookie::{MOST_COOKIES, NewCookie, cookies, own_name};
use crate::pages_key::PagesKey;

const SESSION: &str = "tidegate_session";
/// Purpose of the signature of a session.
const PURPOSE: &str = "session";
const LASTS_SECONDS: i64 = 12 * 60 * 60;
/// Maximum difference to the clock of another instance.
const SKEW_SECONDS: i64 = 60;

/// The rights of a visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May read.
    Reader,
    /// May read and change.
    Admin,
}

impl Role {
    /// The name in a cookie and on the pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "read",
            Self::Admin => "admin",
        }
    }

    /// Whether a token exists that logs in as this role.
    const fn has_token(self, settings: &Settings) -> bool {
        match self {
            Self::Reader => settings.tokens.read.is_some(),
            Self::Admin => settings.tokens.admin.is_some(),
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Reader, Self::Admin].into_iter().find(|role| role.name() == name)
    }
}

/// Returns the role of the request's session.
pub fn role(app: &App, headers: &HeaderMap) -> Option<Role> {
    let session = session(app.pages_key(), headers, tidegate_base::clock::now().timestamp())?;
    session.role.has_token(app.settings()).then_some(session.role)
}

/// Whether the request is for a page or a part of one, and has an admin's session.
pub fn is_of_admin(app: &App, path: &str, headers: &HeaderMap) -> bool {
    let is_page = ["/dashboard", "/assets/"].iter().any(|beginning| path.starts_with(beginning));
    is_page && role(app, headers) == Some(Role::Admin)
}

#[derive(Debug, PartialEq, Eq)]
struct Session {
    role: Role,
    nonce: String,
}

/// Returns the cookie that begins a session of that role.
pub fn begin(key: &PagesKey, role: Role, headers: &HeaderMap) -> HeaderValue {
    let text = issue(key, role, tidegate_base::clock::now().timestamp(), &Uuid::new_v4().simple().to_string());
    cookie(SESSION, &text, LASTS_SECONDS, headers)
}

/// Returns the cookie that ends the session.
pub fn end(headers: &HeaderMap) -> HeaderValue {
    cookie(SESSION, "", 0, headers)
}

fn issue(key: &PagesKey, role: Role, at: i64, nonce: &str) -> String {
    key.sign(PURPOSE, &format!("{}.{at}.{nonce}", role.name()))
}

/// Returns the session of the request's cookie.
fn session(key: &PagesKey, headers: &HeaderMap, now: i64) -> Option<Session> {
    cookies(headers, &own_name(SESSION, headers)).take(MOST_COOKIES).find_map(|text| read(key, text, now))
}

fn read(key: &PagesKey, text: &str, now: i64) -> Option<Session> {
    let said = key.verify(PURPOSE, text)?;
    let mut parts = said.split('.');
    let (role, at, nonce) = (Role::of(parts.next()?)?, parts.next()?.parse::<i64>().ok()?, parts.next()?);
    (at - SKEW_SECONDS..at + LASTS_SECONDS).contains(&now).then(|| Session { role, nonce: nonce.to_owned() })
}

/// `Lax`, so that a link in a mail opens the page for a visitor with a session. Only forms with
/// their token make changes. A client that lies about TLS only loses its own cookie.
fn cookie(name: &str, value: &str, max_age: i64, headers: &HeaderMap) -> HeaderValue {
    let lasts = Duration::from_secs(max_age.unsigned_abs());
    NewCookie { name, value, path: "/", lasts, same_site: SameSite::Lax }.header(headers)
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    const NOW: i64 = 1_900_000_000;

    fn key(byte: u8) -> PagesKey {
        PagesKey::with_salt([byte; 32])
    }

    #[test]
    fn a_session_lasts_twelve_hours_and_under_its_key_alone() {
        let text = issue(&key(1), Role::Reader, NOW, "abc");
        let read = |key: &PagesKey, now| read(key, &text, now).map(|session| session.role);
        assert_eq!(read(&key(1), NOW), Some(Role::Reader));
        assert_eq!(read(&key(1), NOW + LASTS_SECONDS - 1), Some(Role::Reader));
        assert_eq!(read(&key(1), NOW + LASTS_SECONDS), None);
        assert_eq!(read(&key(1), NOW - SKEW_SECONDS - 1), None);
        assert_eq!(read(&key(2), NOW), None);
    }

    #[test]
    fn a_cookie_that_came_by_tls_stays_there() {
        for (proto, is_secure) in [("https", true), ("http", false)] {
            let name = header::HeaderName::from_static("x-forwarded-proto");
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(proto))]);
            let cookie = cookie(SESSION, "a", 1, &headers);
            assert_eq!(cookie.to_str().unwrap().ends_with("; Secure"), is_secure, "{proto}");
            assert_eq!(cookie.to_str().unwrap().starts_with("__Host-"), is_secure, "{proto}");
        }
    }

    #[test]
    fn a_session_cannot_be_tampered_with() {
        let text = issue(&key(1), Role::Reader, NOW, "abc");
        for forged in [
            text.replace("read", "admin"),
            text.replace(&NOW.to_string(), "2000000000"),
            String::new(),
            ".".into(),
            text[..text.len() - 1].to_owned(),
        ] {
            assert_eq!(read(&key(1), &forged, NOW), None, "{forged}");
        }
    }
}
