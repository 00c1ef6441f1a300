//! One key set, removed or expired.

use futures_util::FutureExt;

use crate::handle::TypedCache;
use tidegate_cache_tiers::{
    Fill, Key, Owed, Removal, Scope,
    fill::Keep,
    form::pack,
    generation::Generation,
    l2::{Mark, New},
    memory::Inserted,
};

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// Stores a value in place of any other. Returns whether L1 kept it. The other value is gone
    /// even if not. A value that is too large for L1 is kept in L2, if there is one.
    ///
    /// Loads of this key in progress will not overwrite it. The value counts as read now. If an
    /// invalidation may come between the read from the store and this call, use
    /// [`TypedCache::fetch`].
    ///
    /// A value that its codec cannot encode, or that is [`uncached`](Fill::uncached), is not kept:
    /// the key is invalidated. L1 is done when the call is first polled, without waiting. If L2
    /// cannot be reached, the key counts there as invalidated until it can.
    pub async fn put(&self, key: &Key, fill: impl Into<Fill<V>>) -> bool {
        let mut fill = fill.into();
        self.cache.tiers.settle(&self.class, &mut fill);
        if fill.keep != Keep::Value {
            // If L2 cannot be notified of it, the invalidation is owed.
            let _ = self.cache.remove(key).await;
            return false;
        }
        let (stored, new) = self.set_here(key, fill);
        if let (Some(l2), Some(_)) = (&self.cache.tiers.l2, &self.form.codec) {
            l2.put(key, new).boxed().await;
        }
        stored
    }

    /// The part of [`put`](Self::put) that waits for nothing: L1, and the value to store in L2.
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
    /// Those of [`TieredCache::invalidate`](crate::TieredCache::invalidate).
    pub async fn remove(&self, key: &Key) -> Result<bool, Owed> {
        self.cache.remove(key).await
    }

    /// Makes the value under the key stale now: the next read loads, and falls back on it within
    /// the grace of the class. Returns whether L1 held a live value. See
    /// [`TieredCache::expire`](crate::TieredCache::expire).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidegate_cache::{Fill, Key, Source, TieredCache, TtlClass};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let key = Key::builder("rate").part("EUR").build()?;
    /// const RATES: TtlClass =
    ///     TtlClass::new("rates", Duration::from_hours(1)).grace(Duration::from_hours(1));
    /// let rates = TieredCache::builder().build().typed::<u32>(RATES);
    /// rates.put(&key, 108).await;
    /// rates.expire(&key).await?;
    ///
    /// let load = async || Err::<Fill<u32>, _>(std::io::Error::other("the bank is closed"));
    /// let read = rates.fetch(&key, load).await?;
    /// assert_eq!((*read.value, read.source), (108, Source::Stale));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`TieredCache::invalidate`](crate::TieredCache::invalidate).
    pub async fn expire(&self, key: &Key) -> Result<bool, Owed> {
        self.cache.expire(key).await
    }
}
