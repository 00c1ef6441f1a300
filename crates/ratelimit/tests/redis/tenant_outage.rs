//! During an outage a tenant has its share of the remaining amount, its last plan and its block.
//! Redis is informed afterwards.

use std::time::Duration;

use tidegate_ratelimit::{
    CheckError, FallbackTenantLimiter, ManualClock, OutagePolicy, Overrides, TenantLimiter, TenantPlan, Tier, Timestamp,
};
use tidegate_redis::Client;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::Proxy;
use tokio::time::Instant;

use crate::outage::{BAN, begin_outage, end_outage, share_of};
use crate::support::{LONG, World, connect, tenants};

/// The minute binds: hours and days may end during a test.
fn plan(per_minute: u64, epoch: u64) -> TenantPlan {
    let own = Overrides { per_minute: Some(per_minute), ..Overrides::default() };
    TenantPlan::try_new(Tier::ENTERPRISE, own).unwrap().at_epoch(epoch)
}

fn limiter(world: &World, policy: OutagePolicy) -> FallbackTenantLimiter {
    FallbackTenantLimiter::builder(tenants(&world.client)).policy(policy).build()
}

async fn admitted(limiter: &FallbackTenantLimiter, tenant: &str, plan: &TenantPlan, attempts: u64) -> u64 {
    let mut admitted = 0;
    for _ in 0..attempts {
        admitted += u64::from(limiter.check(tenant, plan, 1).await.is_ok_and(|decision| decision.allowed));
    }
    admitted
}

/// The usage of the minute and of the day in Redis.
async fn used(world: &World, tenant: &str) -> [u64; 2] {
    let [minute, _, day] = tenants(&world.client).usage(tenant, &plan(1, 0)).await.unwrap().windows;
    [minute.used, day.used]
}

#[tokio::test]
async fn each_policy_decides_and_the_last_plan_and_block_stay() {
    let mut world = World::start().await;
    let [open, closed] = [OutagePolicy::Open, OutagePolicy::Closed].map(|policy| limiter(&world, policy));
    let shared = limiter(&world, share_of(4));
    let all = [&open, &closed, &shared];
    for limiter in all {
        // Each learns from its own check what another one has set.
        assert!(limiter.check("t1", &plan(8, 1), 0).await.unwrap().allowed);
    }
    assert!(shared.set_plan("t1", &plan(100, 2)).await.unwrap());
    shared.block("banned", BAN).await.unwrap();
    for limiter in all {
        assert_eq!(limiter.check("t1", &plan(8, 1), 0).await.unwrap().plan, plan(100, 2));
        assert!(!limiter.check("banned", &plan(8, 1), 0).await.unwrap().allowed);
    }
    begin_outage(&mut world).await;

    for limiter in all {
        let left = limiter.check("banned", &plan(8, 1), 1).await.unwrap().blocked_for.unwrap();
        assert!(BAN / 2 < left && left <= BAN, "{left:?}");
        assert_eq!(limiter.plan("t1").await.unwrap(), Some(plan(100, 2)));
        assert!(limiter.take_seat("t1", &plan(8, 1), 0).await.is_err(), "nobody knows of the others' users");
        assert_eq!(limiter.stats().blocked_keys, 1);
    }
    // The last known plan admits a cost that the older plan never could.
    let decision = open.check("t1", &plan(8, 1), 50).await.unwrap();
    assert_eq!((decision.allowed, decision.plan), (true, plan(100, 2)));
    assert!(matches!(closed.check("t1", &plan(8, 1), 1).await, Err(CheckError::Store(error)) if error.is_transient()));
    assert!(closed.usage("t1", &plan(8, 1)).await.is_err());
    assert_eq!(admitted(&shared, "t1", &plan(8, 1), 100).await, 25);
    let refused = shared.check("t1", &plan(8, 1), 1).await.unwrap();
    assert_eq!((refused.binding().name, refused.binding().decision.limit()), ("minute", 25));
    assert_eq!(shared.usage("t1", &plan(8, 1)).await.unwrap().windows.map(|window| window.used), [25; 3]);
    // Above the share but not above the limit: not a permanent error.
    assert!(matches!(shared.check("t2", &plan(8, 1), 5).await, Err(CheckError::Store(error)) if error.is_transient()));
    let never = Err(CheckError::CostExceedsLimit { cost: 9, limit: 8 });
    for limiter in all {
        assert_eq!(limiter.check("t2", &plan(8, 1), 9).await, never);
    }
    // A new plan applies here immediately. The error means that no other process knows it.
    assert!(shared.set_plan("t1", &plan(200, 3)).await.is_err());
    assert_eq!(admitted(&shared, "t1", &plan(8, 1), 100).await, 25);
    assert!(shared.block("t1", BAN).await.is_err());
    assert!(!shared.peek("t1", &plan(8, 1), 0).await.unwrap().allowed);
    assert!(shared.unblock("t1").await.is_err());
    assert!(shared.peek("t1", &plan(8, 1), 0).await.unwrap().allowed);

    end_outage(&mut world).await;
    assert!(open.check("t3", &plan(8, 1), 8).await.unwrap().allowed);
    assert!(!closed.check("t3", &plan(8, 1), 1).await.unwrap().allowed);
}

/// A connection to a server that keeps its data while it is unreachable.
struct Way {
    proxy: Proxy,
    client: Client,
}

impl Way {
    async fn to(world: &World) -> Self {
        let proxy = Proxy::start(&world.server).await;
        let client = connect(&proxy.url()).await;
        Self { proxy, client }
    }

    async fn close(&self) {
        self.proxy.hang();
        poll_until(LONG, async || {
            let _ = self.client.get("any").await;
            (!self.client.availability().is_available()).then_some(())
        })
        .await
        .unwrap();
    }

    fn limiter(&self, policy: OutagePolicy) -> FallbackTenantLimiter {
        FallbackTenantLimiter::builder(tenants(&self.client)).policy(policy).build()
    }
}

/// Three processes: in the minute in which the outage begins at most the limit, and Redis is
/// charged once per admission.
#[tokio::test]
async fn shares_begin_with_what_was_left_and_debts_are_paid_once() {
    let world = World::start().await;
    let way = Way::to(&world).await;
    let three = [(); 3].map(|()| way.limiter(share_of(3)));
    let plan = plan(30, 1);
    assert_eq!(admitted(&three[0], "t1", &plan, 18).await, 18);
    for limiter in &three {
        assert!(limiter.check("t1", &plan, 0).await.unwrap().allowed);
    }
    way.close().await;
    // Twelve remain: four for each process that Redis informed, ten for the others.
    for limiter in &three {
        assert_eq!(admitted(limiter, "t1", &plan, 30).await, 4);
        assert_eq!(limiter.check("t1", &plan, 1).await.unwrap().binding().name, "minute");
    }
    assert_eq!(admitted(&three[0], "new", &plan, 30).await, 10);
    // One is refunded before Redis is charged, and used again.
    assert_eq!(three[1].reward("t1", &plan, 1).await.unwrap().windows[0].used, 9);
    assert_eq!(admitted(&three[1], "t1", &plan, 5).await, 1);
    assert_eq!(three[2].penalty("new", &plan, 3).await.unwrap().windows[0].used, 3);
    assert_eq!(used(&world, "t1").await, [18, 18]);

    way.proxy.restore();
    // Automatically, without any check.
    poll_until(LONG, async || (used(&world, "t1").await[0] >= 30 && used(&world, "new").await[0] >= 13).then_some(()))
        .await
        .unwrap();
    poll_until(LONG, async || way.client.availability().is_available().then_some(())).await.unwrap();
    for limiter in &three {
        assert!(!limiter.check("t1", &plan, 1).await.unwrap().allowed);
        assert!(limiter.check("new", &plan, 0).await.unwrap().allowed);
    }
    assert_eq!((used(&world, "t1").await, used(&world, "new").await), ([30, 30], [13, 13]));
    let ttl = world.ttl("test:{rt:tenant:t1}:debits").await;
    assert!(0 < ttl && ttl <= 90_000_000, "{ttl}");
}

/// Admissions from a minute ago are charged only to the hour and the day, and those from yesterday
/// to nothing.
#[tokio::test]
async fn debts_go_with_their_windows() {
    const DAY: u64 = 86_400_000_000;
    let mut world = World::start().await;
    let clock = ManualClock::at(Timestamp::from_micros(25_000 * DAY));
    let limiter =
        FallbackTenantLimiter::builder(tenants(&world.client)).policy(OutagePolicy::ALONE).clock(clock.clone()).build();
    let plan = plan(30, 1);
    begin_outage(&mut world).await;
    assert_eq!(admitted(&limiter, "t1", &plan, 7).await, 7);
    clock.advance(Duration::from_hours(24));
    assert_eq!(admitted(&limiter, "t1", &plan, 5).await, 5);
    clock.advance(Duration::from_secs(61));
    assert_eq!(admitted(&limiter, "t1", &plan, 2).await, 2);
    end_outage(&mut world).await;
    assert!(limiter.check("t1", &plan, 0).await.unwrap().allowed);
    assert_eq!(used(&world, "t1").await, [2, 7]);
}

/// Another tenant replaces the first one in memory: the debt of the second is still settled,
/// without a check of it.
#[tokio::test]
async fn whoever_owes_is_settled_also_where_another_one_was_forgotten_for_it() {
    let world = World::start().await;
    let way = Way::to(&world).await;
    let limiter = FallbackTenantLimiter::builder(tenants(&way.client)).max_keys(1).build();
    let plan = plan(30, 1);
    way.close().await;
    assert_eq!(admitted(&limiter, "forgotten", &plan, 1).await, 1);
    assert_eq!(admitted(&limiter, "t1", &plan, 5).await, 5);
    way.proxy.restore();
    poll_until(LONG, async || (used(&world, "t1").await == [5; 2]).then_some(())).await.unwrap();
    assert_eq!((used(&world, "forgotten").await, limiter.stats().evicted_live), ([0; 2], 1));
}

/// Each first reply to a debit is lost: it is sent again and charged once.
#[tokio::test]
async fn a_repeated_debit_is_charged_once() {
    let world = World::start().await;
    let way = Way::to(&world).await;
    let limiter = way.limiter(OutagePolicy::ALONE);
    let plan = plan(1_000, 1);
    for round in 1..=4 {
        way.close().await;
        assert_eq!(admitted(&limiter, "t1", &plan, 9).await, 9);
        let lost = way.proxy.dropped();
        way.proxy.restore();
        way.proxy.drop_every_reply_once();
        let owed = 9 * round;
        poll_until(LONG, async || (used(&world, "t1").await[1] >= owed).then_some(())).await.unwrap();
        // Requests that are still running complete before the next reply.
        for _ in 0..3 {
            poll_until(LONG, async || way.client.availability().is_available().then_some(())).await.unwrap();
            assert!(limiter.check("t1", &plan, 0).await.unwrap().allowed);
        }
        assert!(way.proxy.dropped() > lost, "answers were lost");
        assert_eq!(used(&world, "t1").await, [owed; 2], "round {round}");
        way.proxy.restore();
    }
}

/// A check that was sent before the block ended gets its reply after the block was ended here.
#[tokio::test]
async fn a_check_under_way_brings_no_block_back_that_was_ended() {
    let mut world = World::start().await;
    let limiter = limiter(&world, OutagePolicy::Open);
    let plan = plan(30, 1);
    let names: Vec<String> = (0..20).map(|tenant| format!("t{tenant}")).collect();
    for (nth, tenant) in names.iter().enumerate() {
        tenants(&world.client).block(tenant, BAN).await.unwrap();
        let ending = async { if nth < 10 { limiter.reset(tenant).await } else { limiter.unblock(tenant).await } };
        let (check, ended) = tokio::join!(limiter.check(tenant, &plan, 1), ending);
        assert!(check.is_ok() && ended.unwrap());
    }
    begin_outage(&mut world).await;
    for tenant in names {
        assert!(limiter.check(&tenant, &plan, 1).await.unwrap().allowed, "{tenant}");
    }
}

#[tokio::test]
async fn a_block_of_a_tenant_waits_no_longer_than_a_check() {
    // Its client would wait for half a minute.
    let mut world = World::start_patient().await;
    let limiter = limiter(&world, OutagePolicy::ALONE);
    assert!(limiter.check("t1", &plan(30, 1), 1).await.unwrap().allowed);
    world.server.hang().await;
    let started = Instant::now();
    assert!(limiter.block("t1", BAN).await.is_err() && limiter.unblock("t1").await.is_err());
    assert!(limiter.reset("t1").await.is_err());
    assert!(started.elapsed() < LONG / 6, "{:?}", started.elapsed());
}

#[tokio::test]
async fn looks_in_an_outage_change_nothing() {
    let mut world = World::start().await;
    let limiter = limiter(&world, OutagePolicy::ALONE);
    let plan = plan(30, 1);
    assert_eq!(admitted(&limiter, "t1", &plan, 4).await, 4);
    begin_outage(&mut world).await;
    for (tenant, used) in [("t1", 4), ("t1", 4), ("new", 0), ("new", 0)] {
        assert_eq!(limiter.usage(tenant, &plan).await.unwrap().windows[0].used, used);
        assert_eq!(limiter.peek(tenant, &plan, 1).await.unwrap().windows[0].decision.remaining(), 30 - used);
        assert_eq!(limiter.stats().tracked_keys, 1);
    }
    assert_eq!(admitted(&limiter, "t1", &plan, 40).await, 26);
}

#[tokio::test]
async fn decisions_take_microseconds_in_an_outage() {
    let mut world = World::start().await;
    let limiter = limiter(&world, OutagePolicy::ALONE);
    let plan = plan(1_000, 1);
    assert!(limiter.check("t1", &plan, 1).await.unwrap().allowed);
    begin_outage(&mut world).await;
    let mut times = Vec::new();
    for _ in 0..1_001 {
        let started = Instant::now();
        let _ = limiter.check("t1", &plan, 1).await.unwrap();
        times.push(started.elapsed());
    }
    times.sort_unstable();
    assert!(times[500] < Duration::from_micros(500), "half of the checks took {:?} and more", times[500]);
}

/// The server hangs without closing a connection: no check waits longer than the patience.
#[tokio::test]
async fn a_server_that_hangs_holds_nobody_up() {
    let world = World::start().await;
    let way = Way::to(&world).await;
    let limiter = way.limiter(share_of(2));
    let plan = plan(1_000, 1);
    assert!(limiter.check("t1", &plan, 1).await.unwrap().allowed);
    way.proxy.hang();
    for _ in 0..20 {
        let started = Instant::now();
        assert!(limiter.check("t1", &plan, 1).await.unwrap().allowed);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
    way.proxy.restore();
    // The server may have charged the running check too, but none of the nineteen behind it.
    poll_until(LONG, async || (used(&world, "t1").await[0] >= 20).then_some(())).await.unwrap();
    poll_until(LONG, async || {
        let usage = limiter.usage("t1", &plan).await.unwrap();
        (usage.windows[0].limit == 1_000).then_some(())
    })
    .await
    .unwrap();
    assert!((20..=21).contains(&used(&world, "t1").await[0]));
}
