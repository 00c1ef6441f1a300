//! `Idempotency-Key`: a repeated request creates nothing again.
//!
//! Requests are not recorded. The key is stored with the object it created, which also shows
//! whether a repetition is the same request. A repetition is harmless as long as that object
//! exists.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// Marks a response that was given before.
pub const REPLAYED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));

const HEADER: &str = "idempotency-key";
const LONGEST: usize = 255;

/// The request's `Idempotency-Key`, if it has one.
#[derive(Debug)]
pub struct IdempotencyKey(Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(&parts.headers).map(Self)
    }
}

impl IdempotencyKey {
    /// Reads the header `Idempotency-Key`.
    ///
    /// # Errors
    ///
    /// 400 for a key that is malformed or too long.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        read(headers).map(Self)
    }

    /// Whether the request has a key.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the key's name within that scope only: 32 hexadecimal digits.
    pub fn within(&self, scope: &[&str]) -> Option<String> {
        let key = self.0.as_ref()?;
        let mut hash = Sha256::new();
        for part in scope {
            hash.update(part);
            hash.update("\0");
        }
        hash.update(key);
        Some(HEXLOWER.encode(&hash.finalize()[..16]))
    }
}

/// The key was used for another request.
pub fn reused() -> Problem {
    Problem::unprocessable(
        "idempotency-key-reused",
        "the `Idempotency-Key` was used before, with another body; nothing was done",
    )
}

/// In quotes, as in the IETF draft, or bare, as most clients send it.
fn read(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let key = text.map(|text| text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text));
    let key = key.filter(|key| (1..=LONGEST).contains(&key.len()) && !key.contains(['"', '\\']));
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::bad_request(
            "bad-idempotency-key",
            format!("`Idempotency-Key` is given once, with 1 to {LONGEST} visible ASCII characters, quoted or not"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn key(value: &str) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::try_from(value).unwrap());
        read(&headers)
    }

    #[test]
    fn quoted_and_bare_are_one_key() {
        assert_eq!(key("\"a b\"").unwrap().as_deref(), Some("a b"));
        assert_eq!(key("a b").unwrap().as_deref(), Some("a b"));
        assert_eq!(read(&HeaderMap::new()).unwrap(), None);
        for bad in ["", "\"\"", "\"", "a\"b", "a\\b", &"x".repeat(256)] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn scopes_share_no_keys() {
        let key = IdempotencyKey(Some("k".to_owned()));
        assert_eq!(key.within(&["job", "a"]), key.within(&["job", "a"]));
        for other in [&["job", "b"][..], &["job"], &["jo", "ba"], &["job", "a", ""]] {
            assert_ne!(key.within(&["job", "a"]), key.within(other), "{other:?}");
        }
        assert_eq!(IdempotencyKey(None).within(&["job", "a"]), None);
    }
}
