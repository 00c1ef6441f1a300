//! Operations that every kind of shape needs of its store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::error::ShapeError;
use super::sorted::{Around, Position, SortedRead, SortedWrite};
use tidegate_cache_tiers::{Key, TtlClass};

/// Longest text of a field or member, in bytes.
const LONGEST: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Hash,
    Counter,
    Set,
    Bitmap,
    Unique,
    /// Sorted sets with the highest score first.
    Highest,
    /// Sorted sets with the lowest score first, which keep their scores negated.
    Lowest,
}

/// Expiry of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    pub(super) ttl: Duration,
    /// Whether every write restarts the TTL.
    pub(super) renews: bool,
}

#[async_trait]
pub(super) trait ShapeStore: Send + Sync + 'static {
    /// The TTL of a class here.
    fn lifetime(&self, class: &TtlClass) -> Duration;

    /// Returns whether the field is new.
    async fn hash_set(
        &self,
        key: &Key,
        field: &str,
        value: Vec<u8>,
        life: Life,
        limit: usize,
    ) -> Result<bool, ShapeError>;
    async fn hash_get(&self, key: &Key, field: &str) -> Result<Option<Vec<u8>>, ShapeError>;
    async fn hash_all(&self, key: &Key) -> Result<Vec<(String, Vec<u8>)>, ShapeError>;
    async fn hash_remove(&self, key: &Key, field: &str) -> Result<bool, ShapeError>;

    /// Returns the new number.
    async fn counter_add(&self, key: &Key, by: i64, life: Life) -> Result<i64, ShapeError>;
    async fn counter_get(&self, key: &Key) -> Result<Option<i64>, ShapeError>;

    /// Returns whether the member is new.
    async fn set_add(&self, key: &Key, member: &str, life: Life, limit: usize) -> Result<bool, ShapeError>;
    async fn set_has(&self, key: &Key, member: &str) -> Result<bool, ShapeError>;
    async fn set_all(&self, key: &Key) -> Result<Vec<String>, ShapeError>;
    async fn set_remove(&self, key: &Key, member: &str) -> Result<bool, ShapeError>;

    /// Returns the previous value of the bit.
    async fn bit_set(&self, key: &Key, bit: u32, value: bool, life: Life) -> Result<bool, ShapeError>;
    async fn bit_get(&self, key: &Key, bit: u32) -> Result<bool, ShapeError>;

    async fn unique_add(&self, key: &Key, member: &str, life: Life) -> Result<(), ShapeError>;

    /// Runs one step on each of several sorted sets. Returns the results in their order.
    async fn sorted_write(
        &self,
        kind: Kind,
        keys: &[&Key],
        step: SortedWrite<'_>,
        life: Life,
        limit: usize,
    ) -> Vec<Result<i64, ShapeError>>;
    async fn sorted_read(&self, kind: Kind, key: &Key, read: SortedRead)
    -> Result<Vec<(Position, String)>, ShapeError>;
    async fn sorted_around(
        &self,
        kind: Kind,
        key: &Key,
        member: &str,
        each_side: u32,
    ) -> Result<Option<Around>, ShapeError>;

    /// Counts fields, members, set bits or distinct members; not for counters.
    async fn count(&self, kind: Kind, key: &Key) -> Result<u64, ShapeError>;
    async fn ttl(&self, kind: Kind, key: &Key) -> Result<Option<Duration>, ShapeError>;
    async fn delete(&self, kind: Kind, key: &Key) -> Result<bool, ShapeError>;
}

/// A store, and the lifetime of its keys.
#[derive(Clone)]
pub(super) struct Bound {
    pub(super) store: Arc<dyn ShapeStore>,
    pub(super) life: Life,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.life.fmt(f)
    }
}

/// Returns a text that is short enough to be a field or a member.
pub(super) fn bounded(text: &str) -> Result<&str, ShapeError> {
    if text.len() <= LONGEST { Ok(text) } else { Err(ShapeError::TooLong { length: text.len(), limit: LONGEST }) }
}

/// Methods that every kind of shape has, written once.
macro_rules! common {
    ($kind:expr, $self:ident.$path:tt) => {
        /// Restarts the TTL of a key with each write to it, instead of with the first one alone.
        #[must_use]
        pub fn renewing(mut $self) -> Self {
            $self.$path.life.renews = true;
            $self
        }

        /// Returns how much longer the key lives; `None` if there is no such key.
        ///
        /// # Errors
        ///
        /// [`ShapeError`](crate::ShapeError) if Redis cannot be reached.
        pub async fn ttl(&$self, key: &tidegate_cache_tiers::Key) -> Result<Option<std::time::Duration>, crate::ShapeError> {
            $self.$path.store.ttl($kind, key).await
        }

        /// Removes the key and its content. Returns whether it existed.
        ///
        /// # Errors
        ///
        /// [`ShapeError`](crate::ShapeError) if Redis cannot be reached.
        pub async fn delete(&$self, key: &tidegate_cache_tiers::Key) -> Result<bool, crate::ShapeError> {
            $self.$path.store.delete($kind, key).await
        }
    };
}
pub(super) use common;
