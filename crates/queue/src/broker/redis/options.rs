//! What can be chosen.

use tidegate_redis::ClockPrelude;

use super::durability::RedisDurability;

/// Choices for a [`RedisBroker`](super::RedisBroker).
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisOptions {
    pub(super) partitions: u16,
    pub(super) clock: ClockPrelude,
    pub(super) durability: RedisDurability,
}

impl RedisOptions {
    /// One partition a queue; an enqueue waits for nothing but the server.
    pub fn new() -> Self {
        Self { partitions: 1, clock: ClockPrelude::SERVER, durability: RedisDurability::Async }
    }

    /// Sets into how many partitions a **new** queue is cut; zero counts as one. A queue keeps the number that it was made
    /// with.
    ///
    /// Each partition lies in one slot of a cluster, and so on one shard; it takes about a million waiting jobs well. In
    /// exchange, order and the atomicity of a batch hold within a partition only, and an idle worker keeps a connection to
    /// each.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.partitions = partitions.max(1);
        self
    }

    /// Sets what an enqueue waits for.
    pub fn durability(mut self, durability: RedisDurability) -> Self {
        self.durability = durability;
        self
    }

    /// Replaces the server's clock, in tests.
    #[doc(hidden)]
    pub fn clock(mut self, clock: ClockPrelude) -> Self {
        self.clock = clock;
        self
    }
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self::new()
    }
}
