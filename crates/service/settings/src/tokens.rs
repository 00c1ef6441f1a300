//! The tokens of operators and services.

use sha2::{Digest, Sha256};

use crate::Secret;

/// The tokens that guard what is not a tenant's own.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// Changes on the operations routes; allows reads too.
    pub admin: Option<Secret>,
    /// Reads on the operations routes.
    pub read: Option<Secret>,
    /// Decisions for services in any language.
    pub service: Option<Secret>,
}

impl Tokens {
    /// Whether any token is set, which ends the open first tour.
    pub fn any(&self) -> bool {
        self.admin.is_some() || self.read.is_some() || self.service.is_some()
    }

    /// Whether two of them are the same: the weaker one would have the rights of the other.
    pub(crate) fn are_shared(&self) -> bool {
        let digests: Vec<_> =
            [&self.admin, &self.read, &self.service].into_iter().flatten().map(Secret::digest).collect();
        digests.iter().enumerate().any(|(at, digest)| digests[..at].contains(digest))
    }

    /// A key for that purpose: the same wherever the same tokens are set, and another once one of
    /// them is changed.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(purpose);
        for token in [&self.admin, &self.read, &self.service] {
            // What is not set must not look like what is.
            digest.update([0, u8::from(token.is_some())]);
            digest.update(token.as_ref().map_or([0; 32], Secret::digest));
        }
        digest.finalize().into()
    }

    /// Which of them `sent` is.
    ///
    /// All are compared, whatever the first comparison says, so that the time reveals nothing.
    pub fn rights(&self, sent: &str) -> Rights {
        let is = |token: &Option<Secret>| token.as_ref().is_some_and(|token| token.matches(sent));
        Rights { admin: is(&self.admin), read: is(&self.read), service: is(&self.service) }
    }
}

/// Which tokens somebody has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// The admin token.
    pub admin: bool,
    /// The read token.
    pub read: bool,
    /// The service token.
    pub service: bool,
}
