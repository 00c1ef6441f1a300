//! Interfaces that the program implements: how a batch is written to its store.

use std::error::Error;
use std::future::Future;

use tidegate_cache_tiers::Key;

/// Writes values to the store.
///
/// # What it must do
///
/// - Write a value only if the store's version of that key is **lower**. A batch may come twice,
///   and one that a suspended node still held may come after a later one. With SQL, use a column:
///
///   ```sql
///   INSERT INTO profile (id, body, version) VALUES ($1, $2, $3)
///   ON CONFLICT (id) DO UPDATE SET body = excluded.body, version = excluded.version
///   WHERE profile.version < excluded.version
///   ```
///
///   A deletion is a write too: let `V` be an `Option`, and keep the row with its version for
///   longer than a write may be pending.
/// - Return `Ok` only if the whole batch is committed, or refused for its version. After an error
///   the whole batch comes again.
/// - Return `Ok` for a write that can never succeed, after storing it elsewhere. A write that
///   always fails blocks all others.
///
/// A write to the same rows that bypasses the write-behind must raise the version too. Otherwise
/// the next flush does not see it.
pub trait ValueSink<V>: Send + Sync + 'static {
    /// Reason why a batch could not be written.
    type Error: Into<Box<dyn Error + Send + Sync>>;

    /// Writes a batch: one write per key, longest pending first. Dropped if it takes too long.
    fn write(&self, writes: &[ValueWrite<V>]) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// A pending value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValueWrite<V> {
    /// Key of the value.
    pub key: Key,
    /// The last written value.
    pub value: V,
    /// Version, higher than that of every earlier write of this name: microseconds since 1970, or
    /// one more than the last. Below 2^53.
    ///
    /// In memory it is from this process's clock: of several writers, the later clock wins.
    pub version: u64,
}

/// Adds increments to the store.
///
/// # What it must do
///
/// - Add a batch only if the store's number of its stream is **lower**, and store the new number in
///   the same transaction. A batch may come twice, but always under its number and with the same
///   content, and never before the one with the lower number is done:
///
///   ```sql
///   -- CREATE TABLE increments_done (stream TEXT PRIMARY KEY, number BIGINT NOT NULL)
///   BEGIN;
///   INSERT INTO increments_done (stream, number) VALUES ($stream, $number)
///   ON CONFLICT (stream) DO UPDATE SET number = excluded.number
///   WHERE increments_done.number < excluded.number;
///   -- No row affected: it was added before. COMMIT, return Ok. Otherwise for each increment:
///   INSERT INTO views (id, total) VALUES ($1, $2)
///   ON CONFLICT (id) DO UPDATE SET total = views.total + excluded.total;
///   COMMIT;
///   ```
///
///   The row's lock makes two nodes that try at once wait for one another.
/// - Return `Ok` only if that transaction is committed, or found the number there. After an error,
///   including a lost connection at the commit, the same batch comes again.
pub trait IncrementSink: Send + Sync + 'static {
    /// Reason why a batch could not be added.
    type Error: Into<Box<dyn Error + Send + Sync>>;

    /// Adds a batch, once. May be dropped half-way if it takes too long.
    fn add(&self, batch: &IncrementBatch) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Increments that are added to the store together, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncrementBatch {
    /// Stream whose batches are numbered together. On Redis it is the name of the options. In
    /// memory it also has a random number of the process, so that the store's rows of processes
    /// that have ended may be deleted.
    pub stream: String,
    /// Number, higher than that of every earlier batch of the stream. Below 2^53.
    pub number: u64,
    /// One increment per key.
    pub increments: Vec<Increment>,
}

/// Increment of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Increment {
    /// The key.
    pub key: Key,
    /// The sum of its increments; may be zero or negative.
    pub by: i64,
}
