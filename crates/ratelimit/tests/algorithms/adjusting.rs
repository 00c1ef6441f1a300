//! Penalties and rewards.

use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{
    Algorithm, FixedWindow, LeakyBucket, Quota, SlidingCounter, SlidingLog, SlidingWindow, Timestamp, TokenBucket,
    Windows,
};

use crate::trace::{Step, quota_and_steps};

/// A penalty that fits is a charge. A reward refunds the last charge. Both are bounded.
fn adjusts<A: Algorithm<State: PartialEq + Debug>>(
    algorithm: &A,
    start: u64,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let limit = algorithm.capacity();
    let period = algorithm.quota().period();
    let mut now = Timestamp::from_micros(start);
    let mut state = algorithm.initial(now);
    for (nth, (gap, cost)) in steps.iter().enumerate() {
        now = now.saturating_add(Duration::from_micros(*gap));
        let remaining = |state: &A::State| algorithm.peek(state, now, 0).unwrap().remaining();
        let before = remaining(&state);
        match nth % 4 {
            0 | 1 => drop(algorithm.check(&mut state, now, *cost)),
            2 => {
                algorithm.penalty(&mut state, now, *cost);
                prop_assert_eq!(remaining(&state), before.saturating_sub(*cost));
            }
            _ => {
                algorithm.reward(&mut state, now, *cost);
                let after = remaining(&state);
                prop_assert!(after >= before && after - before <= *cost + 1 && after <= limit);
            }
        }
    }
    // Whatever was charged, the wait is bounded.
    for _ in 0..3 {
        algorithm.penalty(&mut state, now, u64::MAX);
    }
    let refused = algorithm.peek(&state, now, 1)?;
    prop_assert_eq!(refused.remaining(), 0);
    let full = period
        .max(Duration::from_micros((limit * algorithm.quota().period_micros()).div_ceil(algorithm.quota().limit())));
    prop_assert!(refused.retry_after().is_some_and(|wait| wait <= 2 * full));
    // A refund of the whole amount is limited to the charges of the last period.
    algorithm.reward(&mut state, now, u64::MAX);
    let again = algorithm.peek(&state, now.saturating_add(period), 0)?;
    prop_assert_eq!(again.remaining(), limit);
    Ok(())
}

proptest! {
    #[test]
    fn every_algorithm_adjusts((quota, start, steps) in quota_and_steps(), burst in 1_u64..60) {
        adjusts(&FixedWindow::new(quota), start, &steps)?;
        adjusts(&SlidingWindow::new(quota), start, &steps)?;
        adjusts(&SlidingCounter::new(quota), start, &steps)?;
        adjusts(&Windows::new(quota.into()), start, &steps)?;
        adjusts(&SlidingLog::new(quota)?, start, &steps)?;
        adjusts(&TokenBucket::new(quota.burst(burst)?), start, &steps)?;
        adjusts(&LeakyBucket::meter(quota.burst(burst)?), start, &steps)?;
    }
}

#[test]
fn a_penalty_keeps_a_key_out_for_longer_and_a_reward_lets_it_in() {
    let algorithm = SlidingWindow::new(Quota::per_minute(5).unwrap());
    let mut state = algorithm.initial(Timestamp::MIN);
    algorithm.penalty(&mut state, Timestamp::MIN, 8);
    let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
    assert!(!algorithm.peek(&state, at(59), 1).unwrap().is_allowed());
    algorithm.reward(&mut state, at(59), 3);
    assert_eq!(algorithm.peek(&state, at(59), 1).unwrap().remaining(), 0);
    algorithm.reward(&mut state, at(59), 1);
    assert!(algorithm.check(&mut state, at(59), 1).unwrap().is_allowed());
}
