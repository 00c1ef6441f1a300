//! A quota that follows the health of what it protects.

mod adjustment;
mod limiter;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Clock, Limiter, Quota, QuotaError, SystemClock};

pub use adjustment::Adjustment;

use adjustment::AdjustmentState;

/// How well a service is, as the owner of a [`DynamicQuota`] measures it.
///
/// Closures that return a number are signals too.
pub trait HealthSignal: Send + Sync {
    /// From 0, which is as bad as it gets, to 1, all well. What is no number counts as nothing known, and changes nothing.
    fn score(&self) -> f64;
}

impl<F: Fn() -> f64 + Send + Sync> HealthSignal for F {
    fn score(&self) -> f64 {
        self()
    }
}

/// Lowers the quota of a limiter under load and raises it slowly back, as an [`Adjustment`] says.
///
/// Every [`observe`](Self::observe) takes one score and applies the quota that follows with [`Limiter::set_quota`]: what was
/// charged stays charged. With the feature `tokio`, `follow` asks a signal again and again.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tidegate_ratelimit::{Adjustment, DynamicQuota, FixedWindow, Limiter, ManualClock, MemoryLimiter, Quota};
///
/// let clock = ManualClock::default();
/// let api = Arc::new(MemoryLimiter::builder("api", FixedWindow::new(Quota::per_minute(100)?)).build());
/// let quota = DynamicQuota::new(api.clone(), Adjustment::default()).clock(clock.clone());
/// quota.observe(0.1)?;
/// clock.advance(Duration::from_secs(5));
/// quota.observe(0.1)?;
/// assert_eq!(api.quota(), Quota::per_minute(70)?);
/// # Ok::<_, tidegate_ratelimit::QuotaError>(())
/// ```
///
/// - It is a [`Limiter`] itself, whose [`set_quota`](Limiter::set_quota) is [`set_base`](Self::set_base): whatever else changes the
///   quota, such as `SharedQuotas`, has to be given this one, in an [`Arc`]. What is set on the limiter behind is replaced at the next
///   change.
/// - It changes the limiter it is given, on this node. Nodes that each follow their own signal lower their own limits.
pub struct DynamicQuota<L: ?Sized> {
    limiter: Arc<L>,
    adjustment: Adjustment,
    clock: Arc<dyn Clock>,
    course: Mutex<Course>,
}

struct Course {
    base: Quota,
    state: AdjustmentState,
}

impl<L: Limiter + ?Sized> DynamicQuota<L> {
    /// Adjusts the quota that `limiter` has now.
    pub fn new(limiter: Arc<L>, adjustment: Adjustment) -> Self {
        let clock = Arc::new(SystemClock::new());
        let course = Mutex::new(Course { base: limiter.quota(), state: adjustment.begin(clock.now()) });
        Self { limiter, adjustment, clock, course }
    }

    /// Takes time from `clock`; [`SystemClock`] unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.course.get_mut().unwrap_or_else(PoisonError::into_inner).state = self.adjustment.begin(clock.now());
        self.clock = Arc::new(clock);
        self
    }

    /// Takes a score into account and answers the quota that applies from now on.
    ///
    /// # Errors
    /// [`QuotaError`] when the limiter can't apply the quota; then it keeps the one it has, and the next score is taken
    /// as if this one had not been.
    pub fn observe(&self, score: f64) -> Result<Quota, QuotaError> {
        let mut course = self.lock();
        let mut state = course.state;
        let has_changed = self.adjustment.step(&mut state, self.clock.now(), score);
        let quota = course.base.part(state.permille());
        if has_changed {
            self.limiter.set_quota(quota)?;
        }
        course.state = state;
        Ok(quota)
    }

    /// Which part of the base quota applies, from 0 to 1.
    pub fn share(&self) -> f64 {
        f64::from(self.lock().state.permille()) / 1_000.0
    }

    /// Applies that part of the base quota from now on, within the bounds of the [`Adjustment`].
    /// What [`observe`](Self::observe) learns later changes it as any other share, at the earliest
    /// after the adjustment's times.
    ///
    /// # Errors
    /// [`QuotaError`] when the limiter can't apply the quota; then nothing changes.
    pub fn set_share(&self, share: f64) -> Result<Quota, QuotaError> {
        let mut course = self.lock();
        let state = self.adjustment.at(share, self.clock.now());
        let quota = course.base.part(state.permille());
        self.limiter.set_quota(quota)?;
        course.state = state;
        Ok(quota)
    }

    /// What would apply now if `quota` were the base.
    fn part_of(&self, quota: Quota) -> Quota {
        quota.part(self.lock().state.permille())
    }

    /// The quota of a healthy service.
    pub fn base(&self) -> Quota {
        self.lock().base
    }

    /// Takes `quota` for the quota of a healthy service from now on; the share stays.
    ///
    /// # Errors
    /// [`QuotaError`] when the limiter can't apply it; then nothing changes.
    pub fn set_base(&self, quota: Quota) -> Result<(), QuotaError> {
        let mut course = self.lock();
        self.limiter.set_quota(quota.part(course.state.permille()))?;
        course.base = quota;
        Ok(())
    }

    /// Asks `signal` every `interval` and applies what follows, until it is dropped. A quota that the limiter can't apply is
    /// left out: the next score may bring another.
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
