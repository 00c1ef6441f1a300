//! The limiter without keys.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use tidegate_ratelimit::{
    Algorithm, CheckError, Clock, ClockSource, ManualClock, Quota, QuotaError, SingleLimiter, Timestamp, TokenBucket,
};

fn quota(limit: u64, period: u64, burst: u64) -> Quota {
    Quota::new(limit, Duration::from_micros(period)).unwrap().burst(burst).unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Check(u64),
    Advance(u64),
    SetBack(u64),
}

fn steps(period: u64) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..5_u64).prop_map(Step::Check),
        2 => (0..70_u64).prop_map(Step::Check),
        4 => (0..=period.div_ceil(5)).prop_map(Step::Advance),
        2 => (0..=2 * period).prop_map(Step::Advance),
        1 => (0..=2 * period).prop_map(Step::SetBack),
    ];
    prop::collection::vec(step, 1..200)
}

fn quota_and_steps() -> impl Strategy<Value = (Quota, Vec<Step>)> {
    let periods = prop_oneof![Just(1_000_u64), Just(60_000_000), Just(86_400_000_000), 10_u64..5_000];
    (1_u64..400, periods, 1_u64..60)
        .prop_filter_map("not too fast", |(limit, period, burst)| {
            (limit <= 100 * period).then(|| quota(limit, period, burst))
        })
        .prop_flat_map(|quota| (Just(quota), steps(quota.period_micros())))
}

proptest! {
    /// Small quotas have parts so fine that no rounding is visible.
    #[test]
    fn decides_as_the_token_bucket((quota, steps) in quota_and_steps(), built in prop_oneof![Just(0), 0..1_000_000_000_u64]) {
        let clock = ManualClock::new();
        clock.set(Timestamp::from_micros(built));
        let single = SingleLimiter::with_clock(quota, Clock::from(&clock))?;
        let bucket = TokenBucket::new(quota);
        let mut state = bucket.initial(Timestamp::now(&clock));
        for step in steps {
            match step {
                Step::Check(cost) => {
                    let (single, bucket) = (single.check(cost), bucket.check(&mut state, Timestamp::now(&clock), cost));
                    prop_assert_eq!(single.as_ref().err(), bucket.as_ref().err());
                    let (Ok(single), Ok(bucket)) = (single, bucket) else { continue };
                    prop_assert_eq!((single.is_allowed(), single.remaining()), (bucket.is_allowed(), bucket.remaining()));
                    let micro = Duration::from_micros(1);
                    prop_assert!(single.reset_after().abs_diff(bucket.reset_after()) <= micro);
                    let [retry, expected] = [single, bucket].map(|decision| decision.retry_after().unwrap_or_default());
                    prop_assert!(retry.abs_diff(expected) <= micro);
                }
                Step::Advance(micros) => clock.advance(Duration::from_micros(micros)),
                Step::SetBack(micros) => {
                    clock.set(Timestamp::from_micros(Timestamp::now(&clock).as_micros().saturating_sub(micros)));
                }
            }
        }
    }

    /// At any rate: never less than the bucket admits at once, and at most one more over any time.
    #[test]
    fn the_bound_holds_at_any_rate(
        limit in 1..=700_000_000_u64,
        seconds in 1..=86_400_u64,
        burst in 1..=1_000_000_u64,
        start in 0..=6_000_000_000_000_000_u64,
        gaps in prop::collection::vec(0..3_000_000_u64, 1..50),
    ) {
        let quota = quota(limit, seconds * 1_000_000, burst);
        let clock = ManualClock::default();
        let single = SingleLimiter::with_clock(quota, Clock::from(&clock))?;
        clock.set(Timestamp::from_micros(start));
        let (mut admitted, mut now) = (0_u128, start);
        for gap in gaps {
            let left = single.peek(0)?.remaining();
            prop_assert!(single.admits(left) && !single.admits(left + 1));
            admitted += u128::from(left);
            let most = u128::from(burst) + u128::from(now - start) * u128::from(limit) / (u128::from(seconds) * 1_000_000);
            prop_assert!(admitted <= most + 1, "{} of {}", admitted, most);
            now += gap;
            clock.set(Timestamp::from_micros(now));
        }
    }
}

/// Takes units as fast as the limiter allows, fifty years after it was built.
#[test]
fn the_rate_is_exact_from_one_a_day_to_ten_million_a_second() {
    let rates = [
        Quota::per_day(1),
        Quota::per_day(7),
        Quota::per_hour(11),
        Quota::per_minute(100),
        Quota::per_second(3),
        Quota::per_second(999_983),
        Quota::per_second(7_000_003),
        Quota::per_second(10_000_000),
    ];
    for quota in rates {
        let quota = quota.unwrap();
        let cost = (quota.limit() / 1_000).max(1);
        let quota = quota.burst(2 * cost).unwrap();
        let clock = ManualClock::default();
        let single = SingleLimiter::with_clock(quota, Clock::from(&clock)).unwrap();
        let start = 50 * 366 * 86_400 * 1_000_000;
        clock.set(Timestamp::from_micros(start));
        let mut drawn = 0_u64;
        while drawn < 20_000 * cost {
            match single.check(cost).unwrap().retry_after() {
                None => drawn += cost,
                Some(wait) => clock.advance(wait),
            }
        }
        let expected = u128::from(drawn - 2 * cost) * u128::from(quota.period_micros()) / u128::from(quota.limit());
        let elapsed = u128::from(Timestamp::now(&clock).as_micros() - start);
        assert!(elapsed.abs_diff(expected) * 1_000_000 <= expected, "{quota}: {elapsed} µs, not {expected}");
    }
}

#[test]
fn threads_admit_exactly_the_burst() {
    let single = SingleLimiter::with_clock(quota(1, 86_400_000_000, 100_000), Clock::from(ManualClock::new())).unwrap();
    let admitted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let own = (0..50_000).filter(|_| single.admits(1)).count();
                admitted.fetch_add(own as u64, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(admitted.into_inner(), 100_000);
}

/// Returns given times in order, like a thread that is delayed between reading and charging.
#[derive(Clone, Default)]
struct Readings(Arc<Mutex<VecDeque<u64>>>);

impl ClockSource for Readings {
    fn now(&self) -> Duration {
        let micros = self.0.lock().unwrap().pop_front();
        Duration::from_micros(micros.expect("a reading for each time that the clock is read"))
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH
    }
}

#[test]
fn a_thread_that_was_held_up_gives_nothing_away() {
    let readings = Readings::default();
    let tell = |micros: &[u64]| readings.0.lock().unwrap().extend(micros);
    tell(&[0]);
    let single = SingleLimiter::with_clock(quota(1_000, 1_000_000, 1), readings.clone()).unwrap();
    for (micros, is_admitted) in [(0, true), (1_000, true), (2_000, true), (2_100, false)] {
        tell(&[micros]);
        assert_eq!(single.admits(1), is_admitted, "at {micros}");
    }
    // It read the clock at 900 and charges at 2,200, after the others.
    tell(&[900, 2_200]);
    assert!(!single.admits(1));
    tell(&[2_300]);
    assert!(!single.admits(1));
    tell(&[3_000]);
    assert!(single.admits(1));
}

#[test]
fn the_ends_are_refused_or_cut() {
    let error = CheckError::CostExceedsLimit { cost: u64::MAX, limit: 5 };
    let clock = ManualClock::default();
    let single = SingleLimiter::with_clock(quota(5, 1_000_000, 5), Clock::from(&clock)).unwrap();
    assert_eq!(
        (single.check(u64::MAX), single.peek(u64::MAX), single.admits(u64::MAX)),
        (Err(error.clone()), Err(error), false)
    );
    for moment in [u64::MAX, 0, u64::MAX, 1] {
        clock.set(Timestamp::from_micros(moment));
        let _ = (single.admits(5), single.check(1).unwrap(), single.peek(1).unwrap());
    }
    let period = Duration::from_secs(1);
    let refused = SingleLimiter::new(Quota::per_second(700_000_001).unwrap()).unwrap_err();
    assert_eq!(refused, QuotaError::TooFast { quota: (700_000_001, period), max: 700_000_000 });
    for quota in [
        quota(1, 366 * 86_400_000_000, Quota::MAX_LIMIT),
        Quota::per_second(700_000_000).unwrap(),
        quota(Quota::MAX_LIMIT, 366 * 86_400_000_000, Quota::MAX_LIMIT),
    ] {
        let single = SingleLimiter::with_clock(quota, Clock::from(ManualClock::new())).unwrap();
        assert!(single.admits(quota.burst_size()) && !single.admits(1), "{quota}");
        assert!(single.peek(1).unwrap().retry_after() > Some(Duration::ZERO));
    }
}
