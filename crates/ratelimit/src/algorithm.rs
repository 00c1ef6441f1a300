//! Algorithms: each decision is a pure function of `(state, now, cost)`.

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

/// Makes decisions for one key, based on its state.
///
/// The result depends only on the arguments: the same state, time and cost give the same decision
/// and the same next state. Another implementation can therefore be compared on the same trace. An
/// implementation accepts any `now`, including one before the previous `now`; the [crate
/// docs](crate#time) define the behaviour.
pub trait Algorithm: Clone + Send + Sync + 'static {
    /// State that is kept for one key.
    type State: Clone + Send + 'static;

    /// The algorithm's name, for logs and statistics.
    fn name(&self) -> &'static str;

    /// The quota that the algorithm applies.
    fn quota(&self) -> Quota;

    /// All quotas that the algorithm applies. By default only [`quota`](Self::quota).
    fn quotas(&self) -> Quotas {
        self.quota().into()
    }

    /// The same algorithm with another quota.
    ///
    /// # Errors
    /// [`QuotaError`] if the algorithm cannot apply that quota.
    fn with_quota(&self, quota: Quota) -> Result<Self, QuotaError>;

    /// Converts a state from `before`, the same algorithm with another quota, to this quota.
    ///
    /// The amount in use is kept, even if it is above the new limit. Algorithms that store the time
    /// of each charge keep those times, so with a shorter period, older charges expire immediately.
    fn carry_over(&self, before: &Self, state: &mut Self::State, now: Timestamp);

    /// Maximum cost that can ever be admitted at once.
    fn capacity(&self) -> u64;

    /// The state of a key that was never charged.
    fn initial(&self, now: Timestamp) -> Self::State;

    /// Admits and charges `cost`, or refuses and charges nothing. A cost of zero charges nothing.
    ///
    /// # Errors
    /// [`CheckError::CostExceedsLimit`] if `cost` is above [`capacity`](Self::capacity). The state
    /// is unchanged.
    fn check(&self, state: &mut Self::State, now: Timestamp, cost: u64) -> Result<Decision, CheckError>;

    /// Whether [`check`](Self::check) would admit `cost`. Charges nothing: `remaining` and
    /// `reset_after` are the values before the charge.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    fn peek(&self, state: &Self::State, now: Timestamp, cost: u64) -> Result<Decision, CheckError>;

    /// Charges `cost` even if it does not fit, so that the key waits longer. The usage never
    /// exceeds twice the capacity, so that the waiting time is bounded.
    fn penalty(&self, state: &mut Self::State, now: Timestamp, cost: u64);

    /// Refunds `amount` from the latest charges, as far as they still count.
    fn reward(&self, state: &mut Self::State, now: Timestamp, amount: u64);

    /// Amount of the capacity in use at `now`. Eviction compares this value.
    fn charged(&self, state: &Self::State, now: Timestamp) -> u64;

    /// Time from which the state equals the initial state and may be removed.
    fn expires_at(&self, state: &Self::State) -> Timestamp;
}

/// Maximum usage after penalties: twice the capacity, within the exact integers of doubles.
pub(crate) fn most_charged(capacity: u64) -> u64 {
    capacity.saturating_mul(2).min(Quota::MAX_LIMIT)
}

pub(crate) fn ensure_fits(cost: u64, limit: u64) -> Result<(), CheckError> {
    if cost > limit { Err(CheckError::CostExceedsLimit { cost, limit }) } else { Ok(()) }
}
