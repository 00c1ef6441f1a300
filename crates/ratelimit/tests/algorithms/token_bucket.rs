//! The token bucket.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{Algorithm, Quota, Timestamp, TokenBucket};

use crate::trace::{admitted, quota_and_steps};

/// The textbook bucket in integers: tokens are in units of `1 / period`, and `limit` are added per
/// µs.
struct Model {
    quota: Quota,
    tokens: u128,
    at: u64,
}

impl Model {
    fn check(&mut self, now: u64, cost: u64) -> (bool, u64) {
        let period = u128::from(self.quota.period_micros());
        let refilled = self.tokens + u128::from(now - self.at) * u128::from(self.quota.limit());
        self.tokens = refilled.min(u128::from(self.quota.burst_size()) * period);
        self.at = now;
        let fits = self.tokens >= u128::from(cost) * period;
        if fits {
            self.tokens -= u128::from(cost) * period;
        }
        (fits, u64::try_from(self.tokens / period).unwrap())
    }
}

proptest! {
    #[test]
    fn bound_holds_in_any_stretch((quota, start, steps) in quota_and_steps(), burst in 1_u64..60) {
        let quota = quota.burst(burst)?;
        let admitted = admitted(&TokenBucket::new(quota), start, &steps);
        for (index, (from, _)) in admitted.iter().enumerate() {
            let mut sum = 0;
            for (to, cost) in &admitted[index..] {
                sum += cost;
                let refilled = u128::from(to - from) * u128::from(quota.limit());
                let allowed = u128::from(burst) * u128::from(quota.period_micros()) + refilled;
                prop_assert!(u128::from(sum) * u128::from(quota.period_micros()) <= allowed);
            }
        }
    }

    #[test]
    fn decides_as_the_textbook_bucket((quota, start, steps) in quota_and_steps(), burst in 1_u64..60) {
        let quota = quota.burst(burst)?;
        let algorithm = TokenBucket::new(quota);
        let full = u128::from(burst) * u128::from(quota.period_micros());
        let mut model = Model { quota, tokens: full, at: start };
        let mut now = start;
        let mut state = algorithm.initial(Timestamp::from_micros(start));
        for (gap, cost) in steps.into_iter().filter(|(_, cost)| *cost <= burst) {
            now += gap;
            let decision = algorithm.check(&mut state, Timestamp::from_micros(now), cost)?;
            prop_assert_eq!((decision.is_allowed(), decision.remaining()), model.check(now, cost));
        }
    }
}

/// Takes tokens as fast as the bucket allows, and compares the rate over a long time with the
/// quota.
#[test]
fn the_rate_is_exact_from_one_a_day_to_ten_million_a_second() {
    let rates = [
        Quota::per_day(1),
        Quota::per_day(7),
        Quota::per_hour(11),
        Quota::per_minute(100),
        Quota::per_second(1),
        Quota::per_second(3),
        Quota::per_second(1_500),
        Quota::per_second(999_983),
        Quota::per_second(7_000_003),
        Quota::per_second(10_000_000),
    ];
    for quota in rates {
        let quota = quota.unwrap();
        let cost = (quota.limit() / 1_000).max(1);
        let quota = quota.burst(2 * cost).unwrap();
        let algorithm = TokenBucket::new(quota);
        let start = 1_800_000_000_000_000;
        let mut now = Timestamp::from_micros(start);
        let mut state = algorithm.initial(now);
        let mut drawn = 0_u64;
        while drawn < 20_000 * cost {
            match algorithm.check(&mut state, now, cost).unwrap().retry_after() {
                None => drawn += cost,
                Some(wait) => now = now.saturating_add(wait),
            }
        }
        let expected = u128::from(drawn - 2 * cost) * u128::from(quota.period_micros()) / u128::from(quota.limit());
        let elapsed = u128::from(now.as_micros() - start);
        assert!(elapsed.abs_diff(expected) * 1_000_000 <= expected, "{quota}: {elapsed} µs, not {expected}");
    }
}

#[test]
fn a_burst_comes_back_at_the_rate() {
    let algorithm = TokenBucket::new(Quota::per_second(10).unwrap().burst(100).unwrap());
    let mut state = algorithm.initial(Timestamp::MIN);
    assert_eq!(algorithm.check(&mut state, Timestamp::MIN, 100).unwrap().remaining(), 0);
    let refused = algorithm.check(&mut state, Timestamp::MIN, 3).unwrap();
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(300)));
    assert_eq!(refused.reset_after(), Duration::from_secs(10));
}
