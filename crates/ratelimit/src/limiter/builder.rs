use std::fmt;

use super::{DEFAULT_MAX_KEYS, MemoryLimiter};
use crate::{Algorithm, BlockPolicy, Clock};

/// Builder of a [`MemoryLimiter`]; see [`MemoryLimiter::builder`].
pub struct MemoryLimiterBuilder<A> {
    pub(super) name: String,
    pub(super) algorithm: A,
    pub(super) policy: Option<BlockPolicy>,
    pub(super) max_keys: usize,
    pub(super) clock: Clock,
}

impl<A: Algorithm> MemoryLimiterBuilder<A> {
    pub(super) fn new(name: String, algorithm: A) -> Self {
        Self { name, algorithm, policy: None, max_keys: DEFAULT_MAX_KEYS, clock: Clock::system() }
    }

    /// Blocks a key that exceeds its limit. By default it only waits until the cost fits again.
    #[must_use]
    pub fn block(mut self, policy: BlockPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Sets the maximum number of keys; at least one, 100,000 by default. Above 2,047 the cap is
    /// divided among shards, so a shard may evict shortly before the limiter as a whole is full.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    /// Sets the clock; the system clock by default.
    #[must_use]
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Builds the limiter.
    pub fn build(self) -> MemoryLimiter<A> {
        MemoryLimiter::from_builder(self)
    }
}

impl<A: Algorithm> fmt::Debug for MemoryLimiterBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimiterBuilder")
            .field("name", &self.name)
            .field("algorithm", &self.algorithm.name())
            .field("block", &self.policy)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
