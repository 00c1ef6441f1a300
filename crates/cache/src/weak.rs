//! A handle that does not keep its cache.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::handle::TypedCache;
use crate::tiered::TieredCache;
use tidegate_cache_tiers::{class::Class, form::Form, tiers::Tiers};

/// A [`TypedCache`] that does not keep its cache alive, for objects that the cache itself holds,
/// such as a listener of [`TypedCache::on_removal`].
pub struct WeakTypedCache<V> {
    tiers: Weak<Tiers>,
    class: Arc<Class>,
    form: Form<V>,
}

impl<V: Send + Sync + 'static> WeakTypedCache<V> {
    pub(crate) fn new(handle: &TypedCache<V>) -> Self {
        let tiers = Arc::downgrade(&handle.cache.tiers);
        Self { tiers, class: Arc::clone(&handle.class), form: handle.form.clone() }
    }

    /// Returns the handle, if the cache lives. Drop it soon, because it keeps the cache alive.
    pub fn upgrade(&self) -> Option<TypedCache<V>> {
        let cache = TieredCache { tiers: self.tiers.upgrade()? };
        Some(TypedCache { cache, class: Arc::clone(&self.class), form: self.form.clone() })
    }
}

impl<V> Clone for WeakTypedCache<V> {
    fn clone(&self) -> Self {
        Self { tiers: Weak::clone(&self.tiers), class: Arc::clone(&self.class), form: self.form.clone() }
    }
}

impl<V> fmt::Debug for WeakTypedCache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakTypedCache").field("class", &self.class.ttl).finish_non_exhaustive()
    }
}
