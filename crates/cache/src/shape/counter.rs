//! Numbers that go up and down.

use super::error::ShapeError;
use super::store::{Bound, Kind, common};
use tidegate_cache_tiers::Key;

/// Counters under keys of one class.
#[derive(Debug, Clone)]
pub struct CounterShape(pub(super) Bound);

impl CounterShape {
    /// Adds to the counter, which begins at zero; negative numbers subtract. Returns the sum.
    ///
    /// # Errors
    ///
    /// [`ShapeError::Overflow`], or Redis cannot be reached; it may have been added all the same.
    pub async fn add(&self, key: &Key, by: i64) -> Result<i64, ShapeError> {
        self.0.store.counter_add(key, by, self.0.life).await
    }

    /// Returns the number. `None` if nothing was added yet, or the key has expired or was evicted.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn get(&self, key: &Key) -> Result<Option<i64>, ShapeError> {
        self.0.store.counter_get(key).await
    }

    common!(Kind::Counter, self.0);
}
