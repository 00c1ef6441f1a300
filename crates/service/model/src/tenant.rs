//! Tenants and their API keys.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use compact_str::CompactString;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_base::clock;
use tidegate_ratelimit::Tiers;

/// A tier, the tenant's own limits over it, and the epoch of both.
pub use tidegate_ratelimit::TenantPlan as Plan;

/// The tiers of the tenants. The tables allow these names alone.
pub static TIERS: LazyLock<Tiers> = LazyLock::new(Tiers::default);

/// Longest tenant id in bytes.
const MAX_ID: usize = 64;

/// Name of a tenant in paths, keys and logs: 1 to 64 of `a–z`, `A–Z`, `0–9`, `.`, `_` and `-`,
/// starting with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(CompactString);

/// The text is not a valid tenant id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tenant id is 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-', and starts with a letter or digit")]
pub struct TenantIdError;

impl TenantId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = TenantIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let goes_on_well = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if starts_well && goes_on_well && text.len() <= MAX_ID { Ok(Self(text.into())) } else { Err(TenantIdError) }
    }
}

impl TryFrom<String> for TenantId {
    type Error = TenantIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A customer of the application, with its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name in paths and keys.
    pub id: TenantId,
    /// Its display name.
    pub name: String,
    /// Its tier, and its own limits.
    #[serde(flatten)]
    pub plan: Plan,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl Tenant {
    /// Creates a tenant. The epoch of its plan is the current time. So it is later than the epoch
    /// of an earlier tenant with the same id in a database that is gone.
    pub fn create(id: TenantId, name: String, plan: Plan) -> Self {
        let created_at = clock::now();
        Self { id, name, plan: plan.at_epoch(epoch_at(created_at)), created_at }
    }
}

/// Returns the plan that follows another one. Its epoch is the current time, or one later than the
/// other's epoch if that is greater.
pub fn successor(plan: Plan, before: &Plan) -> Plan {
    plan.at_epoch(epoch_at(clock::now()).max(before.epoch().saturating_add(1)))
}

/// Epochs are milliseconds, so that a database restored from a backup does not reuse epochs that it
/// has forgotten.
fn epoch_at(moment: DateTime<Utc>) -> u64 {
    u64::try_from(moment.timestamp_millis()).unwrap_or(0)
}

/// An API key, which is shown once. Only its digest is stored.
pub struct ApiKey(String);

/// The stored digest of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest(pub [u8; 32]);

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each request writes a digest into a cache key, and the formatter is too slow for that.
        f.write_str(HEXLOWER.encode_mut_str(&self.0, &mut [0; 64]))
    }
}

impl FromStr for KeyDigest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let digest = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| NotADigest)?;
        digest.try_into().map(Self).map_err(|_| NotADigest)
    }
}

/// The text is not the digest of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the digest of an API key")]
pub struct NotADigest;

impl ApiKey {
    /// Prefix of every key, by which scanners recognise a leaked one.
    pub const PREFIX: &str = "tk_";
    /// Hexadecimal digits behind the prefix.
    const DIGITS: usize = 64;

    /// Makes a key of 244 random bits.
    pub fn generate() -> Self {
        Self(format!("{}{}{}", Self::PREFIX, uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()))
    }

    /// Returns the text, for the one response that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the digest of a key that a client sent. `None` for a text that cannot be a key.
    pub fn digest_of(text: &str) -> Option<KeyDigest> {
        let digits = text.strip_prefix(Self::PREFIX)?;
        let is_key = digits.len() == Self::DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_key.then(|| KeyDigest(Sha256::digest(text).into()))
    }

    /// Returns the digest to store.
    pub fn digest(&self) -> KeyDigest {
        KeyDigest(Sha256::digest(&self.0).into())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(tk_****)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_confuse_a_path_or_a_key_are_refused() {
        for bad in ["", "-a", ".", "a/b", "a:b", "a b", "ä", "a\0", &"a".repeat(65)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad:?}");
        }
        for good in ["a", "tenant-123", "A.b_c-9", &"a".repeat(64)] {
            assert!(good.parse::<TenantId>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn keys_differ_and_hide() {
        let (one, two) = (ApiKey::generate(), ApiKey::generate());
        assert_ne!(one.digest(), two.digest());
        assert_eq!(ApiKey::digest_of(one.expose()), Some(one.digest()));
        assert_eq!(ApiKey::digest_of("tk_short"), None);
        assert_eq!(ApiKey::digest_of(&one.expose()[1..]), None);
        assert!(!format!("{one:?}").contains(&one.expose()[3..]));
    }
}
