//! The joint guarantee of three instances during an outage, and their debts to Redis afterwards.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidegate_ratelimit::{
    BlockPolicy, FallbackLimiter, FixedWindow, LeakyBucket, LeasedLimiter, Limiter, ManualClock, OutagePolicy, Quota,
    Quotas, RedisAlgorithm, RedisLimiter, SlidingCounter, SlidingLog, SlidingWindow, TokenBucket, Windows,
};
use tidegate_redis::Client;
use tidegate_testkit::redis::Proxy;
use tidegate_testkit::{poll_until, scale};
use tokio::time::Instant;

use crate::support::{LONG, World, connect, keyspace};

const INSTANCES: u32 = 3;
const TASKS: u64 = 4;
const LIMIT: u64 = 30_000;
const PER_SECOND: u64 = 300;
const BAN: Duration = Duration::from_mins(10);

fn yearly(limit: u64) -> Quota {
    Quota::new(limit, Quota::MAX_PERIOD).unwrap()
}

fn fallback<A: RedisAlgorithm>(client: &Client, name: &str, algorithm: A) -> FallbackLimiter<A> {
    let shared = RedisLimiter::builder(name, algorithm, client.clone(), keyspace()).build().unwrap();
    let instances = NonZeroU32::new(INSTANCES).unwrap();
    FallbackLimiter::builder(shared).policy(OutagePolicy::LocalShare { instances }).build()
}

/// In a full run, the documented values. Otherwise the build is slow and the machine is busy.
fn slower(promised: Duration) -> Duration {
    if scale(0, 1) == 1 { promised } else { 20 * promised }
}

/// The time of an admission: not before the first and not after the second.
type Admission = (Instant, Instant);

/// One of the processes.
struct Instance {
    client: Client,
    /// A window that does not end.
    frozen: FallbackLimiter<FixedWindow>,
    /// A window of one second.
    short: FallbackLimiter<SlidingWindow>,
}

/// The observations of the tasks of all instances.
#[derive(Default)]
struct Load {
    ends: AtomicBool,
    is_outage: AtomicBool,
    admitted: AtomicU64,
    admitted_in_outage: AtomicU64,
    /// Longest check that was running at the outage, or was the first after it, in microseconds.
    slowest: AtomicU64,
}

impl Load {
    /// Checks until the load ends.
    async fn run(&self, instance: &Instance) -> Vec<Admission> {
        let mut admissions = Vec::new();
        while !self.ends.load(Ordering::SeqCst) {
            let before = Instant::now();
            let was_outage = self.is_outage.load(Ordering::SeqCst);
            let is_admitted = instance.frozen.check("key", 1).await.unwrap().is_allowed();
            let took = before.elapsed();
            if self.is_outage.load(Ordering::SeqCst) {
                self.slowest.fetch_max(u64::try_from(took.as_micros()).unwrap(), Ordering::SeqCst);
            }
            self.admitted.fetch_add(u64::from(is_admitted), Ordering::SeqCst);
            self.admitted_in_outage.fetch_add(u64::from(is_admitted && was_outage), Ordering::SeqCst);
            let before = Instant::now();
            if instance.short.check("key", 1).await.unwrap().is_allowed() {
                admissions.push((before, Instant::now()));
            }
            tokio::task::yield_now().await;
        }
        admissions
    }
}

/// The number that was certainly admitted in one second that begins at `from` or later.
fn most_in_a_second(admissions: &[Admission], from: Instant) -> usize {
    let mut sorted: Vec<_> = admissions.iter().filter(|(before, _)| *before >= from).collect();
    sorted.sort_unstable_by_key(|(before, _)| *before);
    let window = |first: usize| {
        let end = sorted[first].0 + Duration::from_secs(1);
        sorted[first..].iter().take_while(|(before, _)| *before < end).filter(|(_, after)| *after < end).count()
    };
    (0..sorted.len()).map(window).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_keep_the_promise() {
    let mut world = World::start().await;
    let proxy = Proxy::start(&world.server).await;
    let mut instances = Vec::new();
    for url in [world.server.url(), world.server.url(), proxy.url()] {
        let client = connect(&url).await;
        let frozen = fallback(&client, "frozen", FixedWindow::new(yearly(LIMIT)));
        let short = fallback(&client, "short", SlidingWindow::new(Quota::per_second(PER_SECOND).unwrap()));
        instances.push(Arc::new(Instance { client, frozen, short }));
    }
    // A key whose charges before the outage are all known.
    for _ in 0..30 {
        assert!(instances[0].frozen.check("quiet", 1).await.unwrap().is_allowed());
    }
    let load = Arc::new(Load::default());
    let tasks: Vec<_> = instances
        .iter()
        .flat_map(|instance| (0..TASKS).map(move |_| instance.clone()))
        .map(|instance| {
            let load = load.clone();
            tokio::spawn(async move { load.run(&instance).await })
        })
        .collect();
    let enough = scale(300, 10_000) as u64;
    let is_loaded = async || (load.admitted.load(Ordering::SeqCst) >= enough).then_some(());
    poll_until(LONG, is_loaded).await.unwrap();

    load.is_outage.store(true, Ordering::SeqCst);
    world.server.kill9();
    let killed = Instant::now();
    tokio::time::sleep(Duration::from_millis(scale(1_500, 8_000) as u64)).await;
    load.ends.store(true, Ordering::SeqCst);
    let mut admissions = Vec::new();
    for task in tasks {
        admissions.extend(task.await.unwrap());
    }

    let slowest = Duration::from_micros(load.slowest.load(Ordering::SeqCst));
    assert!(slowest <= slower(Duration::from_millis(50)), "one decision took {slowest:?}");
    let later = median_of_checks(&instances[0].frozen).await;
    assert!(later <= slower(Duration::from_micros(10)), "half of the later decisions took {later:?} and more");
    // In the window in which the outage began, the rest is shared: only running checks count twice.
    let (all, in_outage) = (load.admitted.load(Ordering::SeqCst), load.admitted_in_outage.load(Ordering::SeqCst));
    assert!(in_outage > 100 && in_outage <= LIMIT, "{in_outage} admitted in the outage");
    assert!(all <= LIMIT + TASKS * u64::from(INSTANCES), "{all} of {LIMIT}, {in_outage} of them in the outage");
    let most = most_in_a_second(&admissions, killed);
    assert!(100 < most && most as u64 <= PER_SECOND, "{most} within one second of the outage");

    // Each gets a third of the remaining amount if it knows it, otherwise of the limit.
    let mut owed = 0;
    for (instance, times) in instances.iter().zip([400, 11, 7]) {
        for _ in 0..times {
            owed += u64::from(instance.frozen.check("quiet", 1).await.unwrap().is_allowed());
        }
    }
    assert_eq!(owed, 418);
    let lost = proxy.dropped();
    proxy.drop_every_reply_once();
    world.server.restart().await;
    let direct = world.limiter("frozen", FixedWindow::new(yearly(LIMIT)));
    let is_settled = async || {
        let used = LIMIT - direct.peek("quiet", 0).await.ok()?.remaining();
        assert!(used <= 30 + owed, "{used}: something was charged twice");
        (used == 30 + owed).then_some(())
    };
    poll_until(LONG, is_settled).await.unwrap();
    // Later requests are answered, and nothing is charged again.
    poll_until(LONG, async || instances.iter().all(|it| it.client.availability().is_available()).then_some(()))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(direct.peek("quiet", 0).await.unwrap().remaining(), LIMIT - 30 - owed);
    assert!(proxy.dropped() > lost, "a reply was lost while debts were settled");
    // For the other key all admissions are charged, except running checks, even after repetitions.
    let under_way = TASKS * u64::from(INSTANCES);
    let is_there = async || {
        let used = LIMIT - direct.peek("key", 0).await.ok()?.remaining();
        assert!(used <= all + under_way, "{used} of {all}: something was charged twice");
        (used + under_way >= all).then_some(())
    };
    poll_until(LONG, is_there).await.unwrap();
}

async fn median_of_checks(limiter: &impl Limiter) -> Duration {
    let mut times = Vec::new();
    for _ in 0..2_001 {
        let started = Instant::now();
        let _ = limiter.check("later", 1).await.unwrap();
        times.push(started.elapsed());
    }
    times.sort_unstable();
    times[1_000]
}

/// Kills the server, and waits until the client has noticed.
async fn begin_outage(world: &mut World) {
    world.server.kill9();
    poll_until(LONG, async || {
        let _ = world.client.get("any").await;
        (!world.client.availability().is_available()).then_some(())
    })
    .await
    .unwrap();
}

async fn admit(limiter: &dyn Limiter, key: &str, times: u64) -> u64 {
    let mut admitted = 0;
    for _ in 0..times {
        admitted += u64::from(limiter.check(key, 1).await.unwrap().is_allowed());
    }
    admitted
}

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
    let instances = NonZeroU32::new(INSTANCES).unwrap();
    let limiter = FallbackLimiter::builder(shared()).policy(OutagePolicy::LocalShare { instances }).build();
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
async fn a_server_that_hangs_costs_one_patience() {
    let mut world = World::start().await;
    let limiter = fallback(&world.client, "api", FixedWindow::new(yearly(900)));
    assert_eq!(admit(&limiter, "key", 1).await, 1);
    world.server.hang().await;
    let started = Instant::now();
    assert!(limiter.check("key", 1).await.unwrap().is_allowed());
    let first = started.elapsed();
    assert!(first >= Duration::from_millis(40) && first < slower(Duration::from_millis(50)), "{first:?}");
    let started = Instant::now();
    assert_eq!(admit(&limiter, "key", 100).await, 100);
    assert!(started.elapsed() < slower(Duration::from_millis(5)), "{:?}", started.elapsed());
    world.server.resume();
    // The running one was executed later and is not repeated. The admissions from here are charged.
    let direct = world.limiter("api", FixedWindow::new(yearly(900)));
    let settled = async || (direct.peek("key", 0).await.ok()?.remaining() == 900 - 102).then_some(());
    poll_until(LONG, settled).await.unwrap();
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
    let instances = NonZeroU32::new(INSTANCES).unwrap();
    let limiter = FallbackLimiter::builder(LeasedLimiter::builder(shared.build().unwrap()).build())
        .policy(OutagePolicy::LocalShare { instances })
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
