//! Counts of distinct members, without storing them.

use super::error::ShapeError;
use super::store::{Bound, Kind, bounded, common};
use tidegate_cache_tiers::Key;

/// Counts of distinct members per key of a class, such as visitors of a day, by `HyperLogLog`.
///
/// A key takes 16 KiB at most, for any number of members (12 KiB in Redis). The standard deviation
/// of the count is 0.81 %, so the error is less than 2.5 % in 99 of 100 cases. In memory the count
/// is exact up to 256 members, in Redis nearly.
#[derive(Debug, Clone)]
pub struct UniqueShape(pub(super) Bound);

impl UniqueShape {
    /// Adds a member; adding it again changes nothing.
    ///
    /// # Errors
    ///
    /// [`ShapeError::TooLong`] above 512 bytes, or Redis cannot be reached.
    pub async fn add(&self, key: &Key, member: &str) -> Result<(), ShapeError> {
        self.0.store.unique_add(key, bounded(member)?, self.0.life).await
    }

    /// Returns approximately how many different members were added.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn count(&self, key: &Key) -> Result<u64, ShapeError> {
        self.0.store.count(Kind::Unique, key).await
    }

    common!(Kind::Unique, self.0);
}
