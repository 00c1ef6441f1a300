//! Locks: one holder at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_sync::{Acquire, Acquired, Fence, Lock, PermitStore};
use tidegate_testkit::poll_until;

use crate::support::{Bench, LEASE, SOON, lock_place};

fn request<'a>(place: &'a tidegate_sync::Place, owner: &'a str) -> Acquire<'a> {
    Acquire { place, permits: 1, owner, lease: LEASE, queue: None }
}

fn fence(answer: Acquired) -> Fence {
    match answer {
        Acquired::Granted(fence) => fence,
        other => panic!("{other:?}"),
    }
}

pub async fn a_lock_has_one_holder(bench: Bench) {
    let lock = bench.lock("a");
    let guard = lock.try_acquire().await.unwrap().unwrap();
    assert!(guard.is_held());
    assert!(guard.remaining() <= LEASE && guard.remaining() > LEASE / 2);
    assert!(lock.try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    lock.try_acquire().await.unwrap().unwrap().release().await.unwrap();
}

pub async fn names_are_locks_of_their_own(bench: Bench) {
    let mut guards = Vec::new();
    for name in ["", "a", "a:b", "a}b{", "ü\n", "A"] {
        guards.push(bench.lock(name).try_acquire().await.unwrap().unwrap());
    }
    assert!(guards.iter().all(tidegate_sync::LockGuard::is_held));
}

pub async fn tokens_grow(bench: Bench) {
    let lock = bench.lock("a");
    let mut last = Fence::new(0);
    for _ in 0..20 {
        // The clock is stopped: only the counter makes them grow.
        let guard = lock.try_acquire().await.unwrap().unwrap();
        assert!(guard.fence() > last);
        last = guard.fence();
        guard.release().await.unwrap();
    }
}

pub async fn a_dropped_guard_releases(bench: Bench) {
    let lock = bench.lock("a");
    drop(lock.try_acquire().await.unwrap().unwrap());
    poll_until(SOON, async || lock.try_acquire().await.unwrap()).await.unwrap().release().await.unwrap();
}

pub async fn a_dead_holders_lock_is_free_after_its_lease(bench: Bench) {
    let (store, place) = (&bench.store, lock_place("a"));
    let first = fence(store.acquire(request(&place, "dead")).await.unwrap());
    bench.advance(LEASE - Duration::from_secs(1)).await;
    let busy = store.acquire(request(&place, "next")).await.unwrap();
    assert_eq!(busy, Acquired::Busy { ahead: 0, free_in: Duration::from_secs(1) });
    bench.advance(Duration::from_secs(1)).await;
    // It has ended, although no other owner has acquired it: it cannot be extended.
    assert!(!PermitStore::extend(&**store, &place, "dead", LEASE).await.unwrap());
    assert!(fence(store.acquire(request(&place, "next")).await.unwrap()) > first);
}

pub async fn a_late_release_leaves_the_next_holder_alone(bench: Bench) {
    let (store, place) = (&bench.store, lock_place("a"));
    store.acquire(request(&place, "slow")).await.unwrap();
    bench.advance(LEASE).await;
    fence(store.acquire(request(&place, "next")).await.unwrap());
    store.release(&place, "slow").await.unwrap();
    assert!(!PermitStore::extend(&**store, &place, "slow", LEASE).await.unwrap());
    assert!(PermitStore::extend(&**store, &place, "next", LEASE).await.unwrap());
    assert!(bench.lock("a").try_acquire().await.unwrap().is_none());
}

pub async fn a_repeat_takes_no_second_lock(bench: Bench) {
    let (store, place) = (&bench.store, lock_place("a"));
    let first = fence(store.acquire(request(&place, "me")).await.unwrap());
    bench.advance(LEASE / 2).await;
    assert!(fence(store.acquire(request(&place, "me")).await.unwrap()) > first);
    bench.advance(LEASE / 2).await;
    assert!(PermitStore::extend(&**store, &place, "me", LEASE).await.unwrap(), "the repeat renewed it");
    store.release(&place, "me").await.unwrap();
    store.release(&place, "me").await.unwrap();
    assert!(bench.lock("a").try_acquire().await.unwrap().is_some());
}

pub async fn a_renewed_lock_stays_held(bench: Bench) {
    let lock = bench.lock("a").lease(Duration::from_millis(300));
    let guard = lock.try_acquire().await.unwrap().unwrap();
    let (mut last, mut renewals) = (guard.remaining(), 0);
    let renewed = poll_until(SOON, async || {
        assert!(guard.is_held());
        let now = guard.remaining();
        renewals += u32::from(now > last);
        last = now;
        (renewals == 5).then_some(())
    });
    renewed.await.unwrap();
    assert!(guard.extend().await.unwrap());
    guard.release().await.unwrap();
}

pub async fn the_holder_is_told_that_it_lost_the_lock(bench: Bench) {
    let lock = Lock::new(bench.store.clone(), "a").lease(Duration::from_millis(500));
    let guard = lock.try_acquire().await.unwrap().unwrap();
    bench.advance(Duration::from_secs(1)).await;
    let next = bench.lock("a").try_acquire().await.unwrap().unwrap();
    tokio::time::timeout(SOON, guard.lost()).await.unwrap();
    assert!(!guard.is_held());
    assert_eq!(guard.remaining(), Duration::ZERO);
    assert!(!guard.extend().await.unwrap());
    assert!(next.fence() > guard.fence());
    guard.release().await.unwrap();
    assert!(next.extend().await.unwrap());
}

pub async fn without_renewal_it_is_lost_after_its_lease(bench: Bench) {
    let lock = bench.lock("a").lease(Duration::from_millis(100)).without_renewal();
    let guard = lock.try_acquire().await.unwrap().unwrap();
    tokio::time::timeout(SOON, guard.lost()).await.unwrap();
    assert!(!guard.is_held());
    // Its own clock is ahead of the store's, which is stopped.
    assert!(lock.try_acquire().await.unwrap().is_none());
}

pub async fn many_tasks_never_overlap(bench: Bench) {
    let inside = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (lock, inside) = (bench.lock("a"), inside.clone());
            tokio::spawn(async move {
                for _ in 0..10 {
                    let guard = lock.acquire(SOON).await.unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    guard.release().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
