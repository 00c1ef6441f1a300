//! Sessions of users: a random token in the browser, its digest in the tables.

use std::fmt;

use chrono::{DateTime, Utc};
use rand::Rng;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::tenant::TenantId;

/// The stored digest of a session's token, as for an API key.
pub use crate::tenant::KeyDigest as SessionDigest;

/// The token of a session: 256 random bits, which only the browser stores.
pub struct SessionToken(String);

impl SessionToken {
    /// Hexadecimal digits.
    const DIGITS: usize = 64;

    /// Generates a random token.
    pub fn generate() -> Self {
        let mut bytes = [0; Self::DIGITS / 2];
        rand::rng().fill_bytes(&mut bytes);
        Self(SessionDigest(bytes).to_string())
    }

    /// Returns the text, for the one response that sets the cookie.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the digest of a token that a client sent. `None` for a text that cannot be a token.
    pub fn digest_of(text: &str) -> Option<SessionDigest> {
        let is_token = text.len() == Self::DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_token.then(|| SessionDigest(Sha256::digest(text).into()))
    }

    /// Returns the digest to store.
    pub fn digest(&self) -> SessionDigest {
        SessionDigest(Sha256::digest(&self.0).into())
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(****)")
    }
}

/// The user and the expiry of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The user's tenant.
    pub tenant: TenantId,
    /// The user.
    pub user: Uuid,
    /// Expiry of the session.
    pub expires_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_hide() {
        let (one, two) = (SessionToken::generate(), SessionToken::generate());
        assert_ne!(one.expose(), two.expose());
        assert_eq!(SessionToken::digest_of(one.expose()), Some(one.digest()));
        for other in ["", "x", &one.expose()[1..], &"g".repeat(64)] {
            assert_eq!(SessionToken::digest_of(other), None, "{other}");
        }
        assert!(!format!("{one:?}").contains(one.expose()));
    }
}
