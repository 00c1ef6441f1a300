//! What a tenant has bought, numbered so that the newest wins wherever two meet.

use serde::{Deserialize, Serialize};

use super::{Overrides, Tier, TierLimits};
use crate::{Quota, QuotaError};

/// A tier, the tenant's own limits over it, and the epoch of both. Serializes as `tier`, `limits`
/// (the tenant's own), `effective_limits` (the tier's with those in their place) and `epoch`.
///
/// Each change of a tenant's plan has a greater epoch than the one before; the program that keeps the plans gives them, such as
/// from a column that grows with each update. A limiter keeps the plan with the greatest epoch that it was told of and applies
/// it, whatever an older one a check still brings. A plan without an epoch, zero, is never kept: it holds for the one check that
/// brings it, where none is kept.
///
/// ```
/// # use tidegate_ratelimit::{Overrides, TenantPlan, Tier};
/// let own = Overrides { per_minute: Some(90), ..Overrides::default() };
/// let plan = TenantPlan::try_new(Tier::Free, own)?.at_epoch(7);
/// assert_eq!((plan.limits().per_minute(), plan.limits().per_hour(), plan.epoch()), (90, 1_000, 7));
/// assert_eq!(plan.overrides(), own);
/// # Ok::<_, tidegate_ratelimit::QuotaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct TenantPlan {
    tier: Tier,
    limits: TierLimits,
    /// Which limits are the tenant's own: minute, hour, day, users.
    own: [bool; 4],
    epoch: u64,
}

impl TenantPlan {
    /// The greatest epoch, 2⁵³ − 1: stores that count in doubles compare it exactly.
    pub const MAX_EPOCH: u64 = Quota::MAX_LIMIT;

    /// Lays the overrides over the tier's limits; without an epoch.
    ///
    /// # Errors
    /// [`QuotaError`] when an override is zero or above [`Quota::MAX_LIMIT`].
    pub fn try_new(tier: Tier, overrides: Overrides) -> Result<Self, QuotaError> {
        if overrides.max_users == Some(0) {
            return Err(QuotaError::ZeroLimit);
        }
        let Overrides { per_minute, per_hour, per_day, max_users } = overrides;
        let own = [per_minute.is_some(), per_hour.is_some(), per_day.is_some(), max_users.is_some()];
        Ok(Self { tier, limits: tier.limits().with_overrides(&overrides)?, own, epoch: 0 })
    }

    /// The same plan at an epoch, cut at [`MAX_EPOCH`](Self::MAX_EPOCH).
    #[must_use]
    pub const fn at_epoch(self, epoch: u64) -> Self {
        Self { epoch: if epoch < Self::MAX_EPOCH { epoch } else { Self::MAX_EPOCH }, ..self }
    }

    /// The tier.
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    /// The tenant's own limits.
    pub fn overrides(&self) -> Overrides {
        let [minute, hour, day, users] = self.own;
        Overrides {
            per_minute: minute.then(|| self.limits.per_minute()),
            per_hour: hour.then(|| self.limits.per_hour()),
            per_day: day.then(|| self.limits.per_day()),
            max_users: self.limits.max_users().filter(|_| users),
        }
    }

    /// The limits that come of both.
    pub const fn limits(&self) -> &TierLimits {
        &self.limits
    }

    /// Its place among the tenant's plans; zero where nobody has numbered them.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The plan that applies where this one is kept and `brought` comes with a request.
    pub(crate) fn or_newer(kept: Option<Self>, brought: &Self) -> Self {
        // At the same epoch the brought one holds: two releases of a program may give one tier different limits.
        kept.filter(|kept| kept.epoch > brought.epoch).unwrap_or(*brought)
    }

    /// The same plan with one of so many equal parts of each limit, at least one each.
    #[cfg(feature = "redis")]
    pub(crate) fn share(&self, parts: std::num::NonZeroU32) -> Self {
        Self { limits: self.limits.share(parts), ..*self }
    }

    /// The same plan with the other's limits where those are greater.
    #[cfg(feature = "redis")]
    pub(crate) fn with_greatest(&self, other: &Self) -> Self {
        Self { limits: self.limits.greatest(other.limits()), ..*self }
    }

    #[cfg(feature = "redis")]
    pub(crate) const fn own(&self) -> [bool; 4] {
        self.own
    }

    /// What was kept elsewhere.
    #[cfg(feature = "redis")]
    pub(crate) const fn of_parts(tier: Tier, limits: TierLimits, own: [bool; 4], epoch: u64) -> Self {
        Self { tier, limits, own, epoch }
    }
}

/// A tier as it is sold, without an epoch.
impl From<Tier> for TenantPlan {
    fn from(tier: Tier) -> Self {
        Self { tier, limits: tier.limits(), own: [false; 4], epoch: 0 }
    }
}

/// Limits of no tier, without an epoch: those of an enterprise tenant that has limits of its own.
impl From<TierLimits> for TenantPlan {
    fn from(limits: TierLimits) -> Self {
        let own = [true, true, true, limits.max_users().is_some()];
        Self { tier: Tier::Enterprise, limits, own, epoch: 0 }
    }
}

/// As it is written; the limits follow from the tier and the overrides.
#[derive(Serialize, Deserialize)]
struct Parts {
    tier: Tier,
    /// By the name under which they are set.
    #[serde(rename = "limits")]
    overrides: Overrides,
    #[serde(skip_deserializing)]
    effective_limits: Option<TierLimits>,
    #[serde(default)]
    epoch: u64,
}

impl TryFrom<Parts> for TenantPlan {
    type Error = QuotaError;

    fn try_from(parts: Parts) -> Result<Self, QuotaError> {
        Ok(Self::try_new(parts.tier, parts.overrides)?.at_epoch(parts.epoch))
    }
}

impl From<TenantPlan> for Parts {
    fn from(plan: TenantPlan) -> Self {
        Self { tier: plan.tier, overrides: plan.overrides(), effective_limits: Some(plan.limits), epoch: plan.epoch }
    }
}
