//! The cap on keys, and the keys that are evicted when it is reached.

use std::time::Duration;

use tidegate_ratelimit::{
    BlockPolicy, CheckError, FixedWindow, Limiter, MAX_KEY_BYTES, ManualClock, MemoryLimiter, MemoryTenantLimiter,
    Quota, SlidingWindow, TenantLimiter, Tier,
};

use crate::support::now;

const BAN: Duration = Duration::from_hours(1);

fn limiter(limit: u64, max_keys: usize, clock: &ManualClock) -> MemoryLimiter<SlidingWindow> {
    let algorithm = SlidingWindow::new(Quota::per_minute(limit).unwrap());
    MemoryLimiter::builder("small", algorithm).max_keys(max_keys).clock(clock.clone()).build()
}

fn flood(limiter: &impl Limiter, keys: u64) {
    for key in 0..keys {
        assert!(now(limiter.check(&format!("flood-{key}"), 1)).unwrap().is_allowed());
        assert!(key % 512 != 0 || limiter.stats().tracked_keys <= 5_000);
    }
}

#[test]
fn a_flood_never_exceeds_the_cap_nor_frees_a_blocked_key() {
    for max_keys in [60, 1_000, 5_000] {
        let clock = ManualClock::default();
        let limiter = limiter(5, max_keys, &clock);
        for banned in 0..50 {
            now(limiter.block(&format!("banned-{banned}"), BAN)).unwrap();
        }
        flood(&limiter, 12_000);
        let stats = limiter.stats();
        assert!(stats.tracked_keys <= max_keys as u64, "{} of {max_keys}", stats.tracked_keys);
        assert_eq!(stats.blocked_keys, 50);
        assert_eq!(stats.evicted_live, 12_050 - stats.tracked_keys);
        for banned in 0..50 {
            assert!(!now(limiter.check(&format!("banned-{banned}"), 1)).unwrap().is_allowed());
        }
        // The block ends at its own time, not with the flood.
        clock.advance(BAN);
        assert_eq!(limiter.stats().blocked_keys, 0);
        assert!(now(limiter.check("banned-0", 1)).unwrap().is_allowed());
    }
}

#[test]
fn the_least_charged_go_first() {
    let limiter = limiter(50, 20, &ManualClock::default());
    for heavy in 0..10 {
        let _ = now(limiter.check(&format!("heavy-{heavy}"), 40)).unwrap();
    }
    flood(&limiter, 1_000);
    for heavy in 0..10 {
        assert_eq!(now(limiter.peek(&format!("heavy-{heavy}"), 0)).unwrap().remaining(), 10);
    }
}

#[test]
fn strikes_outlive_a_flood_longer_than_usage() {
    let clock = ManualClock::default();
    let policy = BlockPolicy::fixed(Duration::from_secs(1)).escalate(BAN, BAN);
    let algorithm = SlidingWindow::new(Quota::per_second(2).unwrap());
    let limiter = MemoryLimiter::builder("small", algorithm).block(policy).max_keys(10).clock(clock.clone()).build();
    let _ = now(limiter.check("repeat", 2)).unwrap();
    assert_eq!(now(limiter.check("repeat", 1)).unwrap().blocked_for(), Some(Duration::from_secs(1)));
    clock.advance(Duration::from_secs(10));
    flood(&limiter, 100);
    let _ = now(limiter.check("repeat", 2)).unwrap();
    assert_eq!(now(limiter.check("repeat", 1)).unwrap().blocked_for(), Some(Duration::from_secs(2)));
}

#[test]
fn the_expired_go_before_the_live() {
    let clock = ManualClock::default();
    let limiter = limiter(5, 10, &clock);
    for old in 0..5 {
        let _ = now(limiter.check(&format!("old-{old}"), 5)).unwrap();
    }
    clock.advance(Duration::from_mins(1));
    for live in 0..10 {
        let _ = now(limiter.check(&format!("live-{live}"), 1)).unwrap();
    }
    let stats = limiter.stats();
    assert_eq!((stats.tracked_keys, stats.evicted_live), (10, 0));
    for live in 0..10 {
        assert_eq!(now(limiter.peek(&format!("live-{live}"), 0)).unwrap().remaining(), 4);
    }
}

#[test]
fn a_room_full_of_blocked_keys_refuses_new_ones() {
    let clock = ManualClock::default();
    let limiter = limiter(5, 3, &clock);
    for banned in ["a", "b", "c"] {
        now(limiter.block(banned, BAN)).unwrap();
    }
    let full = CheckError::Full { max_keys: 3 };
    assert_eq!(now(limiter.check("new", 1)), Err(full.clone()));
    assert_eq!(now(limiter.block("new", BAN)), Err(full));
    assert!(now(limiter.peek("new", 1)).unwrap().is_allowed());
    assert!(!now(limiter.check("a", 1)).unwrap().is_allowed());
    assert_eq!((limiter.stats().failed, limiter.stats().tracked_keys), (1, 3));
    assert!(now(limiter.unblock("b")).unwrap());
    assert!(now(limiter.check("new", 1)).unwrap().is_allowed());
}

#[test]
fn keys_are_bounded_in_length() {
    let limiter = limiter(5, 3, &ManualClock::default());
    let too_long = "k".repeat(MAX_KEY_BYTES + 1);
    let error = CheckError::KeyTooLong { length: MAX_KEY_BYTES + 1, max: MAX_KEY_BYTES };
    assert_eq!(now(limiter.check(&too_long, 1)), Err(error.clone()));
    assert_eq!(now(limiter.peek(&too_long, 1)), Err(error.clone()));
    assert_eq!(now(limiter.reset(&too_long)), Err(error.clone()));
    assert_eq!(now(limiter.unblock(&too_long)), Err(error.clone()));
    assert_eq!(now(limiter.block(&too_long, BAN)), Err(error));
    assert!(now(limiter.check(&too_long[1..], 1)).unwrap().is_allowed());
}

#[test]
fn what_can_never_fit_leaves_no_trace() {
    let limiter = limiter(5, 3, &ManualClock::default());
    for cost in [6, u64::MAX] {
        assert_eq!(now(limiter.check("key", cost)), Err(CheckError::CostExceedsLimit { cost, limit: 5 }));
        assert_eq!(now(limiter.peek("key", cost)), Err(CheckError::CostExceedsLimit { cost, limit: 5 }));
    }
    assert_eq!((limiter.stats().failed, limiter.stats().tracked_keys), (2, 0));
}

#[test]
fn a_cap_of_nothing_holds_one() {
    let algorithm = FixedWindow::new(Quota::per_minute(1).unwrap());
    let limiter = MemoryLimiter::builder("one", algorithm).max_keys(0).clock(ManualClock::default()).build();
    assert!(now(limiter.check("a", 1)).unwrap().is_allowed());
    assert!(!now(limiter.check("a", 1)).unwrap().is_allowed());
    assert!(now(limiter.check("b", 1)).unwrap().is_allowed());
    assert_eq!((limiter.stats().tracked_keys, limiter.stats().evicted_live), (1, 1));
}

#[test]
fn tenants_are_bounded_too() {
    let tenants = MemoryTenantLimiter::new(ManualClock::default(), 100);
    let limits = Tier::FREE.into();
    for _ in 0..60 {
        assert!(now(tenants.check("busy", &limits, 1)).unwrap().allowed);
    }
    for tenant in 0..1_000 {
        assert!(now(tenants.check(&format!("t{tenant}"), &limits, 1)).unwrap().allowed);
    }
    assert!(!now(tenants.check("busy", &limits, 1)).unwrap().allowed);
    // A sixteenth of the capacity is freed at a time.
    let stats = tenants.stats();
    assert!((100 - 100 / 16..=100).contains(&stats.tracked_keys), "{stats:?}");
    assert_eq!(stats.evicted_live, 1_001 - stats.tracked_keys);
}
