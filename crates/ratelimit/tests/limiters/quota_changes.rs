//! A limiter whose quota changes while it runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tidegate_ratelimit::{
    BlockPolicy, Limiter, ManualClock, MemoryLimiter, Quota, QuotaError, SlidingLog, SlidingWindow, TokenBucket,
};

use crate::support::now;

#[test]
fn usage_blocks_and_counters_stay() {
    let clock = ManualClock::default();
    let policy = BlockPolicy::fixed(Duration::from_mins(1));
    let algorithm = SlidingWindow::new(Quota::per_minute(10).unwrap());
    let limiter = MemoryLimiter::builder("api", algorithm).block(policy).clock(clock.clone()).build();
    for key in 0..3_000 {
        assert!(limiter.check_now(&format!("key-{key}"), 4).unwrap().is_allowed());
    }
    now(limiter.block("banned", Duration::from_hours(1))).unwrap();
    assert!(limiter.check_now("over", 10).unwrap().is_allowed());
    assert!(!limiter.check_now("over", 1).unwrap().is_allowed());

    limiter.set_quota(Quota::per_minute(6).unwrap()).unwrap();
    assert_eq!(limiter.quota(), Quota::per_minute(6).unwrap());
    for key in 0..3_000 {
        assert_eq!(now(limiter.peek(&format!("key-{key}"), 0)).unwrap().remaining(), 2);
    }
    assert!(!limiter.check_now("banned", 1).unwrap().is_allowed());
    assert_eq!(now(limiter.peek("over", 0)).unwrap().remaining(), 0);
    limiter.set_quota(Quota::per_minute(3).unwrap()).unwrap();
    assert_eq!(now(limiter.peek("key-0", 0)).unwrap().remaining(), 0);
    // Charges above the lowered limit still count when the limit rises.
    limiter.set_quota(Quota::per_minute(100).unwrap()).unwrap();
    assert_eq!(limiter.check_now("key-0", 96).unwrap().remaining(), 0);
    assert!(now(limiter.peek("over", 0)).unwrap().blocked_for().is_some());
    assert_eq!((limiter.stats().allowed, limiter.stats().denied), (3_002, 2));
}

#[test]
fn a_quota_that_is_refused_changes_nothing() {
    let limiter = MemoryLimiter::builder("log", SlidingLog::new(Quota::per_minute(5).unwrap()).unwrap()).build();
    assert!(limiter.check_now("key", 3).unwrap().is_allowed());
    let refused = limiter.set_quota(Quota::per_minute(20_000).unwrap());
    assert_eq!(refused, Err(QuotaError::LimitTooLarge { limit: 20_000, max: SlidingLog::MAX_LIMIT }));
    assert_eq!(limiter.quota(), Quota::per_minute(5).unwrap());
    assert_eq!(now(limiter.peek("key", 0)).unwrap().remaining(), 2);
}

/// While the quota changes repeatedly, no charge is lost or counted twice.
#[test]
fn nothing_is_lost_while_many_check() {
    const HIGH: u64 = 20_000;
    let quota = |limit| Quota::per_day(limit).unwrap();
    let limiter = MemoryLimiter::builder("busy", TokenBucket::new(quota(HIGH))).clock(ManualClock::default()).build();
    let (admitted, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..2 * HIGH {
                    admitted.fetch_add(limiter.check_now("key", 1).unwrap().is_allowed().into(), Ordering::Relaxed);
                }
                done.store(true, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // A lower limit above half of the maximum usage loses nothing of it.
                limiter.set_quota(quota(HIGH * 3 / 4)).unwrap();
                limiter.set_quota(quota(HIGH)).unwrap();
            }
        });
    });
    limiter.set_quota(quota(HIGH)).unwrap();
    let left = now(limiter.peek("key", 0)).unwrap().remaining();
    assert_eq!(admitted.load(Ordering::Relaxed) + left, HIGH);
}
