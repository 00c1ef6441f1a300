//! Waiting for a lock.

use std::time::Duration;

use tidegate_sync::{Acquire, AcquireError, Acquired, Lock};
use tidegate_testkit::poll_until;
use tokio::sync::mpsc;

use crate::support::{Bench, LEASE, SOON, lock_place};

/// Length of the queue, read by an owner that does not join it.
async fn queued(bench: &Bench) -> u64 {
    let place = lock_place("a");
    let look = Acquire { place: &place, permits: 1, owner: "onlooker", lease: LEASE, queue: None };
    match bench.store.acquire(look).await.unwrap() {
        Acquired::Busy { ahead, .. } => ahead,
        other => panic!("{other:?}"),
    }
}

async fn until_queued(bench: &Bench, count: u64) {
    poll_until(SOON, async || (queued(bench).await == count).then_some(())).await.unwrap();
}

fn wait_in_background(lock: &Lock, nth: u32, done: &mpsc::UnboundedSender<u32>) {
    let (lock, done) = (lock.clone(), done.clone());
    tokio::spawn(async move {
        let guard = lock.acquire(SOON).await.unwrap();
        done.send(nth).unwrap();
        guard.release().await.unwrap();
    });
}

pub async fn waiters_are_served_in_the_order_in_which_they_came(bench: Bench) {
    let lock = bench.lock("a");
    let guard = lock.try_acquire().await.unwrap().unwrap();
    let (done, mut order) = mpsc::unbounded_channel();
    for nth in 0..6 {
        wait_in_background(&lock, nth, &done);
        until_queued(&bench, u64::from(nth) + 1).await;
        bench.advance(Duration::from_micros(1)).await;
    }
    guard.release().await.unwrap();
    for nth in 0..6 {
        assert_eq!(order.recv().await, Some(nth));
    }
}

pub async fn who_does_not_wait_does_not_overtake(bench: Bench) {
    let (store, place) = (&bench.store, lock_place("a"));
    let ask = |owner, queue| Acquire { place: &place, permits: 1, owner, lease: LEASE, queue };
    let wait = Some(Duration::from_secs(2));
    store.acquire(ask("holder", None)).await.unwrap();
    assert!(matches!(store.acquire(ask("waiter", wait)).await.unwrap(), Acquired::Busy { ahead: 0, .. }));
    store.release(&place, "holder").await.unwrap();
    assert!(matches!(store.acquire(ask("passer-by", None)).await.unwrap(), Acquired::Busy { .. }));
    assert!(matches!(store.acquire(ask("waiter", wait)).await.unwrap(), Acquired::Granted(_)));
}

pub async fn a_dead_waiter_holds_nobody_up_for_long(bench: Bench) {
    let (store, place) = (&bench.store, lock_place("a"));
    let lock = bench.lock("a");
    let guard = lock.try_acquire().await.unwrap().unwrap();
    let ghost =
        Acquire { place: &place, permits: 1, owner: "ghost", lease: LEASE, queue: Some(Duration::from_secs(2)) };
    store.acquire(ghost).await.unwrap();
    guard.release().await.unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none(), "it is the ghost's turn");
    bench.advance(Duration::from_secs(2)).await;
    assert!(lock.try_acquire().await.unwrap().is_some());
}

pub async fn a_waiter_gives_up_in_time_and_leaves_the_queue(bench: Bench) {
    let lock = bench.lock("a");
    let guard = lock.try_acquire().await.unwrap().unwrap();
    let error = lock.acquire(Duration::from_millis(60)).await.unwrap_err();
    assert!(matches!(error, AcquireError::TimedOut { .. }), "{error}");
    until_queued(&bench, 0).await;
    guard.release().await.unwrap();
    assert!(lock.try_acquire().await.unwrap().is_some());
}

pub async fn a_cancelled_waiter_leaves_the_queue(bench: Bench) {
    let lock = bench.lock("a");
    let guard = lock.try_acquire().await.unwrap().unwrap();
    let waiting = tokio::spawn({
        let lock = lock.clone();
        async move { lock.acquire(SOON).await }
    });
    until_queued(&bench, 1).await;
    waiting.abort();
    until_queued(&bench, 0).await;
    guard.release().await.unwrap();
    assert!(lock.try_acquire().await.unwrap().is_some());
}

pub async fn a_waiter_gets_the_lock_of_a_dead_holder(bench: Bench) {
    let place = lock_place("a");
    let dead = Acquire { place: &place, permits: 1, owner: "dead", lease: LEASE, queue: None };
    bench.store.acquire(dead).await.unwrap();
    let waiting = tokio::spawn({
        let lock = bench.lock("a");
        async move { lock.acquire(SOON).await }
    });
    until_queued(&bench, 1).await;
    bench.advance(LEASE).await;
    assert!(waiting.await.unwrap().unwrap().is_held());
}
