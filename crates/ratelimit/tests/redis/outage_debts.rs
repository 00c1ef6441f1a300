//! What an outage admits is charged to Redis afterwards, once, and blocks are sent there.

use std::sync::Arc;
use std::time::Duration;

use tidegate_ratelimit::{
    BlockPolicy, FallbackLimiter, FixedWindow, LeakyBucket, LeasedLimiter, Limiter, ManualClock, OutagePolicy, Quota,
    Quotas, RedisAlgorithm, RedisLimiter, SlidingCounter, SlidingLog, SlidingWindow, TokenBucket, Windows,
};
use tidegate_testkit::poll_until;
use tokio::time::Instant;

use crate::outage::{BAN, INSTANCES, begin_outage, fallback, share_of};
use crate::support::{LONG, World, admit, keyspace, yearly};

#[tokio::test]
async fn debits_of_each_algorithm_are_there_once_and_expire_with_their_window() {
    fn pair<A: RedisAlgorithm>(world: &World, algorithm: A) -> (Vec<Box<dyn Limiter>>, Box<dyn Limiter>) {
        let name = algorithm.name();
        let instances = (0..2).map(|_| Box::new(fallback(&world.client, name, algorithm)) as Box<dyn Limiter>);
        (instances.collect(), Box::new(world.limiter(name, algorithm)))
    }
    let mut world = World::start().await;
    let quota = yearly(90);
    let limiters = [
        pair(&world, FixedWindow::new(quota)),
        pair(&world, SlidingCounter::new(quota)),
        pair(&world, SlidingWindow::new(quota)),
        pair(&world, Windows::new(Quotas::new(&[quota]).unwrap())),
        pair(&world, SlidingLog::new(quota).unwrap()),
        pair(&world, TokenBucket::new(quota)),
        pair(&world, LeakyBucket::meter(quota)),
    ];
    // Three seconds, of which one passes during the outage.
    let short = Quota::new(90, Duration::from_secs(3)).unwrap();
    let brief = fallback(&world.client, "brief", SlidingWindow::new(short));
    for (instances, _) in &limiters {
        assert_eq!(admit(&*instances[0], "key", 12).await, 12);
    }
    begin_outage(&mut world).await;
    for (instances, direct) in &limiters {
        // One knows that 78 remain, the other knows nothing: each gets a third.
        assert_eq!(admit(&*instances[0], "key", 50).await, 26, "{}", direct.name());
        assert_eq!(admit(&*instances[1], "key", 50).await, 30, "{}", direct.name());
        let _ = instances[1].reward("key", 10).await.unwrap();
        let _ = instances[1].penalty("key", 4).await.unwrap();
    }
    let admitted = Instant::now();
    assert_eq!(admit(&brief, "key", 20).await, 20);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.server.restart().await;
    for (_, direct) in &limiters {
        let settled = async || (direct.peek("key", 0).await.ok()?.remaining() == 90 - 12 - 26 - 24).then_some(());
        poll_until(LONG, settled).await.unwrap_or_else(|error| panic!("{}: {error}", direct.name()));
    }
    let direct = world.limiter("brief", SlidingWindow::new(short));
    poll_until(LONG, async || (direct.peek("key", 0).await.unwrap().remaining() == 70).then_some(())).await.unwrap();
    poll_until(LONG, async || (direct.peek("key", 0).await.unwrap().remaining() == 90).then_some(())).await.unwrap();
    let took = admitted.elapsed();
    assert!(Duration::from_secs(3) <= took && took < Duration::from_millis(3_900), "{took:?}: dated when admitted");
    // Idle again, and still charged once.
    for (instances, direct) in &limiters {
        assert_eq!(instances[0].check("key", 1).await.unwrap().remaining(), 27, "{}", direct.name());
    }
}

#[tokio::test]
async fn a_block_that_began_in_an_outage_is_taken_to_redis_without_a_strike() {
    let mut world = World::start().await;
    let policy = BlockPolicy::fixed(BAN).escalate(Duration::from_hours(5), Duration::from_hours(5));
    let shared = || {
        let builder = RedisLimiter::builder("api", FixedWindow::new(yearly(9)), world.client.clone(), keyspace());
        builder.block(policy).build().unwrap()
    };
    let (limiter, direct) = (FallbackLimiter::builder(shared()).build(), shared());
    assert!(limiter.check("greedy", 1).await.unwrap().is_allowed());
    begin_outage(&mut world).await;
    assert_eq!(admit(&limiter, "greedy", 20).await, 8);
    assert!(limiter.block("banned", BAN).await.is_err(), "an operator is told that the others don't know yet");
    assert!(limiter.block("forgiven", BAN).await.is_err() && limiter.unblock("forgiven").await.is_err());
    world.server.restart().await;
    for key in ["greedy", "banned"] {
        let blocked = async || direct.peek(key, 0).await.ok()?.blocked_for();
        let left = poll_until(LONG, blocked).await.unwrap();
        assert!(BAN / 2 < left && left <= BAN, "{left:?}");
    }
    assert_eq!(direct.peek("forgiven", 0).await.unwrap().blocked_for(), None);
    // The next block is the first that counts as a strike: it is not doubled.
    direct.block("greedy", Duration::ZERO).await.unwrap();
    let next = direct.check("greedy", 1).await.unwrap().blocked_for().unwrap();
    assert_eq!(next, BAN);
}

#[tokio::test]
async fn who_goes_over_a_share_is_refused_and_not_blocked() {
    let mut world = World::start().await;
    let shared = || {
        let builder = RedisLimiter::builder("api", FixedWindow::new(yearly(9)), world.client.clone(), keyspace());
        builder.block(BlockPolicy::fixed(BAN)).build().unwrap()
    };
    let limiter = FallbackLimiter::builder(shared()).policy(share_of(INSTANCES)).build();
    let direct = shared();
    direct.block("banned", BAN).await.unwrap();
    assert!(limiter.check("banned", 1).await.unwrap().blocked_for().is_some());
    begin_outage(&mut world).await;
    assert_eq!(admit(&limiter, "key", 20).await, 3);
    assert_eq!(limiter.check("key", 1).await.unwrap().blocked_for(), None);
    assert!(limiter.check("banned", 1).await.unwrap().blocked_for().is_some(), "known from before");
    assert!(limiter.stats().alone >= 22, "{:?}", limiter.stats());
    world.server.restart().await;
    let settled = async || direct.peek("key", 1).await.ok().filter(|said| said.remaining() == 6);
    assert_eq!(poll_until(LONG, settled).await.unwrap().blocked_for(), None);
    assert_eq!(admit(&limiter, "key", 6).await, 6);
}

#[tokio::test]
async fn a_block_by_hand_survives_the_outage_under_each_policy_and_replaces_a_longer_one() {
    let mut world = World::start().await;
    let long = 6 * BAN;
    let each = [OutagePolicy::Open, OutagePolicy::Closed, OutagePolicy::ALONE].map(|policy| {
        let name = format!("{policy:?}");
        let shared = || world.limiter(&name, FixedWindow::new(yearly(9)));
        (FallbackLimiter::builder(shared()).policy(policy).build(), shared())
    });
    for (limiter, _) in &each {
        limiter.block("shorter", long).await.unwrap();
        limiter.block("ended", long).await.unwrap();
        limiter.block("as before", long).await.unwrap();
    }
    begin_outage(&mut world).await;
    for (limiter, _) in &each {
        assert!(limiter.block("shorter", long).await.is_err() && limiter.block("shorter", BAN).await.is_err());
        assert!(limiter.block("ended", Duration::ZERO).await.is_err());
        assert!(limiter.block("new", BAN).await.is_err(), "an operator is told that the others don't know yet");
        assert!(!limiter.peek("ended", 1).await.is_ok_and(|it| it.blocked_for().is_some()));
    }
    world.server.restart().await;
    for (_, direct) in &each {
        for key in ["shorter", "new"] {
            let is_short = async || direct.peek(key, 0).await.ok()?.blocked_for().filter(|left| *left <= BAN);
            let left = poll_until(LONG, is_short).await.unwrap_or_else(|error| panic!("{direct:?} {key}: {error}"));
            assert!(BAN / 2 < left, "{left:?}");
        }
        let is_free = async || direct.peek("ended", 0).await.ok()?.is_allowed().then_some(());
        poll_until(LONG, is_free).await.unwrap();
        assert!(direct.peek("as before", 0).await.unwrap().blocked_for().unwrap() > BAN);
    }
}

#[tokio::test]
async fn who_blocks_while_the_server_hangs_waits_no_longer_than_who_checks() {
    // Its client would wait for half a minute.
    let mut world = World::start_patient().await;
    let clock = ManualClock::default();
    let limiter =
        FallbackLimiter::builder(world.limiter("api", FixedWindow::new(yearly(9)))).clock(clock.clone()).build();
    let direct = world.limiter("api", FixedWindow::new(yearly(9)));
    assert_eq!(admit(&limiter, "key", 1).await, 1);
    // Loads the script, so that a request runs.
    limiter.block("third", BAN).await.unwrap();
    world.server.hang().await;
    let started = Instant::now();
    // The first is sent, and runs after the second has replaced it.
    assert!(limiter.block("key", 6 * BAN).await.is_err() && limiter.block("key", BAN).await.is_err());
    assert!(limiter.block("other", BAN).await.is_err());
    assert!(limiter.unblock("third").await.is_err() && limiter.reset("third").await.is_err());
    assert!(started.elapsed() < LONG / 6, "{:?}", started.elapsed());
    clock.advance(Duration::from_secs(1));
    world.server.resume();
    for key in ["key", "other"] {
        let blocked = async || direct.peek(key, 0).await.unwrap().blocked_for().filter(|left| *left <= BAN);
        poll_until(LONG, blocked).await.unwrap();
    }
}

#[tokio::test]
async fn a_changed_quota_is_shared_in_an_outage() {
    let mut world = World::start().await;
    let limiter = fallback(&world.client, "api", FixedWindow::new(yearly(900)));
    limiter.set_quota(yearly(30)).unwrap();
    begin_outage(&mut world).await;
    assert_eq!(admit(&limiter, "key", 50).await, 10);
    limiter.set_quota(yearly(60)).unwrap();
    assert_eq!(admit(&limiter, "key", 50).await, 10, "a share of 20, of which 10 are used");
}

/// One task requests a lease and the others wait: its request may charge only its own cost.
#[tokio::test]
async fn who_waits_for_the_lease_of_another_one_owes_what_the_outage_admits() {
    const WAITERS: u64 = 20;
    let mut world = World::start_patient().await;
    let algorithm = SlidingWindow::new(yearly(90_000));
    // Leases hold sixteen and do not expire, because their clock is stopped.
    let leased = LeasedLimiter::builder(world.limiter("api", algorithm)).most(16).clock(ManualClock::default()).build();
    let limiter = Arc::new(FallbackLimiter::builder(leased).build());
    let direct = world.limiter("api", algorithm);
    let mut admitted = admit(&*limiter, "key", 200).await;
    // Until the lease is used up: the next check fetches one.
    while (90_000 - direct.peek("key", 0).await.unwrap().remaining()) > admitted {
        admitted += admit(&*limiter, "key", 1).await;
    }
    let before = admitted;
    world.server.hang().await;
    let waiters: Vec<_> = (0..WAITERS)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { limiter.check("key", 1).await.unwrap().is_allowed() })
        })
        .collect();
    for waiter in waiters {
        assert!(waiter.await.unwrap());
    }
    world.server.resume();
    let settled = async || {
        let used = 90_000 - direct.peek("key", 0).await.unwrap().remaining();
        (used >= before + WAITERS).then_some(used)
    };
    let used = poll_until(LONG, settled).await.unwrap();
    assert!(used <= before + WAITERS + 16, "{used}: at most the lease that was under way more");
}

#[tokio::test]
async fn leases_are_used_up_in_an_outage_and_the_share_comes_after_them() {
    let mut world = World::start().await;
    let shared = RedisLimiter::builder("api", SlidingWindow::new(yearly(90_000)), world.client.clone(), keyspace());
    let limiter = FallbackLimiter::builder(LeasedLimiter::builder(shared.build().unwrap()).build())
        .policy(share_of(INSTANCES))
        .build();
    assert_eq!(admit(&limiter, "key", 1_000).await, 1_000);
    begin_outage(&mut world).await;
    let admitted = admit(&limiter, "key", 60_000).await;
    assert!((25_000..=30_500).contains(&admitted), "{admitted}");
    world.server.restart().await;
    let direct = world.limiter("api", SlidingWindow::new(yearly(90_000)));
    let settled = async || {
        let used = 90_000 - direct.peek("key", 0).await.ok()?.remaining();
        (used >= 1_000 + admitted).then_some(used)
    };
    let used = poll_until(LONG, settled).await.unwrap();
    assert!(used <= 1_000 + admitted + 1_000, "{used}: at most a lease more");
}
