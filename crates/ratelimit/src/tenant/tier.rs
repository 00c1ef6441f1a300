//! Tiers, their limits, and a tenant's own limits.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::tiers::TierName;
use crate::{Quota, QuotaError, TierError};

/// A tier: a name, and the limits of its tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    pub(crate) name: TierName,
    pub(super) limits: TierLimits,
}

impl Tier {
    /// 60 per minute, 1,000 per hour, 10,000 per day, 10 users.
    pub const FREE: Self = Self::known("free", 60, 1_000, 10_000, Some(10));
    /// 120 per minute, 3,000 per hour, 30,000 per day, 50 users.
    pub const BASIC: Self = Self::known("basic", 120, 3_000, 30_000, Some(50));
    /// 300 per minute, 10,000 per hour, 100,000 per day, 200 users.
    pub const PREMIUM: Self = Self::known("premium", 300, 10_000, 100_000, Some(200));
    /// 1,000 per minute, 50,000 per hour, 500,000 per day, unlimited users.
    pub const ENTERPRISE: Self = Self::known("enterprise", 1_000, 50_000, 500_000, None);

    /// Creates a tier. Its name has 1 to 16 lower-case letters, digits and hyphens.
    ///
    /// # Errors
    /// [`TierError::Name`] if the name has another form.
    pub fn new(name: &str, limits: TierLimits) -> Result<Self, TierError> {
        let name = TierName::new(name).ok_or_else(|| TierError::Name { name: name.chars().take(64).collect() })?;
        Ok(Self { name, limits })
    }

    /// The tier's name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The limits of the tier.
    pub const fn limits(&self) -> TierLimits {
        self.limits
    }

    /// Runs at compile time only.
    const fn known(name: &str, per_minute: u64, per_hour: u64, per_day: u64, max_users: Option<u32>) -> Self {
        match (TierName::new(name), TierLimits::new(per_minute, per_hour, per_day, max_users)) {
            (Some(name), Ok(limits)) => Self { name, limits },
            _ => unreachable!(),
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The limits of a tenant. Serializes as `per_minute`, `per_hour`, `per_day`, `max_users`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Figures", into = "Figures")]
pub struct TierLimits {
    minute: Quota,
    hour: Quota,
    day: Quota,
    max_users: Option<u32>,
}

/// A tenant's own limits, each of which replaces that of its tier. Unknown fields are an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    /// Requests in any minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u64>,
    /// Requests in each hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<u64>,
    /// Requests in each day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u64>,
    /// Maximum number of users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_users: Option<u32>,
}

impl TierLimits {
    /// Creates limits per minute, hour and day, and of users (`None` if unlimited).
    ///
    /// # Errors
    /// [`QuotaError`] if a limit is zero or above [`Quota::MAX_LIMIT`].
    pub const fn new(per_minute: u64, per_hour: u64, per_day: u64, max_users: Option<u32>) -> Result<Self, QuotaError> {
        // `?` isn't const.
        match (Quota::per_minute(per_minute), Quota::per_hour(per_hour), Quota::per_day(per_day)) {
            (Ok(minute), Ok(hour), Ok(day)) => Ok(Self { minute, hour, day, max_users }),
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => Err(error),
        }
    }

    /// These limits, replaced by a tenant's own where those are set.
    ///
    /// # Errors
    /// As [`TierLimits::new`].
    pub fn with_overrides(&self, overrides: &Overrides) -> Result<Self, QuotaError> {
        Self::new(
            overrides.per_minute.unwrap_or(self.per_minute()),
            overrides.per_hour.unwrap_or(self.per_hour()),
            overrides.per_day.unwrap_or(self.per_day()),
            overrides.max_users.or(self.max_users),
        )
    }

    /// Requests in any minute.
    pub const fn per_minute(&self) -> u64 {
        self.minute.limit()
    }

    /// Requests in each hour.
    pub const fn per_hour(&self) -> u64 {
        self.hour.limit()
    }

    /// Requests in each day.
    pub const fn per_day(&self) -> u64 {
        self.day.limit()
    }

    /// Maximum number of users. `None` if unlimited.
    pub const fn max_users(&self) -> Option<u32> {
        self.max_users
    }

    /// Maximum cost that fits all windows.
    pub(crate) fn smallest(&self) -> u64 {
        self.per_minute().min(self.per_hour()).min(self.per_day())
    }

    /// One of `parts` equal shares of each limit, each at least 1.
    #[cfg(feature = "redis")]
    pub(crate) fn share(&self, parts: std::num::NonZeroU32) -> Self {
        let [minute, hour, day] = self.quotas().map(|quota| quota.share(parts));
        Self { minute, hour, day, ..*self }
    }

    /// The larger limit of each window.
    #[cfg(feature = "redis")]
    pub(crate) fn greatest(&self, other: &Self) -> Self {
        let greater = |one: Quota, other: Quota| if one.limit() < other.limit() { other } else { one };
        Self {
            minute: greater(self.minute, other.minute),
            hour: greater(self.hour, other.hour),
            day: greater(self.day, other.day),
            ..*self
        }
    }

    pub(crate) const fn quotas(&self) -> [Quota; 3] {
        [self.minute, self.hour, self.day]
    }
}

#[derive(Serialize, Deserialize)]
struct Figures {
    per_minute: u64,
    per_hour: u64,
    per_day: u64,
    max_users: Option<u32>,
}

impl From<TierLimits> for Figures {
    fn from(limits: TierLimits) -> Self {
        Self {
            per_minute: limits.per_minute(),
            per_hour: limits.per_hour(),
            per_day: limits.per_day(),
            max_users: limits.max_users,
        }
    }
}

impl TryFrom<Figures> for TierLimits {
    type Error = QuotaError;

    fn try_from(figures: Figures) -> Result<Self, QuotaError> {
        Self::new(figures.per_minute, figures.per_hour, figures.per_day, figures.max_users)
    }
}
