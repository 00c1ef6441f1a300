//! The handle through which values of one type are read and filled: its state.
//!
//! Its operations are in other modules: `typed` for one key, `batch` for many, `load` for both.

use std::fmt;
use std::sync::Arc;

use crate::class::Class;
use crate::form::Form;
use crate::tiered::TieredCache;

/// Values of type `V` in one TTL class of a [`TieredCache`]. Cloning copies a few pointers.
pub struct TypedCache<V> {
    pub(crate) cache: TieredCache,
    pub(crate) class: Arc<Class>,
    pub(crate) form: Form<V>,
}

impl<V: Send + Sync + 'static> TypedCache<V> {
    pub(crate) fn new(cache: TieredCache, class: Arc<Class>) -> Self {
        Self { cache, class, form: Form::new() }
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
