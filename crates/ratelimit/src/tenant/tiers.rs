//! The tiers of an application, and their names.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Tier;
use crate::{TierError, UnknownTier};

/// Maximum number of tiers. Redis stores the position of a tier in one byte.
const MAX_TIERS: usize = 255;

/// The tiers of an application, in order. Cheap to clone.
///
/// By default there are four: `free`, `basic`, `premium` and `enterprise`. [`with`](Self::with)
/// adds others, or changes the limits of one.
///
/// ```
/// # use tidegate_ratelimit::{TenantPlan, Tier, TierLimits, Tiers};
/// let startup = Tier::new("startup", TierLimits::new(200, 5_000, 50_000, Some(25))?)?;
/// let tiers = Tiers::default().with(startup)?;
/// let plan = TenantPlan::from(tiers.get("startup")?);
/// assert_eq!((plan.tier(), plan.limits().per_minute()), ("startup", 200));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// A limiter in Redis stores the **position** of a plan's tier, so all processes need the same
/// order: append tiers, and keep those that are no longer sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiers(Arc<[Tier]>);

impl Tiers {
    /// Appends a tier, or replaces the limits of the tier with its name.
    ///
    /// # Errors
    /// [`TierError::TooMany`] above 255 tiers.
    pub fn with(&self, tier: Tier) -> Result<Self, TierError> {
        let mut tiers = self.0.to_vec();
        match tiers.iter().position(|known| known.name() == tier.name()) {
            Some(at) => tiers[at] = tier,
            None if tiers.len() == MAX_TIERS => return Err(TierError::TooMany { max: MAX_TIERS }),
            None => tiers.push(tier),
        }
        Ok(Self(tiers.into()))
    }

    /// The tier with this name.
    ///
    /// # Errors
    /// [`UnknownTier`], which names all tiers.
    pub fn get(&self, name: &str) -> Result<Tier, UnknownTier> {
        let tier = self.iter().find(|tier| tier.name() == name).copied();
        tier.ok_or_else(|| {
            let known: Vec<&str> = self.iter().map(Tier::name).collect();
            UnknownTier { name: name.chars().take(64).collect(), known: known.join(", ") }
        })
    }

    /// All tiers, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Tier> {
        self.0.iter()
    }
}

impl Default for Tiers {
    fn default() -> Self {
        Self([Tier::FREE, Tier::BASIC, Tier::PREMIUM, Tier::ENTERPRISE].into())
    }
}

/// The name of a tier, padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct TierName([u8; Self::MAX_BYTES]);

impl TierName {
    const MAX_BYTES: usize = 16;

    /// Returns `None` if the name has another form than a tier's.
    pub(crate) const fn new(name: &str) -> Option<Self> {
        let name = name.as_bytes();
        if name.is_empty() || name.len() > Self::MAX_BYTES {
            return None;
        }
        let (mut bytes, mut at) = ([0; Self::MAX_BYTES], 0);
        while at < name.len() {
            if !matches!(name[at], b'a'..=b'z' | b'0'..=b'9' | b'-') {
                return None;
            }
            bytes[at] = name[at];
            at += 1;
        }
        Some(Self(bytes))
    }

    pub(crate) fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::MAX_BYTES);
        // It has ASCII alone.
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }
}

impl fmt::Debug for TierName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl TryFrom<String> for TierName {
    type Error = TierError;

    fn try_from(name: String) -> Result<Self, TierError> {
        Self::new(&name).ok_or(TierError::Name { name })
    }
}

impl From<TierName> for String {
    fn from(name: TierName) -> Self {
        name.as_str().to_owned()
    }
}
