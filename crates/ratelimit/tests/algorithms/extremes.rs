//! The limits of every range: arithmetic neither overflows nor exceeds the limit.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{
    Algorithm, CheckError, FixedWindow, LeakyBucket, Quota, QuotaError, SlidingCounter, SlidingWindow, Timestamp,
    TokenBucket, Windows,
};

/// Numbers near the limits are as frequent as others.
fn edgy() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0_u64..5, (u64::MAX - 5)..=u64::MAX, (Quota::MAX_LIMIT - 2)..=Quota::MAX_LIMIT]
}

fn extreme_quota() -> impl Strategy<Value = Quota> {
    let longest = u64::try_from(Quota::MAX_PERIOD.as_micros()).unwrap();
    let period = prop_oneof![Just(1), Just(longest), 1..=longest];
    (edgy(), period, edgy()).prop_map(|(limit, period, burst)| {
        let quota = Quota::new(limit.clamp(1, Quota::MAX_LIMIT), Duration::from_micros(period)).unwrap();
        quota.burst(burst.clamp(1, Quota::MAX_LIMIT)).unwrap()
    })
}

proptest! {
    #[test]
    fn no_time_and_no_cost_breaks_an_algorithm(
        quota in extreme_quota(),
        steps in prop::collection::vec((edgy(), edgy()), 1..60),
    ) {
        fn holds<A: Algorithm>(algorithm: &A, steps: &[(u64, u64)]) -> Result<(), TestCaseError> {
            let mut state = algorithm.initial(Timestamp::from_micros(steps[0].0));
            for (now, cost) in steps {
                let now = Timestamp::from_micros(*now);
                match algorithm.check(&mut state, now, *cost) {
                    Ok(decision) => {
                        prop_assert!(*cost <= algorithm.capacity());
                        prop_assert!(decision.remaining() <= decision.limit());
                        prop_assert_eq!(algorithm.charged(&state, now), decision.limit() - decision.remaining());
                    }
                    Err(error) => {
                        let limit = algorithm.capacity();
                        prop_assert_eq!(error, CheckError::CostExceedsLimit { cost: *cost, limit });
                        prop_assert!(*cost > limit);
                    }
                }
                algorithm.expires_at(&state);
            }
            Ok(())
        }
        holds(&FixedWindow::new(quota), &steps)?;
        holds(&SlidingWindow::new(quota), &steps)?;
        holds(&SlidingCounter::new(quota), &steps)?;
        holds(&LeakyBucket::queue(quota), &steps)?;
        holds(&TokenBucket::new(quota), &steps)?;
        holds(&Windows::new(quota.into()), &steps)?;
    }

    #[test]
    fn a_quota_prints_what_it_parses(quota in extreme_quota()) {
        prop_assert_eq!(quota.to_string().parse::<Quota>()?, quota);
    }

    #[test]
    fn no_text_breaks_the_parser(text in "\\PC{0,40}", numbers in "[0-9]{0,25} ?/ ?[0-9]{0,25} ?[a-z]{0,12}( burst ?[0-9]{0,25})?") {
        for text in [text, numbers] {
            if let Ok(quota) = text.parse::<Quota>() {
                prop_assert_eq!(quota.to_string().parse::<Quota>()?, quota);
            }
        }
    }
}

#[test]
fn the_end_of_time_keeps_the_limit() {
    fn holds<A: Algorithm>(algorithm: &A) {
        let mut state = algorithm.initial(Timestamp::MAX);
        for _ in 0..5 {
            assert!(algorithm.check(&mut state, Timestamp::MAX, 1).unwrap().is_allowed());
        }
        assert!(!algorithm.check(&mut state, Timestamp::MAX, 1).unwrap().is_allowed(), "{}", algorithm.name());
    }
    let quota = Quota::per_minute(5).unwrap();
    holds(&FixedWindow::new(quota));
    holds(&SlidingWindow::new(quota));
    holds(&SlidingCounter::new(quota));
    holds(&LeakyBucket::queue(quota));
    holds(&TokenBucket::new(quota));
}

#[test]
fn quotas_are_checked_when_built() {
    let max = Quota::MAX_LIMIT;
    assert_eq!(Quota::per_second(0), Err(QuotaError::ZeroLimit));
    assert_eq!(Quota::per_second(max + 1), Err(QuotaError::LimitTooLarge { limit: max + 1, max }));
    assert_eq!(Quota::per_day(max).unwrap().burst(0), Err(QuotaError::ZeroBurst));
    assert_eq!(Quota::per_day(1).unwrap().burst(u64::MAX), Err(QuotaError::BurstTooLarge { burst: u64::MAX, max }));
    let longest = Quota::MAX_PERIOD;
    let too_long = longest + Duration::from_micros(1);
    for period in [Duration::ZERO, Duration::from_nanos(1_500), too_long, Duration::MAX] {
        assert_eq!(Quota::new(1, period), Err(QuotaError::Period { period, max: longest }));
    }
    assert!(Quota::new(1, longest).is_ok());
}

#[test]
fn quotas_parse_as_people_write_them() {
    assert_eq!("100/minute".parse(), Quota::per_minute(100));
    assert_eq!(" 2 / Sec ".parse(), Quota::per_second(2));
    assert_eq!("5/15m".parse(), Quota::new(5, Duration::from_mins(15)));
    assert_eq!("5/60 seconds".parse(), Quota::per_minute(5));
    assert_eq!("100/minute burst 20".parse(), Quota::per_minute(100).unwrap().burst(20));
    assert_eq!(Quota::per_minute(100).unwrap().burst(20).unwrap().to_string(), "100/minute burst 20");
    for text in
        ["", "/", "100", "100/", "/minute", "-1/minute", "+1/minute", "1.5/s", "1/fortnight", "1/s burst", "1/5"]
    {
        assert_eq!(text.parse::<Quota>(), Err(QuotaError::Syntax), "{text:?}");
    }
    assert_eq!("0/minute".parse::<Quota>(), Err(QuotaError::ZeroLimit));
    let json = serde_json::to_string(&Quota::per_hour(10).unwrap()).unwrap();
    assert_eq!(json, "\"10/hour\"");
    assert_eq!(serde_json::from_str::<Quota>(&json).unwrap(), Quota::per_hour(10).unwrap());
    assert!(serde_json::from_str::<Quota>("\"0/hour\"").unwrap_err().to_string().contains("at least 1"));
}
