//! The limiters with Sentinel and with a cluster.

use std::collections::HashSet;

use tidegate_ratelimit::{FixedWindow, Limiter, TenantLimiter, TenantPlan, TierLimits};
use tidegate_redis::Client;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Cluster, Sentinels};

use crate::support::{LONG, connect, keyspace, limiter, tenants, yearly};

fn three() -> FixedWindow {
    FixedWindow::new(yearly(3))
}

#[tokio::test]
async fn sentinel_and_its_failover() {
    let mut sentinels = Sentinels::start().await;
    let client = connect(&sentinels.url()).await;
    let limiter = limiter(&client, "api", three());
    assert!(limiter.check("before", 3).await.unwrap().is_allowed());
    assert!(!limiter.check("before", 1).await.unwrap().is_allowed());
    sentinels.failover().await;
    // Another primary decides, which did not know the script.
    poll_until(LONG, async || {
        let decided = limiter.check("after", 0).await.is_ok();
        let there = sentinels.primary().await.cli(&["EXISTS", "test:{rl:api:after}"]).await;
        (decided && there == "1").then_some(())
    })
    .await
    .unwrap();
    assert!(!limiter.check("before", 1).await.unwrap().is_allowed(), "the replica had it");
}

#[tokio::test]
async fn cluster() {
    let cluster = Cluster::start().await;
    let client = connect(&cluster.url()).await;
    let limiter = limiter(&client, "api", three());
    let (tenants, limits) = (tenants(&client), TenantPlan::from(TierLimits::new(3, 3, 3, None).unwrap()));
    let mut nodes = HashSet::new();
    for index in 0..60 {
        let key = format!("key-{index}");
        assert!(limiter.check(&key, 3).await.unwrap().is_allowed());
        assert!(!limiter.check(&key, 1).await.unwrap().is_allowed());
        assert!(tenants.check(&key, &limits, 3).await.unwrap().allowed);
        assert!(!tenants.check(&key, &limits, 1).await.unwrap().allowed);
        nodes.insert(Client::slot_of(keyspace().group("rl", &["api", &key]).as_str()) / 5_461);
    }
    assert_eq!(nodes.len(), 3, "every primary had a part");
    assert!(limiter.reset("key-7").await.unwrap() && tenants.reset("key-7").await.unwrap());
    assert!(limiter.check("key-7", 1).await.unwrap().is_allowed());
}
