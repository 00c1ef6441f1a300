//! The cap on new keys: a flood of random keys fills no store, and known keys are still admitted.

use std::time::Duration;

use tidegate_ratelimit::{
    BlockPolicy, DenyCache, FixedWindow, Limiter, MAX_KEY_BYTES, ManualClock, MemoryLimiter, NewKeys, Quota, QuotaError,
};

use crate::support::{clock, now};

const CAP: u64 = 50;

fn capped(clock: &ManualClock) -> NewKeys<MemoryLimiter<FixedWindow>> {
    let algorithm = FixedWindow::new(Quota::per_minute(10).unwrap());
    let inner = MemoryLimiter::builder("api", algorithm).clock(clock.clone()).build();
    NewKeys::builder(inner, CAP).unwrap().clock(clock.clone()).build()
}

fn admits(limiter: &impl Limiter, key: &str) -> bool {
    now(limiter.check(key, 1)).unwrap().is_allowed()
}

#[test]
fn a_flood_brings_no_more_keys_than_the_cap() {
    let clock = clock();
    let limiter = capped(&clock);
    assert!(admits(&limiter, "regular"));
    let mut regular = 1;
    for second in 0..20 {
        for number in 0..2_000 {
            let _ = admits(&limiter, &format!("random-{second}-{number}"));
        }
        regular += u64::from(second % 4 == 0 && admits(&limiter, "regular"));
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(regular, 6);
    let stats = limiter.stats();
    assert_eq!(stats.tracked_keys, CAP * 20);
    // The shared bucket: ten per minute for all of them.
    assert_eq!(stats.allowed, CAP * 20 + 5 + 10);
    assert_eq!(stats.allowed + stats.denied, 20 * 2_000 + 6);
    assert_eq!(limiter.capped(), 20 * 2_000 + 1 - CAP * 20);
}

#[test]
fn newcomers_beyond_the_cap_share_one_bucket() {
    let clock = clock();
    let limiter = capped(&clock);
    for number in 0..CAP {
        assert!(admits(&limiter, &format!("first-{number}")));
    }
    for number in 0..10 {
        assert!(admits(&limiter, &format!("lucky-{number}")));
    }
    let refused = now(limiter.check("late", 1)).unwrap();
    assert_eq!(refused.retry_after(), Some(Duration::from_mins(1)));
    assert_eq!(now(limiter.penalty("late", 5)).unwrap().remaining(), 0);
    // A key that arrives while the cap has capacity is forwarded immediately.
    clock.advance(Duration::from_millis(20));
    assert!(admits(&limiter, "late"));
    assert_eq!(limiter.stats().tracked_keys, CAP + 1);
}

/// A caller that decides on new keys itself gets `None` for them, and the shared bucket is not
/// charged.
#[test]
fn a_caller_may_decide_over_newcomers_beyond_the_cap() {
    let limiter = capped(&clock());
    let answers = (0..2 * CAP).filter(|number| {
        let key = format!("random-{number}");
        now(limiter.check_unless_capped(&key, 1)).is_some_and(|said| said.unwrap().is_allowed())
    });
    assert_eq!(answers.count() as u64, CAP);
    assert_eq!(limiter.stats().allowed, CAP);
    now(limiter.inner().block("blocked", Duration::from_mins(1))).unwrap();
    let refused = now(limiter.check_unless_capped("blocked", 1)).unwrap().unwrap();
    assert_eq!(refused.blocked_for(), Some(Duration::from_mins(1)), "known behind");
    assert!(now(limiter.check_unless_capped("vouched for", 1)).is_none());
    limiter.know("vouched for");
    assert!(now(limiter.check_unless_capped("vouched for", 1)).unwrap().unwrap().is_allowed());
}

#[test]
fn its_parts_follow_a_new_quota() {
    let limiter = capped(&clock());
    limiter.set_quota(Quota::per_minute(3).unwrap()).unwrap();
    assert_eq!(limiter.quota().limit(), 3);
    let admitted = (0..100).filter(|number| admits(&limiter, &format!("key-{number}"))).count();
    assert_eq!(admitted, 50 + 3);
}

#[test]
fn a_block_by_hand_holds_in_a_flood() {
    let limiter = capped(&clock());
    for number in 0..100 {
        let _ = admits(&limiter, &format!("random-{number}"));
    }
    now(limiter.block("attacker", Duration::from_mins(1))).unwrap();
    assert_eq!(now(limiter.check("attacker", 1)).unwrap().blocked_for(), Some(Duration::from_mins(1)));
    assert!(now(limiter.unblock("attacker")).unwrap() && admits(&limiter, "attacker"));
}

/// A key that the inner limiter blocks, and that is not known here, is not admitted by the shared
/// bucket.
#[test]
fn a_block_behind_holds_for_a_forgotten_key() {
    let clock = clock();
    let algorithm = FixedWindow::new(Quota::per_minute(10).unwrap());
    let inner = MemoryLimiter::builder("api", algorithm)
        .block(BlockPolicy::fixed(Duration::from_mins(5)))
        .clock(clock.clone())
        .build();
    let cached = DenyCache::builder(inner).clock(clock.clone()).build();
    let limiter = NewKeys::builder(cached, CAP).unwrap().max_known(8).clock(clock.clone()).build();
    assert_eq!((0..11).filter(|_| admits(&limiter, "attacker")).count(), 10);
    for number in 0..CAP - 1 {
        assert!(admits(&limiter, &format!("random-{number}")));
    }
    for left in [300, 298] {
        let refused = now(limiter.check("attacker", 1)).unwrap();
        assert_eq!(refused.blocked_for(), Some(Duration::from_secs(left)), "from the cache, then from behind");
        clock.advance(Duration::from_secs(2));
        for number in 0..2 * CAP {
            let _ = now(limiter.check(&format!("other-{left}-{number}"), 0));
        }
    }
    assert_eq!(limiter.stats().denied, 3);
}

/// A key that was seen twice is known after a flood of twice as many keys as the capacity.
#[test]
fn a_regular_outlasts_a_flood() {
    let clock = clock();
    let algorithm = FixedWindow::new(Quota::per_day(1_000).unwrap());
    let inner = MemoryLimiter::builder("api", algorithm).clock(clock.clone()).build();
    let limiter = NewKeys::builder(inner, CAP).unwrap().max_known(512).clock(clock.clone()).build();
    for _ in 0..2 {
        assert!(admits(&limiter, "regular"));
        clock.advance(Duration::from_secs(1));
    }
    for second in 0..60 {
        for number in 0..2 * CAP {
            let _ = now(limiter.check(&format!("random-{second}-{number}"), 0));
        }
        clock.advance(Duration::from_secs(1));
    }
    for number in 0..2 * CAP {
        let _ = now(limiter.check(&format!("last-{number}"), 0));
    }
    assert!(admits(&limiter, "regular"));
    assert_eq!(now(limiter.peek("regular", 1)).unwrap().remaining(), 997);
}

#[test]
fn bad_input_is_told() {
    let inner = MemoryLimiter::builder("api", FixedWindow::new(Quota::per_minute(10).unwrap())).build();
    assert_eq!(NewKeys::builder(inner, 0).unwrap_err(), QuotaError::ZeroLimit);
    let limiter = capped(&clock());
    assert!(now(limiter.check(&"k".repeat(MAX_KEY_BYTES + 1), 1)).is_err());
    assert_eq!((limiter.stats().failed, limiter.capped()), (1, 0));
}

#[cfg(feature = "redis")]
mod on_redis {
    use tidegate_ratelimit::{FallbackLimiter, RedisLimiter};
    use tidegate_redis::{Client, Command, Config, Keyspace, Role};
    use tidegate_testkit::redis::RedisServer;

    use super::*;

    /// 50 new keys per second, ten times as many random ones, for five seconds: Redis holds the cap
    /// and the known clients, and each of those had its whole limit.
    #[tokio::test]
    async fn a_flood_of_random_keys_leaves_no_more_than_the_cap_on_the_server() {
        let server = RedisServer::start().await;
        let client = Client::connect(&Config::parse(&server.url()).unwrap(), Role::Cache).await.unwrap();
        let quota = Quota::per_hour(10).unwrap();
        let keyspace = Keyspace::new("test").unwrap();
        let inner = RedisLimiter::builder("api", FixedWindow::new(quota), client.clone(), keyspace).build().unwrap();
        let clock = clock();
        let limiter = NewKeys::builder(inner, CAP).unwrap().clock(clock.clone()).build();
        let known: Vec<String> = (0..20).map(|number| format!("known-{number}")).collect();
        for key in &known {
            assert!(limiter.check(key, 1).await.unwrap().is_allowed());
        }
        for second in 0..5 {
            for number in 0..10 * CAP {
                limiter.check(&format!("random-{second}-{number}"), 1).await.map(drop).unwrap();
            }
            for key in &known {
                assert!(limiter.check(key, 1).await.unwrap().is_allowed());
            }
            clock.advance(Duration::from_secs(1));
        }
        for key in &known {
            assert_eq!(limiter.peek(key, 1).await.unwrap().remaining(), 10 - 6);
        }
        let keys = client.execute(Command::new("DBSIZE")).await.unwrap().as_int().unwrap();
        assert_eq!(keys, i64::try_from(5 * CAP).unwrap());
    }

    /// A block that Redis reported is known here although the key is not, and its check costs no
    /// command.
    #[tokio::test]
    async fn a_block_on_the_server_holds_for_a_forgotten_key() {
        let server = RedisServer::start().await;
        let client = Client::connect(&Config::parse(&server.url()).unwrap(), Role::Cache).await.unwrap();
        let algorithm = FixedWindow::new(Quota::per_hour(10).unwrap());
        let shared = RedisLimiter::builder("api", algorithm, client.clone(), Keyspace::new("test").unwrap())
            .block(BlockPolicy::fixed(Duration::from_hours(1)))
            .build();
        let inner = FallbackLimiter::builder(shared.unwrap()).patience(Duration::from_secs(5)).build();
        let limiter = NewKeys::builder(inner, CAP).unwrap().max_known(8).clock(clock()).build();
        for _ in 0..11 {
            limiter.check("attacker", 1).await.map(drop).unwrap();
        }
        for number in 0..2 * CAP {
            limiter.check(&format!("random-{number}"), 0).await.map(drop).unwrap();
        }
        let capped = limiter.capped();
        assert!(limiter.check("attacker", 1).await.unwrap().blocked_for().is_some());
        assert_eq!((limiter.capped(), limiter.stats().denied), (capped + 1, 2));
    }
}
