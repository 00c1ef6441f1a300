//! Clocks that step back and forward.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{
    Algorithm, FixedWindow, LeakyBucket, Quota, SlidingCounter, SlidingLog, SlidingWindow, Timestamp, TokenBucket,
    Windows,
};

use crate::trace::most_in_any;

const PERIOD: u64 = 1_000;

fn quota(limit: u64) -> Quota {
    Quota::new(limit, Duration::from_micros(PERIOD)).unwrap()
}

/// Admits with a clock that is sometimes up to one window behind. The time of each admission is the
/// latest reading of all admissions so far, the earliest time at which it can have happened.
fn admitted_by_jittery_clock<A: Algorithm>(algorithm: &A, readings: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let (mut ahead, mut latest, mut admitted) = (10 * PERIOD, 0, Vec::new());
    let mut state = algorithm.initial(Timestamp::from_micros(ahead - PERIOD));
    for (gap, lag) in readings {
        ahead += gap;
        if algorithm.check(&mut state, Timestamp::from_micros(ahead - lag), 1).unwrap().is_allowed() {
            latest = latest.max(ahead - lag);
            admitted.push((latest, 1));
        }
    }
    admitted
}

fn jitter() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0_u64..200, 0..PERIOD), 1..300)
}

proptest! {
    #[test]
    fn jitter_never_admits_more(readings in jitter(), limit in 1_u64..20) {
        let sliding = admitted_by_jittery_clock(&SlidingWindow::new(quota(limit)), &readings);
        prop_assert!(most_in_any(PERIOD, &sliding) <= limit);
        let fixed = admitted_by_jittery_clock(&FixedWindow::new(quota(limit)), &readings);
        prop_assert!(most_in_any(PERIOD, &fixed) <= 2 * limit);
        let counter = admitted_by_jittery_clock(&SlidingCounter::new(quota(limit)), &readings);
        prop_assert!(most_in_any(PERIOD, &counter) <= 2 * limit);
        let log = admitted_by_jittery_clock(&SlidingLog::new(quota(limit))?, &readings);
        prop_assert!(most_in_any(PERIOD, &log) <= limit);
        let bucket = admitted_by_jittery_clock(&TokenBucket::new(quota(limit)), &readings);
        prop_assert!(most_in_any(PERIOD, &bucket) <= 2 * limit);
    }

    /// Whatever the clock does, no wait is longer than two windows, or three if a charge counts in
    /// two windows, and waiting helps.
    #[test]
    fn no_step_locks_a_key_out(times in prop::collection::vec(any::<u32>(), 1..100), limit in 1_u64..5) {
        fn holds<A: Algorithm>(algorithm: &A, windows: u64, times: &[u32]) -> Result<(), TestCaseError> {
            let mut state = algorithm.initial(Timestamp::MIN);
            for now in times {
                let now = Timestamp::from_micros(u64::from(*now) % (20 * PERIOD));
                for _ in 0..6 {
                    let Some(wait) = algorithm.check(&mut state, now, 1)?.retry_after() else { continue };
                    prop_assert!(wait <= Duration::from_micros(windows * PERIOD));
                    prop_assert!(algorithm.peek(&state, now.saturating_add(wait), 1)?.is_allowed());
                }
            }
            Ok(())
        }
        holds(&SlidingWindow::new(quota(limit)), 2, &times)?;
        holds(&SlidingLog::new(quota(limit))?, 2, &times)?;
        holds(&Windows::new(quota(limit).into()), 2, &times)?;
        holds(&SlidingCounter::new(quota(limit)), 3, &times)?;
        holds(&FixedWindow::new(quota(limit)), 2, &times)?;
        holds(&TokenBucket::new(quota(limit)), 2, &times)?;
        holds(&LeakyBucket::queue(quota(limit)), 2, &times)?;
    }
}

/// A key must not be locked out for the length of the step, and the step must not refund usage.
#[test]
fn a_large_step_back_keeps_the_usage_for_one_window() {
    fn holds<A: Algorithm>(algorithm: &A) {
        let late = Timestamp::from_micros(1_000_000_000);
        let mut state = algorithm.initial(late);
        assert!(algorithm.check(&mut state, late, 5).unwrap().is_allowed());
        let early = Timestamp::from_micros(50 * PERIOD);
        let refused = algorithm.check(&mut state, early, 1).unwrap();
        assert!(!refused.is_allowed(), "{}", algorithm.name());
        assert!(refused.reset_after() <= Duration::from_micros(PERIOD), "{}", algorithm.name());
        let later = Timestamp::from_micros(51 * PERIOD);
        assert_eq!(algorithm.check(&mut state, later, 0).unwrap().remaining(), 5, "{}", algorithm.name());
    }
    holds(&SlidingWindow::new(quota(5)));
    holds(&SlidingLog::new(quota(5)).unwrap());
    holds(&Windows::new(quota(5).into()));
    holds(&FixedWindow::new(quota(5)));
    holds(&TokenBucket::new(quota(5)));
    holds(&LeakyBucket::queue(quota(5)));
}

#[test]
fn a_step_forward_is_time_passing() {
    fn holds<A: Algorithm>(algorithm: &A) {
        let mut state = algorithm.initial(Timestamp::MIN);
        for now in [0, PERIOD, 3_000_000, u64::MAX / 2, u64::MAX - PERIOD] {
            let decision = algorithm.check(&mut state, Timestamp::from_micros(now), 5).unwrap();
            assert!(decision.is_allowed(), "{} at {now}", algorithm.name());
        }
    }
    holds(&SlidingWindow::new(quota(5)));
    holds(&FixedWindow::new(quota(5)));
    holds(&TokenBucket::new(quota(5)));
}

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 86_400 * SECOND;

/// Admits with a clock that steps once, by the difference of a new primary's clock or by a day. The
/// times are real times.
fn admitted_over_a_step<A: Algorithm>(
    algorithm: &A,
    gaps: &[u64],
    step_at: usize,
    step: i64,
) -> Result<Vec<(u64, u64)>, TestCaseError> {
    let period = algorithm.quota().period_micros();
    let mut real = 20 * DAY;
    let mut state = algorithm.initial(Timestamp::from_micros(real));
    let mut admitted = Vec::new();
    for (nth, gap) in gaps.iter().enumerate() {
        real += gap % (period / 3 + 1);
        let now = if nth < step_at { real } else { real.saturating_add_signed(step) };
        let decision = algorithm.check(&mut state, Timestamp::from_micros(now), 1)?;
        if decision.is_allowed() {
            admitted.push((real, 1));
        }
        // No key is locked out for the length of the step: only for its charge and one more window.
        let wait = decision.retry_after().unwrap_or_default();
        prop_assert!(wait <= Duration::from_micros(3 * period), "{} told to wait for {:?}", algorithm.name(), wait);
    }
    Ok(admitted)
}

proptest! {
    #[test]
    fn a_step_frees_at_most_one_window(
        gaps in prop::collection::vec(any::<u64>(), 2..200),
        step_at in any::<prop::sample::Index>(),
        size in prop::sample::select(vec![SECOND, MINUTE, DAY]),
        is_back: bool,
        period in prop::sample::select(vec![SECOND, MINUTE, 60 * MINUTE, DAY]),
        limit in 1_u64..8,
    ) {
        let quota = Quota::new(limit, Duration::from_micros(period))?;
        let step = i64::try_from(size)? * if is_back { -1 } else { 1 };
        let step_at = step_at.index(gaps.len());
        let most = |admitted: &[(u64, u64)]| most_in_any(period, admitted);
        let sliding = admitted_over_a_step(&SlidingWindow::new(quota), &gaps, step_at, step)?;
        prop_assert!(most(&sliding) <= 2 * limit);
        let log = admitted_over_a_step(&SlidingLog::new(quota)?, &gaps, step_at, step)?;
        prop_assert!(most(&log) <= 2 * limit);
        let windows = admitted_over_a_step(&Windows::new(quota.into()), &gaps, step_at, step)?;
        prop_assert!(most(&windows) <= 2 * limit);
        // The bound without a step is twice the limit for these algorithms.
        let fixed = admitted_over_a_step(&FixedWindow::new(quota), &gaps, step_at, step)?;
        prop_assert!(most(&fixed) <= 3 * limit);
        let counter = admitted_over_a_step(&SlidingCounter::new(quota), &gaps, step_at, step)?;
        prop_assert!(most(&counter) <= 3 * limit);
        let bucket = admitted_over_a_step(&TokenBucket::new(quota), &gaps, step_at, step)?;
        prop_assert!(most(&bucket) <= 3 * limit);
    }
}
