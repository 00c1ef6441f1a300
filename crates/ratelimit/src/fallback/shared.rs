//! The Redis limiter of a fallback, with or without leases.

use std::fmt;

use crate::redis::{Asked, Said};
use crate::{CheckError, LeasedLimiter, Limiter, RedisAlgorithm, RedisLimiter};

/// A limiter in Redis, with or without leases, from which a
/// [`FallbackLimiter`](super::FallbackLimiter) falls back.
pub enum SharedLimiter<A: RedisAlgorithm> {
    /// Sends each check to Redis.
    Direct(Box<RedisLimiter<A>>),
    /// Admits from leases if possible. Leases that are valid when an outage begins are used up.
    Leased(Box<LeasedLimiter<A>>),
}

impl<A: RedisAlgorithm> From<RedisLimiter<A>> for SharedLimiter<A> {
    fn from(limiter: RedisLimiter<A>) -> Self {
        Self::Direct(Box::new(limiter))
    }
}

impl<A: RedisAlgorithm> From<LeasedLimiter<A>> for SharedLimiter<A> {
    fn from(limiter: LeasedLimiter<A>) -> Self {
        Self::Leased(Box::new(limiter))
    }
}

impl<A: RedisAlgorithm> SharedLimiter<A> {
    pub(super) fn redis(&self) -> &RedisLimiter<A> {
        match self {
            Self::Direct(limiter) => limiter,
            Self::Leased(limiter) => limiter.shared(),
        }
    }

    pub(super) fn as_limiter(&self) -> &dyn Limiter {
        match self {
            Self::Direct(limiter) => &**limiter,
            Self::Leased(limiter) => &**limiter,
        }
    }

    /// Same as a check, but not counted. Reports through `asked` when it sends a request.
    pub(super) async fn decide(&self, key: &str, cost: u64, asked: &Asked<'_>) -> Result<Said, CheckError> {
        match self {
            Self::Direct(limiter) => {
                asked.begin()?;
                limiter.decide(key, cost).await
            }
            Self::Leased(limiter) => limiter.decide(key, cost, asked).await,
        }
    }
}

impl<A: RedisAlgorithm> fmt::Debug for SharedLimiter<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(limiter) => limiter.fmt(f),
            Self::Leased(limiter) => limiter.fmt(f),
        }
    }
}
