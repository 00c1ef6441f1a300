//! A quota that follows a health signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_ratelimit::{Adjustment, DynamicQuota, FixedWindow, Limiter, ManualClock, MemoryLimiter, Quota};

use crate::support::{clock, now};

type Api = MemoryLimiter<FixedWindow>;

fn world() -> (Arc<Api>, DynamicQuota<Api>, ManualClock) {
    let clock = clock();
    let algorithm = FixedWindow::new(Quota::per_day(1_000).unwrap());
    let limiter = Arc::new(MemoryLimiter::builder("api", algorithm).clock(clock.clone()).build());
    let quota = DynamicQuota::new(Arc::clone(&limiter), Adjustment::default()).clock(clock.clone());
    (limiter, quota, clock)
}

/// One score per second for `seconds`. Returns the limits that applied.
fn observe(quota: &DynamicQuota<Api>, clock: &ManualClock, score: f64, seconds: u64) -> Vec<u64> {
    let step = |_| {
        clock.advance(Duration::from_secs(1));
        quota.observe(score).unwrap().limit()
    };
    (0..seconds).map(step).collect()
}

#[test]
fn falls_step_by_step_and_rises_slowly_back() {
    let (limiter, quota, clock) = world();
    let falling = observe(&quota, &clock, 0.2, 60);
    assert_eq!(falling[..5], [1_000; 5]);
    assert_eq!((falling[5], falling[10], falling[15]), (700, 490, 343));
    assert_eq!((falling[59], quota.share()), (100, 0.1));
    let rising = observe(&quota, &clock, 0.9, 200);
    assert_eq!((rising[9], rising[10], rising[20]), (100, 150, 200));
    assert_eq!((rising[199], quota.share()), (1_000, 1.0));
    assert!(falling.is_sorted_by(|one, next| one >= next) && rising.is_sorted());
    assert_eq!(limiter.quota(), Quota::per_day(1_000).unwrap());
}

/// A score that oscillates between the thresholds, or around one, changes nothing, or one direction
/// only.
#[test]
fn does_not_oscillate() {
    let (_, quota, clock) = world();
    observe(&quota, &clock, 0.2, 20);
    let share = quota.share();
    for second in 0..600 {
        let score = if second % 2 == 0 { 0.55 } else { 0.75 };
        observe(&quota, &clock, score, 1);
    }
    assert_eq!(quota.share(), share);
    for second in 0..600 {
        let score = if second % 2 == 0 { 0.45 } else { 0.85 };
        observe(&quota, &clock, score, 1);
    }
    assert_eq!(quota.share(), share);
}

/// A service whose health depends on its load reaches a stable level.
#[test]
fn settles_where_the_service_is_well() {
    let (_, quota, clock) = world();
    let mut shares = Vec::new();
    for _ in 0..1_200 {
        // Unhealthy above 60 %, healthy below 40 %.
        let score = 1.0 - (quota.share() - 0.2) * 1.25;
        observe(&quota, &clock, score, 1);
        shares.push(quota.share());
    }
    let (least, most) =
        shares[600..].iter().fold((1.0_f64, 0.0_f64), |(least, most), share| (least.min(*share), most.max(*share)));
    assert!(least >= 0.3 && most <= 0.6, "{least} to {most}");
    assert!(most - least < 0.001, "{least} to {most}");
}

#[test]
fn what_was_charged_stays_charged() {
    let (limiter, quota, clock) = world();
    let _ = now(limiter.check("key", 600)).unwrap();
    observe(&quota, &clock, 0.0, 11);
    assert_eq!(limiter.quota().limit(), 490);
    assert!(!now(limiter.check("key", 1)).unwrap().is_allowed());
    observe(&quota, &clock, 1.0, 200);
    assert_eq!(now(limiter.peek("key", 1)).unwrap().remaining(), 400);
}

#[test]
fn a_new_base_keeps_the_share() {
    let (limiter, quota, clock) = world();
    observe(&quota, &clock, 0.0, 6);
    quota.set_base(Quota::per_day(10).unwrap()).unwrap();
    assert_eq!((limiter.quota().limit(), quota.base().limit(), quota.share()), (7, 10, 0.7));
    let tiny = Quota::per_day(1).unwrap();
    quota.set_base(tiny).unwrap();
    assert_eq!(limiter.quota(), tiny);
}

/// A caller that changes quotas, like `SharedQuotas`, changes the base: neither undoes the other.
#[test]
fn a_quota_set_from_outside_is_the_base() {
    let (limiter, quota, clock) = world();
    observe(&quota, &clock, 0.0, 6);
    let outer: &dyn Limiter = &quota;
    assert_eq!((outer.quota().limit(), limiter.quota().limit()), (1_000, 700));
    outer.set_quota(Quota::per_day(100).unwrap()).unwrap();
    assert_eq!((outer.quota().limit(), limiter.quota().limit()), (100, 70));
    observe(&quota, &clock, 0.0, 5);
    assert_eq!((outer.quota().limit(), limiter.quota().limit()), (100, 49));
    assert_eq!(now(outer.check("key", 9)).unwrap().remaining(), 40);
    observe(&quota, &clock, 1.0, 300);
    assert_eq!((outer.quota().limit(), limiter.quota().limit()), (100, 100));
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_published_quota_is_the_base() {
    use tidegate_ratelimit::SharedQuotas;
    use tidegate_redis::{Client, Config, Keyspace, Role};
    use tidegate_testkit::redis::RedisServer;

    let server = RedisServer::start().await;
    let client = Client::connect(&Config::parse(&server.url()).unwrap(), Role::Cache).await.unwrap();
    let (limiter, quota, clock) = world();
    observe(&quota, &clock, 0.0, 6);
    let quota = Arc::new(quota);
    let quotas = SharedQuotas::start(client, &Keyspace::new("test").unwrap()).await;
    quotas.register(quota.clone());
    quotas.publish("api", Quota::per_day(100).unwrap()).await.unwrap();
    assert_eq!(limiter.quota().limit(), 70);
    observe(&quota, &clock, 0.0, 5);
    quotas.refresh().await.unwrap();
    assert_eq!((quota.base().limit(), limiter.quota().limit()), (100, 49));
    quotas.withdraw("api").await.unwrap();
    assert_eq!(limiter.quota().limit(), 490);
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn follows_a_signal() {
    let (limiter, quota, clock) = world();
    let asked = AtomicU64::new(0);
    let signal = || {
        asked.fetch_add(1, Ordering::SeqCst);
        clock.advance(Duration::from_secs(1));
        0.0
    };
    let follow = quota.follow(&signal, Duration::from_secs(1));
    assert!(tokio::time::timeout(Duration::from_millis(10_500), follow).await.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 11);
    assert_eq!(limiter.quota().limit(), 490);
}
