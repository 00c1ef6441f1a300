//! Errors of quotas, checks and tier names.

use std::time::Duration;

/// Reason why a check has no decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The cost can never be admitted, regardless of waiting time.
    #[error("a cost of {cost} can never fit a limit of {limit}")]
    CostExceedsLimit {
        /// The requested cost.
        cost: u64,
        /// Maximum cost that can be admitted.
        limit: u64,
    },
    /// Blocked keys use the whole capacity, so a new key cannot be counted.
    #[error("no room for a new key: all {max_keys} places of its shard are held by blocked keys")]
    Full {
        /// Capacity of the key's shard, in keys.
        max_keys: usize,
    },
    /// The key is longer than [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES), which bounds the memory of
    /// all keys.
    #[error("a key of {length} bytes is longer than {max}")]
    KeyTooLong {
        /// Length of the key, in bytes.
        length: usize,
        /// Maximum length of a key, in bytes.
        max: usize,
    },
    /// The store that holds the states did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A store outside this process could not be reached, or its reply was invalid. Only limiters with
/// such a store return it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limiter's store gave no answer: {detail}")]
pub struct StoreError {
    detail: Box<str>,
    transient: bool,
    may_have_charged: bool,
}

impl StoreError {
    /// Creates an error of a store. Limiters outside this crate can use it too.
    pub fn new(detail: impl Into<Box<str>>) -> Self {
        Self { detail: detail.into(), transient: false, may_have_charged: false }
    }

    /// Marks the error as transient: the same check may succeed later without any intervention.
    #[must_use]
    pub fn transient(self) -> Self {
        Self { transient: true, ..self }
    }

    /// Marks that the cost may have been charged, at most once, although there was no reply.
    #[must_use]
    pub fn maybe_charged(self) -> Self {
        Self { may_have_charged: true, ..self }
    }

    /// Whether the same check may succeed later without any intervention.
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// Whether the cost may have been charged, at most once, although there was no reply.
    pub fn may_have_charged(&self) -> bool {
        self.may_have_charged
    }
}

/// Reason why a [`Quota`](crate::Quota) cannot be built or applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotaError {
    /// The limit is zero and would never admit anything.
    #[error("a limit must be at least 1")]
    ZeroLimit,
    /// The limit is above [`Quota::MAX_LIMIT`](crate::Quota::MAX_LIMIT).
    #[error("a limit of {limit} is above {max}")]
    LimitTooLarge {
        /// The requested limit.
        limit: u64,
        /// Maximum limit.
        max: u64,
    },
    /// The burst is zero and would never admit anything.
    #[error("a burst must be at least 1")]
    ZeroBurst,
    /// The burst is above [`Quota::MAX_LIMIT`](crate::Quota::MAX_LIMIT).
    #[error("a burst of {burst} is above {max}")]
    BurstTooLarge {
        /// The requested burst.
        burst: u64,
        /// Maximum burst.
        max: u64,
    },
    /// The period is zero, longer than [`Quota::MAX_PERIOD`](crate::Quota::MAX_PERIOD), or not a
    /// whole number of microseconds.
    #[error("a period of {period:?} is not between 1 µs and {max:?} in whole microseconds")]
    Period {
        /// The requested period.
        period: Duration,
        /// Maximum period.
        max: Duration,
    },
    /// The rate is above the maximum of a [`SingleLimiter`](crate::SingleLimiter).
    #[error("{} in {:?} is more than {max} a second", .quota.0, .quota.1)]
    TooFast {
        /// The requested limit and period.
        quota: (u64, Duration),
        /// Maximum rate, per second.
        max: u64,
    },
    /// No window has that period.
    #[error("no window is over {period:?}")]
    NoSuchWindow {
        /// The requested period.
        period: Duration,
    },
    /// The burst differs from the limit, and the algorithm does not support bursts.
    #[error("a burst of {burst}, where there is none: leave it out")]
    NoBurst {
        /// The requested burst.
        burst: u64,
    },
    /// The quota is valid, but the algorithm cannot apply it in Redis.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Unsupported(#[from] UnsupportedAlgorithm),
    /// The text is not of the form `100/minute`, `5/15m` or, where a burst is supported,
    /// `100/minute burst 20`.
    #[error("not a quota such as \"100/minute\" or \"5/15m\"")]
    Syntax,
}

/// The algorithm is valid but cannot be applied in Redis.
#[cfg(feature = "redis")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsupportedAlgorithm {
    /// A window with this many segments would be a large value and slow down every check.
    #[error("a sliding window of {segments} segments is above {max}")]
    TooManySegments {
        /// Number of segments of the window.
        segments: u64,
        /// Maximum number of segments per key.
        max: u64,
    },
    /// The empty bucket needs so long to fill that a time in microseconds would not be exact.
    #[error("a token bucket that fills in {fills_in:?} is above {max:?}")]
    TooSlow {
        /// Time in which the empty bucket fills.
        fills_in: Duration,
        /// Maximum time that is exact.
        max: Duration,
    },
}

/// No tier has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a tier: one of {known}")]
pub struct UnknownTier {
    pub(crate) name: String,
    /// The names of all tiers.
    pub(crate) known: String,
}

/// The tier can't be created or added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TierError {
    /// The name has another form.
    #[error("{name:?} is not a name of a tier: 1 to 16 lower-case letters, digits and hyphens")]
    Name {
        /// The name, its first 64 characters.
        name: String,
    },
    /// There are as many tiers as there can be.
    #[error("there are {max} tiers already, which is the maximum")]
    TooMany {
        /// Maximum number of tiers.
        max: usize,
    },
}
