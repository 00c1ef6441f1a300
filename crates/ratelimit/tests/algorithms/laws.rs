//! The guarantees of every algorithm, checked on the same traces.

use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{
    Algorithm, CheckError, FixedWindow, LeakyBucket, SlidingCounter, SlidingLog, SlidingWindow, Timestamp, TokenBucket,
    Windows,
};

use crate::trace::{Step, quota_and_steps};

fn obeys_the_laws<A: Algorithm<State: PartialEq + Debug>>(
    algorithm: &A,
    start: u64,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let limit = algorithm.capacity();
    let mut now = Timestamp::from_micros(start);
    let mut state = algorithm.initial(now);
    for (gap, cost) in steps {
        now = now.saturating_add(Duration::from_micros(*gap));
        let before = state.clone();
        let peeked = algorithm.peek(&state, now, *cost);
        let decision = algorithm.check(&mut state, now, *cost);
        if *cost > limit {
            let error = Err(CheckError::CostExceedsLimit { cost: *cost, limit });
            prop_assert_eq!((&peeked, &decision), (&error, &error));
            prop_assert_eq!(&before, &state);
            continue;
        }
        let (peeked, decision) = (peeked?, decision?);

        // Pure: the same arguments give the same result and the same state.
        let mut again = before.clone();
        prop_assert_eq!(algorithm.check(&mut again, now, *cost)?, decision);
        prop_assert_eq!(&again, &state);

        // A peek returns what a check would; a refusal charges nothing.
        prop_assert_eq!(peeked.is_allowed(), decision.is_allowed());
        let charged = if decision.is_allowed() { *cost } else { 0 };
        prop_assert_eq!(peeked.remaining() - charged, decision.remaining());
        prop_assert_eq!(decision.limit(), limit);
        prop_assert_eq!(algorithm.charged(&state, now), limit - decision.remaining());

        // `retry_after` is the first time at which the cost fits.
        if let Some(wait) = decision.retry_after() {
            prop_assert!(wait > Duration::ZERO);
            let moment = now.saturating_add(wait);
            prop_assert!(algorithm.peek(&state, moment, *cost)?.is_allowed());
            let just_before = Timestamp::from_micros(moment.as_micros() - 1);
            prop_assert!(!algorithm.peek(&state, just_before, *cost)?.is_allowed());
        }

        // After `reset_after` the whole limit is available. From `expires_at` on, the state equals
        // a new one.
        let moment = now.saturating_add(decision.reset_after());
        prop_assert_eq!(algorithm.peek(&state, moment, limit)?.remaining(), limit);
        let gone = algorithm.expires_at(&state).max(now);
        prop_assert_eq!(algorithm.charged(&state, gone), 0);
        if decision.reset_after() > Duration::ZERO {
            prop_assert!(algorithm.charged(&state, Timestamp::from_micros(moment.as_micros() - 1)) > 0);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn fixed_window((quota, start, steps) in quota_and_steps()) {
        obeys_the_laws(&FixedWindow::new(quota), start, &steps)?;
    }

    #[test]
    fn sliding_window((quota, start, steps) in quota_and_steps()) {
        obeys_the_laws(&SlidingWindow::new(quota), start, &steps)?;
    }

    #[test]
    fn windows((quota, start, steps) in quota_and_steps()) {
        obeys_the_laws(&Windows::new(quota.into()), start, &steps)?;
    }

    #[test]
    fn sliding_counter((quota, start, steps) in quota_and_steps()) {
        obeys_the_laws(&SlidingCounter::new(quota), start, &steps)?;
    }

    #[test]
    fn sliding_log((quota, start, steps) in quota_and_steps()) {
        obeys_the_laws(&SlidingLog::new(quota)?, start, &steps)?;
    }

    #[test]
    fn leaky_bucket((quota, start, steps) in quota_and_steps(), burst in 1_u64..60, is_queue: bool) {
        let kind = if is_queue { LeakyBucket::queue } else { LeakyBucket::meter };
        obeys_the_laws(&kind(quota.burst(burst)?), start, &steps)?;
    }

    #[test]
    fn token_bucket((quota, start, steps) in quota_and_steps(), burst in 1_u64..60) {
        obeys_the_laws(&TokenBucket::new(quota.burst(burst)?), start, &steps)?;
    }
}
