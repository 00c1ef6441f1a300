//! A changing quota: charges are kept, as an amount.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{
    Algorithm, FixedWindow, LeakyBucket, Quota, QuotaError, Quotas, SlidingCounter, SlidingLog, SlidingWindow,
    Timestamp, TokenBucket, Windows,
};

use crate::trace::{Step, quota_and_steps};

/// Handling of charges that are older than the new period.
#[derive(Clone, Copy, PartialEq)]
enum Charges {
    /// They have no times and are kept.
    Stay,
    /// They have times and expire.
    HaveDates,
}

fn carries_over<A: Algorithm>(
    algorithm: &A,
    charges: Charges,
    start: u64,
    steps: &[Step],
    quotas: &[Quota],
) -> Result<(), TestCaseError> {
    let mut algorithm = algorithm.clone();
    let mut now = Timestamp::from_micros(start);
    let mut state = algorithm.initial(now);
    let mut quotas = quotas.iter();
    for (nth, (gap, cost)) in steps.iter().enumerate() {
        now = now.saturating_add(Duration::from_micros(*gap));
        let _ = algorithm.check(&mut state, now, *cost);
        let Some(quota) = quotas.next().filter(|_| nth % 5 == 4) else { continue };
        let before = algorithm.peek(&state, now, 0)?;
        let used = before.limit() - before.remaining();
        let changed = algorithm.with_quota(*quota)?;
        prop_assert_eq!(changed.quota(), *quota);
        changed.carry_over(&algorithm, &mut state, now);
        let after = changed.peek(&state, now, 0)?;
        let left = changed.capacity().saturating_sub(used);
        let is_shorter = quota.period() < algorithm.quota().period();
        // A key with nothing remaining may have charged more than its limit, under a higher one
        // before.
        let may_be_over = before.remaining() == 0;
        if charges == Charges::HaveDates && is_shorter {
            prop_assert!(may_be_over || after.remaining() >= left);
        } else if may_be_over {
            prop_assert!(after.remaining() <= left);
        } else {
            prop_assert_eq!(after.remaining(), left);
        }
        // Waiting is bounded and helps.
        if let Some(wait) = changed.peek(&state, now, 1)?.retry_after() {
            prop_assert!(changed.peek(&state, now.saturating_add(wait), 1)?.is_allowed());
        }
        let reset = now.saturating_add(after.reset_after());
        prop_assert_eq!(changed.peek(&state, reset, 0)?.remaining(), changed.capacity());
        algorithm = changed;
    }
    Ok(())
}

fn quotas() -> impl Strategy<Value = Vec<Quota>> {
    let periods = prop_oneof![Just(1_u64), Just(60), Just(1_000), Just(60_000_000), 2_u64..5_000];
    let quota = (1_u64..30, periods, 1_u64..60).prop_map(|(limit, period, burst)| {
        Quota::new(limit, Duration::from_micros(period)).unwrap().burst(burst).unwrap()
    });
    prop::collection::vec(quota, 1..20)
}

proptest! {
    #[test]
    fn usage_is_carried_over((quota, start, steps) in quota_and_steps(), quotas in quotas(), is_queue: bool) {
        let plain: Vec<Quota> = quotas.iter().map(|quota| quota.burst(quota.limit()).unwrap()).collect();
        carries_over(&FixedWindow::new(quota), Charges::Stay, start, &steps, &plain)?;
        carries_over(&SlidingCounter::new(quota), Charges::Stay, start, &steps, &plain)?;
        carries_over(&SlidingWindow::new(quota), Charges::HaveDates, start, &steps, &plain)?;
        carries_over(&SlidingLog::new(quota)?, Charges::HaveDates, start, &steps, &plain)?;
        carries_over(&TokenBucket::new(quota), Charges::Stay, start, &steps, &quotas)?;
        let kind = if is_queue { LeakyBucket::queue } else { LeakyBucket::meter };
        carries_over(&kind(quota), Charges::Stay, start, &steps, &quotas)?;
    }
}

/// The maximum values, in both directions: no overflow, and no wait longer than twice the bucket.
#[test]
fn the_greatest_quotas_carry_over() {
    let longest = Quota::new(Quota::MAX_LIMIT, Quota::MAX_PERIOD).unwrap();
    let shortest = Quota::new(1, Duration::from_micros(1)).unwrap();
    let slowest = Quota::new(1, Quota::MAX_PERIOD).unwrap();
    let densest = Quota::new(Quota::MAX_LIMIT, Duration::from_micros(1)).unwrap();
    let quotas = [longest, shortest, slowest, densest];
    fn holds<A: Algorithm>(algorithm: &A, quotas: &[Quota]) {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        for (from, to) in quotas.iter().flat_map(|from| quotas.iter().map(move |to| (from, to))) {
            let (from, to) = (algorithm.with_quota(*from).unwrap(), algorithm.with_quota(*to).unwrap());
            let mut state = from.initial(now);
            from.penalty(&mut state, now, u64::MAX);
            to.carry_over(&from, &mut state, now);
            let decision = to.peek(&state, now, 1).unwrap();
            let most = 2 * u128::from(to.capacity()) * to.quota().period().as_micros() / u128::from(to.quota().limit());
            let most = most.max(3 * to.quota().period().as_micros()) + 1;
            assert!(
                decision.retry_after().is_none_or(|wait| wait.as_micros() <= most),
                "{from:?}: {decision:?}",
                from = from.quota()
            );
        }
    }
    holds(&FixedWindow::new(shortest), &quotas);
    holds(&SlidingCounter::new(shortest), &quotas);
    holds(&SlidingWindow::new(shortest), &quotas);
    holds(&TokenBucket::new(shortest), &quotas);
    holds(&LeakyBucket::queue(shortest), &quotas);
}

#[test]
fn what_an_algorithm_cannot_apply_is_refused() {
    let log = SlidingLog::new(Quota::per_minute(5).unwrap()).unwrap();
    let (limit, max) = (SlidingLog::MAX_LIMIT + 1, SlidingLog::MAX_LIMIT);
    assert_eq!(log.with_quota(Quota::per_minute(limit).unwrap()), Err(QuotaError::LimitTooLarge { limit, max }));
}

#[test]
fn a_burst_is_refused_where_there_is_none() {
    let plain = Quota::per_minute(10).unwrap();
    let burst = plain.burst(3).unwrap();
    fn refuses<A: Algorithm>(algorithm: &A, burst: Quota) {
        let refused = algorithm.with_quota(burst).err();
        assert_eq!(refused, Some(QuotaError::NoBurst { burst: 3 }), "{}", algorithm.name());
        // If it is built with a burst, it applies and reports the quota without it.
        assert!(algorithm.quotas().iter().all(|quota| quota.ensure_no_burst().is_ok()), "{}", algorithm.name());
        assert!(algorithm.with_quota(burst.burst(burst.limit()).unwrap()).is_ok(), "{}", algorithm.name());
    }
    refuses(&FixedWindow::new(burst), burst);
    refuses(&SlidingCounter::new(burst), burst);
    refuses(&SlidingWindow::new(burst), burst);
    refuses(&SlidingLog::new(burst).unwrap(), burst);
    refuses(&Windows::new(Quotas::new(&[burst, Quota::per_hour(20).unwrap()]).unwrap()), burst);
    assert_eq!(TokenBucket::new(plain).with_quota(burst).unwrap().quota(), burst);
    assert_eq!(LeakyBucket::queue(plain).with_quota(burst).unwrap().quota(), burst);
}

#[test]
fn a_bucket_refills_at_the_new_rate() {
    let before = TokenBucket::new(Quota::per_second(10).unwrap());
    let after = before.with_quota(Quota::per_minute(60).unwrap().burst(20).unwrap()).unwrap();
    let mut state = before.initial(Timestamp::MIN);
    assert!(before.check(&mut state, Timestamp::MIN, 8).unwrap().is_allowed());
    after.carry_over(&before, &mut state, Timestamp::MIN);
    let decision = after.peek(&state, Timestamp::MIN, 0).unwrap();
    assert_eq!((decision.remaining(), decision.reset_after()), (12, Duration::from_secs(8)));
}
