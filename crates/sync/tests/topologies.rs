//! Every primitive with Sentinels and with a cluster: all keys of a script are in one slot, for any
//! names.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

#[path = "support/children.rs"]
mod children;
mod support;

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use children::again;
use support::{SOON, connect, keyspace};
use tidegate_sync::{
    Begin, Change, Entry, Fence, Ledger, LedgerError, Lock, Once, RedisStore, Reserve, Semaphore, Stock, Transfer,
};
use tidegate_testkit::redis::{Cluster, Sentinels};

/// All primitives, with several names, so that a cluster distributes them.
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

        spread(store, &name, guard.fence()).await;

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

/// A ledger whose accounts are in several slots.
async fn spread(store: &Arc<RedisStore>, name: &str, fence: Fence) {
    let partitions = NonZeroU16::new(6).unwrap();
    let ledger = Ledger::new(store.clone(), format!("{name} spread")).partitions(partitions);
    let names = support::apart(partitions);
    let opened: Vec<_> = names.iter().map(|name| Entry::deposit(format!("open {name}"), name, 100)).collect();
    let transfers: Vec<_> =
        (0..36).map(|nth| Entry::transfer(nth.to_string(), &names[nth % 6], &names[nth / 6], 1).fence(fence)).collect();
    for entries in [&opened, &transfers] {
        again(async || {
            let results = ledger.post_all(entries).await;
            let errors = results.into_iter().filter_map(Result::err);
            errors.filter(|error| !matches!(error, LedgerError::SameAccount { .. })).try_for_each(Err)
        })
        .await
        .unwrap();
    }
    let version = again(async || ledger.account(&names[5]).await).await.unwrap().unwrap().version;
    let last = Entry::withdrawal("last", &names[5], 7).if_version(version);
    assert_eq!(again(async || ledger.post(last.clone()).await).await.unwrap().from, 93);
    let updated = again(async || ledger.update("more", &names[0], |_| Some(Change::Deposit(1))).await).await;
    assert_eq!(updated.unwrap().balance, 101);
    again(async || ledger.complete_transfers(100).await).await.unwrap();
    let totals = again(async || ledger.totals().await).await.unwrap();
    assert_eq!((totals.deposited, totals.withdrawn, totals.in_transit), (601, 7, 0));
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
