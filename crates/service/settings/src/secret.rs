//! A value that is compared but never shown.

use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A token that its owner can prove to know, held as a digest only.
///
/// Clones share it, and so they all change when it is replaced.
#[derive(Clone)]
pub struct Secret {
    digest: Arc<RwLock<[u8; 32]>>,
}

impl Secret {
    /// Takes the text of the secret and forgets it.
    pub fn new(text: &str) -> Self {
        Self { digest: Arc::new(RwLock::new(Sha256::digest(text).into())) }
    }

    /// Takes another text in its place. What was the secret before is none any more.
    pub fn replace(&self, text: &str) {
        let digest = Sha256::digest(text).into();
        *self.digest.write().unwrap_or_else(PoisonError::into_inner) = digest;
    }

    /// What is kept of it, to be part of a key.
    pub(super) fn digest(&self) -> [u8; 32] {
        *self.digest.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `candidate` is the secret, in a time that depends on neither.
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
