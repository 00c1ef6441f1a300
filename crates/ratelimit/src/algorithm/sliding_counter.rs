//! Approximate sliding window counter: the previous window counts by its overlap with the period.

use std::time::Duration;

use super::{Algorithm, ensure_fits, most_charged};
use crate::{Allowance, CheckError, Decision, Denial, Quota, QuotaError, Timestamp};

/// Two counters: one for the current window and one for the previous window. The algorithm assumes
/// that the charges of the previous window were evenly spaced.
///
/// Bound: at most `2 × limit - 1` in any interval of one period, for example if one window is
/// filled at its end and the next one over its whole length. At most `limit` in each window that
/// begins at a multiple of the period. About `limit` if requests are evenly spaced.
/// [`SlidingWindow`](crate::SlidingWindow) uses more memory and never exceeds the limit.
///
/// The share of the previous window is counted in units of 1/256, rounded up, so that Redis, which
/// counts with doubles, gives the same figures. O(1) time, 24 bytes per key. There is no burst.
///
/// Based on Cloudflare's counter ("How we built rate limiting capable of scaling to millions of
/// domains", 2017).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingCounter {
    quota: Quota,
}

/// State that [`SlidingCounter`] keeps for a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlidingCounterState {
    /// Start of the current window.
    start: u64,
    used: u64,
    before: u64,
}

/// Resolution of the previous window's share.
const PARTS: u64 = 256;

const fn share(used: u64, parts: u64) -> u64 {
    used / PARTS * parts + (used % PARTS * parts).div_ceil(PARTS)
}

/// Maximum number of parts of `used` that fit into `room`.
fn most_parts(used: u64, room: u64) -> u64 {
    let (mut fits, mut too_many) = (0, PARTS + 1);
    while too_many - fits > 1 {
        let middle = fits.midpoint(too_many);
        if share(used, middle) <= room { fits = middle } else { too_many = middle }
    }
    fits
}

impl SlidingCounter {
    /// Applies `quota` without a burst.
    pub const fn new(quota: Quota) -> Self {
        Self { quota: quota.without_burst() }
    }

    fn at(&self, state: SlidingCounterState, now: Timestamp) -> SlidingCounterState {
        let (now, period) = (now.as_micros(), self.quota.period_micros());
        let start = now - now % period;
        if now < state.start {
            // If the clock was set back, the usage moves into the clock's current window.
            let is_set_back = state.start - now > period;
            return if is_set_back { SlidingCounterState { start, ..state } } else { state };
        }
        match start - state.start {
            0 => state,
            passed if passed == period => SlidingCounterState { start, used: 0, before: state.used },
            _ => SlidingCounterState { start, used: 0, before: 0 },
        }
    }

    /// Parts of the previous window within the last period, at `since_start` in this one.
    fn parts(&self, since_start: u64) -> u64 {
        ((self.quota.period_micros() - since_start) * PARTS).div_ceil(self.quota.period_micros())
    }

    /// Time after a window's start at which at most `parts` of the previous one are in the period.
    fn until(&self, parts: u64) -> u64 {
        self.quota.period_micros() - parts * self.quota.period_micros() / PARTS
    }

    fn used(&self, state: SlidingCounterState, now: Timestamp) -> u64 {
        let since_start = now.as_micros().saturating_sub(state.start);
        state.used.saturating_add(share(state.before, self.parts(since_start)))
    }

    fn decide(&self, state: SlidingCounterState, now: Timestamp, cost: u64) -> Decision {
        let (quota, limit, period) = (self.quota, self.quota.limit(), self.quota.period_micros());
        let used = self.used(state, now);
        // The usage can exceed the limit after the limit was lowered.
        let remaining = limit.saturating_sub(used);
        let after = |since_start: u64| {
            let moment = Timestamp::from_micros(state.start.saturating_add(since_start));
            moment.saturating_since(now)
        };
        let reset_after = match (state.used, used) {
            (_, 0) => Duration::ZERO,
            (0, _) => after(period),
            _ => after(2 * period),
        };
        if cost <= remaining {
            return Decision::Allowed(Allowance { quota, limit, remaining, reset_after, delay: Duration::ZERO });
        }
        let room = limit - cost;
        let retry_after = match room.checked_sub(state.used) {
            // When enough of the previous window has left the period.
            Some(room) => after(self.until(most_parts(state.before, room))),
            // When enough of the current window, then the previous one, has left the period.
            None => after(period + self.until(most_parts(state.used, room))),
        };
        Decision::Denied(Denial { quota, limit, remaining, reset_after, retry_after, blocked_for: None })
    }
}

impl Algorithm for SlidingCounter {
    type State = SlidingCounterState;

    fn name(&self) -> &'static str {
        "sliding_counter"
    }

    fn quota(&self) -> Quota {
        self.quota
    }

    fn with_quota(&self, quota: Quota) -> Result<Self, QuotaError> {
        quota.ensure_no_burst()?;
        Ok(Self::new(quota))
    }

    /// The usage in the old period counts as charged in the current window.
    fn carry_over(&self, before: &Self, state: &mut SlidingCounterState, now: Timestamp) {
        if before.quota.period_micros() != self.quota.period_micros() {
            let used = before.used(before.at(*state, now), now);
            *state = SlidingCounterState { used, ..self.initial(now) };
        }
    }

    fn capacity(&self) -> u64 {
        self.quota.limit()
    }

    fn initial(&self, now: Timestamp) -> SlidingCounterState {
        let now = now.as_micros();
        SlidingCounterState { start: now - now % self.quota.period_micros(), ..SlidingCounterState::default() }
    }

    fn check(&self, state: &mut SlidingCounterState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
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

    fn peek(&self, state: &SlidingCounterState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        ensure_fits(cost, self.capacity())?;
        Ok(self.decide(self.at(*state, now), now, cost))
    }

    fn penalty(&self, state: &mut SlidingCounterState, now: Timestamp, cost: u64) {
        *state = self.at(*state, now);
        let room = most_charged(self.capacity()).saturating_sub(self.used(*state, now));
        state.used += cost.min(room);
    }

    fn reward(&self, state: &mut SlidingCounterState, now: Timestamp, amount: u64) {
        *state = self.at(*state, now);
        state.used = state.used.saturating_sub(amount);
    }

    fn charged(&self, state: &SlidingCounterState, now: Timestamp) -> u64 {
        self.used(self.at(*state, now), now).min(self.capacity())
    }

    fn expires_at(&self, state: &SlidingCounterState) -> Timestamp {
        let windows = match (state.used, state.before) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 2,
        };
        Timestamp::from_micros(state.start.saturating_add(windows * self.quota.period_micros()))
    }
}
