//! The decision over three windows, pure as that of an [`Algorithm`].

use std::time::Duration;

use serde::Serialize;

use super::TierLimits;
use crate::algorithm::ensure_fits;
use crate::{
    Algorithm, CheckError, Decision, FixedWindow, FixedWindowState, SlidingWindow, SlidingWindowState, Timestamp,
};

/// What is remembered of a tenant: the charges of the last minute, of this hour and of this day. The default is
/// a tenant that was never charged.
///
/// The limits are an argument of each decision, so a change of tier counts at once and keeps the usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantState {
    minute: SlidingWindowState,
    hour: FixedWindowState,
    day: FixedWindowState,
}

/// The answer of all three windows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision that nobody obeys limits nothing"]
pub struct TenantDecision {
    /// Whether the cost was admitted, and charged to all windows. Otherwise it was charged to none.
    pub allowed: bool,
    /// The minute, the hour and the day.
    pub windows: [WindowDecision; 3],
}

/// The answer of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowDecision {
    /// `minute`, `hour` or `day`.
    pub name: &'static str,
    /// What this window alone says; where another window refused, its allowance is uncharged.
    pub decision: Decision,
}

/// What a tenant has used of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WindowUsage {
    /// `minute`, `hour` or `day`.
    pub window: &'static str,
    /// The window's limit.
    pub limit: u64,
    /// What counts against it now; above the limit after the limit was lowered.
    pub used: u64,
    /// What is left.
    pub remaining: u64,
    /// Until nothing counts any more, if nothing more is charged.
    #[serde(rename = "reset_after_ms", serialize_with = "as_millis")]
    pub reset_after: Duration,
}

/// The names of the windows, in the order of all that is said of them.
pub(crate) const WINDOWS: [&str; 3] = ["minute", "hour", "day"];

struct Windows {
    minute: SlidingWindow,
    hour: FixedWindow,
    day: FixedWindow,
}

impl Windows {
    fn new(limits: &TierLimits) -> Self {
        let [minute, hour, day] = limits.quotas();
        Self { minute: SlidingWindow::new(minute), hour: FixedWindow::new(hour), day: FixedWindow::new(day) }
    }

    fn peek(&self, state: &TenantState, now: Timestamp, cost: u64) -> Result<[Decision; 3], CheckError> {
        Ok([
            self.minute.peek(&state.minute, now, cost)?,
            self.hour.peek(&state.hour, now, cost)?,
            self.day.peek(&state.day, now, cost)?,
        ])
    }

    fn charge(&self, state: &mut TenantState, now: Timestamp, cost: u64) -> Result<[Decision; 3], CheckError> {
        Ok([
            self.minute.check(&mut state.minute, now, cost)?,
            self.hour.check(&mut state.hour, now, cost)?,
            self.day.check(&mut state.day, now, cost)?,
        ])
    }
}

impl TenantState {
    /// Admits and charges `cost` to every window, or refuses and charges none.
    ///
    /// The minute is a [`SlidingWindow`]: its limit holds in any minute. Hour and day are [`FixedWindow`]s: they
    /// begin at the multiples of an hour and of 24 hours since the clock's epoch.
    ///
    /// # Errors
    /// [`CheckError::CostExceedsLimit`] when `cost` is above the smallest of the limits.
    pub fn check(&mut self, limits: &TierLimits, now: Timestamp, cost: u64) -> Result<TenantDecision, CheckError> {
        ensure_fits(cost, limits.smallest())?;
        let windows = Windows::new(limits);
        let mut decisions = windows.peek(self, now, cost)?;
        let allowed = decisions.iter().all(Decision::is_allowed);
        if allowed {
            decisions = windows.charge(self, now, cost)?;
        } else {
            // Charges nothing, but lets the usage follow a clock that was set back, or waiting would never help.
            let _ = windows.charge(self, now, 0)?;
            decisions = windows.peek(self, now, cost)?;
        }
        let mut names = WINDOWS.into_iter();
        let windows = decisions.map(|decision| WindowDecision { name: names.next().unwrap_or_default(), decision });
        Ok(TenantDecision { allowed, windows })
    }

    /// What is used of each window at `now`.
    pub fn usage(&self, limits: &TierLimits, now: Timestamp) -> [WindowUsage; 3] {
        let Windows { minute, hour, day } = Windows::new(limits);
        [
            usage(WINDOWS[0], &minute, &self.minute, now),
            usage(WINDOWS[1], &hour, &self.hour, now),
            usage(WINDOWS[2], &day, &self.day, now),
        ]
    }

    /// From when on nothing counts any more. No window depends on its limit for that.
    pub(super) fn expires_at(&self, limits: &TierLimits) -> Timestamp {
        let Windows { minute, hour, day } = Windows::new(limits);
        minute.expires_at(&self.minute).max(hour.expires_at(&self.hour)).max(day.expires_at(&self.day))
    }

    /// The most that is in use of any window.
    pub(super) fn charged(&self, limits: &TierLimits, now: Timestamp) -> u64 {
        self.usage(limits, now).iter().map(|window| window.used).max().unwrap_or(0)
    }
}

fn usage<A: Algorithm>(window: &'static str, algorithm: &A, state: &A::State, now: Timestamp) -> WindowUsage {
    let (limit, used) = (algorithm.capacity(), algorithm.charged(state, now));
    // A cost of nothing always fits, so there is no error to lose.
    let reset_after = algorithm.peek(state, now, 0).map(|decision| decision.reset_after()).unwrap_or_default();
    WindowUsage { window, limit, used, remaining: limit.saturating_sub(used), reset_after }
}

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX))
}

impl TenantDecision {
    /// The window that decides: of those that refuse, the one to wait for longest; else the one with least left.
    pub fn binding(&self) -> &WindowDecision {
        let [minute, hour, day] = &self.windows;
        [hour, day].into_iter().fold(minute, |binding, other| if other.binds_more(binding) { other } else { binding })
    }

    /// When the same cost would be admitted; `None` if it just was.
    pub fn retry_after(&self) -> Option<Duration> {
        self.binding().decision.retry_after()
    }
}

impl WindowDecision {
    fn binds_more(&self, other: &Self) -> bool {
        let (own, others) = (self.decision, other.decision);
        match (own.retry_after(), others.retry_after()) {
            (None, None) => own.remaining() < others.remaining(),
            (own, others) => own > others,
        }
    }
}
