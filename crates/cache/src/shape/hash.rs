//! Fields under one key, read and written one by one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::error::ShapeError;
use super::store::{Bound, Kind, bounded, common};
use tidegate_cache_tiers::{Codec, Key, codec::versioned};

/// Maximum number of fields of a hash by default.
const LIMIT: usize = 1_000;

/// Hashes under keys of one class: fields with values of type `V`. By default at most 1,000 fields
/// per key, with names of up to 512 bytes, and values as long as the codec allows.
pub struct HashShape<V> {
    bound: Bound,
    codec: Arc<dyn Codec<V>>,
    limit: usize,
}

impl<V: 'static> HashShape<V> {
    pub(super) fn new(bound: Bound, codec: Arc<dyn Codec<V>>) -> Self {
        Self { bound, codec, limit: LIMIT }
    }

    /// Sets the maximum number of fields per key.
    #[must_use]
    pub fn limit(mut self, fields: usize) -> Self {
        self.limit = fields;
        self
    }

    /// Sets a field. Returns whether it is new.
    ///
    /// # Errors
    ///
    /// [`ShapeError::Full`], [`ShapeError::TooLong`], [`ShapeError::Codec`], or Redis cannot be
    /// reached.
    pub async fn set(&self, key: &Key, field: &str, value: &V) -> Result<bool, ShapeError> {
        let packed = versioned::pack(&*self.codec, value)?;
        self.bound.store.hash_set(key, bounded(field)?, packed, self.bound.life, self.limit).await
    }

    /// Returns one field.
    ///
    /// # Errors
    ///
    /// [`ShapeError::Codec`] if the value cannot be decoded, such as one that another build wrote,
    /// or Redis cannot be reached.
    pub async fn get(&self, key: &Key, field: &str) -> Result<Option<V>, ShapeError> {
        let packed = self.bound.store.hash_get(key, field).await?;
        Ok(packed.map(|packed| versioned::open(&*self.codec, &packed, 0)).transpose()?)
    }

    /// All fields.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn all(&self, key: &Key) -> Result<HashMap<String, V>, ShapeError> {
        let fields = self.bound.store.hash_all(key).await?;
        fields.into_iter().map(|(field, packed)| Ok((field, versioned::open(&*self.codec, &packed, 0)?))).collect()
    }

    /// Removes a field. Returns whether it existed. Removing the last one removes the key.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn remove(&self, key: &Key, field: &str) -> Result<bool, ShapeError> {
        self.bound.store.hash_remove(key, field).await
    }

    /// Returns the number of fields.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn count(&self, key: &Key) -> Result<u64, ShapeError> {
        self.bound.store.count(Kind::Hash, key).await
    }

    common!(Kind::Hash, self.bound);
}

impl<V> Clone for HashShape<V> {
    fn clone(&self) -> Self {
        Self { bound: self.bound.clone(), codec: Arc::clone(&self.codec), limit: self.limit }
    }
}

impl<V> fmt::Debug for HashShape<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashShape").field("bound", &self.bound).field("limit", &self.limit).finish_non_exhaustive()
    }
}
