//! State after a crash that truncates the append-only file: each script has one effect, which is
//! either there or not.
//!
//! Debits have three effects: the tests next to their source replay each prefix. The tests here do
//! the same for the scripts that record live processes and restore published quotas.

use std::time::Duration;

use tidegate_ratelimit::{
    BlockPolicy, FixedWindow, LeakyBucket, LeasedLimiter, Limiter, Overrides, Quota, Quotas, RedisLimiter,
    SharedQuotas, SlidingCounter, SlidingWindow, TenantLimiter, TenantPlan, Tier, TokenBucket, Windows,
};
use tidegate_testkit::redis::{Effect, Transaction};

use crate::support::{World, keyspace, tenants};

/// The live processes: each process writes its entry every few seconds.
const PROCESSES: &[u8] = b"test:{rl:quotas}:processes";
const QUOTAS: &[u8] = b"test:{rl:quotas}";

fn is_of(key: &[u8], effect: &Effect) -> bool {
    effect.args().get(1).is_some_and(|arg| arg == key)
}

/// The effects on the key during `step`.
async fn effects_of(world: &World, key: &[u8], step: impl Future<Output = ()>) -> Vec<Effect> {
    let before = world.server.append_only_file().effects().len();
    step.await;
    let mut effects = world.server.effects_since(before);
    effects.retain(|effect| is_of(key, effect));
    effects
}

async fn every_call(limiter: &impl Limiter) {
    for _ in 0..3 {
        let _ = limiter.check("key", 1).await.unwrap();
    }
    let _ = limiter.peek("key", 1).await.unwrap();
    let _ = limiter.penalty("key", 1).await.unwrap();
    let _ = limiter.reward("key", 1).await.unwrap();
    limiter.block("key", Duration::from_mins(1)).await.unwrap();
    let _ = limiter.unblock("key").await.unwrap();
    let _ = limiter.check("key", 1).await.unwrap();
    let _ = limiter.reset("key").await.unwrap();
}

#[tokio::test]
async fn every_script_of_a_limiter_has_one_effect() {
    let world = World::start_patient().await;
    let quota = Quota::per_minute(2).unwrap();
    macro_rules! with {
        ($name:literal, $algorithm:expr) => {
            let builder = RedisLimiter::builder($name, $algorithm, world.client.clone(), keyspace());
            let blocking = builder.block(BlockPolicy::fixed(Duration::from_secs(1))).build().unwrap();
            every_call(&blocking).await;
        };
    }
    with!("fixed", FixedWindow::new(quota));
    with!("window", SlidingWindow::new(quota));
    with!("counter", SlidingCounter::new(quota));
    with!("bucket", TokenBucket::new(quota));
    with!("leaky", LeakyBucket::meter(quota));
    with!("windows", Windows::new(Quotas::new(&[quota, Quota::per_hour(3).unwrap()]).unwrap()));
    let leased = LeasedLimiter::builder(world.limiter("leased", FixedWindow::new(Quota::per_hour(10_000).unwrap())));
    let leased = leased.build();
    every_call(&leased).await;
    for _ in 0..100 {
        assert!(leased.check("hot", 1).await.unwrap().is_allowed());
    }
    assert!(leased.leased() > 0, "a hot key is leased");

    let (tenants, plan) = (tenants(&world.client), TenantPlan::try_new(Tier::BASIC, Overrides::default()).unwrap());
    let _ = tenants.check("t", &plan, 1).await.unwrap();
    let _ = tenants.check("t", &plan, 1).await.unwrap();
    let _ = tenants.penalty("t", &plan, 1).await.unwrap();
    let _ = tenants.reward("t", &plan, 1).await.unwrap();
    let _ = tenants.set_plan("t", &plan.at_epoch(3)).await.unwrap();
    let _ = tenants.take_seat("t", &plan, 1).await.unwrap();
    tenants.set_seats("t", 2).await.unwrap();
    let _ = tenants.give_seat("t").await.unwrap();
    tenants.block("t", Duration::from_mins(1)).await.unwrap();
    let _ = tenants.unblock("t").await.unwrap();
    let _ = tenants.reset("t").await.unwrap();

    let quotas = SharedQuotas::start(world.client.clone(), &keyspace()).await;
    quotas.publish("fixed", quota).await.unwrap();
    quotas.withdraw("fixed").await.unwrap();

    let file = world.server.append_only_file();
    assert!(file.transactions().len() > 40, "{}", file.transactions().len());
    let is_of_limits = |transaction: &&Transaction| !is_of(PROCESSES, &transaction.effects[0]);
    for transaction in file.transactions().iter().filter(is_of_limits) {
        assert!(!transaction.is_wrapped && transaction.effects.len() == 1, "{transaction:?}");
    }
}

#[tokio::test]
async fn a_torn_report_of_a_live_process_leaves_the_others_counted() {
    let world = World::start_patient().await;
    let start = async || SharedQuotas::start(world.client.clone(), &keyspace()).await;
    let report = async || drop(start().await);
    for base in [Vec::new(), effects_of(&world, PROCESSES, report()).await] {
        world.server.replay(&base).await;
        let lost = effects_of(&world, PROCESSES, report()).await;
        assert!(lost.len() > 1, "{lost:?}");
        world.server.replay(&base).await;
        let kept = effects_of(&world, PROCESSES, report()).await;
        for prefix in 0..=lost.len() {
            for later in [&[][..], &kept] {
                world.server.replay(&[&base, &lost[..prefix], later].concat()).await;
                let counted = start().await.live_processes().count().get();
                let reported = [!base.is_empty(), prefix > 0, !later.is_empty(), true].into_iter().map(u32::from);
                // On a slow machine the first may have expired by now.
                assert!((1..=reported.sum()).contains(&counted), "{counted} after {:?}", &lost[..prefix]);
                let key = str::from_utf8(PROCESSES).unwrap();
                assert!(world.ttl(key).await > 0, "it is forgotten after {:?}", &lost[..prefix]);
            }
        }
    }
}

/// A process knows two quotas that the server has lost, and writes them again. Another process
/// knows none, and publishes one of them.
#[tokio::test]
async fn a_quota_that_was_published_behind_a_torn_restoring_stays() {
    let world = World::start_patient().await;
    let start = async || SharedQuotas::start(world.client.clone(), &keyspace()).await;
    let quota = |limit| Quota::per_minute(limit).unwrap();
    let publish = async |name: &str, limit| start().await.publish(name, quota(limit)).await.unwrap();
    publish("api", 8).await;
    publish("login", 9).await;
    let mut both = world.server.append_only_file().effects();
    both.retain(|effect| is_of(QUOTAS, effect));
    // It has read both, and finds them lost.
    let knowing = async || {
        world.server.replay(&both).await;
        start().await
    };
    let restore = async {
        let knows = knowing().await;
        world.server.cli(&["FLUSHALL"]).await;
        knows.refresh().await.unwrap();
    };
    let mut lost = effects_of(&world, QUOTAS, restore).await;
    let lost = lost.split_off(both.len());
    assert_eq!(lost.len(), 2, "{lost:?}");
    world.server.replay(&[]).await;
    let kept = effects_of(&world, QUOTAS, publish("api", 5)).await;
    for prefix in 0..=lost.len() {
        for later in [&[][..], &kept] {
            let knows = knowing().await;
            world.server.replay(&[&lost[..prefix], later].concat()).await;
            knows.refresh().await.unwrap();
            let api = if later.is_empty() { 8 } else { 5 };
            let published = [("api".to_owned(), quota(api).into()), ("login".to_owned(), quota(9).into())];
            assert_eq!(start().await.published(), published, "after {:?}", &lost[..prefix]);
        }
    }
}
