//! The approximate sliding window counter.

use std::collections::HashMap;

use proptest::prelude::*;
use tidegate_ratelimit::{Algorithm, Quota, SlidingCounter, Timestamp};

use crate::trace::{admitted, most_in_any, quota_and_steps};

proptest! {
    #[test]
    fn bounds_hold((quota, start, steps) in quota_and_steps()) {
        let admitted = admitted(&SlidingCounter::new(quota), start, &steps);
        prop_assert!(most_in_any(quota.period_micros(), &admitted) < 2 * quota.limit());
        let mut aligned = HashMap::<u64, u64>::new();
        for (at, cost) in admitted {
            *aligned.entry(at / quota.period_micros()).or_default() += cost;
        }
        prop_assert!(aligned.values().all(|used| *used <= quota.limit()));
    }

    /// The definition in fractions: a cost is refused only if the two windows have no capacity for
    /// it, with the share up to 1/256 and one request too high.
    #[test]
    fn counts_the_window_before_by_its_share((quota, start, steps) in quota_and_steps()) {
        let algorithm = SlidingCounter::new(quota);
        let period = quota.period_micros();
        let mut counters = HashMap::<u64, u64>::new();
        let mut now = start;
        let mut state = algorithm.initial(Timestamp::from_micros(start));
        for (gap, cost) in steps.into_iter().filter(|(_, cost)| *cost <= quota.limit()) {
            now += gap;
            let window = now / period;
            let used = counters.get(&window).copied().unwrap_or(0);
            let before = window.checked_sub(1).and_then(|window| counters.get(&window)).copied().unwrap_or(0);
            let left = (period - now % period) as f64 / period as f64;
            let exact = used as f64 + before as f64 * left;
            let decision = algorithm.check(&mut state, Timestamp::from_micros(now), cost)?;
            if decision.is_allowed() {
                *counters.entry(window).or_default() += cost;
                prop_assert!(exact + cost as f64 <= quota.limit() as f64 + 1e-6);
            } else {
                prop_assert!(exact + cost as f64 + before as f64 / 256.0 + 1.0 > quota.limit() as f64);
            }
        }
    }
}

/// The documented weakness: one window filled at its end, and the next one over its whole length.
#[test]
fn almost_twice_the_limit_fits_a_window() {
    let algorithm = SlidingCounter::new(Quota::per_minute(100).unwrap());
    let mut state = algorithm.initial(Timestamp::MIN);
    let mut admitted = Vec::new();
    for now in [59_999_999_u64].into_iter().chain((60_000_000..119_999_999).step_by(100_000)).chain([119_999_998]) {
        while algorithm.check(&mut state, Timestamp::from_micros(now), 1).unwrap().is_allowed() {
            admitted.push((now, 1));
        }
    }
    assert_eq!(most_in_any(60_000_000, &admitted), 199);
}
