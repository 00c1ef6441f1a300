//! Retry policies: a pure function of the failure and a random number.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// The default policy's first delay, longest delay and jitter.
const BASE: Duration = Duration::from_secs(2);
const CAP: Duration = Duration::from_secs(600);
const JITTER: f64 = 0.2;

/// An invalid policy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RetryPolicyError {
    /// No attempt is allowed.
    #[error("max_attempts must be at least 1")]
    NoAttempts,
    /// The cap is below the base.
    #[error("cap {cap:?} is below base {base:?}")]
    CapBelowBase {
        /// First delay.
        base: Duration,
        /// Longest delay.
        cap: Duration,
    },
    /// The jitter is not between 0 and 1.
    #[error("jitter {0} is not between 0 and 1")]
    Jitter(f64),
}

/// How delays grow.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Backoff {
    /// The same delay each time.
    Fixed(Duration),
    /// `base`, doubled after each failure up to `cap`, minus a random share of at most `jitter`.
    Exponential {
        /// Delay after the first failure.
        base: Duration,
        /// Longest delay.
        cap: Duration,
        /// Largest share of the delay that may be subtracted: 0 (none) to 1 (the whole delay).
        jitter: f64,
    },
    /// A function of the failure. Created by [`custom`](Self::custom).
    Custom(CustomBackoff),
}

impl Backoff {
    /// Calls `next` after each failure. It returns the time until the next attempt, or `None` if
    /// the job is to be dead at once. If it panics, the delay of the default policy is used.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_queue::{Backoff, FailedAttempt, FailureCause, RetryPolicy};
    ///
    /// let linear = Backoff::custom(|failed| match failed.cause {
    ///     FailureCause::Panicked => None, // a bug: look at it before it runs again
    ///     _ => Some(Duration::from_secs(10) * failed.attempt),
    /// });
    /// let policy = RetryPolicy::new(5, linear)?;
    /// assert_eq!(policy.next(&FailedAttempt::new(2, "refused")), Some(Duration::from_secs(20)));
    /// # Ok::<(), tidegate_queue::RetryPolicyError>(())
    /// ```
    pub fn custom(next: impl Fn(&FailedAttempt<'_>) -> Option<Duration> + Send + Sync + 'static) -> Self {
        Self::Custom(CustomBackoff(Arc::new(next)))
    }
}

/// A user's function, see [`Backoff::custom`]. Cheap to clone. Equal only to its clones.
#[derive(Clone)]
pub struct CustomBackoff(Arc<NextDelay>);

type NextDelay = dyn Fn(&FailedAttempt<'_>) -> Option<Duration> + Send + Sync;

impl CustomBackoff {
    /// Calls the function. `None` if it panicked.
    fn next(&self, failed: &FailedAttempt<'_>) -> Option<Option<Duration>> {
        let answer = catch_unwind(AssertUnwindSafe(|| (self.0)(failed)));
        if answer.is_err() {
            tracing::error!(attempt = failed.attempt, "a custom backoff panicked");
        }
        answer.ok()
    }
}

impl fmt::Debug for CustomBackoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomBackoff").finish_non_exhaustive()
    }
}

impl PartialEq for CustomBackoff {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Cause of a failed attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureCause {
    /// The handler returned a failure.
    #[default]
    Reported,
    /// The handler panicked.
    Panicked,
    /// The run exceeded its time-out.
    TimedOut,
}

/// A failed attempt, as a policy sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FailedAttempt<'a> {
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Attempts allowed by the producer, in place of the policy's. `None` if the producer set none.
    pub max_attempts: Option<u32>,
    /// The error.
    pub error: &'a str,
    /// Cause of the failure.
    pub cause: FailureCause,
    /// Random number from 0 to 1, for jitter. Other values are clamped.
    pub random: f64,
}

impl<'a> FailedAttempt<'a> {
    /// An attempt of a job without its own limit, whose handler returned the error, without jitter.
    pub fn new(attempt: u32, error: &'a str) -> Self {
        Self { attempt, max_attempts: None, error, cause: FailureCause::Reported, random: 0.0 }
    }
}

/// How often and when a failed job runs again. Cheap to clone.
///
/// ```
/// use std::time::Duration;
/// use tidegate_queue::{FailedAttempt, RetryPolicy};
///
/// let policy = RetryPolicy::default();
/// assert_eq!(policy.max_attempts(), 3);
/// assert_eq!(policy.next(&FailedAttempt::new(1, "refused")), Some(Duration::from_secs(2)));
/// assert_eq!(policy.next(&FailedAttempt::new(2, "refused")), Some(Duration::from_secs(4)));
/// assert_eq!(policy.next(&FailedAttempt::new(3, "refused")), None); // dead
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    max_attempts: u32,
    backoff: Backoff,
}

impl RetryPolicy {
    /// Checks the values and creates a policy.
    ///
    /// # Errors
    /// [`RetryPolicyError`] for zero attempts, a cap below the base or a jitter outside 0 to 1.
    pub fn new(max_attempts: u32, backoff: Backoff) -> Result<Self, RetryPolicyError> {
        if max_attempts == 0 {
            return Err(RetryPolicyError::NoAttempts);
        }
        if let Backoff::Exponential { base, cap, jitter } = backoff {
            if cap < base {
                return Err(RetryPolicyError::CapBelowBase { base, cap });
            }
            if !(0.0..=1.0).contains(&jitter) {
                return Err(RetryPolicyError::Jitter(jitter));
            }
        }
        Ok(Self { max_attempts, backoff })
    }

    /// Attempts allowed, including the first, if the job has no limit of its own.
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// Time until the next attempt. `None` if there is none.
    pub fn next(&self, failed: &FailedAttempt<'_>) -> Option<Duration> {
        if failed.attempt >= failed.max_attempts.unwrap_or(self.max_attempts) {
            return None;
        }
        match &self.backoff {
            Backoff::Fixed(delay) => Some(*delay),
            Backoff::Exponential { base, cap, jitter } => Some(exponential(*base, *cap, *jitter, failed)),
            Backoff::Custom(custom) => {
                custom.next(failed).unwrap_or_else(|| Some(exponential(BASE, CAP, JITTER, failed)))
            }
        }
    }
}

fn exponential(base: Duration, cap: Duration, jitter: f64, failed: &FailedAttempt<'_>) -> Duration {
    let doublings = failed.attempt.saturating_sub(1).min(31);
    let full = base.saturating_mul(1 << doublings).min(cap);
    let random = if failed.random.is_nan() { 0.0 } else { failed.random.clamp(0.0, 1.0) };
    // Multiplying the longest durations would overflow.
    let cut = Duration::try_from_secs_f64(full.as_secs_f64() * jitter * random).unwrap_or(full);
    full.saturating_sub(cut)
}

impl Default for RetryPolicy {
    /// 3 attempts. Delays of 2 s, doubled up to 10 min, minus up to 20 %.
    fn default() -> Self {
        Self { max_attempts: 3, backoff: Backoff::Exponential { base: BASE, cap: CAP, jitter: JITTER } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delay_of(policy: &RetryPolicy, attempt: u32, random: f64) -> Duration {
        policy.next(&FailedAttempt { random, ..FailedAttempt::new(attempt, "") }).unwrap()
    }

    fn exponential(base_ms: u64, cap_ms: u64, jitter: f64) -> Result<RetryPolicy, RetryPolicyError> {
        let base = Duration::from_millis(base_ms);
        let cap = Duration::from_millis(cap_ms);
        RetryPolicy::new(u32::MAX, Backoff::Exponential { base, cap, jitter })
    }

    #[test]
    fn refuses_what_cannot_work() {
        let fixed = Backoff::Fixed(Duration::ZERO);
        assert_eq!(RetryPolicy::new(0, fixed), Err(RetryPolicyError::NoAttempts));
        assert!(matches!(exponential(2, 1, 0.0), Err(RetryPolicyError::CapBelowBase { .. })));
        assert!(matches!(exponential(1, 1, 1.1), Err(RetryPolicyError::Jitter(_))));
        assert!(matches!(exponential(1, 1, f64::NAN), Err(RetryPolicyError::Jitter(_))));
    }

    #[test]
    fn the_longest_delays_do_not_overflow() {
        let (base, cap) = (Duration::MAX, Duration::MAX);
        let policy = RetryPolicy::new(u32::MAX, Backoff::Exponential { base, cap, jitter: 1.0 }).unwrap();
        assert_eq!(delay_of(&policy, u32::MAX - 1, 1.0), Duration::ZERO);
        assert_eq!(delay_of(&policy, 1, 0.0), Duration::MAX);
    }

    #[test]
    fn a_custom_policy_sees_the_failure_and_may_end_the_job() {
        let backoff = Backoff::custom(|failed| match (failed.cause, failed.error) {
            (FailureCause::TimedOut, _) => Some(Duration::from_secs(60)),
            (_, "hopeless") => None,
            (_, "bug") => panic!("a bug in the policy"),
            _ => Some(Duration::from_secs(1)),
        });
        let policy = RetryPolicy::new(3, backoff).unwrap();
        assert_eq!(policy.clone(), policy);
        assert_ne!(policy, RetryPolicy::new(3, Backoff::custom(|_| None)).unwrap());
        let timed_out = FailedAttempt { cause: FailureCause::TimedOut, ..FailedAttempt::new(1, "hopeless") };
        assert_eq!(policy.next(&timed_out), Some(Duration::from_secs(60)));
        assert_eq!(policy.next(&FailedAttempt::new(1, "hopeless")), None);
        assert_eq!(policy.next(&FailedAttempt::new(1, "bug")), Some(BASE));
        assert_eq!(policy.next(&FailedAttempt::new(3, "refused")), None);
        let longer = FailedAttempt { max_attempts: Some(4), ..FailedAttempt::new(3, "refused") };
        assert_eq!(policy.next(&longer), Some(Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn delay_is_within_its_bounds(
            base in 0u64..1 << 40, extra in 0u64..1 << 50, jitter in 0.0f64..=1.0,
            attempt in 0u32..u32::MAX - 1, random in 0.0f64..=1.0,
        ) {
            let policy = exponential(base, base + extra, jitter).unwrap();
            let full = delay_of(&policy, attempt, 0.0);
            let delay = delay_of(&policy, attempt, random);
            prop_assert!(delay <= full && full <= Duration::from_millis(base + extra));
            prop_assert!(full >= Duration::from_millis(base));
            let least = full.as_secs_f64() * (1.0 - jitter);
            prop_assert!(delay.as_secs_f64() >= least - 1e-6 * full.as_secs_f64() - 1e-9);
            prop_assert!(delay_of(&policy, attempt + 1, 0.0) >= full);
        }
    }
}
