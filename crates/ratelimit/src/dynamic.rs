//! A quota that depends on the health of the protected service.

mod adjustment;
mod limiter;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Clock, Limiter, Quota, QuotaError, Timestamp};

pub use adjustment::Adjustment;

use adjustment::AdjustmentState;

/// The health of a service, as the owner of a [`DynamicQuota`] measures it.
///
/// Closures that return a number are signals too.
pub trait HealthSignal: Send + Sync {
    /// Returns a score from 0 (worst) to 1 (healthy). NaN means unknown and changes nothing.
    fn score(&self) -> f64;
}

impl<F: Fn() -> f64 + Send + Sync> HealthSignal for F {
    fn score(&self) -> f64 {
        self()
    }
}

/// Lowers a limiter's quota under load and raises it slowly later, as an [`Adjustment`] says.
///
/// Each call of [`observe`](Self::observe) takes one score and applies the resulting quota with
/// [`Limiter::set_quota`], so charges are kept. With the feature `tokio`, `follow` reads a signal
/// periodically.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tidegate_ratelimit::{
///     Adjustment, DynamicQuota, FixedWindow, Limiter, ManualClock, MemoryLimiter, Quota,
/// };
///
/// let clock = ManualClock::default();
/// let api =
///     Arc::new(MemoryLimiter::builder("api", FixedWindow::new(Quota::per_minute(100)?)).build());
/// let quota = DynamicQuota::new(api.clone(), Adjustment::default()).clock(clock.clone());
/// quota.observe(0.1)?;
/// clock.advance(Duration::from_secs(5));
/// quota.observe(0.1)?;
/// assert_eq!(api.quota(), Quota::per_minute(70)?);
/// # Ok::<_, tidegate_ratelimit::QuotaError>(())
/// ```
///
/// - It is a [`Limiter`] itself, and its [`set_quota`](Limiter::set_quota) is
///   [`set_base`](Self::set_base). Other components that change the quota, such as `SharedQuotas`,
///   must be given this limiter, in an [`Arc`]. A quota that is set on the inner limiter is
///   overwritten by the next change.
/// - It changes the inner limiter on this node only. If each node follows its own signal, each
///   lowers its own limits.
pub struct DynamicQuota<L: ?Sized> {
    limiter: Arc<L>,
    adjustment: Adjustment,
    clock: Clock,
    course: Mutex<Course>,
}

struct Course {
    base: Quota,
    state: AdjustmentState,
}

impl<L: Limiter + ?Sized> DynamicQuota<L> {
    /// Adjusts the current quota of `limiter`.
    pub fn new(limiter: Arc<L>, adjustment: Adjustment) -> Self {
        let clock = Clock::system();
        let course = Mutex::new(Course { base: limiter.quota(), state: adjustment.begin(Timestamp::now(&clock)) });
        Self { limiter, adjustment, clock, course }
    }

    /// Sets the clock; the system clock by default.
    #[must_use]
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        let now = Timestamp::now(&self.clock);
        self.course.get_mut().unwrap_or_else(PoisonError::into_inner).state = self.adjustment.begin(now);
        self
    }

    /// Applies a score and returns the quota that applies from now on.
    ///
    /// # Errors
    /// [`QuotaError`] if the limiter cannot apply the quota. The limiter then keeps its quota, and
    /// this score has no effect on the next one.
    pub fn observe(&self, score: f64) -> Result<Quota, QuotaError> {
        let mut course = self.lock();
        let mut state = course.state;
        let has_changed = self.adjustment.step(&mut state, Timestamp::now(&self.clock), score);
        let quota = course.base.part(state.permille());
        if has_changed {
            self.limiter.set_quota(quota)?;
        }
        course.state = state;
        Ok(quota)
    }

    /// Share of the base quota that applies, from 0 to 1.
    pub fn share(&self) -> f64 {
        f64::from(self.lock().state.permille()) / 1_000.0
    }

    /// Applies the given share of the base quota from now on, within the bounds of the
    /// [`Adjustment`]. Later calls of [`observe`](Self::observe) change it like any other share, at
    /// the earliest after the adjustment's durations.
    ///
    /// # Errors
    /// [`QuotaError`] if the limiter cannot apply the quota. Nothing changes then.
    pub fn set_share(&self, share: f64) -> Result<Quota, QuotaError> {
        let mut course = self.lock();
        let state = self.adjustment.at(share, Timestamp::now(&self.clock));
        let quota = course.base.part(state.permille());
        self.limiter.set_quota(quota)?;
        course.state = state;
        Ok(quota)
    }

    /// The quota that would apply now if `quota` were the base.
    fn part_of(&self, quota: Quota) -> Quota {
        quota.part(self.lock().state.permille())
    }

    /// The quota of a healthy service.
    pub fn base(&self) -> Quota {
        self.lock().base
    }

    /// Sets the quota of a healthy service from now on. The share is kept.
    ///
    /// # Errors
    /// [`QuotaError`] if the limiter cannot apply it. Nothing changes then.
    pub fn set_base(&self, quota: Quota) -> Result<(), QuotaError> {
        let mut course = self.lock();
        self.limiter.set_quota(quota.part(course.state.permille()))?;
        course.base = quota;
        Ok(())
    }

    /// Reads `signal` every `interval` and applies the resulting quota, until the future is
    /// dropped. A quota that the limiter cannot apply is skipped: the next score may give another.
    #[cfg(feature = "tokio")]
    pub async fn follow(&self, signal: &dyn HealthSignal, interval: std::time::Duration) -> std::convert::Infallible {
        let mut ticks = tokio::time::interval(interval.max(std::time::Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let _ = self.observe(signal.score());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: Limiter + ?Sized> fmt::Debug for DynamicQuota<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicQuota")
            .field("limiter", &self.limiter.name())
            .field("base", &self.base())
            .field("share", &self.share())
            .finish_non_exhaustive()
    }
}
