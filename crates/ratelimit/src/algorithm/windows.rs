//! Several conservative sliding windows for one key. All of them are charged, or none.

use super::{Algorithm, SlidingWindow, SlidingWindowState, ensure_fits};
use crate::{CheckError, Decision, Quota, QuotaError, Quotas, Timestamp};

/// One [`SlidingWindow`] of 60 segments for each of several quotas. A cost is admitted only if
/// every window has capacity for it, and is then charged to each. If one refuses, none is charged.
///
/// Bound: for each quota, at most its limit in any half-open interval of its period. Time and
/// memory are the sum over the windows.
///
/// A decision shows the binding window. If windows refuse, it is the one with the longest wait;
/// otherwise the one with the least remaining. Among equals the first one wins. `reset_after` is
/// the value of that window. The maximum cost is the smallest limit.
///
/// A changed quota ([`with_quota`](Algorithm::with_quota)) replaces the quota with the same period.
///
/// ```
/// # use tidegate_ratelimit::{Limiter, ManualClock, MemoryLimiter, Windows};
/// let clock = ManualClock::default();
/// let windows = Windows::new("2/second; 3/minute".parse()?);
/// let limiter = MemoryLimiter::builder("api", windows).clock(clock.clone()).build();
/// assert!(limiter.check_now("key", 2)?.is_allowed());
/// assert_eq!(limiter.check_now("key", 1)?.quota().to_string(), "2/second");
/// clock.advance(std::time::Duration::from_secs(1));
/// assert!(limiter.check_now("key", 1)?.is_allowed());
/// assert_eq!(limiter.check_now("key", 1)?.quota().to_string(), "3/minute");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    quotas: Quotas,
}

/// State that [`Windows`] keeps for a key: the state of each window, in the order of the quotas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowsState {
    windows: Box<[SlidingWindowState]>,
}

impl Windows {
    /// Applies all of `quotas` without bursts.
    pub const fn new(quotas: Quotas) -> Self {
        Self { quotas: quotas.without_bursts() }
    }

    /// All quotas that the algorithm applies.
    pub const fn quotas(&self) -> Quotas {
        self.quotas
    }

    fn windows(&self) -> impl Iterator<Item = SlidingWindow> {
        self.quotas.iter().map(|quota| SlidingWindow::new(*quota))
    }

    fn decide(&self, state: &WindowsState, now: Timestamp, cost: u64) -> Decision {
        let decisions = self.windows().zip(&state.windows).map(|(window, state)| window.decide(state, now, cost));
        let bind = |binding: Decision, other: Decision| if binds_more(&other, &binding) { other } else { binding };
        decisions.reduce(bind).unwrap_or_else(|| {
            // There is at least one quota, and a state has a window for each.
            SlidingWindow::new(self.quota()).decide(&SlidingWindowState::default(), now, cost)
        })
    }
}

fn binds_more(one: &Decision, other: &Decision) -> bool {
    match (one.retry_after(), other.retry_after()) {
        (None, None) => one.remaining() < other.remaining(),
        (one, other) => one > other,
    }
}

impl Algorithm for Windows {
    type State = WindowsState;

    fn name(&self) -> &'static str {
        "windows"
    }

    /// The quota with the smallest limit.
    fn quota(&self) -> Quota {
        let smallest = |one: Quota, other: &Quota| if other.limit() < one.limit() { *other } else { one };
        self.quotas.iter().fold(self.quotas[0], smallest)
    }

    fn quotas(&self) -> Quotas {
        self.quotas
    }

    fn with_quota(&self, quota: Quota) -> Result<Self, QuotaError> {
        quota.ensure_no_burst()?;
        Ok(Self { quotas: self.quotas.with(quota)? })
    }

    /// A window with a new period begins with nothing charged.
    fn carry_over(&self, before: &Self, state: &mut WindowsState, now: Timestamp) {
        let mut carried = self.initial(now);
        for (window, kept) in self.windows().zip(&mut carried.windows) {
            let mut old = before.windows().zip(&mut state.windows);
            let same = old.find(|(old, _)| old.quota().period_micros() == window.quota().period_micros());
            if let Some((old, state)) = same {
                window.carry_over(&old, state, now);
                *kept = std::mem::take(state);
            }
        }
        *state = carried;
    }

    fn capacity(&self) -> u64 {
        self.quota().limit()
    }

    fn initial(&self, _now: Timestamp) -> WindowsState {
        WindowsState { windows: self.quotas.iter().map(|_| SlidingWindowState::default()).collect() }
    }

    fn check(&self, state: &mut WindowsState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        ensure_fits(cost, self.capacity())?;
        for (window, state) in self.windows().zip(&mut state.windows) {
            window.settle(state, now);
        }
        let decision = self.decide(state, now, cost);
        Ok(match decision {
            Decision::Allowed(_) if cost > 0 => {
                for (window, state) in self.windows().zip(&mut state.windows) {
                    let (view, _) = window.view(state, now);
                    window.charge(state, view, cost);
                }
                self.decide(state, now, 0)
            }
            _ => decision,
        })
    }

    fn peek(&self, state: &WindowsState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        ensure_fits(cost, self.capacity())?;
        Ok(self.decide(state, now, cost))
    }

    fn penalty(&self, state: &mut WindowsState, now: Timestamp, cost: u64) {
        for (window, state) in self.windows().zip(&mut state.windows) {
            window.penalty(state, now, cost);
        }
    }

    fn reward(&self, state: &mut WindowsState, now: Timestamp, amount: u64) {
        for (window, state) in self.windows().zip(&mut state.windows) {
            window.reward(state, now, amount);
        }
    }

    fn charged(&self, state: &WindowsState, now: Timestamp) -> u64 {
        self.windows().zip(&state.windows).map(|(window, state)| window.charged(state, now)).max().unwrap_or(0)
    }

    fn expires_at(&self, state: &WindowsState) -> Timestamp {
        let ends = self.windows().zip(&state.windows).map(|(window, state)| window.expires_at(state));
        ends.max().unwrap_or(Timestamp::MIN)
    }
}
