//! What the program brings: how a batch is written to its store.

use std::error::Error;
use std::future::Future;

use crate::key::Key;

/// Writes values to the store.
///
/// # What it must do
///
/// - Write a value only where the store's version of that key is **lower**. A batch may come twice, and one that a suspended node still
///   held may come after a later one. With SQL a column does it:
///
///   ```sql
///   INSERT INTO profile (id, body, version) VALUES ($1, $2, $3)
///   ON CONFLICT (id) DO UPDATE SET body = excluded.body, version = excluded.version
///   WHERE profile.version < excluded.version
///   ```
///
///   To delete is to write too: let `V` be an `Option`, and keep the row with its version for longer than a write may wait.
/// - Return `Ok` only when all of it is written or refused for its version, for good (committed). An error means that the whole batch comes again.
/// - Return `Ok` for what can never be written, after having put it aside: a write that fails for ever holds up all others.
///
/// A write to the same rows past the write-behind must raise the version too, or the next flush does not see it.
pub trait ValueSink<V>: Send + Sync + 'static {
    /// Why a batch could not be written.
    type Error: Into<Box<dyn Error + Send + Sync>>;

    /// Writes a batch: one write a key, those that have waited longest first. May be dropped half-way when it takes too long.
    fn write(&self, writes: &[ValueWrite<V>]) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// A value that waited.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValueWrite<V> {
    /// Where it belongs.
    pub key: Key,
    /// The last value that was written.
    pub value: V,
    /// Higher than that of every earlier write of this name: microseconds since 1970, or one more than the last. Below 2^53.
    ///
    /// In memory by this process's clock: between processes that write the same key, the later clock wins.
    pub version: u64,
}

/// Adds increments to the store.
///
/// # What it must do
///
/// - Add a batch only where the store's number of its stream is **lower**, and keep that number in the same transaction. A batch may
///   come twice, but always under its number and with the same content, and never before the one with the lower number is done:
///
///   ```sql
///   -- CREATE TABLE increments_done (stream TEXT PRIMARY KEY, number BIGINT NOT NULL)
///   BEGIN;
///   INSERT INTO increments_done (stream, number) VALUES ($stream, $number)
///   ON CONFLICT (stream) DO UPDATE SET number = excluded.number WHERE increments_done.number < excluded.number;
///   -- No row affected: it was added before. COMMIT, return Ok. Otherwise for each increment:
///   INSERT INTO views (id, total) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET total = views.total + excluded.total;
///   COMMIT;
///   ```
///
///   The row's lock makes two nodes that try at once wait for one another.
/// - Return `Ok` only when that transaction is committed, or found the number there. After an error, a lost connection at the commit
///   included, the same batch comes again.
pub trait IncrementSink: Send + Sync + 'static {
    /// Why a batch could not be added.
    type Error: Into<Box<dyn Error + Send + Sync>>;

    /// Adds a batch, once. May be dropped half-way when it takes too long.
    fn add(&self, batch: &IncrementBatch) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Increments that are added to the store together, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncrementBatch {
    /// Whose batches are numbered together. On Redis the name of the options; in memory that and a random number of the process,
    /// so that the store's rows of processes that are gone may be deleted.
    pub stream: String,
    /// Higher than that of every earlier batch of the stream. Below 2^53.
    pub number: u64,
    /// One a key.
    pub increments: Vec<Increment>,
}

/// What is to be added to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Increment {
    /// The key.
    pub key: Key,
    /// The sum of its increments; may be zero or negative.
    pub by: i64,
}
