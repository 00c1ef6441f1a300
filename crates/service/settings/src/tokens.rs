//! The tokens of operators and services.

use sha2::{Digest, Sha256};

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::secret::Secret;
use crate::setting::{Setting, secret};

pub(crate) const SETTINGS: &[Setting] = &[
    secret("tokens.admin", "TIDEGATE_ADMIN_TOKEN", "bearer token for reading and changing on the operations routes"),
    secret("tokens.read", "TIDEGATE_READ_TOKEN", "bearer token for reading on the operations routes"),
    secret("tokens.service", "TIDEGATE_SERVICE_TOKEN", "bearer token of services that call POST /api/rate-limit/check"),
];

/// Tokens for everything that does not belong to a tenant.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// Permits changes and reads on the operations routes.
    pub admin: Option<Secret>,
    /// Permits reads on the operations routes.
    pub read: Option<Secret>,
    /// Permits services in any language to request decisions.
    pub service: Option<Secret>,
}

impl Tokens {
    /// Whether any token is set, which ends the open first trial.
    pub fn any(&self) -> bool {
        self.admin.is_some() || self.read.is_some() || self.service.is_some()
    }

    /// Whether two tokens are the same. Then the weaker one would have the rights of the other.
    fn are_shared(&self) -> bool {
        let digests: Vec<_> =
            [&self.admin, &self.read, &self.service].into_iter().flatten().map(Secret::digest).collect();
        digests.iter().enumerate().any(|(at, digest)| digests[..at].contains(digest))
    }

    /// Derives a key for that purpose. It is the same wherever the same tokens are set, and changes
    /// if one of them changes.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(purpose);
        for token in [&self.admin, &self.read, &self.service] {
            // An absent token must differ from every present one.
            digest.update([0, u8::from(token.is_some())]);
            digest.update(token.as_ref().map_or([0; 32], Secret::digest));
        }
        digest.finalize().into()
    }

    /// Returns the rights of the token `sent`.
    ///
    /// It compares all tokens, whatever the first comparison returns, so that the time reveals
    /// nothing.
    pub fn rights(&self, sent: &str) -> Rights {
        let is = |token: &Option<Secret>| token.as_ref().is_some_and(|token| token.matches(sent));
        Rights { admin: is(&self.admin), read: is(&self.read), service: is(&self.service) }
    }
}

/// Which tokens a caller has presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// The admin token.
    pub admin: bool,
    /// The read token.
    pub read: bool,
    /// The service token.
    pub service: bool,
}

pub(crate) fn tokens(raw: &Reader<'_>) -> Result<Tokens, SettingsError> {
    let tokens = Tokens {
        admin: raw.token("tokens.admin")?,
        read: raw.token("tokens.read")?,
        service: raw.token("tokens.service")?,
    };
    if tokens.are_shared() {
        let reason = "tokens.admin, tokens.read and tokens.service must differ: each has rights of its own";
        return Err(raw.invalid("tokens.admin", reason.to_owned()));
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use crate::test_ground::check_with;

    #[test]
    fn a_weak_token_is_refused_and_not_repeated() {
        let error = check_with(&[("TIDEGATE_ADMIN_TOKEN", "hunter2")]).unwrap_err().to_string();
        assert!(error.contains("tokens.admin") && !error.contains("hunter2"), "{error}");
    }
}
