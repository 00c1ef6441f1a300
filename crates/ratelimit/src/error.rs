//! What can be wrong with a quota, a check or a tier's name.

use std::time::Duration;

/// Why a check has no decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// No amount of waiting would let this cost through.
    #[error("a cost of {cost} can never fit a limit of {limit}")]
    CostExceedsLimit {
        /// The cost asked for.
        cost: u64,
        /// The greatest cost that can ever fit.
        limit: u64,
    },
    /// Every place is held by a blocked key, so a new key can't be counted.
    #[error("no room for a new key: all {max_keys} places of its shard are held by blocked keys")]
    Full {
        /// The places of the shard that the key belongs to.
        max_keys: usize,
    },
    /// The key is longer than [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES), which bounds the memory of all keys.
    #[error("a key of {length} bytes is longer than {max}")]
    KeyTooLong {
        /// Length of the key, in bytes.
        length: usize,
        /// The longest key accepted, in bytes.
        max: usize,
    },
    /// The store that holds the states gave no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A store outside this process could not be asked, or its answer was none. Only limiters that have such a store end in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limiter's store gave no answer: {detail}")]
pub struct StoreError {
    detail: Box<str>,
    transient: bool,
    may_have_charged: bool,
}

impl StoreError {
    /// An error of a store; for implementations of a limiter outside this crate too.
    pub fn new(detail: impl Into<Box<str>>) -> Self {
        Self { detail: detail.into(), transient: false, may_have_charged: false }
    }

    /// Says that the same check may have an answer later without anybody changing anything.
    #[must_use]
    pub fn transient(self) -> Self {
        Self { transient: true, ..self }
    }

    /// Says that the cost may have been charged, once, although there is no answer.
    #[must_use]
    pub fn maybe_charged(self) -> Self {
        Self { may_have_charged: true, ..self }
    }

    /// Whether the same check may have an answer later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// Whether the cost may have been charged, once, although there is no answer.
    pub fn may_have_charged(&self) -> bool {
        self.may_have_charged
    }
}

/// Why a [`Quota`](crate::Quota) can't be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotaError {
    /// A limit of zero admits nothing, ever.
    #[error("a limit must be at least 1")]
    ZeroLimit,
    /// The limit is above [`Quota::MAX_LIMIT`](crate::Quota::MAX_LIMIT).
    #[error("a limit of {limit} is above {max}")]
    LimitTooLarge {
        /// The limit asked for.
        limit: u64,
        /// The greatest limit.
        max: u64,
    },
    /// A burst of zero admits nothing, ever.
    #[error("a burst must be at least 1")]
    ZeroBurst,
    /// The burst is above [`Quota::MAX_LIMIT`](crate::Quota::MAX_LIMIT).
    #[error("a burst of {burst} is above {max}")]
    BurstTooLarge {
        /// The burst asked for.
        burst: u64,
        /// The greatest burst.
        max: u64,
    },
    /// The period is zero, longer than [`Quota::MAX_PERIOD`](crate::Quota::MAX_PERIOD), or not whole microseconds.
    #[error("a period of {period:?} is not between 1 µs and {max:?} in whole microseconds")]
    Period {
        /// The period asked for.
        period: Duration,
        /// The longest period.
        max: Duration,
    },
    /// The rate is above what a [`SingleLimiter`](crate::SingleLimiter) counts.
    #[error("{} in {:?} is more than {max} a second", .quota.0, .quota.1)]
    TooFast {
        /// The limit and the period asked for.
        quota: (u64, Duration),
        /// The greatest rate, a second.
        max: u64,
    },
    /// None of the windows that hold together has that period.
    #[error("no window is over {period:?}")]
    NoSuchWindow {
        /// The period asked for.
        period: Duration,
    },
    /// The quota has a burst other than its limit, and what it is for has none.
    #[error("a burst of {burst}, where there is none: leave it out")]
    NoBurst {
        /// The burst asked for.
        burst: u64,
    },
    /// The quota is right, but the algorithm can't apply it in Redis.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Unsupported(#[from] crate::UnsupportedAlgorithm),
    /// The text isn't of the form `100/minute`, `5/15m` or, for what has a burst, `100/minute burst 20`.
    #[error("not a quota such as \"100/minute\" or \"5/15m\"")]
    Syntax,
}

/// The name is not one of `free`, `basic`, `premium`, `enterprise`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a tier: one of free, basic, premium, enterprise")]
pub struct UnknownTier {
    pub(crate) name: String,
}
