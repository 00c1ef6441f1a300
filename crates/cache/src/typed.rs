//! Handles for values of one type: created, set up, and used for one key.

mod read;
mod write;

use std::sync::Arc;

use crate::handle::TypedCache;
use crate::tiered::TieredCache;
use crate::weak::WeakTypedCache;
use tidegate_cache_tiers::{Key, Removal, TtlClass, slot::Anything};

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
        codec: impl tidegate_cache_tiers::Codec<V>,
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
    /// let files = files.on_removal(move |key: &Key, path: Arc<String>, cause| {
    ///     left.send((key.clone(), path, cause)).ok();
    /// });
    /// files.put(&key, "/tmp/a".to_owned()).await;
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
    ///     let entries = values.cache().stats().tiers[0].entries;
    ///     println!("{key} {cause:?}, of {} entries", entries.unwrap_or_default());
    /// });
    /// # drop(values);
    /// ```
    pub fn downgrade(&self) -> WeakTypedCache<V> {
        WeakTypedCache::new(self)
    }

    /// Returns the class of this handle.
    pub fn class(&self) -> &TtlClass {
        &self.class.ttl
    }

    /// Returns the cache behind this handle.
    pub fn cache(&self) -> &TieredCache {
        &self.cache
    }
}
