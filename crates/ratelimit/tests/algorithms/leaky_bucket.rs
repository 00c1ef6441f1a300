//! The leaky bucket, as a meter and as a queue.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{Algorithm, LeakyBucket, Quota, Timestamp, TokenBucket};

use crate::trace::quota_and_steps;

/// Times at which the admitted requests proceed, in µs, in the order of their admission.
fn starts(algorithm: &LeakyBucket, start: u64, steps: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut now = start;
    let mut state = algorithm.initial(Timestamp::from_micros(now));
    let mut starts = Vec::new();
    for (gap, cost) in steps {
        now += gap;
        let Ok(decision) = algorithm.check(&mut state, Timestamp::from_micros(now), *cost) else { continue };
        if decision.is_allowed() && *cost > 0 {
            starts.push((now + u64::try_from(decision.delay().as_micros()).unwrap(), *cost));
        }
    }
    starts
}

proptest! {
    #[test]
    fn a_meter_is_a_token_bucket((quota, start, steps) in quota_and_steps(), burst in 1_u64..60) {
        let quota = quota.burst(burst)?;
        let (meter, bucket) = (LeakyBucket::meter(quota), TokenBucket::new(quota));
        let mut now = start;
        let mut states = (meter.initial(Timestamp::from_micros(now)), bucket.initial(Timestamp::from_micros(now)));
        for (gap, cost) in steps {
            now += gap;
            let now = Timestamp::from_micros(now);
            prop_assert_eq!(meter.check(&mut states.0, now, cost), bucket.check(&mut states.1, now, cost));
        }
    }

    /// First come, first served: each request proceeds after the time that the earlier ones take at
    /// the steady rate, rounded to a microsecond.
    #[test]
    fn a_queue_drains_at_its_rate((quota, start, steps) in quota_and_steps(), burst in 1_u64..60) {
        let quota = quota.burst(burst)?;
        let starts = starts(&LeakyBucket::queue(quota), start, &steps);
        for (index, (from, _)) in starts.iter().enumerate() {
            let mut ahead = 0_u128;
            for (nth, (to, _)) in starts.iter().enumerate().skip(index) {
                prop_assert!(to >= from);
                let needed = ahead * u128::from(quota.period_micros()) / u128::from(quota.limit());
                prop_assert!(u128::from(to - from) + 1 >= needed, "{nth} after {index}");
                ahead += u128::from(starts[nth].1);
            }
        }
    }

    /// No wait is longer than a full queue takes.
    #[test]
    fn a_wait_is_bounded((quota, start, steps) in quota_and_steps(), burst in 1_u64..60) {
        let quota = quota.burst(burst)?;
        let longest = Duration::from_micros((burst * quota.period_micros()).div_ceil(quota.limit()));
        let algorithm = LeakyBucket::queue(quota);
        let mut now = Timestamp::from_micros(start);
        let mut state = algorithm.initial(now);
        for (gap, cost) in steps {
            now = now.saturating_add(Duration::from_micros(gap));
            if let Ok(decision) = algorithm.check(&mut state, now, cost) {
                prop_assert!(decision.delay() <= longest);
            }
        }
    }
}

#[test]
fn a_hundred_places_of_a_tenth_of_a_second() {
    let queue = LeakyBucket::queue(Quota::per_second(10).unwrap().burst(100).unwrap());
    let mut state = queue.initial(Timestamp::MIN);
    for place in 0..100 {
        let admitted = queue.check(&mut state, Timestamp::MIN, 1).unwrap();
        assert_eq!((admitted.is_allowed(), admitted.delay()), (true, Duration::from_millis(100 * place)));
    }
    let refused = queue.check(&mut state, Timestamp::MIN, 1).unwrap();
    assert_eq!((refused.retry_after(), refused.delay()), (Some(Duration::from_millis(100)), Duration::ZERO));
    // One request gave up: one place is free again.
    queue.reward(&mut state, Timestamp::MIN, 1);
    assert_eq!(queue.check(&mut state, Timestamp::MIN, 1).unwrap().delay(), Duration::from_millis(9_900));
}
