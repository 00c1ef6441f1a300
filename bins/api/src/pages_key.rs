//! The key with which the dashboard signs sessions and forms.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use tidegate_settings::{Settings, Tokens};
use uuid::Uuid;

pub(crate) struct PagesKey {
    /// `None` if no token is set.
    tokens: Option<Tokens>,
    salt: [u8; 32],
}

impl PagesKey {
    /// Derives the key from the tokens and 128 random bits that only this installation's database
    /// stores. From tokens alone, a client could check guesses against a form offline, and the
    /// owner of one token could forge another's session. Without tokens it is random, since nothing
    /// has to outlive the process.
    pub(crate) fn new(settings: &Settings, installation: &str) -> Self {
        let tokens = settings.tokens.any().then(|| settings.tokens.clone());
        let mut salt = Sha256::new();
        if tokens.is_some() {
            salt.update(installation);
        } else {
            salt.update(Uuid::new_v4());
            salt.update(Uuid::new_v4());
        }
        Self { tokens, salt: salt.finalize().into() }
    }

    /// Computed at each use: a token may be replaced while the process runs, which ends the
    /// sessions before it.
    fn bytes(&self) -> [u8; 32] {
        let Some(tokens) = &self.tokens else { return self.salt };
        let mut digest = Sha256::new();
        digest.update(tokens.derive("pages"));
        digest.update(self.salt);
        digest.finalize().into()
    }

    /// Returns the code of `text` for that purpose only.
    pub(crate) fn sign(&self, purpose: &str, text: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.bytes()).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }

    #[cfg(test)]
    pub(crate) const fn with_salt(salt: [u8; 32]) -> Self {
        Self { tokens: None, salt }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_settings::RawSettings;

    use super::*;

    #[test]
    fn tokens_alone_make_no_key() {
        let tokens = [("TIDEGATE_ADMIN_TOKEN", "admin-token-0123456789")];
        let tokens = tokens.map(|(name, value)| (name.into(), value.into()));
        let settings = RawSettings::load(None, tokens).unwrap().check().unwrap();
        let key = |installation| PagesKey::new(&settings, installation).bytes();
        assert_eq!(key("a"), key("a"), "every instance of one has the same");
        assert_ne!(key("a"), key("b"));
        assert_ne!(key("a"), settings.tokens.derive("pages"));
    }
}
