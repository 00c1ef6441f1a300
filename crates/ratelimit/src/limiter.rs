//! Many keys under one algorithm.

mod builder;
mod deny_cache;
mod forgetting;
mod lists;
mod memory;
mod shadow;
mod single;
mod stats;

use std::time::Duration;

use async_trait::async_trait;

pub use builder::MemoryLimiterBuilder;
pub use deny_cache::{DenyCache, DenyCacheBuilder};
pub(crate) use forgetting::Forgetting;
pub use lists::{Exempt, KeyLists, Listed, Verdict};
pub use memory::MemoryLimiter;
#[cfg(feature = "redis")]
pub(crate) use memory::Seed;
pub use shadow::Shadow;
pub use single::SingleLimiter;
pub use stats::{LimiterStats, TOP_DENIED};

use crate::{CheckError, Decision, Quota, QuotaError, Quotas};

/// The longest key accepted, in bytes. Shorten or hash longer ones; the bound is what makes a cap on keys a cap
/// on memory.
pub const MAX_KEY_BYTES: usize = 512;

/// How many keys limiters hold in memory that decide by their own counts.
pub(crate) const DEFAULT_MAX_KEYS: usize = 100_000;

/// Refuses a key that is too long.
pub(crate) fn ensure_short(key: &str) -> Result<(), CheckError> {
    let length = key.len();
    if length > MAX_KEY_BYTES { Err(CheckError::KeyTooLong { length, max: MAX_KEY_BYTES }) } else { Ok(()) }
}

/// Decides over many keys, each with a state of its own. Object safe.
///
/// What decides in front of another limiter or beside it, such as [`Exempt`] and [`Shadow`], is a limiter too.
///
/// Every decision is atomic: simultaneous checks of one key admit exactly what one after the other would.
#[async_trait]
pub trait Limiter: Send + Sync {
    /// The limiter's name, as in headers and statistics.
    fn name(&self) -> &str;

    /// The quota of each key.
    fn quota(&self) -> Quota;

    /// All quotas of each key: more than [`quota`](Self::quota) under [`Windows`](crate::Windows) alone.
    fn quotas(&self) -> Quotas;

    /// Whether [`set_quota`](Self::set_quota) would apply that quota. Changes nothing.
    ///
    /// # Errors
    /// As [`set_quota`](Self::set_quota).
    fn accepts(&self, quota: Quota) -> Result<(), QuotaError>;

    /// Changes the quota of every key from now on. What was charged stays charged, as an amount: under a lower limit a key may
    /// have nothing left, never less than that, and under a higher one it has the difference at once. Blocks, strikes and
    /// counters stay.
    ///
    /// It changes this limiter alone; `SharedQuotas` (feature `redis`) changes it on every node.
    ///
    /// # Errors
    /// [`QuotaError`] when the algorithm can't apply that quota, as with a burst where it has none; then nothing changes.
    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError>;

    /// Admits and charges `cost` to `key`, or refuses and charges nothing. A refusal may start a block.
    ///
    /// # Errors
    /// [`CheckError`] when there is no decision: the cost can never fit, the key is too long, there is no room, or the store
    /// can't be asked.
    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError>;

    /// Whether [`check`](Self::check) would admit `cost`. Charges nothing, blocks nobody, counts nothing and
    /// remembers no new key; `remaining` is what is there before the charge.
    ///
    /// # Errors
    /// As [`check`](Self::check), except [`CheckError::Full`].
    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError>;

    /// Charges `cost` to `key` whether it fits or not, as after a failed login, up to twice the capacity. Blocks nobody and
    /// counts nothing. Answers what a [`peek`](Self::peek) of nothing says afterwards.
    ///
    /// # Errors
    /// As [`check`](Self::check), except [`CheckError::CostExceedsLimit`].
    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError>;

    /// Takes back `amount` of what was charged to `key` last, as for a request that was not served after all. What no longer
    /// counts can't be taken back; no key gets more than its limit. Answers as [`penalty`](Self::penalty) does.
    ///
    /// # Errors
    /// As [`penalty`](Self::penalty), except [`CheckError::Full`].
    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError>;

    /// Forgets the key's usage, block and strikes. Returns whether it was known.
    ///
    /// # Errors
    /// [`CheckError`] when the key is too long or the store can't be asked; a [`MemoryLimiter`] always can.
    async fn reset(&self, key: &str) -> Result<bool, CheckError>;

    /// Refuses everything from `key` for `duration` from now, in place of any earlier block. Not a strike.
    /// A duration of zero ends the block and keeps the strikes.
    ///
    /// # Errors
    /// [`CheckError`] when the key is too long or there is no room for it.
    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError>;

    /// Ends the key's block and forgets its strikes; its usage stays. Returns whether it was blocked.
    ///
    /// # Errors
    /// As [`reset`](Self::reset).
    async fn unblock(&self, key: &str) -> Result<bool, CheckError>;

    /// The denial that a check of `key` would be answered with, where that is known in this process without asking a store; counted
    /// as such a check. `None` says nothing: most limiters know none.
    fn known_denial(&self, _key: &str, _cost: u64) -> Option<Decision> {
        None
    }

    /// Exact counters of this process since the limiter was built. Walks all keys held here: for dashboards, not for the request path.
    fn stats(&self) -> LimiterStats;
}

/// A shared limiter is one too.
#[async_trait]
impl<L: Limiter + ?Sized> Limiter for std::sync::Arc<L> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn quota(&self) -> Quota {
        (**self).quota()
    }

    fn quotas(&self) -> Quotas {
        (**self).quotas()
    }

    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        (**self).accepts(quota)
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        (**self).set_quota(quota)
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        (**self).check(key, cost).await
    }

    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        (**self).peek(key, cost).await
    }

    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        (**self).penalty(key, cost).await
    }

    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        (**self).reward(key, amount).await
    }

    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        (**self).reset(key).await
    }

    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        (**self).block(key, duration).await
    }

    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        (**self).unblock(key).await
    }

    fn known_denial(&self, key: &str, cost: u64) -> Option<Decision> {
        (**self).known_denial(key, cost)
    }

    fn stats(&self) -> LimiterStats {
        (**self).stats()
    }
}
