//! Tenant plans, with a number so that the newest one wins.

use serde::{Deserialize, Serialize};

use super::tiers::TierName;
use super::{Overrides, Tier, TierLimits};
use crate::{Quota, QuotaError};

/// The name of a tier, the tenant's own limits, and the epoch of both. Serializes as `tier`,
/// `limits` (the tenant's own), `effective_limits` (those of the tier, replaced by the tenant's
/// own) and `epoch`.
///
/// Each change of a tenant's plan needs a higher epoch than the previous one. The application that
/// stores the plans assigns epochs, for example from a column that grows with each update. A
/// limiter stores the plan with the highest epoch that it has received, and applies it even if a
/// check passes an older one. A plan without an epoch (zero) is never stored. It applies only to
/// the check that passes it, and only if no plan is stored.
///
/// ```
/// # use tidegate_ratelimit::{Overrides, TenantPlan, Tier};
/// let own = Overrides { per_minute: Some(90), ..Overrides::default() };
/// let plan = TenantPlan::try_new(Tier::FREE, own)?.at_epoch(7);
/// assert_eq!(
///     (plan.limits().per_minute(), plan.limits().per_hour(), plan.epoch()),
///     (90, 1_000, 7),
/// );
/// assert_eq!(plan.overrides(), own);
/// # Ok::<_, tidegate_ratelimit::QuotaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct TenantPlan {
    tier: TierName,
    limits: TierLimits,
    /// Which limits are the tenant's own: minute, hour, day, users.
    own: [bool; 4],
    epoch: u64,
}

impl TenantPlan {
    /// Maximum epoch, 2⁵³ − 1, so that stores that count with doubles compare it exactly.
    pub const MAX_EPOCH: u64 = Quota::MAX_LIMIT;

    /// Creates a plan from the tier's limits and the overrides, without an epoch.
    ///
    /// # Errors
    /// [`QuotaError`] if an override is zero or above [`Quota::MAX_LIMIT`].
    pub fn try_new(tier: Tier, overrides: Overrides) -> Result<Self, QuotaError> {
        if overrides.max_users == Some(0) {
            return Err(QuotaError::ZeroLimit);
        }
        let Overrides { per_minute, per_hour, per_day, max_users } = overrides;
        let own = [per_minute.is_some(), per_hour.is_some(), per_day.is_some(), max_users.is_some()];
        Ok(Self { tier: tier.name, limits: tier.limits().with_overrides(&overrides)?, own, epoch: 0 })
    }

    /// The same plan with an epoch, limited to [`MAX_EPOCH`](Self::MAX_EPOCH).
    #[must_use]
    pub const fn at_epoch(self, epoch: u64) -> Self {
        Self { epoch: if epoch < Self::MAX_EPOCH { epoch } else { Self::MAX_EPOCH }, ..self }
    }

    /// The name of the tier.
    pub fn tier(&self) -> &str {
        self.tier.as_str()
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

    /// The effective limits: those of the tier, replaced by the tenant's own.
    pub const fn limits(&self) -> &TierLimits {
        &self.limits
    }

    /// The plan's version among the tenant's plans. Zero if it has none.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The plan that applies if `kept` is stored and `brought` is passed with a request.
    pub(crate) fn or_newer(kept: Option<Self>, brought: &Self) -> Self {
        // With equal epochs the passed plan applies: a new release may change a tier's limits.
        kept.filter(|kept| kept.epoch > brought.epoch).unwrap_or(*brought)
    }

    /// The same plan with one of `parts` equal shares of each limit, each at least 1.
    #[cfg(feature = "redis")]
    pub(crate) fn share(&self, parts: std::num::NonZeroU32) -> Self {
        Self { limits: self.limits.share(parts), ..*self }
    }

    /// The same plan with the larger of both plans' limits.
    #[cfg(feature = "redis")]
    pub(crate) fn with_greatest(&self, other: &Self) -> Self {
        Self { limits: self.limits.greatest(other.limits()), ..*self }
    }

    #[cfg(feature = "redis")]
    pub(crate) const fn own(&self) -> [bool; 4] {
        self.own
    }

    #[cfg(feature = "redis")]
    pub(crate) const fn of_parts(tier: TierName, limits: TierLimits, own: [bool; 4], epoch: u64) -> Self {
        Self { tier, limits, own, epoch }
    }
}

/// The tier's default plan, without an epoch.
impl From<Tier> for TenantPlan {
    fn from(tier: Tier) -> Self {
        Self { tier: tier.name, limits: tier.limits(), own: [false; 4], epoch: 0 }
    }
}

/// Limits without a tier and an epoch: those of an enterprise tenant with its own limits.
impl From<TierLimits> for TenantPlan {
    fn from(limits: TierLimits) -> Self {
        let own = [true, true, true, limits.max_users().is_some()];
        Self { tier: Tier::ENTERPRISE.name, limits, own, epoch: 0 }
    }
}

/// The serialized form.
#[derive(Serialize, Deserialize)]
struct Parts {
    tier: TierName,
    /// Serialized under the name with which they are set.
    #[serde(rename = "limits")]
    overrides: Overrides,
    effective_limits: TierLimits,
    #[serde(default)]
    epoch: u64,
}

impl TryFrom<Parts> for TenantPlan {
    type Error = QuotaError;

    fn try_from(parts: Parts) -> Result<Self, QuotaError> {
        let effective = Tier { name: parts.tier, limits: parts.effective_limits };
        Ok(Self::try_new(effective, parts.overrides)?.at_epoch(parts.epoch))
    }
}

impl From<TenantPlan> for Parts {
    fn from(plan: TenantPlan) -> Self {
        Self { tier: plan.tier, overrides: plan.overrides(), effective_limits: plan.limits, epoch: plan.epoch }
    }
}
