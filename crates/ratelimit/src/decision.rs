//! The result of a check.

use std::time::Duration;

use crate::Quota;

/// Whether a cost was admitted, with the figures that a client needs to pace itself.
///
/// All durations are relative to the time of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a decision that nobody obeys limits nothing"]
pub enum Decision {
    /// Admitted and charged.
    Allowed(Allowance),
    /// Refused; nothing was charged.
    Denied(Denial),
}

/// Figures of an admitted cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The quota that was applied.
    pub quota: Quota,
    /// Maximum amount that can be available at once.
    pub limit: u64,
    /// Amount that is available now.
    pub remaining: u64,
    /// Time until all of `limit` is available again, if nothing else is charged.
    pub reset_after: Duration,
    /// Time to wait before proceeding: the delay of a
    /// [`LeakyBucket::queue`](crate::LeakyBucket::queue). Zero with all other algorithms.
    pub delay: Duration,
}

/// Figures of a refused cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The quota that was applied.
    pub quota: Quota,
    /// Maximum amount that can be available at once.
    pub limit: u64,
    /// Amount that is available now: less than the cost, zero while the key is blocked.
    pub remaining: u64,
    /// Time until all of `limit` is available, if nothing else is charged.
    pub reset_after: Duration,
    /// Time until the same cost is admitted, if nothing else is charged.
    pub retry_after: Duration,
    /// Remaining time of the key's block. `None` if the key is not blocked.
    pub blocked_for: Option<Duration>,
}

impl Decision {
    /// Whether the cost was admitted.
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// The quota that was applied.
    pub const fn quota(&self) -> Quota {
        match self {
            Self::Allowed(allowance) => allowance.quota,
            Self::Denied(denial) => denial.quota,
        }
    }

    /// Maximum amount that can be available at once.
    pub const fn limit(&self) -> u64 {
        match self {
            Self::Allowed(allowance) => allowance.limit,
            Self::Denied(denial) => denial.limit,
        }
    }

    /// Amount that is available after this decision.
    pub const fn remaining(&self) -> u64 {
        match self {
            Self::Allowed(allowance) => allowance.remaining,
            Self::Denied(denial) => denial.remaining,
        }
    }

    /// Time until all of the limit is available again, if nothing else is charged.
    pub const fn reset_after(&self) -> Duration {
        match self {
            Self::Allowed(allowance) => allowance.reset_after,
            Self::Denied(denial) => denial.reset_after,
        }
    }

    /// Time until the same cost would be admitted. `None` if it was admitted.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Allowed(_) => None,
            Self::Denied(denial) => Some(denial.retry_after),
        }
    }

    /// Remaining time of the key's block. `None` if the key is not blocked.
    pub const fn blocked_for(&self) -> Option<Duration> {
        match self {
            Self::Allowed(_) => None,
            Self::Denied(denial) => denial.blocked_for,
        }
    }

    /// Time to wait before proceeding. Zero if the cost was refused.
    pub const fn delay(&self) -> Duration {
        match self {
            Self::Allowed(allowance) => allowance.delay,
            Self::Denied(_) => Duration::ZERO,
        }
    }

    /// An admission that does not depend on the quota: nothing is charged, the full limit remains.
    pub(crate) fn uncounted(quota: Quota) -> Self {
        let (limit, zero) = (quota.limit(), Duration::ZERO);
        Self::Allowed(Allowance { quota, limit, remaining: limit, reset_after: zero, delay: zero })
    }

    pub(crate) fn delayed(self, delay: Duration) -> Self {
        match self {
            Self::Allowed(allowance) => Self::Allowed(Allowance { delay, ..allowance }),
            Self::Denied(_) => self,
        }
    }

    /// This decision as a refusal that lasts at least `block`.
    pub(crate) fn blocked(self, block: Duration) -> Self {
        Self::Denied(Denial {
            quota: self.quota(),
            limit: self.limit(),
            remaining: 0,
            reset_after: self.reset_after().max(block),
            retry_after: self.retry_after().unwrap_or_default().max(block),
            blocked_for: Some(block),
        })
    }
}
