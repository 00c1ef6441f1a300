//! Sets of texts.

use super::error::ShapeError;
use super::store::{Bound, Kind, bounded, common};
use tidegate_cache_tiers::Key;

/// Maximum number of members of a set by default.
const LIMIT: usize = 10_000;

/// Sets under keys of one class: by default at most 10,000 members of 512 bytes each.
#[derive(Debug, Clone)]
pub struct SetShape {
    bound: Bound,
    limit: usize,
}

impl SetShape {
    pub(super) fn new(bound: Bound) -> Self {
        Self { bound, limit: LIMIT }
    }

    /// Sets the maximum number of members per set.
    #[must_use]
    pub fn limit(mut self, members: usize) -> Self {
        self.limit = members;
        self
    }

    /// Adds a member. Returns whether it is new.
    ///
    /// # Errors
    ///
    /// [`ShapeError::Full`], [`ShapeError::TooLong`], or Redis cannot be reached.
    pub async fn add(&self, key: &Key, member: &str) -> Result<bool, ShapeError> {
        self.bound.store.set_add(key, bounded(member)?, self.bound.life, self.limit).await
    }

    /// Removes a member. Returns whether it existed. Removing the last one removes the key.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn remove(&self, key: &Key, member: &str) -> Result<bool, ShapeError> {
        self.bound.store.set_remove(key, member).await
    }

    /// Whether the set has the member.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn contains(&self, key: &Key, member: &str) -> Result<bool, ShapeError> {
        self.bound.store.set_has(key, member).await
    }

    /// Returns all members, in no particular order.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn members(&self, key: &Key) -> Result<Vec<String>, ShapeError> {
        self.bound.store.set_all(key).await
    }

    /// Returns the number of members.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn count(&self, key: &Key) -> Result<u64, ShapeError> {
        self.bound.store.count(Kind::Set, key).await
    }

    common!(Kind::Set, self.bound);
}
