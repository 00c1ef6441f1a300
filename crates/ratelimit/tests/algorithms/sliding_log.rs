//! The sliding window log.

use proptest::prelude::*;
use tidegate_ratelimit::{Algorithm, Quota, QuotaError, SlidingLog, Timestamp};

use crate::trace::quota_and_steps;

proptest! {
    /// A model with every single charge: a cost is admitted if and only if it fits.
    #[test]
    fn decides_as_the_log_it_is((quota, start, steps) in quota_and_steps()) {
        let algorithm = SlidingLog::new(quota)?;
        let (mut now, mut log) = (start, Vec::<(u64, u64)>::new());
        let mut state = algorithm.initial(Timestamp::from_micros(start));
        for (gap, cost) in steps.into_iter().filter(|(_, cost)| *cost <= quota.limit()) {
            now += gap;
            let used: u64 =
                log.iter().filter(|(at, _)| now - at < quota.period_micros()).map(|(_, cost)| cost).sum();
            let fits = used + cost <= quota.limit();
            if fits {
                log.push((now, cost));
            }
            let decision = algorithm.check(&mut state, Timestamp::from_micros(now), cost)?;
            let used = used + if fits { cost } else { 0 };
            prop_assert_eq!((decision.is_allowed(), decision.remaining()), (fits, quota.limit() - used));
        }
    }
}

#[test]
fn its_limit_is_bounded() {
    let (limit, max) = (SlidingLog::MAX_LIMIT + 1, SlidingLog::MAX_LIMIT);
    let refused = SlidingLog::new(Quota::per_day(limit).unwrap());
    assert_eq!(refused, Err(QuotaError::LimitTooLarge { limit, max }));
    assert!(SlidingLog::new(Quota::per_day(max).unwrap()).is_ok());
}
