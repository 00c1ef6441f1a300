//! One key: read, loaded, set, and removed.

use std::any::type_name;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use tokio::runtime::Handle;

use crate::class::Count;
use crate::event::Scope;
use crate::event::{Event, Removal};
use crate::fill::{Fill, Keep, Known};
use crate::form::pack;
use crate::generation::Generation;
use crate::handle::TypedCache;
use crate::key::Key;
use crate::l2::{Mark, New};
use crate::load::Enough;
use crate::memory::Inserted;
use crate::owed::Owed;
use crate::read::{LoadError, Lookup, Read};
use crate::slot::{Anything, State};
use crate::tiered::TieredCache;
use crate::ttl::TtlClass;
use crate::weak::WeakTypedCache;

impl TieredCache {
    /// A handle for values of type `V` in this class.
    ///
    /// Make a handle once and keep it, because this looks the class up under a lock. Handles of
    /// other types may use the same class, but no two types the same key.
    pub fn typed<V: Send + Sync + 'static>(&self, class: TtlClass) -> TypedCache<V> {
        TypedCache::new(self.clone(), self.tiers.classes.enter(class))
    }

    /// Like [`typed`](Self::typed), for values that go to L2 as well, in the form of `codec`.
    ///
    /// Without an L2 the codec is not used.
    #[cfg(feature = "redis")]
    pub fn typed_with_codec<V: Send + Sync + 'static>(
        &self,
        class: TtlClass,
        codec: impl crate::codec::Codec<V>,
    ) -> TypedCache<V> {
        let mut values = self.typed(class);
        values.form.codec = Some(Arc::new(codec));
        values
    }
}

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// Sets how many bytes a value takes, for a cache that is bounded in bytes.
    ///
    /// The default is `size_of::<V>()`, which omits everything that the value points to: return
    /// more for strings, vectors and maps.
    #[must_use]
    pub fn weigh(mut self, weigh: fn(&V) -> usize) -> Self {
        self.form.weigh = weigh;
        self
    }

    /// Calls `listener` for each value of this type and class that leaves L1, with the reason.
    ///
    /// It applies to all handles while the cache lives. The call runs outside of all locks, mostly
    /// on the path of a reader or writer: be quick. A panic ends with the call. An entry that dies
    /// by age, tag, class or [`TieredCache::clear`] leaves when it is next read or swept. Not
    /// reported are values that L1 never held, values in L2, and those that remain when the cache
    /// is dropped.
    ///
    /// Call it once during setup: each call adds a listener for good. The cache holds the listener,
    /// so a listener that holds the cache keeps it, its thread and its connections for ever. Give
    /// it a channel, or the result of [`downgrade`](Self::downgrade).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use tidegate_cache::{Key, Removal, TieredCache, TtlClass};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let key = Key::builder("file").part(1).build()?;
    /// let (left, leaves) = std::sync::mpsc::channel();
    /// let files = TieredCache::builder().build().typed::<String>(TtlClass::API);
    /// let files = files.on_removal(move |key: &Key, path: Arc<String>, cause| drop(left.send((key.clone(), path, cause))));
    /// files.set(&key, "/tmp/a".to_owned()).await;
    /// files.remove(&key).await?;
    /// assert_eq!(leaves.recv()?, (key, Arc::new("/tmp/a".to_owned()), Removal::Invalidated));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn on_removal(self, listener: impl Fn(&Key, Arc<V>, Removal) + Send + Sync + 'static) -> Self {
        let typed = move |key: &Key, value: &Anything, cause: Removal| {
            // Another type of the same class has listeners of its own.
            if let Ok(value) = Arc::clone(value).downcast() {
                listener(key, value, cause);
            }
        };
        self.cache.tiers.listeners.add(self.class.id, Arc::new(typed));
        self
    }

    /// A handle that does not keep the cache alive, for a listener that uses it.
    ///
    /// ```
    /// # use tidegate_cache::{TieredCache, TtlClass};
    /// let values = TieredCache::builder().build().typed::<u32>(TtlClass::API);
    /// let weak = values.downgrade();
    /// let values = values.on_removal(move |key, _, cause| {
    ///     let Some(values) = weak.upgrade() else { return };
    ///     println!("{key} {cause:?}, of {} entries", values.cache().stats().tiers[0].entries.unwrap_or_default());
    /// });
    /// # drop(values);
    /// ```
    pub fn downgrade(&self) -> WeakTypedCache<V> {
        WeakTypedCache::new(self)
    }

    /// The value under the key, if there is one to serve, in L1 or in L2.
    ///
    /// Never loads. A hit in L1 waits for nothing, and values of L2 are kept in L1. After the
    /// [`hard_timeout`](TtlClass::hard_timeout) of its class it is a miss.
    /// [`get_local`](Self::get_local) reads only L1, [`get_many`](Self::get_many) several keys in
    /// few round trips.
    pub async fn get(&self, key: &Key) -> Lookup<V> {
        let found = self.get_local(key);
        if !found.is_hit() && self.cache.tiers.l2.is_some() {
            let mut answers = [found];
            Box::pin(self.look_behind(std::slice::from_ref(key), &mut answers)).await;
            let [found] = answers;
            return found;
        }
        found
    }

    /// The value under the key, if L1 has one to serve: the memory of this process.
    ///
    /// Never waits, needs no runtime and never loads. A hit allocates nothing and takes the read
    /// lock of one shard. It extends the life of a [`sliding`](TtlClass::sliding) entry.
    pub fn get_local(&self, key: &Key) -> Lookup<V> {
        match self.look_up(key) {
            Some((value, State::Fresh(_) | State::Waning(_))) => Lookup::Fresh(value),
            Some((value, _)) => Lookup::Stale(value),
            None => Lookup::Miss,
        }
    }

    /// The value under the key, loaded when there is none to serve.
    ///
    /// A fresh value is returned at once. So is a stale one, while `loader` runs in the background.
    /// Otherwise L2 is queried. If it has nothing either, `loader` runs once for all callers of
    /// this key, type and error type, in a task of its own. The load continues and fills the cache
    /// if callers leave. Its `tracing` spans belong to the caller that began it. After a failed
    /// refresh the stale value is served, and the next attempt waits for a second.
    ///
    /// If the key, a tag that the loader chose, the class or everything is invalidated during the
    /// load, only earlier callers get its value. It is not stored, and later callers load again.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if the loader failed or panicked, its runtime was shut down, or there is no
    /// tokio runtime here. A hit and a stale value need no runtime.
    pub async fn get_or_load<E, F, Fut>(&self, key: &Key, loader: F) -> Result<Read<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        match self.look_up(key) {
            Some((value, State::Fresh(fresh_for))) => Ok(Read::hit(value, fresh_for)),
            Some((value, State::StaleQuiet)) => Ok(Read::stale(value)),
            None => self.load(key, Enough::Stale, loader).await,
            // Boxed, so that a hit moves no more than it needs.
            Some(found) => Box::pin(self.finish(key, found, loader)).await,
        }
    }

    /// Like [`get_or_load`](Self::get_or_load), for a source that knows whether a value has
    /// changed. The loader receives the value that L1 still holds, and may answer that it [still
    /// holds](Known::still_holds). Then the same `Arc` is fresh again, and no copy is loaded.
    ///
    /// A value that is invalidated, dead or evicted when the loader starts is not passed. One that
    /// L2 holds past its lifetime is. So a class that revalidates needs a
    /// [`grace`](TtlClass::grace) or [`refresh_ahead`](TtlClass::refresh_ahead). An invalidation
    /// during the load fences it like any other.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidegate_cache::{Fill, Key, Known, TieredCache, TtlClass};
    /// # struct Page { etag: String }
    /// # async fn fetch(etag: Option<&str>) -> Result<Option<Page>, std::io::Error> {
    /// #     Ok(Some(Page { etag: etag.unwrap_or("1").to_owned() }))
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let key = Key::builder("page").part(1).build()?;
    /// const PAGES: TtlClass = TtlClass::new("pages", Duration::from_mins(5)).grace(Duration::from_hours(1));
    /// let pages = TieredCache::builder().build().typed::<Page>(PAGES);
    ///
    /// let load = async move |known: Option<Known<Page>>| {
    ///     let etag = known.as_ref().map(|known| known.value().etag.as_str());
    ///     match (fetch(etag).await?, known) {
    ///         (None, Some(known)) => Ok(known.still_holds()), // 304
    ///         (Some(page), _) => Ok(Fill::new(page)),
    ///         (None, None) => Err(std::io::Error::other("304 to a request without a condition")),
    ///     }
    /// };
    /// let read = pages.get_or_revalidate(&key, load).await?;
    /// # assert_eq!(read.value.etag, "1");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn get_or_revalidate<E, F, Fut>(&self, key: &Key, loader: F) -> Result<Read<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce(Option<Known<V>>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        match self.look_up(key) {
            Some((value, State::Fresh(fresh_for))) => Ok(Read::hit(value, fresh_for)),
            Some((value, State::StaleQuiet)) => Ok(Read::stale(value)),
            found => {
                let (tiers, wanted) = (Arc::clone(&self.cache.tiers), key.clone());
                let loader = move || loader(tiers.known(&wanted));
                match found {
                    Some(found) => Box::pin(self.finish(key, found, loader)).await,
                    None => self.load(key, Enough::Stale, loader).await,
                }
            }
        }
    }

    /// Whether [`get_local`](Self::get_local) would find a value now, fresh or stale.
    ///
    /// Neither counts as a lookup nor extends a life. Reads only L1, which may change anytime.
    pub fn contains(&self, key: &Key) -> bool {
        self.ttl(key).is_some()
    }

    /// Returns for how long [`get_local`](Self::get_local) will find a fresh value, unless
    /// something changes. Zero for a stale value, `None` if there is none.
    ///
    /// Neither counts as a lookup nor extends a life. It is the time in L1; that in L2 is longer.
    pub fn ttl(&self, key: &Key) -> Option<Duration> {
        let (slot, state) = self.cache.tiers.peek(key)?;
        if !slot.value.is::<V>() {
            return None;
        }
        match state {
            State::Fresh(left) | State::Waning(left) => Some(left),
            _ => Some(Duration::ZERO),
        }
    }

    /// Completes `get_or_load` if there is more to do than to return the found value.
    async fn finish<E, F, Fut>(
        &self,
        key: &Key,
        (value, state): (Arc<V>, State),
        loader: F,
    ) -> Result<Read<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        // Without a runtime no load is possible, and a stale value is better than none.
        let runtime = Handle::try_current();
        Ok(match (state, runtime) {
            (State::Fresh(fresh_for), _) | (State::Waning(fresh_for), Err(_)) => Read::hit(value, fresh_for),
            (State::Waning(fresh_for), Ok(runtime)) => {
                self.refresh(&runtime, key, loader);
                Read::hit(value, fresh_for)
            }
            (State::Stale, Ok(runtime)) => self.refresh_within(&runtime, key, value, loader).await,
            _ => Read::stale(value),
        })
    }

    /// Stores a value in place of any other. Returns whether L1 kept it. The other value is gone
    /// even if not. A value that is too large for L1 is kept in L2, if there is one.
    ///
    /// Loads of this key in progress will not overwrite it. The value counts as read now. If an
    /// invalidation may come between the read from the store and this call, use
    /// [`TypedCache::get_or_load`].
    ///
    /// A value that its codec cannot encode, or that is [`uncached`](Fill::uncached), is not kept:
    /// the key is invalidated. L1 is done when the call is first polled, without waiting. If L2
    /// cannot be reached, the key counts there as invalidated until it can.
    pub async fn set(&self, key: &Key, fill: impl Into<Fill<V>>) -> bool {
        let mut fill = fill.into();
        self.cache.tiers.settle(&self.class, &mut fill);
        if fill.keep != Keep::Value {
            // If L2 cannot be notified of it, the invalidation is owed.
            let _ = self.cache.invalidate_key(key).await;
            return false;
        }
        let (stored, new) = self.set_here(key, fill);
        if let (Some(l2), Some(_)) = (&self.cache.tiers.l2, &self.form.codec) {
            l2.put(key, new).boxed().await;
        }
        stored
    }

    /// The part of [`set`](Self::set) that waits for nothing: L1, and the value to store in L2.
    pub(crate) fn set_here(&self, key: &Key, fill: Fill<V>) -> (bool, Option<New>) {
        let since = self.cache.tiers.fence.now();
        let (Some(l2), Some(codec)) = (&self.cache.tiers.l2, &self.form.codec) else {
            return (self.set_in_l1(key, since, fill, None).stored, None);
        };
        let left = self.class.ttl.in_l2(fill.ttl);
        match l2.pack(&self.class.ttl, &**codec, &fill) {
            Ok(new) => {
                let mark = Mark { id: Some(new.id), left, noticed: 0 };
                let inserted = self.set_in_l1(key, since, fill, Some(mark));
                // L2 has room for a value that is too large for L1.
                (inserted.stored, inserted.is_current().then_some(new))
            }
            Err(error) => {
                l2.codec_failed(&self.class, key, &error);
                self.cache.tiers.drop_scope(Scope::Key(key));
                (false, None)
            }
        }
    }

    /// Stores in L1 alone. `since` is from before the value was known to be current.
    pub(crate) fn set_in_l1(&self, key: &Key, since: Generation, fill: Fill<V>, mark: Option<Mark>) -> Inserted {
        let tiers = &self.cache.tiers;
        let slot = tiers.slot(key, &self.class, since, pack(fill, self.form.weigh), mark);
        let (inserted, outdated) = tiers.flights.fence(key, || {
            let inserted = tiers.fill(key, &slot);
            let outdated = if inserted.stored { None } else { tiers.memory.remove(key) };
            (inserted, outdated)
        });
        tiers.report_left(key, &inserted);
        if let Some(outdated) = &outdated {
            tiers.report_removed(key, outdated, Removal::Replaced);
        }
        drop(outdated); // here, not under the lock
        inserted
    }

    /// Invalidates the key. Returns whether L1 held a live value.
    ///
    /// # Errors
    ///
    /// Those of [`TieredCache::invalidate`].
    pub async fn remove(&self, key: &Key) -> Result<bool, Owed> {
        self.cache.invalidate_key(key).await
    }

    /// Makes the value under the key stale now: the next read loads, and falls back on it within
    /// the grace of the class. Returns whether L1 held a live value. See
    /// [`TieredCache::expire_key`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidegate_cache::{Fill, Key, Source, TieredCache, TtlClass};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let key = Key::builder("rate").part("EUR").build()?;
    /// const RATES: TtlClass = TtlClass::new("rates", Duration::from_hours(1)).grace(Duration::from_hours(1));
    /// let rates = TieredCache::builder().build().typed::<u32>(RATES);
    /// rates.set(&key, 108).await;
    /// rates.expire(&key).await?;
    ///
    /// let read = rates.get_or_load(&key, async || Err::<Fill<u32>, _>(std::io::Error::other("the bank is closed"))).await?;
    /// assert_eq!((*read.value, read.source), (108, Source::Stale));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`TieredCache::invalidate`].
    pub async fn expire(&self, key: &Key) -> Result<bool, Owed> {
        self.cache.expire_key(key).await
    }

    /// Returns the class of this handle.
    pub fn class(&self) -> &TtlClass {
        &self.class.ttl
    }

    /// Returns the cache behind this handle.
    pub fn cache(&self) -> &TieredCache {
        &self.cache
    }

    pub(crate) fn look_up(&self, key: &Key) -> Option<(Arc<V>, State)> {
        self.cache.tiers.look_up(key, &self.class, |value| {
            let value = value.downcast().ok();
            if value.is_none() {
                self.report_mismatch(key);
            }
            value
        })
    }

    #[cold]
    fn report_mismatch(&self, key: &Key) {
        self.class.counters.add(Count::TypeMismatch);
        let (class, expected) = (self.class.ttl.name(), type_name::<V>());
        self.cache.tiers.notify(&Event::TypeMismatch { class, key, expected });
    }
}
