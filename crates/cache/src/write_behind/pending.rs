//! Pending writes: both kinds, each in memory or in Redis.

use async_trait::async_trait;

use super::error::{FlushError, WriteBehindError};
use super::sink::{IncrementBatch, ValueWrite};
use tidegate_cache_tiers::Key;

/// An accepted write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) version: u64,
    /// Number of keys that are pending now.
    pub(super) waiting: u64,
}

/// The oldest pending writes.
pub(super) struct Oldest<V> {
    pub(super) writes: Vec<ValueWrite<V>>,
    /// Whether more are pending than there was room for.
    pub(super) more: bool,
    /// Reason why others cannot be read here; they stay pending, behind the rest.
    pub(super) unreadable: Option<FlushError>,
}

/// Pending values: the last one of each key.
#[async_trait]
pub(super) trait PendingValues<V>: Send + Sync + 'static {
    async fn put(&self, key: &Key, value: V) -> Result<Taken, WriteBehindError>;
    async fn get(&self, key: &Key) -> Result<Option<V>, WriteBehindError>;
    /// Returns up to `count`, the longest pending first. They stay pending.
    async fn oldest(&self, count: usize) -> Result<Oldest<V>, WriteBehindError>;
    /// Deletes those that were written, unless a later one has replaced them.
    async fn settle(&self, written: &[ValueWrite<V>]) -> Result<(), WriteBehindError>;
    async fn waiting(&self) -> Result<u64, WriteBehindError>;
    /// Whether pending writes are available to others after this process was killed.
    fn outlives_the_process(&self) -> bool;
}

/// A batch that was taken.
pub(super) struct TakenBatch {
    pub(super) batch: IncrementBatch,
    /// Whether more are pending.
    pub(super) more: bool,
    /// Names in it that are not keys, and the error that reports them.
    pub(super) unreadable: Option<(Vec<Vec<u8>>, FlushError)>,
}

/// Pending sums, and the batch that is being added to the store.
#[async_trait]
pub(super) trait PendingIncrements: Send + Sync + 'static {
    /// Returns how many keys are pending now.
    async fn add(&self, key: &Key, by: i64) -> Result<u64, WriteBehindError>;
    async fn get(&self, key: &Key) -> Result<PendingIncrement, WriteBehindError>;
    /// Returns the batch that was taken and not settled. Otherwise takes a new one of up to `count`
    /// keys, the longest pending first.
    async fn take(&self, count: usize) -> Result<Option<TakenBatch>, FlushError>;
    /// Deletes the batch, and puts its unreadable increments aside.
    async fn settle(&self, taken: &TakenBatch) -> Result<(), WriteBehindError>;
    /// Includes those of the batch.
    async fn waiting(&self) -> Result<u64, WriteBehindError>;
}

/// Increments of one key that the store may not have yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingIncrement {
    /// Certainly not in the store.
    pub waiting: i64,
    /// Number and sum of the batch that is being written to the store. The store has it if the
    /// number of the stream there is at least as high.
    pub under_way: Option<(u64, i64)>,
}

impl PendingIncrement {
    /// Returns what to add to the store's value if that is read without the number of the stream.
    /// The sum is too high by `under_way` if the store has that batch already.
    pub fn total(&self) -> i64 {
        self.waiting.saturating_add(self.under_way.map_or(0, |(_, by)| by))
    }

    /// Returns what to add to a value read in one transaction with the stream's number.
    pub fn total_after(&self, number: u64) -> i64 {
        let missing = self.under_way.filter(|(batch, _)| *batch > number);
        self.waiting.saturating_add(missing.map_or(0, |(_, by)| by))
    }
}
