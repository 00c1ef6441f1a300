//! A server that has reached `maxmemory`: steps that need memory are refused, others still work.

use std::num::NonZeroU16;
use std::time::Duration;

use bytes::Bytes;
use tidegate_sync::{
    Acquire, Begun, Completed, Ended, Ledger, LedgerError, LedgerId, LedgerStore, OnceStore, Operation, PermitStore,
    Posted, Posting, Redlock, Reserving, StockId, StockStore, StoreError,
};
use tidegate_testkit::redis::RedisServer;

use super::TornBench;
use super::support::{apart, connect, keyspace, ledger_id, lock_place};

const TTL: Duration = Duration::from_secs(3_600);

fn is_full<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    let error = answer.unwrap_err();
    assert!(error.is_full() && error.is_transient() && !error.may_have_run(), "{error}");
    assert!(error.to_string().contains("has reached maxmemory"), "{error}");
}

#[tokio::test]
async fn every_script_does_its_part_on_a_full_server() {
    let bench = TornBench::start(RedisServer::builder().set("maxmemory-policy", "noeviction")).await;
    let store = &bench.store;
    let (stock, ledger) = (
        StockId { name: "s".to_owned(), horizon: TTL },
        LedgerId { name: "l".to_owned(), horizon: TTL, partitions: NonZeroU16::MIN },
    );
    let place = lock_place("x");
    let acquire = |owner| Acquire { place: &place, permits: 1, owner, lease: TTL, queue: Some(TTL) };
    let operation = |key: &str| Operation { scope: "o".to_owned(), key: key.to_owned() };
    let deposit = |id| Posting { id, from: None, to: Some("ada"), amount: 5, fence: None, expected: None };

    store.acquire(acquire("z")).await.unwrap();
    for key in ["1", "2"] {
        store.begin(&operation(key), "z", TTL, TTL).await.unwrap();
    }
    store.add(&stock, "first", 100).await.unwrap();
    for id in ["a", "b", "c"] {
        store.reserve(&stock, id, 10, TTL).await.unwrap();
    }
    store.post(&ledger, deposit("1")).await.unwrap();

    let four = NonZeroU16::new(4).unwrap();
    let (spread, names) = (ledger_id("spread", four), apart(four));
    for name in &names[..2] {
        let open = Posting { id: name, from: None, to: Some(name), amount: 5, fence: None, expected: None };
        store.post(&spread, open).await.unwrap();
    }
    for (id, to) in [("arrives", &names[1]), ("returns", &names[2])] {
        let transfer = Posting { id, from: Some(&names[0]), to: Some(to), amount: 2, fence: None, expected: None };
        assert!(matches!(store.post(&spread, transfer).await.unwrap(), Posted::InTransit { .. }));
    }

    bench.server.cli(&["CONFIG", "SET", "maxmemory", "1mb"]).await;
    let before = bench.server.append_only_file().effects().len();
    is_full(store.acquire(acquire("y")).await);
    is_full(store.begin(&operation("3"), "z", TTL, TTL).await);
    is_full(store.add(&stock, "more", 7).await);
    is_full(store.reserve(&stock, "d", 1, TTL).await);
    is_full(store.post(&ledger, deposit("2")).await);
    assert_eq!(bench.server.effects_since(before), [], "what is refused has written nothing");

    let transfers = Ledger::new(store.clone(), "spread").partitions(four);
    let completed = transfers.complete_transfers(10).await.unwrap();
    assert_eq!(completed, Completed { arrived: 1, returned: 1, left: 0 });
    let refused = transfers.deposit("more", &names[0], 1).await.unwrap_err();
    assert!(matches!(&refused, LedgerError::Store(error) if error.is_full()), "{refused}");
    assert_eq!(store.balances(&spread, &[&names[0], &names[1]]).await.unwrap(), [Some(3), Some(7)]);

    assert!(PermitStore::extend(&**store, &place, "z", TTL * 2).await.unwrap());
    store.release(&place, "z").await.unwrap();
    assert!(OnceStore::extend(&**store, &operation("1"), "z", TTL, TTL).await.unwrap());
    assert!(store.complete(&operation("1"), "z", Bytes::from_static(b"done"), TTL).await.unwrap());
    store.fail(&operation("2"), "z").await.unwrap();
    assert_eq!(store.end(&stock, "a", Ended::Confirmed).await.unwrap(), Some(Ended::Confirmed));
    assert_eq!(store.end(&stock, "b", Ended::Released).await.unwrap(), Some(Ended::Released));
    bench.server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    bench.advance(TTL * 2).await;
    bench.server.cli(&["CONFIG", "SET", "maxmemory", "1mb"]).await;
    assert_eq!(store.sweep(&stock, 10).await.unwrap().expired, 1);
    let counts = store.counts(&stock).await.unwrap().unwrap();
    assert_eq!((counts.available, counts.reserved, counts.sold), (90, 0, 10));
    assert_eq!(store.balances(&ledger, &["ada"]).await.unwrap(), [Some(5)]);

    bench.server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    store.acquire(acquire("y")).await.unwrap();
    assert!(matches!(store.begin(&operation("2"), "y", TTL, TTL).await.unwrap(), Begun::Started { .. }));
    assert!(matches!(store.reserve(&stock, "d", 1, TTL).await.unwrap(), Reserving::Open { .. }));
    assert!(matches!(store.post(&ledger, deposit("2")).await.unwrap(), Posted::Done { to: 10, .. }));
}

#[tokio::test]
async fn a_lock_of_full_masters_is_not_taken_and_one_that_is_held_is_extended_and_released() {
    let servers = [RedisServer::start().await, RedisServer::start().await, RedisServer::start().await];
    let mut clients = Vec::new();
    for server in &servers {
        clients.push(connect(server.url()).await);
    }
    let lock = Redlock::try_new(clients, &keyspace(), "held").unwrap().lease(TTL).without_renewal();
    let guard = lock.acquire(TTL).await.unwrap();
    for server in &servers {
        server.cli(&["CONFIG", "SET", "maxmemory", "1mb"]).await;
    }
    is_full(lock.named(&keyspace(), "other").try_acquire().await);
    assert!(guard.extend().await.unwrap());
    guard.release().await.unwrap();
    for server in &servers {
        assert_eq!(server.cli(&["DBSIZE"]).await, "0");
    }
}
