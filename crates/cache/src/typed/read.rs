//! Reads of one key, which may load its value.

use std::any::type_name;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::handle::TypedCache;
use crate::load::Enough;
use tidegate_cache_tiers::{Event, Fill, Key, Known, LoadError, Lookup, Read, class::Count, slot::State};

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// The value under the key, if there is one to serve, in L1 or in L2.
    ///
    /// Never loads. A hit in L1 waits for nothing, and values of L2 are kept in L1. After the
    /// [`hard_timeout`](crate::TtlClass::hard_timeout) of its class it is a miss.
    /// [`peek`](Self::peek) reads only L1, [`get_many`](Self::get_many) several keys in few round
    /// trips.
    pub async fn get(&self, key: &Key) -> Lookup<V> {
        let found = self.peek(key);
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
    /// lock of one shard. It extends the life of a [`sliding`](crate::TtlClass::sliding) entry.
    pub fn peek(&self, key: &Key) -> Lookup<V> {
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
    ///
    /// # Examples
    ///
    /// A loader says that a value is not to be kept, or that there is nothing under the key:
    ///
    /// ```
    /// # use tidegate_cache::{DynError, Fill, Key, TieredCache, TtlClass};
    /// # use std::error::Error;
    /// # type AnyError = Box<dyn Error + Send + Sync>;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), AnyError> {
    /// # let key = Key::builder("page").part(404).build()?;
    /// let pages = TieredCache::builder().build().typed::<Option<String>>(TtlClass::API);
    /// let load = async || Ok::<_, std::io::Error>(Fill::new(Some("draft".to_owned())).uncached());
    /// let read = pages.fetch(&key, load).await?;
    /// assert_eq!((read.value.as_deref(), read.stored), (Some("draft"), false));
    /// assert!(!pages.get(&key).await.is_hit());
    ///
    /// let read = pages.fetch(&key, async || Ok::<_, std::io::Error>(Fill::absent())).await?;
    /// assert_eq!(*read.value, None); // the next reader is spared the search
    /// # let other = Key::builder("page").part(1).build()?;
    /// # let load = async || Err::<Fill<_>, _>(DynError(AnyError::from("no such host")));
    /// # let failed = pages.fetch(&other, load).await.expect_err("no host");
    /// # let failed: Box<dyn Error + Send + Sync> = failed.into();
    /// # assert_eq!(failed.source().expect("the loader's").to_string(), "no such host");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn fetch<E, F, Fut>(&self, key: &Key, loader: F) -> Result<Read<V>, LoadError<E>>
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

    /// Like [`fetch`](Self::fetch), for a source that knows whether a value has changed. The loader
    /// receives the value that L1 still holds, and may answer that it [still
    /// holds](Known::still_holds). Then the same `Arc` is fresh again, and no copy is loaded.
    ///
    /// A value that is invalidated, dead or evicted when the loader starts is not passed. One that
    /// L2 holds past its lifetime is. So a class that revalidates needs a
    /// [`grace`](crate::TtlClass::grace) or [`refresh_ahead`](crate::TtlClass::refresh_ahead). An
    /// invalidation during the load fences it like any other.
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
    /// const PAGES: TtlClass =
    ///     TtlClass::new("pages", Duration::from_mins(5)).grace(Duration::from_hours(1));
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
    /// let read = pages.fetch_or_revalidate(&key, load).await?;
    /// # assert_eq!(read.value.etag, "1");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`fetch`](Self::fetch).
    pub async fn fetch_or_revalidate<E, F, Fut>(&self, key: &Key, loader: F) -> Result<Read<V>, LoadError<E>>
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

    /// Whether [`peek`](Self::peek) would find a value now, fresh or stale.
    ///
    /// Neither counts as a lookup nor extends a life. Reads only L1, which may change anytime.
    pub fn contains(&self, key: &Key) -> bool {
        self.ttl(key).is_some()
    }

    /// Returns for how long [`peek`](Self::peek) will find a fresh value, unless something changes.
    /// Zero for a stale value, `None` if there is none.
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

    /// Completes `fetch` if there is more to do than to return the found value.
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
