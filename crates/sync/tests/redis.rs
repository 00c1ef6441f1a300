//! Guarantees with Redis only: outages, lost data and scripts, round trips, expiry.
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
use tidegate_sync::{Begin, Fence, Ledger, Lock, Once, RedisStore, Semaphore, Stock};
use tidegate_testkit::redis::RedisServer;

async fn start() -> (RedisServer, Arc<RedisStore>) {
    let server = RedisServer::start().await;
    let store = Arc::new(RedisStore::new(connect(server.url()).await, keyspace()));
    (server, store)
}

/// Commands that clients sent since the last `CONFIG RESETSTAT`, except `redis-cli`'s own.
async fn scripts_run(server: &RedisServer) -> u64 {
    let stats = server.cli(&["INFO", "commandstats"]).await;
    let calls = |name: &str| {
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        line.map_or(0, |line| line.split(['=', ',']).nth(1).unwrap().parse().unwrap())
    };
    calls("evalsha") + calls("eval")
}

#[tokio::test]
async fn an_uncontended_lock_and_unlock_cost_two_round_trips() {
    let (server, store) = start().await;
    let lock = Lock::new(store, "a");
    lock.acquire(SOON).await.unwrap().release().await.unwrap();
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    for _ in 0..100 {
        lock.acquire(SOON).await.unwrap().release().await.unwrap();
    }
    assert_eq!(scripts_run(&server).await, 200);
}

#[tokio::test]
async fn a_reservation_costs_one_round_trip() {
    let (server, store) = start().await;
    let stock = Stock::new(store, "sale");
    stock.add("all", 1_000).await.unwrap();
    let _ = stock.reserve("warm", 1, SOON).await.unwrap();
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    for nth in 0..100 {
        let _ = stock.reserve(&nth.to_string(), 1, SOON).await.unwrap();
    }
    assert_eq!(scripts_run(&server).await, 100);
}

#[tokio::test]
async fn a_long_queue_does_not_storm_when_the_lock_is_released() {
    let (server, store) = start().await;
    let guard = Lock::new(store.clone(), "a").acquire(SOON).await.unwrap();
    let waiters: Vec<_> = (0..40)
        .map(|_| {
            let lock = Lock::new(store.clone(), "a");
            tokio::spawn(async move { lock.acquire(SOON * 2).await.unwrap().release().await.unwrap() })
        })
        .collect();
    let in_queue = async || (server.cli(&["ZCARD", "tidegate:{l:a}:queue"]).await == "40").then_some(());
    tidegate_testkit::poll_until(SOON, in_queue).await.unwrap();
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    guard.release().await.unwrap();
    for waiter in waiters {
        waiter.await.unwrap();
    }
    // If all waiters polled, there would be 40 + 39 + … requests: 820 for the acquisitions alone.
    let asked = scripts_run(&server).await;
    assert!((80..600).contains(&asked), "{asked} scripts for 40 acquisitions and releases");
}

#[tokio::test]
async fn tokens_grow_over_a_flush_of_all_data_and_scripts() {
    let (server, store) = start().await;
    let lock = Lock::new(store, "a");
    let mut last = Fence::new(0);
    for command in ["SCRIPT FLUSH", "FLUSHALL", "FLUSHALL", "SCRIPT FLUSH"] {
        let guard = lock.acquire(SOON).await.unwrap();
        assert!(guard.fence() > last);
        last = guard.fence();
        assert_eq!(server.cli(&command.split(' ').collect::<Vec<_>>()).await, "OK");
        let _ = guard.release().await;
    }
}

#[tokio::test]
async fn a_flush_tells_the_holder() {
    let (server, store) = start().await;
    let guard = Lock::new(store, "a").lease(Duration::from_millis(500)).acquire(SOON).await.unwrap();
    server.cli(&["FLUSHALL"]).await;
    tokio::time::timeout(SOON, guard.lost()).await.unwrap();
    assert!(!guard.is_held());
}

#[tokio::test]
async fn a_holder_without_redis_knows_when_it_has_lost_the_lock() {
    let (mut server, store) = start().await;
    let lock = Lock::new(store, "a").lease(Duration::from_millis(800));
    let guard = lock.acquire(SOON).await.unwrap();
    server.hang().await;
    tokio::time::timeout(SOON, guard.lost()).await.unwrap();
    assert!(!guard.is_held());
    server.resume();
    let next = lock.acquire(SOON).await.unwrap();
    assert!(next.fence() > guard.fence());
    server.kill9();
    tokio::time::timeout(SOON, next.lost()).await.unwrap();
    server.restart().await;
    assert!(lock.acquire(SOON).await.unwrap().is_held());
}

#[tokio::test]
async fn a_short_outage_does_not_cost_the_lock() {
    let (mut server, store) = start().await;
    let guard = Lock::new(store, "a").lease(Duration::from_secs(30)).acquire(SOON).await.unwrap();
    server.kill9();
    server.restart().await;
    assert!(again(async || guard.extend().await).await.unwrap());
    assert!(guard.is_held());
    again(async || guard.extend().await).await.unwrap();
}

#[tokio::test]
async fn what_should_expire_does() {
    let (server, store) = start().await;
    let _guard = Lock::new(store.clone(), "a").acquire(SOON).await.unwrap();
    let waiting = Lock::new(store.clone(), "a").acquire(Duration::from_millis(100)).await;
    assert!(waiting.is_err());
    let _permit = Semaphore::new(store.clone(), "a", NonZeroU32::MIN).acquire(SOON).await.unwrap();
    let Begin::Started(attempt) = Once::new(store.clone(), "a").begin("b").await.unwrap() else { panic!() };
    let stock = Stock::new(store.clone(), "a");
    stock.add("1", 10).await.unwrap();
    let _ = stock.reserve("2", 1, SOON).await.unwrap();
    Ledger::new(store.clone(), "a").deposit("1", "ada", 1).await.unwrap();
    let keys = server.cli(&["KEYS", "*"]).await;
    assert!(keys.lines().count() >= 10, "{keys}");
    for key in keys.lines() {
        let is_record = key.starts_with("tidegate:{st:") || key.starts_with("tidegate:{lg:");
        let ttl: i64 = server.cli(&["PTTL", key]).await.parse().unwrap();
        assert_eq!(ttl == -1, is_record, "{key} expires in {ttl} ms");
    }
    attempt.fail().await.unwrap();
    assert_ne!(server.cli(&["PTTL", "tidegate:{o:a:b}"]).await, "-1");
}
