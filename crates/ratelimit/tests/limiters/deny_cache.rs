//! The deny cache denies exactly while the inner limiter would, and calls it once.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{
    BlockPolicy, CheckError, Decision, DenyCache, FixedWindow, Limiter, ManualClock, MemoryLimiter, Quota,
    SlidingWindow, TokenBucket, Windows,
};

use crate::support::{clock, now};

const SECOND: Duration = Duration::from_secs(1);
const FOREVER: Duration = Duration::MAX;

fn one_an_hour(clock: &ManualClock) -> MemoryLimiter<SlidingWindow> {
    let algorithm = SlidingWindow::new(Quota::per_hour(1).unwrap());
    MemoryLimiter::builder("hourly", algorithm).clock(clock.clone()).build()
}

fn cache<L: Limiter>(inner: L, clock: &ManualClock) -> DenyCache<L> {
    DenyCache::builder(inner).clock(clock.clone()).build()
}

fn check(limiter: &impl Limiter, key: &str, cost: u64) -> Decision {
    now(limiter.check(key, cost)).unwrap()
}

fn asked(cache: &DenyCache<impl Limiter>) -> u64 {
    let stats = cache.inner().stats();
    stats.allowed + stats.denied
}

#[test]
fn a_denial_asks_once_a_second_and_counts_down() {
    let clock = clock();
    let cache = cache(one_an_hour(&clock), &clock);
    assert!(check(&cache, "key", 1).is_allowed());
    let told = check(&cache, "key", 1);
    assert_eq!((told.retry_after(), asked(&cache)), (Some(3_600 * SECOND), 2));
    for tenth in 1..10_u32 {
        clock.advance(SECOND / 10);
        let again = check(&cache, "key", 1);
        let left = 3_600 * SECOND - tenth * SECOND / 10;
        assert_eq!((again.retry_after(), again.reset_after(), again.remaining()), (Some(left), left, 0));
    }
    assert_eq!(asked(&cache), 2);
    clock.advance(SECOND / 10);
    assert!(!check(&cache, "key", 1).is_allowed());
    assert_eq!(asked(&cache), 3, "a second has passed: another node may have unblocked it");
    let stats = cache.stats();
    assert_eq!((stats.allowed, stats.denied, stats.top_denied), (1, 11, vec![("key".to_owned(), 11)]));
}

#[test]
fn what_can_never_fit_is_an_error_whichever_quota_refused() {
    let clock = clock();
    let windows = Windows::new("100/minute; 1000/hour".parse().unwrap());
    let cache = cache(MemoryLimiter::builder("api", windows).clock(clock.clone()).build(), &clock);
    for _ in 0..10 {
        assert!(check(&cache, "key", 100).is_allowed());
        clock.advance(70 * SECOND);
    }
    let denied = check(&cache, "key", 1);
    assert_eq!((denied.is_allowed(), denied.limit()), (false, 1_000), "the hour refuses");
    let asked_before = asked(&cache);
    assert!(!check(&cache, "key", 100).is_allowed());
    assert_eq!(asked(&cache), asked_before, "from here");
    assert_eq!(now(cache.check("key", 500)), Err(CheckError::CostExceedsLimit { cost: 500, limit: 100 }));
}

#[test]
fn a_look_is_answered_from_what_is_held_and_not_counted() {
    let clock = clock();
    let cache = cache(one_an_hour(&clock), &clock);
    let _ = (check(&cache, "key", 1), check(&cache, "key", 1));
    // Bypasses the cache: a peek that is forwarded would notice it.
    assert!(now(cache.inner().reset("key")).unwrap());
    clock.advance(SECOND / 2);
    let held = now(cache.peek("key", 1)).unwrap();
    assert_eq!(held.retry_after(), Some(3_600 * SECOND - SECOND / 2));
    assert_eq!(cache.stats().denied, 1);
    clock.advance(SECOND / 2);
    assert!(now(cache.peek("key", 1)).unwrap().is_allowed());
}

#[test]
fn a_block_counts_down_and_ends_on_time() {
    let clock = clock();
    let algorithm = FixedWindow::new(Quota::per_second(1).unwrap());
    let inner = MemoryLimiter::builder("blocked", algorithm).block(BlockPolicy::fixed(SECOND / 2)).clock(clock.clone());
    let cache = cache(inner.build(), &clock);
    let _ = check(&cache, "key", 1);
    assert_eq!(check(&cache, "key", 1).blocked_for(), Some(SECOND / 2));
    clock.advance(SECOND / 5);
    assert_eq!(check(&cache, "key", 1).blocked_for(), Some(SECOND * 3 / 10));
    clock.advance(4 * SECOND / 5);
    assert!(check(&cache, "key", 1).is_allowed());
    assert_eq!(asked(&cache), 3);
}

#[test]
fn a_smaller_cost_is_asked_and_an_impossible_one_is_an_error() {
    let clock = clock();
    let algorithm = TokenBucket::new(Quota::per_hour(10).unwrap());
    let cache = cache(MemoryLimiter::builder("bucket", algorithm).clock(clock.clone()).build(), &clock);
    assert!(check(&cache, "key", 5).is_allowed());
    assert!(!check(&cache, "key", 6).is_allowed());
    assert_eq!(asked(&cache), 2);
    assert!(!check(&cache, "key", 7).is_allowed(), "a greater cost");
    assert_eq!(asked(&cache), 2);
    assert!(check(&cache, "key", 4).is_allowed(), "a smaller one fits");
    assert_eq!(now(cache.check("key", 11)), Err(CheckError::CostExceedsLimit { cost: 11, limit: 10 }));
    let long = "k".repeat(10_000);
    assert!(matches!(now(cache.check(&long, 1)), Err(CheckError::KeyTooLong { .. })));
}

#[test]
fn whatever_is_changed_here_is_seen_at_once() {
    let clock = clock();
    let cache = cache(one_an_hour(&clock), &clock);
    let exhaust = || {
        while check(&cache, "key", 1).is_allowed() {}
        assert!(cache.cached("key", 1).is_some());
    };
    exhaust();
    assert!(now(cache.reset("key")).unwrap());
    assert!(check(&cache, "key", 1).is_allowed());
    exhaust();
    assert!(now(cache.reward("key", 1)).unwrap().is_allowed());
    assert!(check(&cache, "key", 1).is_allowed());
    exhaust();
    now(cache.block("key", 7_200 * SECOND)).unwrap();
    assert_eq!(check(&cache, "key", 1).blocked_for(), Some(7_200 * SECOND));
    assert!(now(cache.unblock("key")).unwrap());
    assert_eq!(check(&cache, "key", 1).blocked_for(), None);
    let _ = now(cache.penalty("key", 1)).unwrap();
    assert!(cache.cached("key", 1).is_none());
    exhaust();
    cache.set_quota(Quota::per_hour(5).unwrap()).unwrap();
    assert!(check(&cache, "key", 1).is_allowed());
}

#[test]
fn a_denial_decided_before_a_change_is_not_remembered_after_it() {
    /// Returns a check late, with a decision from before a reset of the key.
    struct Late<L>(L, tokio::sync::Notify);

    #[async_trait::async_trait]
    impl<L: Limiter> tidegate_ratelimit::LimiterDecorator for Late<L> {
        type Inner = L;

        fn inner(&self) -> &L {
            &self.0
        }

        async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
            let decision = self.0.check(key, cost).await;
            self.1.notified().await;
            decision
        }
    }

    let clock = clock();
    let cache = cache(Late(one_an_hour(&clock), tokio::sync::Notify::new()), &clock);
    assert!(now(cache.inner().0.check("key", 1)).unwrap().is_allowed());
    let mut denied = std::pin::pin!(cache.check("key", 1));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(denied.as_mut().poll(&mut context).is_pending());
    assert!(now(cache.reset("key")).unwrap());
    cache.inner().1.notify_one();
    assert!(!now(denied).unwrap().is_allowed(), "it was refused, before");
    cache.inner().1.notify_one();
    assert!(check(&cache, "key", 1).is_allowed());
}

#[test]
fn keys_are_bounded() {
    let clock = clock();
    let inner = MemoryLimiter::builder("hourly", SlidingWindow::new(Quota::per_hour(1).unwrap())).max_keys(50_000);
    let cache = DenyCache::builder(inner.clock(clock.clone()).build()).max_keys(100).clock(clock.clone()).build();
    for number in 0..5_000 {
        let key = format!("key-{number}");
        let _ = (check(&cache, &key, 1), check(&cache, &key, 1), check(&cache, &key, 1));
    }
    let held = (0..5_000).filter(|number| cache.cached(&format!("key-{number}"), 1).is_some()).count() as u64;
    assert!((90..=100).contains(&held), "{held}");
    assert_eq!(cache.stats().denied, 2 * 5_000 + held, "whoever is forgotten stays counted");
}

proptest! {
    #[test]
    fn it_says_no_exactly_while_the_limiter_behind_does(
        trace in proptest::collection::vec((0_u64..400_000, 0_usize..12, 1_u64..6), 1..120),
        blocks in any::<bool>(),
    ) {
        let clock = clock();
        let build = || {
            let builder = MemoryLimiter::builder("api", SlidingWindow::new(Quota::per_second(5).unwrap()));
            let builder = if blocks { builder.block(BlockPolicy::fixed(SECOND)) } else { builder };
            builder.clock(clock.clone()).build()
        };
        let (bare, cached) = (build(), DenyCache::builder(build()).hold(FOREVER).clock(clock.clone()).build());
        let mut fresh = None;
        for (passed, what, cost) in trace {
            clock.advance(Duration::from_micros(passed));
            match what {
                0 => prop_assert_eq!(now(bare.reward("key", cost)), now(cached.reward("key", cost))),
                1 => prop_assert_eq!(now(bare.penalty("key", cost)), now(cached.penalty("key", cost))),
                2 => prop_assert_eq!(now(bare.reset("key")).is_ok(), now(cached.reset("key")).is_ok()),
                3 => prop_assert_eq!(now(bare.unblock("key")), now(cached.unblock("key"))),
                _ => {
                    let (expected, found) = (check(&bare, "key", cost), check(&cached, "key", cost));
                    prop_assert_eq!(expected.is_allowed(), found.is_allowed());
                    prop_assert!(found.retry_after() <= expected.retry_after());
                    if fresh == Some(cost) && !expected.is_allowed() {
                        prop_assert_eq!(found.retry_after(), expected.retry_after());
                        prop_assert_eq!(found.blocked_for(), expected.blocked_for());
                        prop_assert_eq!(found.reset_after(), expected.reset_after());
                    }
                    // Until an admission or a change, the figures of the lowest refused cost are
                    // exact.
                    fresh = if found.is_allowed() { None } else { Some(fresh.map_or(cost, |least: u64| least.min(cost))) };
                    continue;
                }
            }
            fresh = None;
        }
        prop_assert_eq!(bare.stats().denied, cached.stats().denied);
    }
}
