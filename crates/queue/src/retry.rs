//! When a failed job runs again: a pure function of the attempt and a random number.

use std::time::Duration;

/// A policy that can't work.
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
    /// The jitter is not a share.
    #[error("jitter {0} is not between 0 and 1")]
    Jitter(f64),
}

/// How delays grow.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Backoff {
    /// The same delay each time.
    Fixed(Duration),
    /// `base`, doubled after each failure up to `cap`, less a random share of up to `jitter`.
    Exponential {
        /// Delay after the first failure.
        base: Duration,
        /// Longest delay.
        cap: Duration,
        /// 0 (none) to 1 (anywhere between zero and the full delay).
        jitter: f64,
    },
}

/// How often and when a failed job runs again.
///
/// ```
/// use std::time::Duration;
/// use tidegate_queue::RetryPolicy;
///
/// let policy = RetryPolicy::default();
/// assert_eq!(policy.max_attempts(), 3);
/// assert_eq!(policy.delay(1, 0.0), Duration::from_secs(2));
/// assert_eq!(policy.delay(2, 0.0), Duration::from_secs(4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    max_attempts: u32,
    backoff: Backoff,
}

impl RetryPolicy {
    /// Checks and takes a policy.
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

    /// Attempts allowed, the first included.
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// Delay after the `attempt`th failure, from 1. `random` is drawn from 0 to 1; values outside
    /// are brought to the nearer end.
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        match self.backoff {
            Backoff::Fixed(delay) => delay,
            Backoff::Exponential { base, cap, jitter } => {
                let doublings = attempt.saturating_sub(1).min(31);
                let full = base.saturating_mul(1 << doublings).min(cap);
                let random = if random.is_nan() { 0.0 } else { random.clamp(0.0, 1.0) };
                // Multiplying the longest durations would overflow.
                let cut = Duration::try_from_secs_f64(full.as_secs_f64() * jitter * random).unwrap_or(full);
                full.saturating_sub(cut)
            }
        }
    }
}

impl Default for RetryPolicy {
    /// 3 attempts; 2 s doubling to at most 10 min, less up to a fifth.
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: Backoff::Exponential { base: Duration::from_secs(2), cap: Duration::from_secs(600), jitter: 0.2 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exponential(base_ms: u64, cap_ms: u64, jitter: f64) -> Result<RetryPolicy, RetryPolicyError> {
        let base = Duration::from_millis(base_ms);
        let cap = Duration::from_millis(cap_ms);
        RetryPolicy::new(3, Backoff::Exponential { base, cap, jitter })
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
        let policy = RetryPolicy::new(3, Backoff::Exponential { base, cap, jitter: 1.0 }).unwrap();
        assert_eq!(policy.delay(u32::MAX, 1.0), Duration::ZERO);
        assert_eq!(policy.delay(1, 0.0), Duration::MAX);
    }

    proptest! {
        #[test]
        fn delay_lies_between_its_bounds(
            base in 0u64..1 << 40, extra in 0u64..1 << 50, jitter in 0.0f64..=1.0,
            attempt in 0u32.., random in 0.0f64..=1.0,
        ) {
            let policy = exponential(base, base + extra, jitter).unwrap();
            let full = policy.delay(attempt, 0.0);
            let delay = policy.delay(attempt, random);
            prop_assert!(delay <= full && full <= Duration::from_millis(base + extra));
            prop_assert!(full >= Duration::from_millis(base));
            let least = full.as_secs_f64() * (1.0 - jitter);
            prop_assert!(delay.as_secs_f64() >= least - 1e-6 * full.as_secs_f64() - 1e-9);
            prop_assert!(policy.delay(attempt.saturating_add(1), 0.0) >= full);
        }
    }
}
