//! Limiters: many keys with one algorithm.

mod builder;
mod decorator;
mod deny_cache;
mod forgetting;
mod lists;
mod memory;
mod seed;
mod shadow;
mod single;

use std::time::Duration;

use async_trait::async_trait;

pub use builder::{InMemory, LimiterBuilder, MemoryLimiterBuilder};
pub use decorator::LimiterDecorator;
pub use deny_cache::{DenyCache, DenyCacheBuilder};
pub(crate) use forgetting::Forgetting;
pub use lists::{Exempt, KeyLists, Listed, Verdict};
pub use memory::MemoryLimiter;
#[cfg(feature = "redis")]
pub(crate) use seed::{Learn, Seed};
pub use shadow::Shadow;
pub use single::SingleLimiter;

use crate::{CheckError, Decision, LimiterStats, Quota, QuotaError, Quotas};

/// Default maximum number of keys of a limiter that counts in memory.
pub(crate) const DEFAULT_MAX_KEYS: usize = 100_000;

/// Makes decisions for many keys, each with its own state. Object safe.
///
/// A [`LimiterDecorator`] around another limiter, such as [`Exempt`], is a limiter too, and so is a
/// limiter behind an [`Arc`](std::sync::Arc).
///
/// Decisions are atomic: concurrent checks of one key admit exactly as much as sequential ones.
#[async_trait]
pub trait Limiter: Send + Sync {
    /// The limiter's name, as in headers and statistics.
    fn name(&self) -> &str;

    /// The quota of each key.
    fn quota(&self) -> Quota;

    /// All quotas of each key. Several only with [`Windows`](crate::Windows).
    fn quotas(&self) -> Quotas;

    /// Whether [`set_quota`](Self::set_quota) would apply that quota. Changes nothing.
    ///
    /// # Errors
    /// As [`set_quota`](Self::set_quota).
    fn accepts(&self, quota: Quota) -> Result<(), QuotaError>;

    /// Changes the quota of every key from now on. Charges are kept, as an amount. After the limit
    /// was lowered, a key may have nothing remaining, but never a negative amount. After it was
    /// raised, the key gets the difference immediately. Blocks, strikes and counters are kept.
    ///
    /// Changes only this limiter. `SharedQuotas` (feature `redis`) changes the quota on every node.
    ///
    /// # Errors
    /// [`QuotaError`] if the algorithm cannot apply that quota, for example a burst for an
    /// algorithm without one. Nothing changes then.
    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError>;

    /// Admits and charges `cost`, or refuses and charges nothing. A refusal may start a block.
    ///
    /// # Errors
    /// [`CheckError`] if there is no decision: the cost can never fit, the key is too long, there
    /// is no capacity for the key, or the store cannot be reached.
    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError>;

    /// Whether [`check`](Self::check) would admit `cost`. Charges nothing, blocks no key, updates
    /// no counter and stores no new key. `remaining` is the amount before the charge.
    ///
    /// # Errors
    /// As [`check`](Self::check), except [`CheckError::Full`].
    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError>;

    /// Charges `cost` to `key` even if it does not fit, for example after a failed login, up to
    /// twice the capacity. Blocks no key and updates no counter. Returns the same as a subsequent
    /// [`peek`](Self::peek) with a cost of zero.
    ///
    /// # Errors
    /// As [`check`](Self::check), except [`CheckError::CostExceedsLimit`].
    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError>;

    /// Refunds `amount` from the latest charges of `key`, for example because a request was not
    /// served. Charges that no longer count cannot be refunded, and no key gets more than its
    /// limit. Returns the same as [`penalty`](Self::penalty).
    ///
    /// # Errors
    /// As [`penalty`](Self::penalty), except [`CheckError::Full`].
    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError>;

    /// Removes the key's usage, block and strikes. Returns whether the key had a state.
    ///
    /// # Errors
    /// [`CheckError`] if the key is too long or the store cannot be reached. A [`MemoryLimiter`]
    /// has no such store.
    async fn reset(&self, key: &str) -> Result<bool, CheckError>;

    /// Refuses every request of `key` for `duration` from now. Replaces an earlier block. Does not
    /// count as a strike. A duration of zero ends the block and keeps the strikes.
    ///
    /// # Errors
    /// [`CheckError`] if the key is too long or there is no capacity for it.
    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError>;

    /// Ends the key's block and removes its strikes, not its usage. Returns whether it was blocked.
    ///
    /// # Errors
    /// As [`reset`](Self::reset).
    async fn unblock(&self, key: &str) -> Result<bool, CheckError>;

    /// The denial that a check of `key` would return, if this process knows it without a request to
    /// a store. Counted like such a check. `None` allows no conclusion.
    fn known_denial(&self, _key: &str, _cost: u64) -> Option<Decision> {
        None
    }

    /// Exact counters of this process since the limiter was built. Iterates over all keys held in
    /// this process: use it for dashboards, not on the request path.
    fn stats(&self) -> LimiterStats;
}
