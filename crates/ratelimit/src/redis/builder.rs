use std::fmt;

use tidegate_redis::{Client, ClockPrelude, Keyspace};

use super::scripts::Time;
use super::{RedisAlgorithm, RedisLimiter};
use crate::{BlockPolicy, UnsupportedAlgorithm};

/// Builder of a [`RedisLimiter`]; see [`RedisLimiter::builder`].
pub struct RedisLimiterBuilder<A> {
    pub(super) name: String,
    pub(super) algorithm: A,
    pub(super) policy: Option<BlockPolicy>,
    pub(super) client: Client,
    pub(super) keyspace: Keyspace,
    pub(super) time: Time,
}

impl<A: RedisAlgorithm> RedisLimiterBuilder<A> {
    pub(super) fn new(name: String, algorithm: A, client: Client, keyspace: Keyspace) -> Self {
        Self { name, algorithm, policy: None, client, keyspace, time: Time::SERVER }
    }

    /// Blocks a key that exceeds its limit. By default it only waits until the cost fits again.
    #[must_use]
    pub fn block(mut self, policy: BlockPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Sets a clock for tests; the server's clock by default.
    #[doc(hidden)]
    #[must_use]
    pub fn test_clock(mut self, clock: ClockPrelude) -> Self {
        self.time = Time::of_test(clock);
        self
    }

    /// Builds the limiter. Sends nothing.
    ///
    /// # Errors
    /// [`UnsupportedAlgorithm`] if a script cannot make the same decisions as the algorithm.
    pub fn build(self) -> Result<RedisLimiter<A>, UnsupportedAlgorithm> {
        self.algorithm.ensure_supported()?;
        Ok(RedisLimiter::from_builder(self))
    }
}

impl<A: RedisAlgorithm> fmt::Debug for RedisLimiterBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimiterBuilder")
            .field("name", &self.name)
            .field("algorithm", &self.algorithm.name())
            .field("block", &self.policy)
            .finish_non_exhaustive()
    }
}
