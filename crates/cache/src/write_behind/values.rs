//! Write-behind of values: the last one of each key counts.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::engine::{Batches, Engine, Flushed, WriteBehindStatus, call};
use super::error::{FlushError, NotFlushed, WriteBehindError, WriteBehindReadError};
use super::memory::MemoryValues;
use super::options::WriteBehindOptions;
use super::pending::PendingValues;
use super::sink::ValueSink;
use crate::handle::TypedCache;
use tidegate_cache_tiers::{Fill, Key, LoadError, Owed, Read, Tag};
use tidegate_sync::Lock;

type TagsOf<V> = Arc<dyn Fn(&Key, &V) -> Vec<Tag> + Send + Sync>;

/// Values that are written to the store a moment later. Cloning copies a few pointers.
///
/// A write invalidates the cached value. A read through [`fetch`](Self::fetch) that misses finds
/// the waiting write before it calls the loader. So readers of this handle see its writes on every
/// node that shares the cache's L2. If a writer was killed before it notified the cache, they see
/// them after the flush at the latest, because a flush invalidates the keys once more. On Redis a
/// flushed write continues to wait and is flushed again until the cache's L2 has been notified.
///
/// **Read the keys that you write here through this handle alone**: a loader that reads the store
/// directly brings an older value.
///
/// ```
/// use std::time::Duration;
/// use tidegate_cache::{Key, TieredCache, TtlClass};
/// use tidegate_cache::{ValueSink, ValueWrite, WriteBehind, WriteBehindOptions};
/// # use tidegate_cache::Fill;
///
/// struct Profiles; // with a pool of connections to SQL
///
/// impl ValueSink<String> for Profiles {
///     type Error = std::io::Error;
///
///     async fn write(&self, writes: &[ValueWrite<String>]) -> Result<(), Self::Error> {
///         for write in writes {
///             // INSERT … ON CONFLICT (id) DO UPDATE … WHERE profile.version < excluded.version
///             let _ = (&write.key, &write.value, write.version);
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cached = TieredCache::builder().build().typed::<String>(TtlClass::DEFAULT);
/// let profiles = WriteBehind::in_memory(cached, Profiles, WriteBehindOptions::new("profiles"));
/// let key = Key::builder("profile").part(7).build()?;
/// profiles.write(&key, "blue".to_owned()).await?;
/// let load = async || Ok::<_, std::io::Error>(Fill::new("older".to_owned()));
/// let read = profiles.fetch(&key, load).await?;
/// assert_eq!(*read.value, "blue");
/// profiles.shut_down(Duration::from_secs(10)).await?; // before the process ends
/// # Ok(())
/// # }
/// ```
///
/// # What it guarantees
///
/// - An acknowledged write reaches the sink, or a later one of its key does, with a version above
///   all earlier ones. On Redis this holds whichever processes are killed, in memory unless this
///   one is. If the sink compares versions, no value is replaced by an older one.
/// - No more keys and bytes wait than the limits; a write to one more is an error.
/// - A write that was admitted before a [`shut_down`](Self::shut_down) is flushed by it. Any other
///   write is an error.
/// - When the last handle is dropped, waiting writes are flushed once more in the background.
///   [`shut_down`](Self::shut_down) waits for that flush.
pub struct WriteBehind<V> {
    values: TypedCache<V>,
    pending: Arc<dyn PendingValues<V>>,
    engine: Arc<Engine>,
    tags: Option<TagsOf<V>>,
}

/// An accepted write.
#[derive(Debug)]
#[non_exhaustive]
pub struct Accepted {
    /// Version under which the sink gets it, unless a later write of the key replaces it.
    pub version: u64,
    /// Invalidation that the cache's L2 has not received: others may still read the old value.
    pub owed: Option<Owed>,
}

impl<V: Clone + Send + Sync + 'static> WriteBehind<V> {
    /// Writes wait in this process's memory. If it is killed, the last interval is lost.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn in_memory(values: TypedCache<V>, sink: impl ValueSink<V>, options: WriteBehindOptions) -> Self {
        let pending = Arc::new(MemoryValues::new(options.room, values.form.weigh));
        Self::start(values, pending, sink, None, options)
    }

    /// Writes wait in Redis, encoded by `codec`, for all processes with this keyspace and name.
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
        values: TypedCache<V>,
        codec: impl tidegate_cache_tiers::Codec<V>,
        sink: impl ValueSink<V>,
        client: &tidegate_redis::Client,
        keyspace: &tidegate_redis::Keyspace,
        options: WriteBehindOptions,
    ) -> Result<Self, WriteBehindError> {
        let place = super::redis::Place::of_values(client, keyspace, &options)?;
        let turn = Some(place.turn(keyspace, &options));
        let pending = Arc::new(super::redis::RedisValues::new(place, Box::new(codec), options.room));
        Ok(Self::start(values, pending, sink, turn, options))
    }

    fn start(
        values: TypedCache<V>,
        pending: Arc<dyn PendingValues<V>>,
        sink: impl ValueSink<V>,
        turn: Option<Lock>,
        options: WriteBehindOptions,
    ) -> Self {
        let (count, longest) = (options.count, options.sink_timeout);
        let batches = ValueBatches { values: values.clone(), pending: Arc::clone(&pending), sink, count, longest };
        let engine = Arc::new(Engine::start(Box::new(batches), turn, options));
        Self { values, pending, engine, tags: None }
    }

    /// Sets the tags of a pending value that a read caches, none by default. Use the loader's.
    #[must_use]
    pub fn tags(mut self, tags: impl Fn(&Key, &V) -> Vec<Tag> + Send + Sync + 'static) -> Self {
        self.tags = Some(Arc::new(tags));
        self
    }

    /// Accepts a value, in place of any pending one of the key.
    ///
    /// A cancelled call continues in the background. Two writes of a key are ordered by when they
    /// were taken, on all nodes. The cache keeps neither value, so their answers may come in any
    /// order.
    ///
    /// # Errors
    ///
    /// [`WriteBehindError`]: the value was not accepted, unless the error says that the outcome is
    /// unknown.
    pub async fn write(&self, key: &Key, value: V) -> Result<Accepted, WriteBehindError> {
        let admitted = self.engine.admit()?;
        let (this, key) = (self.clone(), key.clone());
        // In its own task, so that a caller that leaves cannot leave the old value cached.
        let written = tokio::spawn(async move {
            let written = this.write_to_end(&key, value).await;
            drop(admitted);
            written
        });
        written.await.unwrap_or(Err(WriteBehindError::Closed))
    }

    async fn write_to_end(&self, key: &Key, value: V) -> Result<Accepted, WriteBehindError> {
        match self.pending.put(key, value).await {
            Ok(taken) => {
                self.engine.told(taken.waiting);
                let owed = self.values.remove(key).await.err();
                Ok(Accepted { version: taken.version, owed })
            }
            Err(error) => {
                if error.may_have_run() {
                    // If the cache cannot notify others of it, the invalidation is owed.
                    let _ = self.values.remove(key).await;
                }
                Err(error)
            }
        }
    }

    /// Returns the pending value of the key, if any.
    ///
    /// # Errors
    ///
    /// [`WriteBehindError`] if Redis cannot be reached.
    pub async fn pending(&self, key: &Key) -> Result<Option<V>, WriteBehindError> {
        self.pending.get(key).await
    }

    /// Returns the value under the key: the cached one, else the pending one, else the loader's.
    /// Apart from that it is like [`TypedCache::fetch`].
    ///
    /// # Errors
    ///
    /// [`LoadError`]. Its loader error states whether the loader failed or the pending writes could
    /// not be read.
    pub async fn fetch<E, F, Fut>(&self, key: &Key, loader: F) -> Result<Read<V>, LoadError<WriteBehindReadError<E>>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let (pending, tags, wanted) = (Arc::clone(&self.pending), self.tags.clone(), key.clone());
        let load = async move || match pending.get(&wanted).await.map_err(WriteBehindReadError::Pending)? {
            Some(value) => {
                let tags = tags.map(|tags| tags(&wanted, &value)).unwrap_or_default();
                Ok(Fill::new(value).tags(tags))
            }
            // If it was flushed meanwhile, the store has it.
            None => loader().await.map_err(WriteBehindReadError::Loader),
        };
        self.values.fetch(key, load).await
    }

    /// Flushes now, for at most `within`. When it returns, the store has all that was pending.
    ///
    /// # Errors
    ///
    /// [`NotFlushed`] if the time was too short or the sink fails.
    pub async fn flush(&self, within: Duration) -> Result<(), NotFlushed> {
        self.engine.flush(within).await
    }

    /// Refuses new writes, flushes the pending ones, and ends. May be repeated after a failure.
    ///
    /// # Errors
    ///
    /// [`NotFlushed`] as in [`flush`](Self::flush).
    pub async fn shut_down(&self, within: Duration) -> Result<(), NotFlushed> {
        self.engine.shut_down(within).await
    }

    /// Returns pending writes and counters. Queries Redis if the writes are there.
    pub async fn status(&self) -> WriteBehindStatus {
        self.engine.status().await
    }

    /// Returns the cache through which reads go.
    pub fn values(&self) -> &TypedCache<V> {
        &self.values
    }
}

impl<V> Clone for WriteBehind<V> {
    fn clone(&self) -> Self {
        Self {
            values: self.values.clone(),
            pending: Arc::clone(&self.pending),
            engine: Arc::clone(&self.engine),
            tags: self.tags.clone(),
        }
    }
}

impl<V> fmt::Debug for WriteBehind<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBehind").field("values", &self.values).finish_non_exhaustive()
    }
}

struct ValueBatches<V, S> {
    values: TypedCache<V>,
    pending: Arc<dyn PendingValues<V>>,
    sink: S,
    count: usize,
    longest: Duration,
}

#[async_trait]
impl<V: Send + Sync + 'static, S: ValueSink<V>> Batches for ValueBatches<V, S> {
    async fn flush(&self) -> Result<Flushed, FlushError> {
        let oldest = self.pending.oldest(self.count).await?;
        let writes = oldest.writes;
        if !writes.is_empty() {
            call(async { self.sink.write(&writes).await }, self.longest).await?;
            // The writer may have been killed before it notified the cache. This process owes what
            // it cannot send to L2. A debt for writes that outlive this process must outlive it
            // too, so that the next process pays it.
            let told = self.values.cache().remove_many(writes.iter().map(|write| &write.key)).await;
            if let Err(owed) = told
                && self.pending.outlives_the_process()
            {
                return Err(FlushError::Untold(owed));
            }
            self.pending.settle(&writes).await?;
        }
        // Only now, after the readable writes were written.
        oldest.unreadable.map_or(Ok(()), Err)?;
        Ok(Flushed { writes: writes.len(), more: oldest.more })
    }

    async fn waiting(&self) -> Result<u64, WriteBehindError> {
        self.pending.waiting().await
    }
}
