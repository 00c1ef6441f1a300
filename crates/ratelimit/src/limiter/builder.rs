//! The builder of every limiter that counts: in memory, or in Redis.

use std::fmt;

use super::{DEFAULT_MAX_KEYS, MemoryLimiter};
use crate::{Algorithm, BlockPolicy, Clock};

/// Builder of a limiter that applies `A` to each key, and keeps the states in `S`: [`InMemory`], or
/// `InRedis` with the feature `redis`.
pub struct LimiterBuilder<A, S> {
    pub(crate) name: String,
    pub(crate) algorithm: A,
    pub(crate) policy: Option<BlockPolicy>,
    pub(crate) states: S,
}

/// Builder of a [`MemoryLimiter`]; see [`MemoryLimiter::builder`].
pub type MemoryLimiterBuilder<A> = LimiterBuilder<A, InMemory>;

/// States in the memory of this process.
#[derive(Debug)]
pub struct InMemory {
    pub(super) max_keys: usize,
    pub(super) clock: Clock,
}

impl<A, S> LimiterBuilder<A, S> {
    pub(crate) fn new(name: String, algorithm: A, states: S) -> Self {
        Self { name, algorithm, policy: None, states }
    }

    /// Blocks a key that exceeds its limit. By default it only waits until the cost fits again.
    #[must_use]
    pub fn block(mut self, policy: BlockPolicy) -> Self {
        self.policy = Some(policy);
        self
    }
}

impl InMemory {
    pub(super) fn new() -> Self {
        Self { max_keys: DEFAULT_MAX_KEYS, clock: Clock::system() }
    }
}

impl<A: Algorithm> LimiterBuilder<A, InMemory> {
    /// Sets the maximum number of keys; at least one, 100,000 by default. Above 2,047 the cap is
    /// divided among shards, so a shard may evict shortly before the limiter as a whole is full.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.states.max_keys = n;
        self
    }

    clock_setter!(states.clock);

    /// Builds the limiter.
    pub fn build(self) -> MemoryLimiter<A> {
        MemoryLimiter::from_builder(self)
    }
}

impl<A, S: fmt::Debug> fmt::Debug for LimiterBuilder<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterBuilder")
            .field("name", &self.name)
            .field("block", &self.policy)
            .field("states", &self.states)
            .finish_non_exhaustive()
    }
}
