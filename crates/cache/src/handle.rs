//! The handle through which values of one type are read and filled: its state.
//!
//! Its operations are in other modules: `typed` for one key, `batch` for many, `load` for both.

use std::fmt;
use std::sync::Arc;

use crate::tiered::TieredCache;
use tidegate_cache_tiers::{class::Class, form::Form};

/// Values of type `V` in one TTL class of a [`TieredCache`]. Cloning copies a few pointers.
///
/// # Batches
///
/// Many keys in one call: [`TypedCache::get_many`], [`TypedCache::fetch_many`],
/// [`TypedCache::put_many`] and [`TieredCache::remove_many`]. One loader call loads all missing
/// keys, and a thousand keys cost L2 a few round trips.
///
/// ```
/// # use tidegate_cache::{Fill, Key, TieredCache, TtlClass};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = TieredCache::builder().build().typed::<String>(TtlClass::SESSION);
/// let keys = (1..=3).map(|id| Key::builder("user").part(id).build());
/// let keys = keys.collect::<Result<Vec<_>, _>>()?;
/// users.put(&keys[0], "Ada".to_owned()).await;
///
/// // `SELECT … WHERE id IN (…)`, with the keys that are neither cached nor being loaded.
/// let load = async |missing: Vec<Key>| {
///     assert_eq!(missing.len(), 2);
///     let rows = missing.into_iter().take(1).map(|key| (key, Fill::new("Bob".to_owned())));
///     Ok::<_, std::io::Error>(rows.collect::<Vec<_>>())
/// };
/// let reads = users.fetch_many(&keys, load).await;
/// let reads = reads.into_iter().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(*reads[0].as_ref().expect("held").value, "Ada");
/// assert_eq!(*reads[1].as_ref().expect("loaded").value, "Bob");
/// assert!(reads[2].is_none()); // the loader had nothing for it
/// # Ok(())
/// # }
/// ```
pub struct TypedCache<V> {
    pub(crate) cache: TieredCache,
    pub(crate) class: Arc<Class>,
    pub(crate) form: Form<V>,
}

impl<V: Send + Sync + 'static> TypedCache<V> {
    pub(crate) fn new(cache: TieredCache, class: Arc<Class>) -> Self {
        Self { cache, class, form: Form::default() }
    }
}

impl<V> Clone for TypedCache<V> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), class: Arc::clone(&self.class), form: self.form.clone() }
    }
}

impl<V> fmt::Debug for TypedCache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedCache").field("class", &self.class.ttl).finish_non_exhaustive()
    }
}
