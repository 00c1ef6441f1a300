//! Every primitive through Sentinels and on a cluster: all keys of a script lie in one slot, whatever the names are.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

#[path = "support/children.rs"]
mod children;
mod support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use children::again;
use support::{SOON, connect, keyspace};
use tidegate_sync::{Begin, Ledger, Lock, Once, RedisStore, Reserve, Semaphore, Stock, Transfer};
use tidegate_testkit::redis::{Cluster, Sentinels};

/// All of it, under several names, so that a cluster spreads them.
async fn everything(store: &Arc<RedisStore>, round: &str) {
    for nth in 0..12 {
        let name = format!("{round}:{nth}");
        let guard = Lock::new(store.clone(), &name).acquire(SOON).await.unwrap();
        let permit = Semaphore::new(store.clone(), &name, NonZeroU32::MIN).acquire(SOON).await.unwrap();

        let ledger = Ledger::new(store.clone(), &name);
        again(async || ledger.deposit("1", "ada", 10).await).await.unwrap();
        again(async || ledger.deposit("2", "bob", 0).await).await.unwrap();
        let transfer = Transfer::new("3", "ada", "bob", 4).fence(guard.fence());
        again(async || ledger.transfer(transfer.clone()).await).await.unwrap();
        let balances = again(async || ledger.balances(&["ada", "bob"]).await).await.unwrap();
        assert_eq!(balances, [Some(6), Some(4)]);

        let stock = Stock::new(store.clone(), &name);
        again(async || stock.add("1", 10).await).await.unwrap();
        let reserved = again(async || stock.reserve("2", 3, SOON).await).await.unwrap();
        assert!(matches!(reserved, Reserve::Reserved { .. }));
        again(async || stock.confirm("2").await).await.unwrap();
        again(async || stock.sweep(10).await).await.unwrap();
        assert_eq!(again(async || stock.counts().await).await.unwrap().sold, 3);

        let once = Once::new(store.clone(), "payment");
        match again(async || once.begin(&name).await).await.unwrap() {
            Begin::Started(attempt) => attempt.complete("receipt").await.unwrap(),
            other => panic!("{other:?}"),
        }
        assert!(guard.is_held() && permit.is_held());
        permit.release().await.unwrap();
        guard.release().await.unwrap();
    }
}

#[tokio::test]
async fn everything_works_through_sentinels_and_after_a_failover() {
    let mut sentinels = Sentinels::start().await;
    let store = Arc::new(RedisStore::new(connect(sentinels.url()).await, keyspace()));
    everything(&store, "before").await;
    let lock = Lock::new(store.clone(), "held");
    let before = lock.acquire(SOON).await.unwrap().fence();
    sentinels.failover().await;
    let after = Lock::new(store.clone(), "held").acquire(Duration::from_secs(60)).await.unwrap();
    assert!(after.fence() > before);
    after.release().await.unwrap();
    everything(&store, "after").await;
}

#[tokio::test]
async fn everything_works_on_a_cluster() {
    let cluster = Cluster::start().await;
    let store = Arc::new(RedisStore::new(connect(cluster.url()).await, keyspace()));
    everything(&store, "a}{b").await;
}
