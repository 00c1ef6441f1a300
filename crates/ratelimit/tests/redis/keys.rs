//! The keys in Redis: one string per key that always expires and that no other identity can reach.

use std::time::Duration;

use tidegate_ratelimit::{
    BlockPolicy, CheckError, FixedWindow, Limiter, MAX_KEY_BYTES, Quota, RedisLimiter, SlidingWindow, TenantLimiter,
    Tier, TokenBucket,
};
use tidegate_redis::Command;

use crate::support::{World, keyspace, one_of_each, tenants, yearly};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_check_is_one_round_trip_and_one_key() {
    let world = World::start().await;
    for limiter in one_of_each(&world.client, 5) {
        world.server.cli(&["CONFIG", "RESETSTAT"]).await;
        for _ in 0..20 {
            let _ = limiter.check("key", 1).await.unwrap();
        }
        let stats = world.server.cli(&["INFO", "commandstats"]).await;
        let calls = |command: &str| -> u32 {
            let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
            line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
        };
        // The first one is sent as an unknown digest, then as a whole script.
        assert_eq!((calls("evalsha"), calls("eval")), (20, 1), "{stats}");
        // Refusals write nothing.
        assert_eq!((calls("get"), calls("set")), (20, 5), "{stats}");
    }
    assert_eq!(world.keys().await.len(), 3);
}

#[tokio::test]
async fn every_key_expires_when_nothing_counts_any_more() {
    let world = World::start().await;
    let quota = Quota::per_minute(5).unwrap();
    let sliding = world.limiter("sliding", SlidingWindow::new(quota));
    let _ = sliding.check("key", 1).await.unwrap();
    let ttl = world.ttl("test:{rl:sliding:key}").await;
    assert!(30_000 < ttl && ttl <= 60_001, "{ttl}");

    // A third of the bucket refills in 20 s.
    let bucket = world.limiter("bucket", TokenBucket::new(Quota::per_minute(3).unwrap()));
    let _ = bucket.check("key", 1).await.unwrap();
    let ttl = world.ttl("test:{rl:bucket:key}").await;
    assert!(5_000 < ttl && ttl <= 20_001, "{ttl}");

    let fixed = world.limiter("fixed", FixedWindow::new(quota));
    let reset = fixed.check("key", 1).await.unwrap().reset_after();
    let ttl = world.ttl("test:{rl:fixed:key}").await;
    assert!(i128::from(ttl) <= i128::try_from(reset.as_millis()).unwrap() + 1 && ttl != -1, "{ttl} {reset:?}");

    // A key that would expire within a microsecond is kept for a millisecond, not for ever.
    let short = world.limiter("short", SlidingWindow::new(Quota::new(5, Duration::from_micros(1)).unwrap()));
    let _ = short.check("key", 1).await.unwrap();
    let ttl = world.ttl("test:{rl:short:key}").await;
    assert!(ttl == -2 || (0..=1).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_block_and_its_strikes_outlive_the_window() {
    let world = World::start().await;
    let policy = BlockPolicy::fixed(10 * MINUTE).escalate(60 * MINUTE, 20 * MINUTE);
    let algorithm = SlidingWindow::new(Quota::per_minute(1).unwrap());
    let limiter =
        RedisLimiter::builder("login", algorithm, world.client.clone(), keyspace()).block(policy).build().unwrap();
    let (key, minute) = ("test:{rl:login:alice}", 60_000);
    let _ = limiter.check("alice", 1).await.unwrap();
    assert!(world.ttl(key).await <= minute + 1);
    assert_eq!(limiter.check("alice", 1).await.unwrap().blocked_for(), Some(10 * MINUTE));
    let ttl = world.ttl(key).await;
    assert!(29 * minute < ttl && ttl <= 30 * minute + 1, "{ttl}: the block and the decay of one strike");

    assert!(limiter.unblock("alice").await.unwrap());
    assert!(world.ttl(key).await <= minute + 1, "only the usage is left");
    limiter.block("alice", 100 * MINUTE).await.unwrap();
    assert!(limiter.peek("alice", 1).await.unwrap().blocked_for().unwrap() > 99 * MINUTE);
    assert!(world.ttl(key).await > 99 * minute);
    assert!(limiter.reset("alice").await.unwrap());
    assert!(!limiter.reset("alice").await.unwrap());
    limiter.block("alice", Duration::MAX).await.unwrap();
    assert!(limiter.check("alice", 1).await.unwrap().blocked_for().unwrap() > Duration::from_hours(24 * 365 * 100));
    assert!(world.ttl(key).await > 0);
}

#[tokio::test]
async fn no_identity_reaches_another() {
    let world = World::start().await;
    let long = "{".repeat(MAX_KEY_BYTES);
    let hostile =
        ["", "}", "{}", "a:b", "a", "b", "%", "%3A", "a%3Ab", "a}:x", "ü\u{0}\n", "*", "2001:db8::/64", &long];
    let limiters = [world.limiter("a", FixedWindow::new(yearly(1))), world.limiter("a:b", FixedWindow::new(yearly(1)))];
    for limiter in &limiters {
        for key in hostile {
            assert!(limiter.check(key, 1).await.unwrap().is_allowed(), "{key:?} was counted before");
            assert!(!limiter.check(key, 1).await.unwrap().is_allowed(), "{key:?} is not counted");
        }
    }
    assert_eq!(world.keys().await.len(), limiters.len() * hostile.len());
    let too_long = CheckError::KeyTooLong { length: MAX_KEY_BYTES + 1, max: MAX_KEY_BYTES };
    let key = "k".repeat(MAX_KEY_BYTES + 1);
    assert_eq!(limiters[0].check(&key, 1).await, Err(too_long.clone()));
    assert_eq!(limiters[0].peek(&key, 1).await, Err(too_long.clone()));
    assert_eq!(limiters[0].reset(&key).await, Err(too_long.clone()));
    assert_eq!(limiters[0].block(&key, MINUTE).await, Err(too_long));
}

#[tokio::test]
async fn an_unknown_version_is_left_alone() {
    let world = World::start().await;
    let [limiter, ..] = one_of_each(&world.client, 5);
    for (name, bytes) in [("rl:fixed", "\u{4}f something newer"), ("rt:tenant", "\u{3}something newer")] {
        let key = format!("test:{{{name}:key}}");
        world.client.execute(Command::new("SET").key(key.as_str()).arg(bytes)).await.unwrap();
        let error = if name == "rt:tenant" {
            tenants(&world.client).check("key", &Tier::FREE.into(), 1).await.unwrap_err()
        } else {
            assert!(limiter.peek("key", 1).await.is_err() && limiter.block("key", MINUTE).await.is_err());
            limiter.check("key", 1).await.unwrap_err()
        };
        let CheckError::Store(error) = error else { panic!("{error}") };
        assert!(!error.is_transient() && !error.may_have_charged() && error.to_string().contains("unknown version"));
        assert_eq!(world.client.get(&key).await.unwrap().unwrap(), bytes);
    }
}

#[tokio::test]
async fn another_algorithm_keeps_the_block_and_counts_afresh() {
    let world = World::start().await;
    let quota = yearly(2);
    let before = world.limiter("api", FixedWindow::new(quota));
    assert!(before.check("key", 2).await.unwrap().is_allowed());
    before.block("key", MINUTE).await.unwrap();
    let after = world.limiter("api", TokenBucket::new(quota));
    assert!(after.check("key", 1).await.unwrap().blocked_for().is_some());
    assert!(after.unblock("key").await.unwrap());
    assert!(after.check("key", 2).await.unwrap().is_allowed());
    // A lower limit applies immediately.
    let smaller = world.limiter("api", TokenBucket::new(yearly(1)));
    assert!(!smaller.check("key", 1).await.unwrap().is_allowed());
}
