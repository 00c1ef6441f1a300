//! The scripts decide like the algorithms in memory: same decisions, figures and blocks for any
//! clock.

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{
    BlockPolicy, FixedWindow, LeakyBucket, Limiter, ManualClock, MemoryLimiter, Quota, Quotas, RedisAlgorithm,
    RedisLimiter, SlidingCounter, SlidingLog, SlidingWindow, Timestamp, TokenBucket, UnsupportedAlgorithm, Windows,
};

use crate::support::{World, for_all, keyspace, runtime, test_clock};

#[derive(Clone, Copy, Debug)]
enum Step {
    Check(u64),
    Peek(u64),
    Reset,
    Block(u64),
    Unblock,
    Penalty(u64),
    Reward(u64),
    Advance(u64),
    SetBack(u64),
    SetQuota(Quota),
}

#[derive(Clone, Debug)]
struct Trace {
    quota: Quota,
    segments: NonZeroU16,
    block: Option<Block>,
    start: u64,
    steps: Vec<(u8, Step)>,
}

const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;
/// From 2001 on, and far enough from the maximum exact time.
const DATES: std::ops::Range<u64> = 1_000_000_000 * SECOND..4_000_000_000 * SECOND;

/// Durations near the period, and near blocks and their decay.
fn span(period: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..=period.div_ceil(50),
        3 => 0..=period.div_ceil(5),
        2 => period.saturating_sub(2)..=period + 2,
        1 => 0..=4 * period,
        2 => 0..=20_000_u64,
        1 => 0..=200_000_u64,
    ]
}

fn quotas(about: u64) -> impl Strategy<Value = Quota> {
    let limit = prop_oneof![4 => 1..8_u64, 2 => Just(about), 1 => Just(1_000_000_u64), 1 => 1..=Quota::MAX_LIMIT];
    let period = prop_oneof![Just(1_u64), Just(60), Just(SECOND), Just(60 * SECOND), Just(DAY), 2..5_000_u64];
    let burst = prop_oneof![2 => Just(None), 1 => (1..60_u64).prop_map(Some)];
    (limit, period, burst).prop_map(|(limit, period, burst)| {
        let quota = Quota::new(limit, Duration::from_micros(period)).unwrap();
        burst.map_or(quota, |burst| quota.burst(burst).unwrap())
    })
}

fn steps(limit: u64, period: u64) -> impl Strategy<Value = Vec<(u8, Step)>> {
    let cost = prop_oneof![
        6 => 0..=4_u64,
        2 => 0..=limit,
        1 => limit.saturating_sub(2)..=limit + 2,
    ];
    let step = prop_oneof![
        12 => cost.clone().prop_map(Step::Check),
        3 => cost.clone().prop_map(Step::Peek),
        1 => cost.clone().prop_map(Step::Penalty),
        1 => cost.prop_map(Step::Reward),
        1 => prop_oneof![Just(Step::Penalty(u64::MAX)), Just(Step::Reward(u64::MAX))],
        8 => span(period).prop_map(Step::Advance),
        2 => span(period).prop_map(Step::SetBack),
        1 => (0..=3 * period).prop_map(Step::SetBack),
        1 => (0..=30_000_u64).prop_map(Step::Block),
        1 => Just(Step::Unblock),
        1 => Just(Step::Reset),
        2 => quotas(limit).prop_map(Step::SetQuota),
    ];
    prop::collection::vec((0..2_u8, step), 1..80)
}

/// Base, cap and decay, jitter.
type Block = (u64, Option<(u64, u64)>, u8);

fn traces() -> impl Strategy<Value = Trace> {
    let limit = prop_oneof![4 => 1..8_u64, 2 => 1..100_u64, 1 => Just(1_000_000_u64), 1 => 1..=Quota::MAX_LIMIT];
    let period = prop_oneof![Just(1_u64), Just(60), Just(SECOND), Just(60 * SECOND), Just(DAY), 2..5_000_u64];
    let burst = prop_oneof![2 => Just(None), 1 => (1..60_u64).prop_map(Some)];
    let escalation = prop::option::of((1_000..100_000_u64, 1_000..50_000_u64));
    let block = prop::option::of((1_000..20_000_u64, escalation, 0..=100_u8));
    let segments = prop_oneof![3 => Just(60_u16), 1 => 1..=1_000_u16];
    (limit, period, burst, block, segments, DATES).prop_flat_map(|(limit, period, burst, block, segments, start)| {
        let quota = Quota::new(limit, Duration::from_micros(period)).unwrap();
        let quota = burst.map_or(quota, |burst| quota.burst(burst).unwrap());
        let segments = NonZeroU16::new(segments).unwrap();
        steps(limit, period).prop_map(move |steps| Trace { quota, segments, block, start, steps })
    })
}

fn policy(block: Option<Block>) -> Option<BlockPolicy> {
    let micros = Duration::from_micros;
    block.map(|(base, escalation, jitter)| {
        let policy = BlockPolicy::fixed(micros(base)).jitter(jitter);
        match escalation {
            Some((cap, decay)) => policy.escalate(micros(cap), micros(decay)),
            None => policy,
        }
    })
}

/// Both limiters perform the same steps with the same results.
async fn agree<A: RedisAlgorithm>(world: &World, algorithm: A, trace: &Trace) -> Result<(), TestCaseError> {
    static CASES: AtomicU64 = AtomicU64::new(0);
    let name = format!("case-{}", CASES.fetch_add(1, Ordering::Relaxed));
    let clock = ManualClock::at(Timestamp::from_micros(trace.start));
    let mut ours = RedisLimiter::builder(&name, algorithm, world.client.clone(), keyspace()).test_clock(test_clock());
    let mut theirs = MemoryLimiter::builder(&name, algorithm).clock(clock.clone());
    if let Some(policy) = policy(trace.block) {
        (ours, theirs) = (ours.block(policy), theirs.block(policy));
    }
    let (ours, theirs) = (ours.build().unwrap(), theirs.build());
    let mut now = trace.start;
    world.set_clock(now).await;
    for (index, (key, step)) in trace.steps.iter().enumerate() {
        let key = format!("key-{key}");
        match *step {
            Step::Check(cost) => {
                let (ours, theirs) = (ours.check(&key, cost).await, theirs.check(&key, cost).await);
                prop_assert_eq!(ours, theirs, "step {} at {}", index, now);
            }
            Step::Peek(cost) => {
                let (ours, theirs) = (ours.peek(&key, cost).await, theirs.peek(&key, cost).await);
                prop_assert_eq!(ours, theirs, "step {} at {}", index, now);
            }
            Step::Reset => prop_assert_eq!(ours.reset(&key).await, theirs.reset(&key).await),
            Step::Unblock => prop_assert_eq!(ours.unblock(&key).await, theirs.unblock(&key).await),
            Step::Penalty(cost) => {
                let (ours, theirs) = (ours.penalty(&key, cost).await, theirs.penalty(&key, cost).await);
                prop_assert_eq!(ours, theirs, "step {} at {}", index, now);
            }
            Step::Reward(amount) => {
                let (ours, theirs) = (ours.reward(&key, amount).await, theirs.reward(&key, amount).await);
                prop_assert_eq!(ours, theirs, "step {} at {}", index, now);
            }
            Step::Block(micros) => {
                let length = Duration::from_micros(micros);
                prop_assert_eq!(ours.block(&key, length).await, theirs.block(&key, length).await);
            }
            // A quota that Redis cannot apply is refused. A key is converted by its next change, as
            // in memory.
            Step::SetQuota(quota) => {
                if ours.set_quota(quota).is_ok() {
                    theirs.set_quota(quota).unwrap();
                    prop_assert_eq!(ours.quota(), theirs.quota());
                    for key in ["key-0", "key-1"] {
                        let (ours, theirs) = (ours.penalty(key, 0).await, theirs.penalty(key, 0).await);
                        prop_assert_eq!(ours, theirs, "step {} at {}", index, now);
                    }
                }
            }
            Step::Advance(micros) => now += micros,
            Step::SetBack(micros) => now -= micros,
        }
        if matches!(step, Step::Advance(_) | Step::SetBack(_)) {
            clock.set(Timestamp::from_micros(now));
            world.set_clock(now).await;
        }
    }
    let (ours, theirs) = (ours.stats(), theirs.stats());
    prop_assert_eq!((ours.allowed, ours.denied, ours.failed), (theirs.allowed, theirs.denied, theirs.failed));
    Ok(())
}

const CASES: usize = 150;

#[test]
fn fixed_window() {
    let runtime = runtime();
    let world = runtime.block_on(World::start_patient());
    for_all(CASES, traces(), |trace| runtime.block_on(agree(&world, FixedWindow::new(trace.quota), &trace)));
}

#[test]
fn sliding_window() {
    let runtime = runtime();
    let world = runtime.block_on(World::start_patient());
    for_all(CASES, traces(), |trace| {
        runtime.block_on(agree(&world, SlidingWindow::with_segments(trace.quota, trace.segments), &trace))
    });
}

#[test]
fn sliding_counter() {
    let runtime = runtime();
    let world = runtime.block_on(World::start_patient());
    for_all(CASES, traces(), |trace| runtime.block_on(agree(&world, SlidingCounter::new(trace.quota), &trace)));
}

#[test]
fn sliding_log() {
    let runtime = runtime();
    let world = runtime.block_on(World::start_patient());
    let short = traces().prop_filter("Redis keeps short ones only", |trace| trace.quota.limit() <= 1_000);
    for_all(CASES, short, |trace| runtime.block_on(agree(&world, SlidingLog::new(trace.quota).unwrap(), &trace)));
}

#[test]
fn windows() {
    let runtime = runtime();
    let world = runtime.block_on(World::start_patient());
    let more = prop::collection::vec(quotas(20), 0..Quotas::MAX);
    let traces = (traces(), more).prop_map(|(mut trace, mut more)| {
        more.insert(0, trace.quota);
        let mut periods = HashSet::new();
        more.retain(|quota| periods.insert(quota.period()));
        // Quotas of existing windows, otherwise none would change.
        for (nth, (_, step)) in trace.steps.iter_mut().enumerate() {
            if let Step::SetQuota(quota) = step {
                *quota = Quota::new(quota.limit(), more[nth % more.len()].period()).unwrap();
            }
        }
        (trace, Quotas::new(&more).unwrap())
    });
    for_all(CASES, traces, |(trace, quotas)| runtime.block_on(agree(&world, Windows::new(quotas), &trace)));
}

#[test]
fn leaky_bucket() {
    let runtime = runtime();
    let world = runtime.block_on(World::start_patient());
    for_all(CASES, traces(), |trace| {
        let kind = if trace.segments.get() % 2 == 0 { LeakyBucket::queue } else { LeakyBucket::meter };
        runtime.block_on(agree(&world, kind(trace.quota), &trace))
    });
}

#[test]
fn token_bucket() {
    let runtime = runtime();
    let world = runtime.block_on(World::start_patient());
    for_all(CASES, traces(), |trace| runtime.block_on(agree(&world, TokenBucket::new(trace.quota), &trace)));
}

/// Repeated strikes, up to the cap, past the maximum shift, and back through decay.
#[tokio::test]
async fn escalation() {
    let world = World::start_patient().await;
    let (base, cap) = (1_000, DAY);
    let mut steps = Vec::new();
    for offence in 0..45_u32 {
        // With the maximum jitter.
        let length = (base << offence.min(30)).min(cap) * 11 / 10;
        let offend = [Step::Check(1), Step::Check(1), Step::Advance(length - 1), Step::Check(1), Step::Advance(1)];
        steps.extend(offend.map(|step| (0, step)));
    }
    for _ in 0..50 {
        let forget = [Step::Advance(3 * DAY), Step::Check(1), Step::Check(1), Step::Peek(1), Step::Block(0)];
        steps.extend(forget.map(|step| (0, step)));
    }
    let (quota, segments) = (Quota::new(1, Duration::from_micros(1_000)).unwrap(), NonZeroU16::MIN);
    let trace = Trace { quota, segments, block: Some((base, Some((cap, DAY)), 10)), start: DATES.start, steps };
    agree(&world, SlidingWindow::new(quota), &trace).await.unwrap();
}

/// At the limits of exactness: the maximum limit, a million per second. Quotas that Redis cannot
/// count are refused immediately.
#[tokio::test]
async fn the_greatest_rates_are_exact() {
    let world = World::start_patient().await;
    for quota in [
        Quota::new(Quota::MAX_LIMIT, Duration::from_micros(1)).unwrap(),
        Quota::per_day(Quota::MAX_LIMIT).unwrap(),
        Quota::per_second(1_000_000).unwrap(),
        Quota::per_second(999_983).unwrap().burst(7).unwrap(),
    ] {
        let limit = quota.limit();
        let costs = [limit - 1, 1, 1, 0, limit / 3, limit / 7, 5, 1];
        let steps = (0..300).flat_map(|round| {
            [(0, Step::Check(costs[round % costs.len()])), (0, Step::Advance([0, 1, 1, 7, 333_333][round % 5]))]
        });
        let (start, segments) = (DATES.end - 1, NonZeroU16::MIN);
        let trace = Trace { quota, segments, block: None, start, steps: steps.collect() };
        agree(&world, FixedWindow::new(quota), &trace).await.unwrap();
        agree(&world, SlidingWindow::new(quota), &trace).await.unwrap();
        agree(&world, SlidingCounter::new(quota), &trace).await.unwrap();
        agree(&world, LeakyBucket::queue(quota), &trace).await.unwrap();
        agree(&world, TokenBucket::new(quota), &trace).await.unwrap();
    }
    let slow = TokenBucket::new(Quota::per_day(1).unwrap().burst(1_000_000).unwrap());
    let refused = RedisLimiter::builder("slow", slow, world.client.clone(), keyspace()).build();
    assert!(matches!(refused.unwrap_err(), UnsupportedAlgorithm::TooSlow { .. }));
    let fine = SlidingWindow::with_segments(Quota::per_day(1).unwrap(), NonZeroU16::MAX);
    let refused = RedisLimiter::builder("fine", fine, world.client.clone(), keyspace()).build();
    assert!(matches!(refused.unwrap_err(), UnsupportedAlgorithm::TooManySegments { segments: 65_454.., .. }));
}

/// Takes units as fast as the script allows, and compares the rate over a long time with the quota.
#[tokio::test]
async fn the_rate_is_exact_from_one_a_day_to_a_million_a_second() {
    let world = World::start_patient().await;
    let rates = [
        Quota::per_day(1),
        Quota::per_day(7),
        Quota::per_minute(100),
        Quota::per_second(999_983),
        Quota::per_second(1_000_000),
    ];
    for quota in rates.map(Result::unwrap) {
        let cost = (quota.limit() / 50).max(1);
        let quota = quota.burst(2 * cost).unwrap();
        let limiter =
            RedisLimiter::builder(quota.to_string(), TokenBucket::new(quota), world.client.clone(), keyspace());
        let limiter = limiter.test_clock(test_clock()).build().unwrap();
        let (mut now, mut drawn) = (DATES.start, 0);
        world.set_clock(now).await;
        // The fastest take two seconds, of which a microsecond is less than a millionth.
        while drawn < tidegate_testkit::scale(100, 20_000) as u64 * cost {
            match limiter.check("key", cost).await.unwrap().retry_after() {
                None => drawn += cost,
                Some(wait) => {
                    now += u64::try_from(wait.as_micros()).unwrap();
                    world.set_clock(now).await;
                }
            }
        }
        let expected = u128::from(drawn - 2 * cost) * u128::from(quota.period_micros()) / u128::from(quota.limit());
        let elapsed = u128::from(now - DATES.start);
        assert!(elapsed.abs_diff(expected) * 1_000_000 <= expected, "{quota}: {elapsed} µs, not {expected}");
    }
}

/// A server whose clock differs by a minute or a day, as after a failover: at most one fresh
/// window, and no longer wait.
#[tokio::test]
async fn another_servers_clock_frees_at_most_one_window() {
    let world = World::start_patient().await;
    let quota = Quota::per_minute(5).unwrap();
    for (nth, step) in [-DAY.cast_signed(), -60_000_000, 60_000_000, DAY.cast_signed()].into_iter().enumerate() {
        let name = |algorithm: &str| format!("{algorithm}-{nth}");
        let limiters: [Box<dyn Limiter>; 3] = [
            Box::new(limiter_at(&world, &name("sliding"), SlidingWindow::new(quota))),
            Box::new(limiter_at(&world, &name("windows"), Windows::new(quota.into()))),
            Box::new(limiter_at(&world, &name("bucket"), TokenBucket::new(quota))),
        ];
        let before = DATES.start + 10 * DAY;
        for limiter in limiters {
            let mut admitted = 0;
            for now in [before, before.saturating_add_signed(step)] {
                world.set_clock(now).await;
                for _ in 0..20 {
                    let decision = limiter.check("key", 1).await.unwrap();
                    admitted += u64::from(decision.is_allowed());
                    let wait = decision.retry_after().unwrap_or_default();
                    assert!(wait <= Duration::from_mins(2), "{}: {wait:?}", limiter.name());
                }
            }
            assert!(admitted <= 10, "{}: {admitted}", limiter.name());
            // Two windows later on its clock, the whole limit is available.
            world.set_clock(before.saturating_add_signed(step) + 2 * 60 * SECOND).await;
            assert_eq!(limiter.check("key", 0).await.unwrap().remaining(), 5, "{}", limiter.name());
        }
    }
}

fn limiter_at<A: RedisAlgorithm>(world: &World, name: &str, algorithm: A) -> RedisLimiter<A> {
    RedisLimiter::builder(name, algorithm, world.client.clone(), keyspace()).test_clock(test_clock()).build().unwrap()
}
