//! Options of the Redis broker.

use tidegate_redis::ClockPrelude;

use super::durability::RedisDurability;

/// Options of a [`RedisBroker`](super::RedisBroker).
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisOptions {
    pub(super) partitions: u16,
    pub(super) clock: ClockPrelude,
    pub(super) durability: RedisDurability,
}

impl RedisOptions {
    /// One partition per queue. Enqueues wait only for the server.
    pub fn new() -> Self {
        Self { partitions: 1, clock: ClockPrelude::SERVER, durability: RedisDurability::Async }
    }

    /// Sets the number of partitions of a **new** queue. Zero counts as one. A queue keeps the
    /// number with which it was created.
    ///
    /// Each partition is in one slot of a cluster, and so on one shard. A partition handles about a
    /// million ready jobs well. The costs of more partitions: order and the atomicity of a batch
    /// hold only within a partition, and an idle worker keeps a connection to each.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.partitions = partitions.max(1);
        self
    }

    /// Sets the confirmations that an enqueue waits for.
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
