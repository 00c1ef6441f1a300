//! Retry budgets.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// One retry, in units: a hundredth of a retry for each percent, and a billionth of that for the
/// clock.
const RETRY: u128 = 100 * 1_000_000_000;
/// Percent in units.
const PERCENT: u128 = RETRY / 100;

/// Bounds retries to a share of the calls, so that an outage is not multiplied. Clones share it.
///
/// It is a token bucket. Each call deposits a share of a retry, each retry withdraws one, and a
/// minimum accrues each second for clients with few calls. In any `t` seconds with `n` calls there
/// are at most `n × percent / 100 + t × min_per_second + capacity` retries. The capacity is ten
/// seconds of the minimum, or 10 retries if that is more.
#[derive(Clone, Debug)]
pub struct RetryBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    percent: u32,
    min_per_second: u32,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    balance: u128,
    refilled_at: Instant,
}

impl RetryBudget {
    /// Creates a budget of `percent` retries per 100 calls and `min_per_second` more each second.
    /// It starts with one second of the minimum.
    pub fn new(percent: u32, min_per_second: u32) -> Self {
        let bucket = Bucket { balance: RETRY * u128::from(min_per_second), refilled_at: Instant::now() };
        Self(Arc::new(Shared { percent, min_per_second, bucket: Mutex::new(bucket) }))
    }

    /// Adds the share of one call.
    pub(crate) fn deposit(&self) {
        let share = PERCENT * u128::from(self.0.percent);
        let mut bucket = self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.balance = (bucket.balance + share).min(self.capacity());
    }

    /// Takes one retry, if the balance covers it.
    pub(crate) fn withdraw(&self) -> bool {
        let mut bucket = self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let accrued = now.saturating_duration_since(bucket.refilled_at).as_nanos() * 100;
        bucket.refilled_at = bucket.refilled_at.max(now);
        bucket.balance = (bucket.balance + accrued * u128::from(self.0.min_per_second)).min(self.capacity());
        let left = bucket.balance.checked_sub(RETRY);
        bucket.balance = left.unwrap_or(bucket.balance);
        left.is_some()
    }

    fn capacity(&self) -> u128 {
        RETRY * 10 * u128::from(self.0.min_per_second.max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_without_calls_has_the_minimum_of_each_second() {
        let budget = RetryBudget::new(0, 3);
        let withdraw_all = || std::iter::repeat_with(|| budget.withdraw()).take_while(|granted| *granted).count();
        assert_eq!(withdraw_all(), 3);
        advance(Duration::from_secs(2)).await;
        assert_eq!(withdraw_all(), 6);
        advance(Duration::from_secs(3600)).await;
        assert_eq!(withdraw_all(), 30, "ten seconds of the minimum are kept, and no more");
    }

    #[tokio::test(start_paused = true)]
    async fn ten_percent_are_one_retry_for_ten_calls() {
        let budget = RetryBudget::new(10, 0);
        for calls in 1..=100 {
            budget.deposit();
            assert_eq!(budget.withdraw(), calls % 10 == 0, "after {calls} calls");
        }
    }

    proptest! {
        #[test]
        fn retries_never_exceed_the_stated_bound(
            percent in 0u32..300, minimum in 0u32..20,
            steps in prop::collection::vec((0u64..500, 0u32..20, 0u32..20), 1..50),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let (budget, started) = (RetryBudget::new(percent, minimum), Instant::now());
                let (mut deposits, mut retries) = (0u32, 0u32);
                for (pause, calls, wishes) in steps {
                    advance(Duration::from_millis(pause)).await;
                    (0..calls).for_each(|_| budget.deposit());
                    deposits += calls;
                    retries += u32::try_from((0..wishes).filter(|_| budget.withdraw()).count()).unwrap();
                    let capacity = f64::from(10 * minimum.max(1));
                    let bound = f64::from(deposits) * f64::from(percent) / 100.0
                        + started.elapsed().as_secs_f64() * f64::from(minimum) + capacity;
                    prop_assert!(f64::from(retries) <= bound + 1e-6);
                }
                Ok(())
            })?;
        }
    }
}
