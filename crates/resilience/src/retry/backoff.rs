//! Delays between attempts.

use std::time::Duration;

/// Delays that double from attempt to attempt.
///
/// With full jitter each delay is drawn evenly between zero and the doubled one, so that the
/// retries of many clients spread out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    has_jitter: bool,
}

impl Backoff {
    /// Creates delays of at most `first`, then twice that, and so on up to `cap`, with full jitter.
    pub fn exponential(first: Duration, cap: Duration) -> Self {
        Self { first, cap, has_jitter: true }
    }

    /// Makes the delays exact. For tests, and for a client that is alone.
    #[must_use]
    pub fn without_jitter(self) -> Self {
        Self { has_jitter: false, ..self }
    }

    /// Returns the delay after attempt number `attempt`, from 1; `random` is drawn from 0 to 1.
    pub(super) fn delay(&self, attempt: u32, random: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let full = self.first.saturating_mul(1 << doublings).min(self.cap);
        if !self.has_jitter {
            return full;
        }
        // A product that rounds beyond the longest duration is that duration.
        Duration::try_from_secs_f64(full.as_secs_f64() * random).map_or(full, |delay| delay.min(full))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_double_up_to_the_cap() {
        let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_millis(350)).without_jitter();
        let delays: Vec<_> = (1..=4).map(|attempt| backoff.delay(attempt, 0.0).as_millis()).collect();
        assert_eq!(delays, [100, 200, 350, 350]);
    }

    proptest! {
        #[test]
        fn a_delay_with_jitter_is_between_zero_and_the_full_delay(
            first in any::<Duration>(), cap in any::<Duration>(), attempt in any::<u32>(), random in 0.0f64..=1.0,
        ) {
            let backoff = Backoff::exponential(first, cap);
            let full = backoff.without_jitter().delay(attempt, 0.0);
            prop_assert!(full <= cap);
            prop_assert!(backoff.delay(attempt, random) <= full);
            prop_assert_eq!(backoff.delay(attempt, 0.0), Duration::ZERO);
        }
    }
}
