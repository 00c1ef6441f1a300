//! The key with which the dashboard signs sessions and forms.

use cookie::{Cookie, CookieJar, Key};
use sha2::{Digest, Sha256, Sha512};
use tidegate_settings::{Settings, Tokens};
use uuid::Uuid;

/// Signs and verifies texts in the cookies and forms of the dashboard.
pub struct PagesKey {
    /// `None` if no token is set.
    tokens: Option<Tokens>,
    salt: [u8; 32],
}

impl PagesKey {
    /// Derives the key from the tokens and 128 random bits that only this installation's database
    /// stores. From tokens alone, a client could check guesses against a form offline, and the
    /// owner of one token could forge another's session. Without tokens it is random, since nothing
    /// has to outlive the process.
    pub fn new(settings: &Settings, installation: &str) -> Self {
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

    /// Returns the key of a purpose. Each purpose has its own, because the crate's signature does
    /// not cover the name of a cookie.
    fn of(&self, purpose: &str) -> Key {
        // 512 bits, because that is the length of a `Key`.
        let mut digest = Sha512::new();
        digest.update(self.bytes());
        digest.update(purpose);
        Key::from(&digest.finalize())
    }

    /// Returns `text` with its signature for that purpose only, as a value for a cookie.
    pub fn sign(&self, purpose: &str, text: &str) -> String {
        let mut jar = CookieJar::new();
        jar.signed_mut(&self.of(purpose)).add((purpose.to_owned(), text.to_owned()));
        jar.get(purpose).map(|signed| signed.value().to_owned()).unwrap_or_default()
    }

    /// Returns the text if it was signed for that purpose. Takes constant time.
    pub fn verify(&self, purpose: &str, signed: &str) -> Option<String> {
        let cookie = Cookie::new(purpose.to_owned(), signed.to_owned());
        let verified = CookieJar::new().signed(&self.of(purpose)).verify(cookie)?;
        Some(verified.value().to_owned())
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
    #[test]
    fn a_signature_counts_for_its_purpose_alone() {
        let key = PagesKey::with_salt([1; 32]);
        let signed = key.sign("session", "admin.1.abc");
        assert_eq!(key.verify("session", &signed).as_deref(), Some("admin.1.abc"));
        assert_eq!(key.verify("form", &signed), None);
        assert_eq!(PagesKey::with_salt([2; 32]).verify("session", &signed), None);
        // The first characters are the signature: 32 bytes in base64.
        for at in 0..signed.len() {
            let mut changed = signed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.verify("session", std::str::from_utf8(&changed).unwrap()), None, "{at}");
        }
    }
}
