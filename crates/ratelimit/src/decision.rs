//! The answer to a check.

use std::time::Duration;

use crate::Quota;

/// Whether a cost was admitted, with what a client needs to pace itself.
///
/// All durations count from the moment of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a decision that nobody obeys limits nothing"]
pub enum Decision {
    /// Admitted and charged.
    Allowed(Allowance),
    /// Refused; nothing was charged.
    Denied(Denial),
}

/// What is left after a cost was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The quota that was applied.
    pub quota: Quota,
    /// The greatest amount that can be available at once.
    pub limit: u64,
    /// What is available now.
    pub remaining: u64,
    /// Until all of `limit` is available again, if nothing more is charged.
    pub reset_after: Duration,
    /// How long to wait before going ahead: a place in the line of a
    /// [`LeakyBucket::queue`](crate::LeakyBucket::queue), zero with all others.
    pub delay: Duration,
}

/// Why not, and when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The quota that was applied.
    pub quota: Quota,
    /// The greatest amount that can be available at once.
    pub limit: u64,
    /// What is available now: less than the cost, zero while blocked.
    pub remaining: u64,
    /// Until all of `limit` is available, if nothing more is charged.
    pub reset_after: Duration,
    /// The earliest moment at which the same cost is admitted, if nothing more is charged.
    pub retry_after: Duration,
    /// What is left of the key's block, if it is blocked.
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

    /// The greatest amount that can be available at once.
    pub const fn limit(&self) -> u64 {
        match self {
            Self::Allowed(allowance) => allowance.limit,
            Self::Denied(denial) => denial.limit,
        }
    }

    /// What is available now, after this decision.
    pub const fn remaining(&self) -> u64 {
        match self {
            Self::Allowed(allowance) => allowance.remaining,
            Self::Denied(denial) => denial.remaining,
        }
    }

    /// Until all of the limit is available again, if nothing more is charged.
    pub const fn reset_after(&self) -> Duration {
        match self {
            Self::Allowed(allowance) => allowance.reset_after,
            Self::Denied(denial) => denial.reset_after,
        }
    }

    /// When the same cost would be admitted; `None` if it just was.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Allowed(_) => None,
            Self::Denied(denial) => Some(denial.retry_after),
        }
    }

    /// What is left of the key's block, if it is blocked.
    pub const fn blocked_for(&self) -> Option<Duration> {
        match self {
            Self::Allowed(_) => None,
            Self::Denied(denial) => denial.blocked_for,
        }
    }

    /// How long to wait before going ahead, where that was admitted.
    pub const fn delay(&self) -> Duration {
        match self {
            Self::Allowed(allowance) => allowance.delay,
            Self::Denied(_) => Duration::ZERO,
        }
    }

    /// Admitted by something else than the quota: nothing is charged and all is left.
    pub(crate) fn uncounted(quota: Quota) -> Self {
        let (limit, zero) = (quota.limit(), Duration::ZERO);
        Self::Allowed(Allowance { quota, limit, remaining: limit, reset_after: zero, delay: zero })
    }

    /// This decision, where it admits, with a time to wait before going ahead.
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
