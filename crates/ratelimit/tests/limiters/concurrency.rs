//! Many threads together are admitted exactly as much as one would be.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use tidegate_ratelimit::{
    Algorithm, BlockPolicy, FixedWindow, Limiter, ManualClock, MemoryLimiter, MemoryTenantLimiter, Quota,
    SlidingWindow, TenantLimiter, TenantPlan, TierLimits, Timestamp, TokenBucket,
};

use crate::support::now;

const THREADS: u64 = 8;
const EACH: u64 = 2_000;
const LIMIT: u64 = 7_001;

fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_micros(1_000_000_000))
}

/// Runs `check` from all threads at once and sums the admissions.
fn race(check: impl Fn() -> bool + Sync) -> u64 {
    let barrier = Barrier::new(usize::try_from(THREADS).unwrap());
    let run = || {
        barrier.wait();
        (0..EACH).map(|_| u64::from(check())).sum::<u64>()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

fn admits_exactly_the_limit<A: Algorithm>(algorithm: A) {
    let limiter = MemoryLimiter::builder("race", algorithm).clock(clock()).build();
    assert_eq!(race(|| now(limiter.check("key", 1)).unwrap().is_allowed()), LIMIT);
    let stats = limiter.stats();
    assert_eq!((stats.allowed, stats.denied, stats.failed), (LIMIT, THREADS * EACH - LIMIT, 0));
    assert_eq!(stats.top_denied, [("key".to_owned(), THREADS * EACH - LIMIT)]);
}

#[test]
fn every_algorithm_admits_exactly_the_limit() {
    let quota = Quota::per_hour(LIMIT).unwrap();
    admits_exactly_the_limit(FixedWindow::new(quota));
    admits_exactly_the_limit(SlidingWindow::new(quota));
    admits_exactly_the_limit(TokenBucket::new(quota));
}

#[test]
fn a_tenant_gets_exactly_its_smallest_limit() {
    let tenants = MemoryTenantLimiter::new(clock(), 100);
    let limits = TenantPlan::from(TierLimits::new(LIMIT + 5, LIMIT, LIMIT + 9, None).unwrap());
    assert_eq!(race(|| now(tenants.check("t1", &limits, 1)).unwrap().allowed), LIMIT);
    assert!(now(tenants.usage("t1", &limits)).unwrap().windows.iter().all(|window| window.used == LIMIT));
    assert_eq!((tenants.stats().allowed, tenants.stats().denied), (LIMIT, THREADS * EACH - LIMIT));
}

/// However many threads exceed the limit together, that is one strike.
#[test]
fn a_stampede_over_the_limit_strikes_once() {
    let clock = clock();
    let policy = BlockPolicy::fixed(Duration::from_mins(1)).escalate(Duration::from_hours(1), Duration::from_hours(1));
    let algorithm = SlidingWindow::new(Quota::per_second(LIMIT).unwrap());
    let limiter = MemoryLimiter::builder("race", algorithm).block(policy).clock(clock.clone()).build();
    race(|| now(limiter.check("key", 1)).unwrap().is_allowed());
    assert_eq!(now(limiter.peek("key", 1)).unwrap().blocked_for(), Some(Duration::from_mins(1)));
    clock.advance(Duration::from_mins(1));
    race(|| now(limiter.check("key", 1)).unwrap().is_allowed());
    assert_eq!(now(limiter.peek("key", 1)).unwrap().blocked_for(), Some(Duration::from_mins(2)));
}

/// A moving clock: no thread can get a time that the key has already passed.
#[test]
fn a_moving_clock_loses_nothing() {
    let clock = clock();
    let quota = Quota::new(1_000, Duration::from_millis(1)).unwrap().burst(1).unwrap();
    let limiter = MemoryLimiter::builder("race", TokenBucket::new(quota)).clock(clock.clone()).build();
    let admitted = race(|| {
        clock.advance(Duration::from_micros(1));
        now(limiter.check("key", 1)).unwrap().is_allowed()
    });
    assert!(admitted <= THREADS * EACH + 1);
    assert_eq!(limiter.stats().allowed, admitted);
}

#[test]
fn keys_do_not_share() {
    let limiter = MemoryLimiter::builder("race", FixedWindow::new(Quota::per_hour(3).unwrap())).clock(clock()).build();
    let counter = std::sync::atomic::AtomicU64::new(0);
    let admitted = race(|| {
        let key = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 1_000;
        now(limiter.check(&format!("key-{key}"), 1)).unwrap().is_allowed()
    });
    assert_eq!((admitted, limiter.stats().tracked_keys), (3_000, 1_000));
}
