//! Write-through: the store first, then the cache. The next read is a hit, and never older.
//!
//! A write enters the fences of loads in L1 and L2 before it begins. It may fill only if nothing
//! else filled, wrote or invalidated the key since. The first to fill ends the right of all others,
//! and these invalidate instead. So of writes that overlap, at most the last one to return leaves
//! its value, and only if it was alone. The store knows the order of the writes. The cache does
//! not, so it keeps no value.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::runtime::Handle;

use crate::handle::TypedCache;
use tidegate_cache_tiers::{
    Fill, Key, Removal, Scope,
    fill::Keep,
    flight::{Flight, Kind},
    follow::recheck,
    form::pack,
    l2::{Mark, Ticket},
    memory::Inserted,
    parcel::Parcel,
};

/// A write that the store accepted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Written {
    /// Whether the value is cached. `false` if another write or an invalidation came meanwhile, if
    /// it was too big for all tiers, or if no tier may keep it
    /// ([`Fill::uncached`](crate::Fill::uncached)). Then the key is invalidated.
    pub cached: bool,
}

/// Reason why a write-through is not known to be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError<E> {
    /// The store refused, and the cache is unchanged. If the store may still have written (the
    /// connection was lost at the commit), invalidate the key.
    #[error("the store refused the write")]
    Store(#[source] E),
    /// The write panicked; the key is invalidated.
    #[error("the write panicked")]
    Panicked,
    /// The runtime was shut down before the write ended.
    #[error("the write was stopped by the shutdown of its runtime")]
    Aborted,
    /// A write must run detached, and there is no tokio runtime here to run it. It was not begun.
    #[error("a write needs a tokio runtime, and there is none here")]
    NoRuntime,
}

/// Types that no caller loads, so that no load is joined with a write.
struct Nothing;

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// Writes to the store, then caches in both tiers what the store holds now. Runs in a task of
    /// its own: a cancelled call continues in the background.
    ///
    /// After it returns, no later read of this process sees a value from before the write, and no
    /// load in progress brings one back. The L1 of other processes follows with the notice, as
    /// after an invalidation. If writes to one key overlap, on this or another node, no older value
    /// stays cached. If their order is unknown, none of their values stays.
    ///
    /// Limits: a process that is killed between the store's commit and its answer leaves the old
    /// value in L2 for its TTL. Only the key itself is cached. Invalidate what else the write
    /// touches by [`Touched`](crate::Touched).
    ///
    /// With an L2, a handle without a codec has nothing to store there. Its write invalidates the
    /// key, in this and all other processes, and [`cached`](Written::cached) is `false`.
    ///
    /// ```
    /// # use tidegate_cache::{Fill, Key, TieredCache, TtlClass};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let names = TieredCache::builder().build().typed::<String>(TtlClass::DEFAULT);
    /// let key = Key::builder("name").part(7).build()?;
    /// let update = async || {
    ///     // UPDATE … RETURNING name
    ///     Ok::<_, std::io::Error>(Fill::new("Ada".to_owned()))
    /// };
    /// names.write_through(&key, update).await?;
    /// assert_eq!(**names.get(&key).await.into_value().as_ref().expect("cached"), "Ada");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WriteError`].
    pub async fn write_through<E, F, Fut>(&self, key: &Key, write: F) -> Result<Written, WriteError<E>>
    where
        E: Send + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else { return Err(WriteError::NoRuntime) };
        let (this, key) = (self.clone(), key.clone());
        let written = runtime.spawn(async move { this.write_to_end(&key, write).await });
        written.await.unwrap_or(Err(WriteError::Aborted))
    }

    async fn write_to_end<E, F, Fut>(&self, key: &Key, write: F) -> Result<Written, WriteError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Fill<V>, E>>,
    {
        let under_way = UnderWay::begin(self, key);
        let ticket = match (&self.cache.tiers.l2, &self.form.codec) {
            (Some(l2), Some(_)) => l2.fence(key, &mut l2.patience()).boxed().await,
            _ => None,
        };
        // The call itself is inside the catch, because user code may panic there.
        let writing = AssertUnwindSafe(async { write().await }).catch_unwind();
        let written = match &ticket {
            Some(ticket) => ticket.renewed_during(writing).await,
            None => writing.await,
        };
        match written {
            Ok(Ok(mut fill)) => {
                self.cache.tiers.settle(&self.class, &mut fill);
                let cached = self.cache_written(under_way, fill, ticket).await;
                Ok(Written { cached })
            }
            Ok(Err(error)) => {
                under_way.leave();
                Err(WriteError::Store(error))
            }
            Err(_) => {
                drop(under_way);
                // If L2 cannot be notified of it, the invalidation is owed.
                let _ = self.cache.remove(key).await;
                Err(WriteError::Panicked)
            }
        }
    }

    /// Returns whether the value is cached. If not, the key is invalidated.
    async fn cache_written(&self, under_way: UnderWay<'_, V>, fill: Fill<V>, ticket: Option<Ticket>) -> bool {
        let key = under_way.key;
        if fill.keep != Keep::Value {
            drop(under_way);
            // If L2 cannot be notified, the invalidation is owed.
            let _ = self.cache.remove(key).await;
            return false;
        }
        if let Some(l2) = &self.cache.tiers.l2 {
            if let Some(codec) = &self.form.codec {
                let flight = Arc::clone(&under_way.flight);
                let mut patience = l2.patience();
                let began = flight.inquiry.noticed();
                let fill_l2 = l2.fill(ticket, &self.class, &**codec, &fill, (&flight.inquiry, began), &mut patience);
                // Without an id L2 may hold the old value; without a notice, others do.
                if let Some(mark) = fill_l2.boxed().await.filter(|mark| mark.id.is_some())
                    && l2.announce(key, &mut patience).boxed().await
                {
                    return under_way.end(pack(fill, self.form.weigh), Some(mark));
                }
            }
            // Without a codec, other processes cannot get the value. The notice that their value is
            // old would also reach this process.
            drop(under_way);
            // If L2 cannot be notified, the invalidation is owed.
            let _ = self.cache.remove(key).await;
            return false;
        }
        under_way.end(pack(fill, self.form.weigh), None)
    }
}

/// A write that has begun. If it is dropped before its end, the content of the store is unknown.
/// Then the key is removed from L1 and its loads are fenced.
struct UnderWay<'a, V: Send + Sync + 'static> {
    values: &'a TypedCache<V>,
    key: &'a Key,
    flight: Arc<Flight>,
    is_over: bool,
}

impl<'a, V: Send + Sync + 'static> UnderWay<'a, V> {
    fn begin(values: &'a TypedCache<V>, key: &'a Key) -> Self {
        let tiers = &values.cache.tiers;
        let flight = Flight::new(Kind::of::<Nothing, Nothing>(), values.class.id, tiers.fence.now());
        tiers.flights.begin(key, &flight);
        Self { values, key, flight, is_over: false }
    }

    /// Leaves the cache unchanged.
    fn leave(mut self) {
        self.is_over = true;
        self.values.cache.tiers.flights.leave(self.key, &self.flight, |_| ());
    }

    /// Stores the value in L1, unless something else came meanwhile. Returns whether L1 holds it,
    /// or L2 does because it is too big for L1. If not, L1 holds nothing.
    fn end(mut self, parcel: Parcel, mark: Option<Mark>) -> bool {
        self.is_over = true;
        let (tiers, class) = (&self.values.cache.tiers, &self.values.class);
        let slot = tiers.slot(self.key, class, self.flight.since, parcel, mark);
        let mut is_doubtful = false;
        let (inserted, outdated) = tiers.flights.finish(self.key, &self.flight, |may_fill| {
            // Usually this very write's notice. So the value of L2 is kept and compared.
            is_doubtful = Mark::noticed(mark) != self.flight.inquiry.noticed();
            let may_fill = may_fill && (!is_doubtful || slot.shared.is_some());
            let inserted = if may_fill { tiers.fill(self.key, &slot) } else { Inserted::default() };
            let outdated = if inserted.stored { None } else { tiers.memory.remove(self.key) };
            (inserted, outdated)
        });
        tiers.report_left(self.key, &inserted);
        if let Some(outdated) = &outdated {
            tiers.report_removed(self.key, outdated, Removal::Invalidated);
        }
        drop(outdated); // here, not under the lock
        if is_doubtful && inserted.stored {
            recheck(tiers, self.key, &slot);
        }
        // L2 has room for a value that is too large for L1.
        inserted.stored || (inserted.too_big && slot.shared.is_some())
    }
}

impl<V: Send + Sync + 'static> Drop for UnderWay<'_, V> {
    fn drop(&mut self) {
        if !self.is_over {
            self.values.cache.tiers.drop_scope(Scope::Key(self.key));
        }
    }
}
