//! The options of limiters whose states are in Redis.

use std::fmt;

use tidegate_redis::{Client, ClockPrelude, Keyspace};

use super::scripts::Time;
use super::{RedisAlgorithm, RedisLimiter};
use crate::UnsupportedAlgorithm;
use crate::limiter::LimiterBuilder;

/// Builder of a [`RedisLimiter`]; see [`RedisLimiter::builder`].
pub type RedisLimiterBuilder<A> = LimiterBuilder<A, InRedis>;

/// States in Redis, which all processes with the same name and keyspace share.
pub struct InRedis {
    pub(super) client: Client,
    pub(super) keyspace: Keyspace,
    pub(super) time: Time,
}

impl InRedis {
    pub(super) fn new(client: Client, keyspace: Keyspace) -> Self {
        Self { client, keyspace, time: Time::SERVER }
    }
}

impl<A> LimiterBuilder<A, InRedis> {
    /// Sets a clock for tests; the server's clock by default.
    #[doc(hidden)]
    #[must_use]
    pub fn test_clock(mut self, clock: ClockPrelude) -> Self {
        self.states.time = Time::of_test(clock);
        self
    }
}

impl<A: RedisAlgorithm> LimiterBuilder<A, InRedis> {
    /// Builds the limiter. Sends nothing.
    ///
    /// # Errors
    /// [`UnsupportedAlgorithm`] if a script cannot make the same decisions as the algorithm.
    pub fn build(self) -> Result<RedisLimiter<A>, UnsupportedAlgorithm> {
        self.algorithm.ensure_supported()?;
        Ok(RedisLimiter::from_builder(self))
    }
}

impl fmt::Debug for InRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InRedis").finish_non_exhaustive()
    }
}
