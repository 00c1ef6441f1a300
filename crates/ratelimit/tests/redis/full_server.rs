//! A server that has reached `maxmemory`: limits are enforced according to the outage policy, and
//! nothing blocks for ever.

use std::time::Duration;

use tidegate_ratelimit::{
    CheckError, FallbackLimiter, FallbackTenantLimiter, FixedWindow, LeasedLimiter, Limiter, OutagePolicy, Overrides,
    Quota, Quotas, SharedQuotas, SlidingCounter, SlidingWindow, TenantLimiter, TenantPlan, Tier, TokenBucket, Windows,
};
use tidegate_testkit::poll_until;

use crate::outage::share_of;
use crate::support::{LONG, World, keyspace, tenants, yearly};

const LIMIT: u64 = 8;

async fn set_limit(world: &World, maxmemory: &str) {
    assert_eq!(world.server.cli(&["CONFIG", "SET", "maxmemory", maxmemory]).await, "OK");
}

/// Checks the error of a call that a full server refuses: it gives the reason, and nothing was
/// charged.
fn is_full<T: std::fmt::Debug>(answer: Result<T, CheckError>) {
    let Err(CheckError::Store(error)) = answer else { panic!("a full server took it: {answer:?}") };
    assert!(error.is_transient() && !error.may_have_charged(), "{error}");
    assert!(error.to_string().contains("has reached maxmemory"), "{error}");
}

async fn admitted(limiter: &impl Limiter, key: &str) -> u64 {
    let mut admitted = 0;
    for _ in 0..2 * LIMIT {
        admitted += u64::from(limiter.check(key, 1).await.is_ok_and(|decision| decision.is_allowed()));
    }
    admitted
}

#[tokio::test]
async fn the_outage_policy_decides_on_a_full_server() {
    let world = World::start_patient().await;
    let algorithm = || FixedWindow::new(yearly(LIMIT));
    let limiter = |policy| FallbackLimiter::builder(world.limiter("api", algorithm())).policy(policy).build();
    let (share, closed, open) = (limiter(share_of(4)), limiter(OutagePolicy::Closed), limiter(OutagePolicy::Open));
    set_limit(&world, "1mb").await;

    let alone = world.limiter("api", algorithm());
    is_full(alone.check("new", 1).await);

    assert_eq!(admitted(&share, "a").await, LIMIT / 4);
    assert_eq!(admitted(&closed, "b").await, 0);
    assert_eq!(admitted(&open, "c").await, 2 * LIMIT);
    assert!(world.client.availability().is_available(), "the server answers, so the breaker stays closed");
    // Calls of an operator still work.
    alone.block("enemy", Duration::from_mins(1)).await.unwrap();
    assert!(!share.check("enemy", 1).await.unwrap().is_allowed());
    assert!(alone.unblock("enemy").await.unwrap());
    let quotas = SharedQuotas::start(world.client.clone(), &keyspace()).await;
    quotas.publish("api", yearly(LIMIT)).await.unwrap();
    quotas.withdraw("api").await.unwrap();

    // Once there is free memory, Redis decides again automatically, and earlier admissions are
    // charged.
    set_limit(&world, "0").await;
    poll_until(LONG, async || {
        assert!(share.check("a", 0).await.is_ok());
        (alone.peek("a", 0).await.unwrap().remaining() == LIMIT - LIMIT / 4).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(admitted(&share, "a").await, LIMIT - LIMIT / 4);
}

#[tokio::test]
async fn a_tenant_has_its_share_on_a_full_server() {
    let world = World::start_patient().await;
    let own = Overrides { per_minute: Some(LIMIT), ..Overrides::default() };
    let plan = TenantPlan::try_new(Tier::ENTERPRISE, own).unwrap().at_epoch(1);
    let shared = tenants(&world.client);
    let limiter = FallbackTenantLimiter::builder(tenants(&world.client)).policy(share_of(4)).build();
    shared.set_seats("t", 3).await.unwrap();
    set_limit(&world, "1mb").await;

    assert!(matches!(shared.check("t", &plan, 1).await, Err(CheckError::Store(error)) if error.is_transient()));
    let mut admitted = 0;
    for _ in 0..2 * LIMIT {
        admitted += u64::from(limiter.check("t", &plan, 1).await.is_ok_and(|decision| decision.allowed));
    }
    assert_eq!(admitted, LIMIT / 4);
    assert_eq!(shared.give_seat("t").await.unwrap(), Some(2));
    shared.block("t", Duration::from_mins(1)).await.unwrap();
    assert!(shared.unblock("t").await.unwrap());
    let _ = shared.reset("t").await.unwrap();

    set_limit(&world, "0").await;
    assert!(shared.check("t", &plan, 1).await.unwrap().allowed);
}

/// Charges are refused, even for a known key. Calls of an operator are not.
async fn each_call_on_a_full_server(world: &World, limiter: &impl Limiter) {
    assert!(limiter.check("known", 1).await.unwrap().is_allowed());
    set_limit(world, "1mb").await;
    for key in ["known", "new"] {
        is_full(limiter.check(key, 1).await);
        is_full(limiter.penalty(key, 1).await);
        assert!(limiter.peek(key, 1).await.unwrap().is_allowed());
    }
    is_full(limiter.reward("known", 1).await);
    limiter.block("known", Duration::from_mins(1)).await.unwrap();
    assert!(!limiter.peek("known", 1).await.unwrap().is_allowed());
    assert!(limiter.unblock("known").await.unwrap());
    assert!(limiter.reset("known").await.unwrap());
    set_limit(world, "0").await;
    assert!(limiter.check("known", 1).await.unwrap().is_allowed());
}

#[tokio::test]
async fn a_full_server_charges_nothing_and_does_what_an_operator_asks() {
    let world = World::start_patient().await;
    let quota = yearly(10_000);
    each_call_on_a_full_server(&world, &world.limiter("fixed", FixedWindow::new(quota))).await;
    each_call_on_a_full_server(&world, &world.limiter("window", SlidingWindow::new(quota))).await;
    each_call_on_a_full_server(&world, &world.limiter("counter", SlidingCounter::new(quota))).await;
    each_call_on_a_full_server(&world, &world.limiter("bucket", TokenBucket::new(quota))).await;
    let windows = Windows::new(Quotas::new(&[quota, Quota::per_minute(5_000).unwrap()]).unwrap());
    each_call_on_a_full_server(&world, &world.limiter("windows", windows)).await;

    // A hot key requests leases, which are refused too.
    let leased = LeasedLimiter::builder(world.limiter("leased", FixedWindow::new(quota))).build();
    assert_eq!(admitted(&leased, "hot").await, 2 * LIMIT);
    let before = leased.shared().peek("hot", 0).await.unwrap().remaining();
    set_limit(&world, "1mb").await;
    let mut refusal = None;
    // The rest of the last lease is used up first.
    for _ in 0..10_000 {
        refusal = leased.check("hot", 1).await.err();
        if refusal.is_some() {
            break;
        }
    }
    is_full(refusal.map_or(Ok(()), Err));
    assert_eq!(leased.shared().peek("hot", 0).await.unwrap().remaining(), before);
}

#[tokio::test]
async fn a_full_server_takes_no_seat_and_no_plan_of_a_tenant() {
    let world = World::start_patient().await;
    let plan = TenantPlan::try_new(Tier::BASIC, Overrides::default()).unwrap();
    let shared = tenants(&world.client);
    assert!(shared.check("known", &plan, 1).await.unwrap().allowed);
    set_limit(&world, "1mb").await;
    for tenant in ["known", "new"] {
        is_full(shared.check(tenant, &plan, 1).await);
        is_full(shared.penalty(tenant, &plan, 1).await);
        is_full(shared.set_plan(tenant, &plan.at_epoch(3)).await);
        is_full(shared.take_seat(tenant, &plan, 1).await);
        is_full(shared.set_seats(tenant, 2).await);
        assert!(shared.peek(tenant, &plan, 1).await.unwrap().allowed);
    }
    is_full(shared.reward("known", &plan, 1).await);
}

/// Quotas change rarely and processes are few: a full server accepts the quotas that it has lost,
/// and counts the processes.
#[tokio::test]
async fn a_full_server_is_told_again_of_quotas_that_it_has_lost() {
    let world = World::start_patient().await;
    let quotas = SharedQuotas::start(world.client.clone(), &keyspace()).await;
    let quota = Quota::per_minute(LIMIT).unwrap();
    quotas.publish("api", quota).await.unwrap();
    quotas.refresh().await.unwrap();
    set_limit(&world, "1mb").await;
    world.server.cli(&["FLUSHALL"]).await;
    quotas.refresh().await.unwrap();
    let late = SharedQuotas::start(world.client.clone(), &keyspace()).await;
    assert_eq!(late.published(), [("api".to_owned(), quota.into())]);
    let counted = async || {
        let counts = [&quotas, &late].map(|process| process.live_processes().count().get());
        (counts == [2, 2]).then_some(())
    };
    poll_until(LONG, counted).await.expect("each counts both");
}
