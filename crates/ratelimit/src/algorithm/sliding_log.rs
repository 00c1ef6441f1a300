//! Sliding window log: the time of every charge is stored.

use super::{Algorithm, SlidingWindow, SlidingWindowState};
use crate::{CheckError, Decision, Quota, QuotaError, Timestamp};

/// Admits at most `limit` in any window. Each charge counts for exactly one period.
///
/// Bound: at most `limit` in any half-open interval of one period, and every cost within that bound
/// is admitted. No other algorithm guarantees both. Time O(1) amortised, O(cost) for a refusal.
///
/// It is a [`SlidingWindow`] with segments of one microsecond. It needs 16 bytes for each
/// microsecond of the last period in which something was charged, up to `16 × limit` bytes per key.
/// The limit is therefore bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingLog {
    window: SlidingWindow,
}

impl SlidingLog {
    /// Maximum limit.
    pub const MAX_LIMIT: u64 = 10_000;

    /// Applies `quota` without a burst.
    ///
    /// # Errors
    /// [`QuotaError::LimitTooLarge`] above [`SlidingLog::MAX_LIMIT`].
    pub const fn new(quota: Quota) -> Result<Self, QuotaError> {
        if quota.limit() > Self::MAX_LIMIT {
            return Err(QuotaError::LimitTooLarge { limit: quota.limit(), max: Self::MAX_LIMIT });
        }
        Ok(Self { window: SlidingWindow::exact(quota) })
    }

    #[cfg(feature = "redis")]
    pub(crate) const fn window(&self) -> SlidingWindow {
        self.window
    }

    #[cfg(feature = "redis")]
    pub(crate) const fn of_window(window: SlidingWindow) -> Self {
        Self { window }
    }
}

impl Algorithm for SlidingLog {
    type State = SlidingWindowState;

    fn name(&self) -> &'static str {
        "sliding_log"
    }

    fn quota(&self) -> Quota {
        self.window.quota()
    }

    fn with_quota(&self, quota: Quota) -> Result<Self, QuotaError> {
        quota.ensure_no_burst()?;
        Self::new(quota)
    }

    fn carry_over(&self, before: &Self, state: &mut SlidingWindowState, now: Timestamp) {
        self.window.carry_over(&before.window, state, now);
    }

    fn capacity(&self) -> u64 {
        self.window.capacity()
    }

    fn initial(&self, now: Timestamp) -> SlidingWindowState {
        self.window.initial(now)
    }

    fn check(&self, state: &mut SlidingWindowState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        self.window.check(state, now, cost)
    }

    fn peek(&self, state: &SlidingWindowState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        self.window.peek(state, now, cost)
    }

    fn penalty(&self, state: &mut SlidingWindowState, now: Timestamp, cost: u64) {
        self.window.penalty(state, now, cost);
    }

    fn reward(&self, state: &mut SlidingWindowState, now: Timestamp, amount: u64) {
        self.window.reward(state, now, amount);
    }

    fn charged(&self, state: &SlidingWindowState, now: Timestamp) -> u64 {
        self.window.charged(state, now)
    }

    fn expires_at(&self, state: &SlidingWindowState) -> Timestamp {
        self.window.expires_at(state)
    }
}
