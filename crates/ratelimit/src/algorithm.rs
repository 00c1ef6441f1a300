//! The decision itself: a pure function of `(state, now, cost)`.

mod fixed_window;
mod leaky_bucket;
mod sliding_counter;
mod sliding_log;
mod sliding_window;
mod token_bucket;
mod windows;

pub use fixed_window::{FixedWindow, FixedWindowState};
pub use leaky_bucket::LeakyBucket;
pub use sliding_counter::{SlidingCounter, SlidingCounterState};
pub use sliding_log::SlidingLog;
pub use sliding_window::{SlidingWindow, SlidingWindowState};
pub use token_bucket::{TokenBucket, TokenBucketState};
pub use windows::{Windows, WindowsState};

use crate::{CheckError, Decision, Quota, QuotaError, Quotas, Timestamp};

/// Decides over the state of one key.
///
/// The result depends on the arguments alone: the same state, time and cost give the same decision and the same
/// next state, so another implementation can be compared on the same trace. An implementation accepts any
/// `now`, also one before the last; the [crate docs](crate#time) say what that means.
pub trait Algorithm: Clone + Send + Sync + 'static {
    /// What is remembered of one key.
    type State: Clone + Send + 'static;

    /// The algorithm's name, for logs and statistics.
    fn name(&self) -> &'static str;

    /// The quota it applies.
    fn quota(&self) -> Quota;

    /// All the quotas it applies: that one, unless it applies several.
    fn quotas(&self) -> Quotas {
        self.quota().into()
    }

    /// The same algorithm under another quota.
    ///
    /// # Errors
    /// [`QuotaError`] when it can't apply that one.
    fn with_quota(&self, quota: Quota) -> Result<Self, QuotaError>;

    /// Makes a state that was kept under `before`, the same algorithm under another quota, one of this.
    ///
    /// What is in use stays in use, as an amount, also where it is above the new limit. Where charges have dates they keep them,
    /// so a shorter period lets go at once of what is older.
    fn carry_over(&self, before: &Self, state: &mut Self::State, now: Timestamp);

    /// The greatest cost that can ever be admitted at once.
    fn capacity(&self) -> u64;

    /// The state of a key that was never charged.
    fn initial(&self, now: Timestamp) -> Self::State;

    /// Admits and charges `cost`, or refuses and charges nothing. A cost of zero charges nothing.
    ///
    /// # Errors
    /// [`CheckError::CostExceedsLimit`] when `cost` is above [`capacity`](Self::capacity); the state is untouched.
    fn check(&self, state: &mut Self::State, now: Timestamp, cost: u64) -> Result<Decision, CheckError>;

    /// Whether [`check`](Self::check) would admit `cost`, without charging it: `remaining` and `reset_after` are
    /// those before the charge.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    fn peek(&self, state: &Self::State, now: Timestamp, cost: u64) -> Result<Decision, CheckError>;

    /// Charges `cost` whether it fits or not, so that the key waits for longer. Never more than to twice the capacity, so
    /// that no key waits for ever.
    fn penalty(&self, state: &mut Self::State, now: Timestamp, cost: u64);

    /// Takes back `amount` of what was charged last, as far as it still counts.
    fn reward(&self, state: &mut Self::State, now: Timestamp, amount: u64);

    /// How much of the capacity is in use at `now`: what eviction compares.
    fn charged(&self, state: &Self::State, now: Timestamp) -> u64;

    /// From when on the state equals the initial one and may be forgotten.
    fn expires_at(&self, state: &Self::State) -> Timestamp;
}

/// The most that penalties charge: twice the capacity, as far as doubles count.
pub(crate) fn most_charged(capacity: u64) -> u64 {
    capacity.saturating_mul(2).min(Quota::MAX_LIMIT)
}

/// Refuses a cost that can never fit.
pub(crate) fn ensure_fits(cost: u64, limit: u64) -> Result<(), CheckError> {
    if cost > limit { Err(CheckError::CostExceedsLimit { cost, limit }) } else { Ok(()) }
}
