//! The fixed window.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{Algorithm, FixedWindow, Quota, Timestamp};

use crate::trace::{admitted, most_in_any, quota_and_steps};

proptest! {
    #[test]
    fn bounds_hold((quota, start, steps) in quota_and_steps()) {
        let admitted = admitted(&FixedWindow::new(quota), start, &steps);
        prop_assert!(most_in_any(quota.period_micros(), &admitted) <= 2 * quota.limit());
        let mut aligned = HashMap::<u64, u64>::new();
        for (at, cost) in admitted {
            *aligned.entry(at / quota.period_micros()).or_default() += cost;
        }
        prop_assert!(aligned.values().all(|used| *used <= quota.limit()));
    }

    #[test]
    fn decides_as_a_counter_per_window((quota, start, steps) in quota_and_steps()) {
        let algorithm = FixedWindow::new(quota);
        let mut counters = HashMap::<u64, u64>::new();
        let mut now = start;
        let mut state = algorithm.initial(Timestamp::from_micros(start));
        for (gap, cost) in steps.into_iter().filter(|(_, cost)| *cost <= quota.limit()) {
            now += gap;
            let used = counters.entry(now / quota.period_micros()).or_default();
            let fits = *used + cost <= quota.limit();
            *used += if fits { cost } else { 0 };
            let decision = algorithm.check(&mut state, Timestamp::from_micros(now), cost)?;
            prop_assert_eq!((decision.is_allowed(), decision.remaining()), (fits, quota.limit() - *used));
        }
    }
}

#[test]
fn a_day_begins_at_the_epochs_midnight() {
    let algorithm = FixedWindow::new(Quota::per_day(1).unwrap());
    let day = 86_400_000_000;
    let mut state = algorithm.initial(Timestamp::from_micros(day / 2));
    let mut at = |micros| algorithm.check(&mut state, Timestamp::from_micros(micros), 1).unwrap();
    assert!(at(20_000 * day + day / 2).is_allowed());
    assert_eq!(at(20_000 * day + day / 2).retry_after(), Some(Duration::from_hours(12)));
    assert!(!at(20_001 * day - 1).is_allowed());
    assert!(at(20_001 * day).is_allowed());
}
