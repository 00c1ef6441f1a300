//! A secret that is compared but never shown.

use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A token, of which only a digest is kept. Clients prove that they know the token.
///
/// Clones share the digest, so that a replacement changes all of them.
#[derive(Clone)]
pub struct Secret {
    digest: Arc<RwLock<[u8; 32]>>,
}

impl Secret {
    /// Keeps a digest of the text.
    pub fn new(text: &str) -> Self {
        Self { digest: Arc::new(RwLock::new(Sha256::digest(text).into())) }
    }

    /// Replaces the secret. The old one is no longer valid.
    pub fn replace(&self, text: &str) {
        let digest = Sha256::digest(text).into();
        *self.digest.write().unwrap_or_else(PoisonError::into_inner) = digest;
    }

    /// Returns the digest, for use as a part of a key.
    pub(super) fn digest(&self) -> [u8; 32] {
        *self.digest.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `candidate` is the secret. The time does not depend on either of them.
    pub fn matches(&self, candidate: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(candidate).into();
        digest.ct_eq(&self.digest()).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(****)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn only_the_same_text_matches() {
        let secret = Secret::new("correct horse");
        assert!(secret.matches("correct horse"));
        assert!(!secret.matches("correct hors"));
        assert!(!secret.matches(""));
    }

    #[test]
    fn a_replaced_secret_is_another_one_for_each_clone() {
        let secret = Secret::new("correct horse");
        let clone = secret.clone();
        secret.replace("battery staple");
        assert!(clone.matches("battery staple") && !clone.matches("correct horse"));
    }

    #[test]
    fn debug_shows_nothing() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }
}
