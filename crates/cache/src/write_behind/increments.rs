//! Write-behind of increments: they add up, each exactly once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::engine::{Batches, Engine, Flushed, WriteBehindStatus, call};
use super::error::{FlushError, NotFlushed, WriteBehindError};
use super::memory::MemoryIncrements;
use super::options::WriteBehindOptions;
use super::pending::{PendingIncrement, PendingIncrements};
use super::sink::IncrementSink;
use tidegate_cache_tiers::Key;
use tidegate_sync::Lock;

/// Counts that the store gets a moment later: views, likes, points. Cloning copies few pointers.
///
/// ```
/// use std::time::Duration;
/// use tidegate_cache::{IncrementBatch, IncrementSink, Increments, Key, WriteBehindOptions};
///
/// struct Views; // with a pool of connections to SQL
///
/// impl IncrementSink for Views {
///     type Error = std::io::Error;
///
///     async fn add(&self, batch: &IncrementBatch) -> Result<(), Self::Error> {
///         // One transaction, which raises the number of `batch.stream` to `batch.number` or
///         // does nothing: see IncrementSink.
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let views = Increments::in_memory(Views, WriteBehindOptions::new("views"));
/// let article = Key::builder("article").part(7).build()?;
/// views.add(&article, 1).await?;
/// views.add(&article, 2).await?;
/// let shown = 40 + views.pending(&article).await?.total(); // 40 from SQL
/// assert_eq!(shown, 43);
/// views.shut_down(Duration::from_secs(10)).await?; // before the process ends
/// # Ok(())
/// # }
/// ```
///
/// # What it guarantees
///
/// - An acknowledged increment is added once, if the sink does what [`IncrementSink`] says. On
///   Redis this holds whichever processes are killed or suspended. In memory it holds unless this
///   process is killed before its flush. It does not hold if Redis itself loses what it had
///   acknowledged: lost increments are not added, and those in a batch since may be added twice. A
///   failover loses nothing of that kind if a replica follows and the one that confirmed becomes
///   the primary.
/// - A name that is not a key, written by another program, delays nothing. It is put aside and
///   reported.
/// - No more keys wait than the limit, and one batch.
pub struct Increments {
    pending: Arc<dyn PendingIncrements>,
    engine: Arc<Engine>,
}

impl Increments {
    /// Increments wait in this process's memory. If it is killed, the last interval is lost.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn in_memory(sink: impl IncrementSink, options: WriteBehindOptions) -> Self {
        let pending = Arc::new(MemoryIncrements::new(&options.name, options.room.keys));
        Self::start(pending, sink, None, options)
    }

    /// Increments wait in Redis, for all processes that use the same keyspace and name.
    ///
    /// # Errors
    ///
    /// [`WriteBehindError::NotDurable`] if the client was not connected as `Role::Durable`. That
    /// role ensures that the server evicts nothing.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[cfg(feature = "redis")]
    pub fn on_redis(
        sink: impl IncrementSink,
        client: &tidegate_redis::Client,
        keyspace: &tidegate_redis::Keyspace,
        options: WriteBehindOptions,
    ) -> Result<Self, WriteBehindError> {
        let place = super::redis::Place::of_increments(client, keyspace, &options)?;
        let turn = Some(place.turn(keyspace, &options));
        let pending = Arc::new(super::redis::RedisIncrements::new(place, &options));
        Ok(Self::start(pending, sink, turn, options))
    }

    fn start(
        pending: Arc<dyn PendingIncrements>,
        sink: impl IncrementSink,
        turn: Option<Lock>,
        options: WriteBehindOptions,
    ) -> Self {
        let (count, longest) = (options.count, options.sink_timeout);
        let batches = IncrementBatches { pending: Arc::clone(&pending), sink, count, longest };
        let engine = Arc::new(Engine::start(Box::new(batches), turn, options));
        Self { pending, engine }
    }

    /// Adds to a key's count. A negative number subtracts.
    ///
    /// # Errors
    ///
    /// [`WriteBehindError`]: the increment was not accepted, unless the error says that the outcome
    /// is unknown.
    pub async fn add(&self, key: &Key, by: i64) -> Result<(), WriteBehindError> {
        let _admitted = self.engine.admit()?;
        let waiting = self.pending.add(key, by).await?;
        self.engine.told(waiting);
        Ok(())
    }

    /// Returns the increments that the store may not have yet. Read it **before** the store. Then
    /// nothing is missed, but increments that are flushed in between may count twice in the
    /// displayed sum.
    ///
    /// # Errors
    ///
    /// [`WriteBehindError`] if Redis cannot be reached.
    pub async fn pending(&self, key: &Key) -> Result<PendingIncrement, WriteBehindError> {
        self.pending.get(key).await
    }

    /// Flushes now, for at most `within`. When it returns, the store has all that was pending.
    ///
    /// # Errors
    ///
    /// [`NotFlushed`] if the time was too short or the sink fails.
    pub async fn flush(&self, within: Duration) -> Result<(), NotFlushed> {
        self.engine.flush(within).await
    }

    /// Refuses new increments, flushes the pending ones, and ends. May be repeated after a failure.
    ///
    /// # Errors
    ///
    /// [`NotFlushed`] as in [`flush`](Self::flush).
    pub async fn shut_down(&self, within: Duration) -> Result<(), NotFlushed> {
        self.engine.shut_down(within).await
    }

    /// Returns pending increments and counters. Queries Redis if the increments are there.
    pub async fn status(&self) -> WriteBehindStatus {
        self.engine.status().await
    }
}

impl Clone for Increments {
    fn clone(&self) -> Self {
        Self { pending: Arc::clone(&self.pending), engine: Arc::clone(&self.engine) }
    }
}

impl fmt::Debug for Increments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Increments").finish_non_exhaustive()
    }
}

struct IncrementBatches<S> {
    pending: Arc<dyn PendingIncrements>,
    sink: S,
    count: usize,
    longest: Duration,
}

#[async_trait]
impl<S: IncrementSink> Batches for IncrementBatches<S> {
    async fn flush(&self) -> Result<Flushed, FlushError> {
        let Some(taken) = self.pending.take(self.count).await? else { return Ok(Flushed::default()) };
        let writes = taken.batch.increments.len();
        if writes > 0 {
            call(async { self.sink.add(&taken.batch).await }, self.longest).await?;
        }
        self.pending.settle(&taken).await?;
        // Only now, after the readable increments were added.
        if let Some((_, error)) = taken.unreadable {
            return Err(error);
        }
        Ok(Flushed { writes, more: taken.more })
    }

    async fn waiting(&self) -> Result<u64, WriteBehindError> {
        self.pending.waiting().await
    }
}
