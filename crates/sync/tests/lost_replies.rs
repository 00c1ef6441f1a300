//! A proxy drops the first reply to every command: every operation is executed, and executed once.
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
use tidegate_sync::{Begin, Ledger, Lock, Once, RedisStore, Reserve, Semaphore, Stock, Transfer};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Proxy, RedisServer};

struct Bench {
    server: RedisServer,
    proxy: Proxy,
    store: Arc<RedisStore>,
}

/// A store behind a proxy that drops the first reply to each command from now on.
async fn bench() -> Bench {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    let store = Arc::new(RedisStore::new(connect(proxy.url()).await, keyspace()));
    proxy.drop_every_reply_once();
    Bench { server, proxy, store }
}

#[tokio::test]
async fn no_lock_is_taken_twice() {
    let bench = bench().await;
    let lock = Lock::new(bench.store.clone(), "a");
    for _ in 0..5 {
        let guard = lock.acquire(SOON).await.unwrap();
        assert_eq!(bench.server.cli(&["ZCARD", "tidegate:{l:a}:holders"]).await, "1");
        assert!(poll_until(SOON, async || guard.extend().await.ok()).await.unwrap());
        // If the reply is lost, the release is retried in the background.
        let _ = guard.release().await;
        let is_free = async || {
            (bench.server.cli(&["EXISTS", "tidegate:{l:a}:holders", "tidegate:{l:a}:queue"]).await == "0").then_some(())
        };
        poll_until(SOON, is_free).await.unwrap();
    }
    assert!(bench.proxy.dropped() >= 10, "{}", bench.proxy.dropped());
}

#[tokio::test]
async fn no_permit_is_taken_twice() {
    let bench = bench().await;
    let semaphore = Semaphore::new(bench.store.clone(), "a", NonZeroU32::new(2).unwrap());
    let one = semaphore.acquire(SOON).await.unwrap();
    let two = semaphore.acquire(SOON).await.unwrap();
    assert_eq!(bench.server.cli(&["ZCARD", "tidegate:{s:a}:holders"]).await, "2");
    drop((one, two));
    let is_free = async || (bench.server.cli(&["EXISTS", "tidegate:{s:a}:holders"]).await == "0").then_some(());
    poll_until(SOON, is_free).await.unwrap();
    assert!(bench.proxy.dropped() >= 4);
}

#[tokio::test]
async fn nothing_is_reserved_or_sold_twice() {
    let bench = bench().await;
    let stock = Stock::new(bench.store.clone(), "sale");
    again(async || stock.add("all", 100).await).await.unwrap();
    for nth in 0..20 {
        let id = format!("order-{nth}");
        let reserve = again(async || stock.reserve(&id, 2, Duration::from_secs(600)).await).await.unwrap();
        assert!(matches!(reserve, Reserve::Reserved { .. }), "{reserve:?}");
        match nth % 3 {
            0 => again(async || stock.confirm(&id).await).await.unwrap(),
            1 => again(async || stock.release(&id).await).await.unwrap(),
            _ => {}
        }
    }
    let counts = again(async || stock.counts().await).await.unwrap();
    assert_eq!((counts.total, counts.available, counts.reserved, counts.sold), (100, 74, 12, 14));
    assert_eq!(counts.released, 14);
    assert!(bench.proxy.dropped() >= 35, "{}", bench.proxy.dropped());
}

#[tokio::test]
async fn nothing_is_transferred_twice() {
    let bench = bench().await;
    let ledger = Ledger::new(bench.store.clone(), "points");
    again(async || ledger.deposit("open-ada", "ada", 100).await).await.unwrap();
    again(async || ledger.deposit("open-bob", "bob", 0).await).await.unwrap();
    for nth in 0..20 {
        let transfer = Transfer::new(nth.to_string(), "ada", "bob", 3);
        let balances = again(async || ledger.transfer(transfer.clone()).await).await.unwrap();
        assert_eq!((balances.from, balances.to), (97 - nth * 3, 3 + nth * 3));
    }
    let balances = again(async || ledger.balances(&["ada", "bob"]).await).await.unwrap();
    assert_eq!(balances, [Some(40), Some(60)]);
    assert!(bench.proxy.dropped() >= 22, "{}", bench.proxy.dropped());
}

#[tokio::test]
async fn nothing_is_transferred_twice_between_partitions() {
    let bench = bench().await;
    let four = NonZeroU16::new(4).unwrap();
    let ledger = Ledger::new(bench.store.clone(), "points").partitions(four);
    let names = support::apart(four);
    for name in &names {
        again(async || ledger.deposit(&format!("open-{name}"), name, 100).await).await.unwrap();
    }
    for nth in 0..20 {
        let transfer = Transfer::new(nth.to_string(), &names[1], &names[2], 3);
        let balances = again(async || ledger.transfer(transfer.clone()).await).await.unwrap();
        assert_eq!((balances.from, balances.to), (97 - nth * 3, 103 + nth * 3));
    }
    again(async || ledger.complete_transfers(100).await).await.unwrap();
    let totals = again(async || ledger.totals().await).await.unwrap();
    assert_eq!((totals.deposited, totals.withdrawn, totals.in_transit), (400, 0, 0));
    let balances = again(async || ledger.balances(&[&names[1], &names[2]]).await).await.unwrap();
    assert_eq!(balances, [Some(40), Some(160)]);
    assert!(bench.proxy.dropped() >= 40, "{}", bench.proxy.dropped());
}

#[tokio::test]
async fn nothing_is_begun_or_done_twice() {
    let bench = bench().await;
    let once = Once::new(bench.store.clone(), "payment").lease(Duration::from_secs(60));
    for nth in 0..5 {
        let key = nth.to_string();
        // The script is repeated with the same owner, so an operation that was begun without a
        // reply is ours.
        let attempt = poll_until(SOON, async || match once.begin(&key).await {
            Ok(Begin::Started(attempt)) => Some(attempt),
            Ok(Begin::Done(result)) => panic!("{result:?}"),
            Ok(Begin::InProgress { .. }) => None,
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                None
            }
        });
        let attempt = attempt.await.unwrap();
        again(async || match attempt.complete("receipt").await {
            Ok(()) => Ok(()),
            Err(tidegate_sync::OnceError::Store(error)) => Err(error),
            Err(other) => panic!("{other}"),
        })
        .await
        .unwrap();
        let again = again(async || once.begin(&key).await).await.unwrap();
        assert!(matches!(again, Begin::Done(receipt) if receipt == "receipt"));
    }
    assert!(bench.proxy.dropped() >= 15, "{}", bench.proxy.dropped());
}
