//! Every prefix of every script.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_sync::{
    Acquire, Acquired, Begun, Ended, Fence, LedgerId, LedgerStore, OnceStore, Operation, PermitStore, Posted, Posting,
    RedisStore, Reserving, StockId, StockStore,
};
use tidegate_testkit::redis::RedisServer;

use super::support::lock_place;
use super::{Replayed, TornBench, again};

const TTL: Duration = Duration::from_secs(3_600);
const HORIZON: Duration = Duration::from_secs(86_400);

fn stock() -> StockId {
    StockId { name: "s".to_owned(), horizon: HORIZON }
}

fn ledger() -> LedgerId {
    LedgerId { name: "l".to_owned(), horizon: HORIZON, partitions: NonZeroU16::MIN }
}

/// Every unit is in one count, and all of them can be reserved in the end.
async fn the_stock_is_whole(bench: &TornBench, store: Arc<RedisStore>, replayed: &Replayed, total: u64) {
    let counts = store.counts(&stock()).await.unwrap().unwrap();
    assert_eq!(counts.available + counts.reserved + counts.sold, counts.total, "{}", replayed.effects);
    assert!(counts.total == total || counts.total == total + 7, "{}", replayed.effects);
    bench.set_clock(1_700_100_000_000_000).await;
    while store.sweep(&stock(), 100).await.unwrap().expired > 0 {}
    let counts = store.counts(&stock()).await.unwrap().unwrap();
    assert_eq!((counts.reserved, counts.available + counts.sold), (0, counts.total), "{}", replayed.effects);
    let left = counts.available;
    assert!(matches!(store.reserve(&stock(), "all", left, TTL).await.unwrap(), Reserving::Open { .. }));
}

async fn torn_stock(torn: impl AsyncFn(Arc<RedisStore>), next: impl AsyncFn(Arc<RedisStore>)) {
    let bench = TornBench::start(RedisServer::builder()).await;
    bench.store.add(&stock(), "first", 100).await.unwrap();
    for (id, quantity) in [("a", 10), ("b", 20)] {
        bench.store.reserve(&stock(), id, quantity, TTL).await.unwrap();
    }
    let holds = async |store, replayed: Replayed| the_stock_is_whole(&bench, store, &replayed, 100).await;
    bench.tear(torn, next, holds).await;
}

async fn reserve_c(store: Arc<RedisStore>) {
    let reserved = store.reserve(&stock(), "c", 50, TTL).await.unwrap();
    assert!(matches!(reserved, Reserving::Open { .. }));
}

#[tokio::test]
async fn a_torn_reservation_neither_creates_nor_destroys_stock() {
    let other = async |store: Arc<RedisStore>| {
        store.reserve(&stock(), "d", 60, TTL).await.unwrap();
    };
    torn_stock(reserve_c, other).await;
    let confirm = async |store: Arc<RedisStore>| {
        assert_eq!(store.end(&stock(), "a", Ended::Confirmed).await.unwrap(), Some(Ended::Confirmed));
    };
    torn_stock(reserve_c, confirm).await;
    torn_stock(confirm, reserve_c).await;
}

#[tokio::test]
async fn a_torn_end_of_a_reservation_neither_creates_nor_destroys_stock() {
    for (first, second) in [(Ended::Confirmed, Ended::Released), (Ended::Released, Ended::Confirmed)] {
        let end = async |store: Arc<RedisStore>| {
            store.end(&stock(), "a", first).await.unwrap();
        };
        let other_end = async |store: Arc<RedisStore>| {
            store.end(&stock(), "a", second).await.unwrap();
        };
        torn_stock(end, other_end).await;
        torn_stock(end, reserve_c).await;
    }
}

#[tokio::test]
async fn a_torn_addition_neither_creates_nor_destroys_stock() {
    let add = async |store: Arc<RedisStore>| {
        store.add(&stock(), "more", 7).await.unwrap();
    };
    torn_stock(add, reserve_c).await;
    torn_stock(add, add).await;
    torn_stock(reserve_c, add).await;
}

#[tokio::test]
async fn a_torn_sweep_neither_creates_nor_destroys_stock() {
    let bench = TornBench::start(RedisServer::builder()).await;
    bench.store.add(&stock(), "first", 100).await.unwrap();
    for id in ["a", "b", "c"] {
        bench.store.reserve(&stock(), id, 10, TTL).await.unwrap();
    }
    bench.store.end(&stock(), "a", Ended::Confirmed).await.unwrap();
    bench.advance(HORIZON + TTL).await;
    let sweep = async |store: Arc<RedisStore>| {
        assert_eq!(store.sweep(&stock(), 2).await.unwrap().expired, 2);
    };
    let other = async |store: Arc<RedisStore>| {
        store.end(&stock(), "b", Ended::Released).await.unwrap();
    };
    let holds = async |store, replayed: Replayed| the_stock_is_whole(&bench, store, &replayed, 100).await;
    bench.tear(sweep, other, holds).await;
}

/// The journal still contains the end that the sweep removes. The entry's own field is still open.
#[tokio::test]
async fn a_reservation_that_a_torn_sweep_forgets_is_not_ended_again() {
    let bench = TornBench::start(RedisServer::builder()).await;
    bench.store.add(&stock(), "first", 100).await.unwrap();
    bench.store.reserve(&stock(), "b", 10, TTL).await.unwrap();
    bench.store.end(&stock(), "b", Ended::Released).await.unwrap();
    bench.advance(HORIZON + Duration::from_secs(1)).await;
    let sweep = async |store: Arc<RedisStore>| {
        // The id of the addition is kept.
        assert_eq!(store.sweep(&stock(), 10).await.unwrap().forgotten, 1);
    };
    let holds = async |store: Arc<RedisStore>, replayed: Replayed| {
        store.end(&stock(), "b", Ended::Released).await.unwrap();
        the_stock_is_whole(&bench, store, &replayed, 100).await;
    };
    bench.tear(sweep, reserve_c, holds).await;
}

#[tokio::test]
async fn a_torn_transfer_neither_creates_nor_destroys_money() {
    let bench = TornBench::start(RedisServer::builder()).await;
    let deposit = |id, to, amount| Posting { id, from: None, to: Some(to), amount, fence: None, expected: None };
    for (id, account, amount) in [("1", "ada", 100), ("2", "bob", 10), ("3", "eve", 0)] {
        bench.store.post(&ledger(), deposit(id, account, amount)).await.unwrap();
    }
    let transfer = |id, from, to, amount, fence| {
        async move |store: Arc<RedisStore>| {
            let fence = Some(Fence::new(fence));
            let posting = Posting { id, from: Some(from), to: Some(to), amount, fence, expected: None };
            assert!(matches!(store.post(&ledger(), posting).await.unwrap(), Posted::Done { .. }));
        }
    };
    let sum_is_kept = async |store: Arc<RedisStore>, replayed: Replayed| {
        let balances = store.balances(&ledger(), &["ada", "bob", "eve"]).await.unwrap();
        assert_eq!(balances.iter().flatten().sum::<u64>(), 110, "{balances:?} after {}", replayed.effects);
        // An acknowledged transfer was executed, and its repetition is not executed again.
        if replayed.is_next_done {
            transfer("next", "bob", "eve", 5, 8)(store.clone()).await;
            assert_eq!(store.balances(&ledger(), &["ada", "bob", "eve"]).await.unwrap(), balances);
            let old = Posting {
                id: "old",
                from: Some("bob"),
                to: Some("eve"),
                amount: 1,
                fence: Some(Fence::new(7)),
                expected: None,
            };
            assert!(matches!(store.post(&ledger(), old).await.unwrap(), Posted::Fenced { .. }));
        }
        // The torn one can be repeated, and moves its amount once.
        transfer("torn", "ada", "bob", 30, 9)(store.clone()).await;
        let ada = store.balances(&ledger(), &["ada"]).await.unwrap();
        assert_eq!(ada, [Some(70)], "{}", replayed.effects);
    };
    let torn = transfer("torn", "ada", "bob", 30, 9);
    bench.tear(torn, transfer("next", "bob", "eve", 5, 8), sum_is_kept).await;
}

#[tokio::test]
async fn a_torn_forgetting_of_a_posting_leaves_the_balances() {
    let bench = TornBench::start(RedisServer::builder()).await;
    let deposit = |id, to, amount| Posting { id, from: None, to: Some(to), amount, fence: None, expected: None };
    bench.store.post(&ledger(), deposit("1", "ada", 100)).await.unwrap();
    bench.store.post(&ledger(), deposit("2", "bob", 10)).await.unwrap();
    bench.advance(HORIZON).await;
    let post = |id, to| {
        async move |store: Arc<RedisStore>| {
            store.post(&ledger(), deposit(id, to, 5)).await.unwrap();
        }
    };
    let holds = async |store: Arc<RedisStore>, replayed: Replayed| {
        let balances = store.balances(&ledger(), &["ada", "bob"]).await.unwrap();
        let expected = match (replayed.is_torn_done, replayed.is_next_done) {
            (_, true) => [100, 15],
            (true, false) => [105, 10],
            (false, false) if balances[0] == Some(105) => [105, 10],
            (false, false) => [100, 10],
        };
        assert_eq!(balances, expected.map(Some), "{}", replayed.effects);
    };
    bench.tear(post("3", "ada"), post("4", "bob"), holds).await;
}

async fn acquire(store: &RedisStore, owner: &str) -> Acquired {
    let place = lock_place("x");
    let request = Acquire { place: &place, permits: 1, owner, lease: TTL, queue: Some(TTL) };
    store.acquire(request).await.unwrap()
}

fn fence(acquired: &Acquired) -> Fence {
    match acquired {
        Acquired::Granted(fence) => *fence,
        other => panic!("the lock is free, but the answer is {other:?}"),
    }
}

/// An owner that received no reply must not get a lock that another one received meanwhile.
#[tokio::test]
async fn a_torn_grant_gives_a_lock_to_one_owner() {
    let bench = TornBench::start(RedisServer::builder()).await;
    let first = fence(&acquire(&bench.store, "z").await);
    acquire(&bench.store, "a").await;
    bench.store.release(&lock_place("x"), "z").await.unwrap();
    let torn = async |store: Arc<RedisStore>| {
        acquire(&store, "a").await;
    };
    let next = async |store: Arc<RedisStore>| {
        // `a` has released it meanwhile.
        store.release(&lock_place("x"), "a").await.unwrap();
        fence(&acquire(&store, "b").await);
    };
    let holds = async |store: Arc<RedisStore>, replayed: Replayed| {
        if replayed.is_next_done {
            assert!(PermitStore::extend(&*store, &lock_place("x"), "b", TTL).await.unwrap(), "{}", replayed.effects);
            let answer = acquire(&store, "a").await;
            assert!(matches!(answer, Acquired::Busy { .. }), "{answer:?} after {}", replayed.effects);
            assert!(PermitStore::extend(&*store, &lock_place("x"), "b", TTL).await.unwrap(), "{}", replayed.effects);
        } else {
            assert!(fence(&acquire(&store, "a").await) > first, "{}", replayed.effects);
            bench.advance(TTL).await;
            let next = fence(&acquire(&store, "b").await);
            assert!(next > first, "{}", replayed.effects);
        }
    };
    bench.tear(torn, next, holds).await;
}

#[tokio::test]
async fn a_torn_place_in_the_queue_does_not_hold_up_the_others_for_ever() {
    let bench = TornBench::start(RedisServer::builder()).await;
    acquire(&bench.store, "z").await;
    acquire(&bench.store, "w").await;
    bench.advance(TTL * 2).await;
    // Removes `w`, which counts as dead, and queues.
    let queue = |owner: &'static str| {
        async move |store: Arc<RedisStore>| {
            acquire(&store, owner).await;
        }
    };
    acquire(&bench.store, "y").await;
    let holds = async |store: Arc<RedisStore>, replayed: Replayed| {
        bench.advance(TTL * 2).await;
        let answer = acquire(&store, "last").await;
        assert!(matches!(answer, Acquired::Granted(_)), "{answer:?} after {}", replayed.effects);
    };
    bench.tear(queue("a"), queue("b"), holds).await;
}

#[tokio::test]
async fn a_torn_extension_or_release_loses_no_permit() {
    let bench = TornBench::start(RedisServer::builder()).await;
    acquire(&bench.store, "z").await;
    acquire(&bench.store, "a").await;
    bench.advance(TTL / 2).await;
    let extend = async |store: Arc<RedisStore>| {
        assert!(PermitStore::extend(&*store, &lock_place("x"), "z", TTL * 3).await.unwrap());
    };
    let give_up = async |store: Arc<RedisStore>| store.release(&lock_place("x"), "a").await.unwrap();
    let is_held = async |store: Arc<RedisStore>, replayed: Replayed| {
        assert!(matches!(acquire(&store, "b").await, Acquired::Busy { .. }), "{}", replayed.effects);
        assert!(PermitStore::extend(&*store, &lock_place("x"), "z", TTL).await.unwrap(), "{}", replayed.effects);
    };
    bench.tear(extend, give_up, is_held).await;
    bench.tear(give_up, extend, is_held).await;
}

fn operation() -> Operation {
    Operation { scope: "o".to_owned(), key: "1".to_owned() }
}

async fn begin(store: &RedisStore, owner: &str) -> Begun {
    store.begin(&operation(), owner, TTL, HORIZON).await.unwrap()
}

/// A result that an owner received remains valid, even after the torn step of another owner.
#[tokio::test]
async fn a_torn_takeover_does_not_undo_what_the_owner_did() {
    let bench = TornBench::start(RedisServer::builder()).await;
    begin(&bench.store, "a").await;
    bench.advance(TTL).await;
    let take_over = async |store: Arc<RedisStore>| {
        assert!(matches!(begin(&store, "b").await, Begun::Started { attempt: 2 }));
    };
    let extend = async |store: Arc<RedisStore>| {
        assert!(OnceStore::extend(&*store, &operation(), "a", TTL, HORIZON).await.unwrap());
    };
    let complete = async |store: Arc<RedisStore>| {
        assert!(store.complete(&operation(), "a", Bytes::from_static(b"done"), HORIZON).await.unwrap());
    };
    let fail = async |store: Arc<RedisStore>| store.fail(&operation(), "a").await.unwrap();
    bench
        .tear(take_over, extend, async |store, replayed| {
            if replayed.is_next_done {
                let result = Bytes::from_static(b"done");
                let is_kept = store.complete(&operation(), "a", result, HORIZON).await.unwrap();
                assert!(is_kept, "{}", replayed.effects);
            }
        })
        .await;
    bench
        .tear(take_over, complete, async |store, replayed| {
            let answer = begin(&store, "c").await;
            let is_done = matches!(&answer, Begun::Done(result) if result == "done");
            assert_eq!(is_done, replayed.is_next_done, "{answer:?} after {}", replayed.effects);
        })
        .await;
    // It is completed now: every torn step leaves it completed or running, and only a later owner
    // may begin it again.
    let bench = TornBench::start(RedisServer::builder()).await;
    begin(&bench.store, "a").await;
    bench
        .tear(complete, fail, async |store, replayed| {
            bench.advance(TTL).await;
            let answer = begin(&store, "c").await;
            assert!(matches!(answer, Begun::Done(_) | Begun::Started { .. }), "{answer:?} after {}", replayed.effects);
        })
        .await;
    bench
        .tear(fail, take_over_now, async |store, replayed| {
            bench.advance(TTL * 2).await;
            let answer = begin(&store, "c").await;
            assert!(matches!(answer, Begun::Started { .. }), "{answer:?} after {}", replayed.effects);
        })
        .await;
}

async fn take_over_now(store: Arc<RedisStore>) {
    begin(&store, "a").await;
    store.fail(&operation(), "a").await.unwrap();
    begin(&store, "b").await;
}

/// A script with one effect is not wrapped, so a torn file contains it as a whole or not at all.
#[tokio::test]
async fn every_step_of_a_redlock_is_one_command() {
    let servers = [RedisServer::start().await, RedisServer::start().await, RedisServer::start().await];
    let mut clients = Vec::new();
    for server in &servers {
        clients.push(super::connect(server.url()).await);
    }
    let redlock = tidegate_sync::Redlock::try_new(clients, &super::keyspace(), "r").unwrap();
    let guard = redlock.acquire(TTL).await.unwrap();
    assert!(guard.extend().await.unwrap());
    guard.release().await.unwrap();
    for server in &servers {
        let file = server.append_only_file();
        assert!(file.transactions().len() >= 3, "{:?}", file.transactions());
        assert!(file.transactions().iter().all(|transaction| !transaction.is_wrapped), "{:?}", file.transactions());
    }
}

/// The same with a file that is truncated and a server that is restarted, twice in a row.
#[tokio::test]
async fn acknowledged_transfers_outlive_a_file_that_is_torn_twice() {
    let mut bench = TornBench::start(RedisServer::builder()).await;
    let deposit = |id, to, amount| Posting { id, from: None, to: Some(to), amount, fence: None, expected: None };
    bench.store.post(&ledger(), deposit("1", "ada", 100)).await.unwrap();
    bench.store.post(&ledger(), deposit("2", "bob", 0)).await.unwrap();
    let transfer = |id, amount| Posting { id, from: Some("ada"), to: Some("bob"), amount, fence: None, expected: None };
    for (round, torn, kept) in [(0, "torn-0", "kept-0"), (1, "torn-1", "kept-1")] {
        bench.store.post(&ledger(), transfer(torn, 40)).await.unwrap();
        bench.server.kill9();
        let file = bench.server.append_only_file();
        let effects = file.last().effects.len();
        file.tear_after(effects - round);
        bench.server.restart().await;
        let posted = again(async || bench.store.post(&ledger(), transfer(kept, 3)).await).await.unwrap();
        assert!(matches!(posted, Posted::Done { .. }));
    }
    bench.server.kill9();
    bench.server.restart().await;
    let balances = again(async || bench.store.balances(&ledger(), &["ada", "bob"]).await).await.unwrap();
    assert_eq!(balances, [Some(94), Some(6)]);
}
