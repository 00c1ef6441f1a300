//! During an outage the policy decides immediately. Afterwards Redis decides again automatically.

use std::num::NonZeroU32;
use std::time::Duration;

use tidegate_ratelimit::{
    BlockPolicy, CheckError, FallbackLimiter, FixedWindow, Limiter, OutagePolicy, RedisAlgorithm, RedisLimiter,
};
use tidegate_redis::Client;
use tidegate_testkit::poll_until;
use tokio::time::Instant;

use crate::support::{self, LONG, World, keyspace, yearly};

const LIMIT: u64 = 9;
pub(crate) const BAN: Duration = Duration::from_mins(10);

fn algorithm() -> FixedWindow {
    FixedWindow::new(yearly(LIMIT))
}

fn limiter(world: &World, policy: OutagePolicy) -> FallbackLimiter<FixedWindow> {
    let shared = RedisLimiter::builder("api", algorithm(), world.client.clone(), keyspace());
    FallbackLimiter::builder(shared.block(BlockPolicy::fixed(BAN)).build().unwrap()).policy(policy).build()
}

/// Number of processes among which [`fallback`] divides a limit.
pub(crate) const INSTANCES: u32 = 3;

/// A limiter without blocks, with its share of a limit during an outage.
pub(crate) fn fallback<A: RedisAlgorithm>(client: &Client, name: &str, algorithm: A) -> FallbackLimiter<A> {
    FallbackLimiter::builder(support::limiter(client, name, algorithm)).policy(share_of(INSTANCES)).build()
}

pub(crate) fn share_of(instances: u32) -> OutagePolicy {
    OutagePolicy::LocalShare { instances: NonZeroU32::new(instances).unwrap() }
}

/// Kills the server, and waits until the client has noticed.
pub(crate) async fn begin_outage(world: &mut World) {
    world.server.kill9();
    poll_until(LONG, async || {
        let _ = world.client.get("any").await;
        (!world.client.availability().is_available()).then_some(())
    })
    .await
    .unwrap();
}

pub(crate) async fn end_outage(world: &mut World) {
    world.server.restart().await;
    poll_until(LONG, async || world.client.availability().is_available().then_some(())).await.unwrap();
}

async fn admitted(limiter: &impl Limiter, key: &str, attempts: u64) -> u64 {
    let mut admitted = 0;
    for _ in 0..attempts {
        admitted += u64::from(limiter.check(key, 1).await.is_ok_and(|decision| decision.is_allowed()));
    }
    admitted
}

#[tokio::test]
async fn each_policy_decides_while_redis_is_away() {
    let mut world = World::start().await;
    let [open, closed] = [OutagePolicy::Open, OutagePolicy::Closed].map(|policy| limiter(&world, policy));
    let [alone, shared] = [OutagePolicy::default(), share_of(4)].map(|policy| limiter(&world, policy));
    begin_outage(&mut world).await;

    assert_eq!(admitted(&open, "key", 100).await, 100);
    assert_eq!(open.check("key", 1).await.unwrap().remaining(), LIMIT);
    assert_eq!(admitted(&closed, "key", 100).await, 0);
    assert!(matches!(closed.check("key", 1).await, Err(CheckError::Store(error)) if error.is_transient()));
    assert_eq!(admitted(&alone, "key", 100).await, LIMIT);
    assert_eq!(admitted(&shared, "key", 100).await, LIMIT / 4);
    assert_eq!(shared.check("other", 1).await.unwrap().limit(), LIMIT / 4);
    // Above the share but not above the limit: not a permanent error.
    assert!(matches!(shared.check("new", 5).await, Err(CheckError::Store(error)) if error.is_transient()));
    let never = Err(CheckError::CostExceedsLimit { cost: 10, limit: LIMIT });
    assert_eq!((&shared.check("new", 10).await, &open.check("new", 10).await), (&never, &never));
    // The operator gets an error, because the others do not know the block.
    assert!(shared.block("banned", BAN).await.is_err());
    assert!(shared.peek("banned", 1).await.unwrap().blocked_for().is_some());
    assert_eq!(alone.stats().denied, 100 - LIMIT);
}

/// A check that was sent before the block ended gets its reply after the block was ended here.
#[tokio::test]
async fn a_check_under_way_brings_no_block_back_that_was_ended() {
    let mut world = World::start().await;
    let limiter = limiter(&world, OutagePolicy::Open);
    let keys: Vec<String> = (0..20).map(|key| format!("key-{key}")).collect();
    for key in &keys {
        world.limiter("api", algorithm()).block(key, BAN).await.unwrap();
        let (check, unblock) = tokio::join!(limiter.check(key, 1), limiter.unblock(key));
        assert!(check.is_ok() && unblock.unwrap());
    }
    begin_outage(&mut world).await;
    for key in keys {
        assert!(limiter.check(&key, 1).await.unwrap().is_allowed(), "{key}");
    }
}

#[tokio::test]
async fn looks_in_an_outage_change_nothing() {
    let mut world = World::start().await;
    let limiter = limiter(&world, OutagePolicy::default());
    assert_eq!(admitted(&limiter, "key", 4).await, 4);
    begin_outage(&mut world).await;
    for _ in 0..2 {
        assert_eq!(limiter.peek("key", 1).await.unwrap().remaining(), LIMIT - 4);
        assert_eq!(limiter.peek("new", 1).await.unwrap().remaining(), LIMIT);
        assert_eq!(limiter.stats().tracked_keys, 0);
    }
    assert_eq!(admitted(&limiter, "key", 20).await, LIMIT - 4);
    assert_eq!((limiter.peek("key", 0).await.unwrap().remaining(), limiter.stats().tracked_keys), (0, 1));
}

#[tokio::test]
async fn decisions_take_microseconds_in_an_outage() {
    let mut world = World::start().await;
    let limiter = limiter(&world, OutagePolicy::default());
    begin_outage(&mut world).await;
    let mut times = Vec::new();
    for _ in 0..1_001 {
        let started = Instant::now();
        let _ = limiter.check("key", 1).await.unwrap();
        times.push(started.elapsed());
    }
    times.sort_unstable();
    assert!(times[500] < Duration::from_micros(500), "half of the checks took {:?} and more", times[500]);
}

#[tokio::test]
async fn blocks_outlast_redis_and_redis_decides_again() {
    let mut world = World::start().await;
    let [open, closed] = [OutagePolicy::Open, OutagePolicy::Closed].map(|policy| limiter(&world, policy));
    let alone = limiter(&world, OutagePolicy::default());
    // Blocked through one limiter. Another one learns of it from its own check.
    assert_eq!(admitted(&open, "greedy", 20).await, LIMIT);
    alone.block("banned", BAN).await.unwrap();
    for limiter in [&open, &closed, &alone] {
        assert!(!limiter.check("greedy", 1).await.unwrap().is_allowed());
        assert!(!limiter.check("banned", 1).await.unwrap().is_allowed());
    }
    // It also learns of an unblock elsewhere.
    alone.block("forgiven", BAN).await.unwrap();
    assert!(open.check("forgiven", 1).await.unwrap().blocked_for().is_some());
    assert!(alone.unblock("forgiven").await.unwrap());
    assert!(open.check("forgiven", 1).await.unwrap().is_allowed());

    begin_outage(&mut world).await;
    for limiter in [&open, &closed, &alone] {
        for key in ["greedy", "banned"] {
            let left = limiter.check(key, 1).await.unwrap().blocked_for().unwrap();
            assert!(BAN / 2 < left && left <= BAN, "{left:?}");
        }
    }
    assert!(open.check("forgiven", 1).await.unwrap().is_allowed());
    assert_eq!(open.stats().blocked_keys, 2);
    assert_eq!(admitted(&alone, "key", 20).await, LIMIT);

    end_outage(&mut world).await;
    // Amounts that were admitted meanwhile are charged to Redis, and the resulting block is sent
    // there.
    let blocked = alone.check("key", 0).await.unwrap().blocked_for().unwrap();
    assert!(BAN / 2 < blocked && blocked <= BAN, "{blocked:?}");
    let direct = world.limiter("api", algorithm());
    assert!(direct.unblock("key").await.unwrap());
    assert_eq!(direct.peek("key", 0).await.unwrap().remaining(), 0);
    // Policies that count nothing have no debts.
    let debits: Vec<String> = world.keys().await.into_iter().filter(|key| key.ends_with(":debits")).collect();
    assert_eq!(debits, ["test:{rl:api:key}:debits"]);
}

#[tokio::test]
async fn two_changes_at_once_leave_redis_and_the_share_with_one_quota() {
    let mut world = World::start().await;
    let limiter = limiter(&world, share_of(1));
    begin_outage(&mut world).await;
    for _ in 0..2_000 {
        let start = std::sync::Barrier::new(2);
        let change = |limit| {
            start.wait();
            limiter.set_quota(yearly(limit)).unwrap();
        };
        std::thread::scope(|scope| {
            scope.spawn(|| change(20));
            change(30);
        });
        // During the outage the share decides.
        assert_eq!(limiter.peek("key", 0).await.unwrap().quota(), limiter.quota());
    }
}
