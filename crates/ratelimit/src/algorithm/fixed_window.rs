//! Fixed window: one counter that is reset at each multiple of the period.

use std::time::Duration;

use super::{Algorithm, ensure_fits, most_charged};
use crate::{Allowance, CheckError, Decision, Denial, Quota, QuotaError, Timestamp};

/// Counts per window. Windows begin at the multiples of the period since the clock's epoch. With
/// [system clock](crate::Clock::system), an hour begins on the hour and a day at midnight UTC.
///
/// Bound: at most `limit` in each window, and therefore at most `2 × limit` in any interval of one
/// period. O(1) time, 16 bytes per key. There is no burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedWindow {
    quota: Quota,
}

/// State that [`FixedWindow`] keeps for a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedWindowState {
    start: u64,
    used: u64,
}

impl FixedWindow {
    /// Applies `quota` without a burst.
    pub const fn new(quota: Quota) -> Self {
        Self { quota: quota.without_burst() }
    }

    fn at(&self, state: FixedWindowState, now: Timestamp) -> FixedWindowState {
        let now = now.as_micros();
        let start = now - now % self.quota.period_micros();
        if now < state.start {
            if state.start - now > self.quota.period_micros() {
                // The clock was set back: the usage moves into the clock's current window.
                return FixedWindowState { start, ..state };
            }
            return state;
        }
        if start > state.start { FixedWindowState { start, used: 0 } } else { state }
    }

    fn until_next(&self, state: FixedWindowState, now: Timestamp) -> Duration {
        let end = state.start.saturating_add(self.quota.period_micros());
        Timestamp::from_micros(end).saturating_since(now)
    }

    fn decide(&self, state: FixedWindowState, now: Timestamp, cost: u64) -> Decision {
        let (quota, limit) = (self.quota, self.quota.limit());
        // The usage can exceed the limit after the limit was lowered.
        let remaining = limit.saturating_sub(state.used);
        let next = self.until_next(state, now);
        let reset_after = if state.used == 0 { Duration::ZERO } else { next };
        if cost <= remaining {
            Decision::Allowed(Allowance { quota, limit, remaining, reset_after, delay: Duration::ZERO })
        } else {
            Decision::Denied(Denial { quota, limit, remaining, reset_after, retry_after: next, blocked_for: None })
        }
    }
}

impl Algorithm for FixedWindow {
    type State = FixedWindowState;

    fn name(&self) -> &'static str {
        "fixed_window"
    }

    fn quota(&self) -> Quota {
        self.quota
    }

    fn with_quota(&self, quota: Quota) -> Result<Self, QuotaError> {
        quota.ensure_no_burst()?;
        Ok(Self::new(quota))
    }

    /// The usage of the old period's window counts in the current window.
    fn carry_over(&self, before: &Self, state: &mut FixedWindowState, now: Timestamp) {
        if before.quota.period_micros() != self.quota.period_micros() {
            *state = FixedWindowState { used: before.at(*state, now).used, ..self.initial(now) };
        }
    }

    fn capacity(&self) -> u64 {
        self.quota.limit()
    }

    fn initial(&self, now: Timestamp) -> FixedWindowState {
        let now = now.as_micros();
        FixedWindowState { start: now - now % self.quota.period_micros(), used: 0 }
    }

    fn check(&self, state: &mut FixedWindowState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        ensure_fits(cost, self.capacity())?;
        *state = self.at(*state, now);
        let decision = self.decide(*state, now, cost);
        Ok(match decision {
            Decision::Allowed(_) => {
                state.used += cost;
                self.decide(*state, now, 0)
            }
            Decision::Denied(_) => decision,
        })
    }

    fn peek(&self, state: &FixedWindowState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        ensure_fits(cost, self.capacity())?;
        Ok(self.decide(self.at(*state, now), now, cost))
    }

    fn penalty(&self, state: &mut FixedWindowState, now: Timestamp, cost: u64) {
        *state = self.at(*state, now);
        state.used += cost.min(most_charged(self.capacity()).saturating_sub(state.used));
    }

    fn reward(&self, state: &mut FixedWindowState, now: Timestamp, amount: u64) {
        *state = self.at(*state, now);
        state.used = state.used.saturating_sub(amount);
    }

    fn charged(&self, state: &FixedWindowState, now: Timestamp) -> u64 {
        self.at(*state, now).used
    }

    fn expires_at(&self, state: &FixedWindowState) -> Timestamp {
        Timestamp::from_micros(state.start.saturating_add(self.quota.period_micros()))
    }
}
