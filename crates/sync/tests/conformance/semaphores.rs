//! Semaphores: a limited number of holders at a time.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_sync::{Acquire, Acquired, Place, PlaceKind, Semaphore};

use crate::support::{Bench, LEASE, SOON};

fn three(bench: &Bench) -> Semaphore {
    Semaphore::new(bench.store.clone(), "exports", NonZeroU32::new(3).unwrap()).lease(LEASE)
}

pub async fn a_semaphore_has_so_many_permits(bench: Bench) {
    let semaphore = three(&bench);
    let mut permits = Vec::new();
    for _ in 0..3 {
        permits.push(semaphore.try_acquire().await.unwrap().unwrap());
    }
    assert!(permits.is_sorted_by(|a, b| a.fence() < b.fence()));
    assert!(semaphore.try_acquire().await.unwrap().is_none());
    permits.remove(1).release().await.unwrap();
    permits.push(semaphore.try_acquire().await.unwrap().unwrap());
    assert!(semaphore.try_acquire().await.unwrap().is_none());
    assert!(permits.iter().all(tidegate_sync::Permit::is_held));
}

pub async fn a_lock_and_a_semaphore_of_one_name_are_two(bench: Bench) {
    let _lock = bench.lock("exports").try_acquire().await.unwrap().unwrap();
    assert!(three(&bench).try_acquire().await.unwrap().is_some());
}

pub async fn the_permits_of_the_dead_come_back(bench: Bench) {
    let place = Place { kind: PlaceKind::Semaphore, name: "exports".to_owned() };
    for owner in ["one", "two"] {
        let request = Acquire { place: &place, permits: 3, owner, lease: LEASE / 2, queue: None };
        assert!(matches!(bench.store.acquire(request).await.unwrap(), Acquired::Granted(_)));
    }
    let semaphore = three(&bench);
    let alive = semaphore.try_acquire().await.unwrap().unwrap();
    assert!(semaphore.try_acquire().await.unwrap().is_none());
    bench.advance(LEASE / 2).await;
    let _two = semaphore.try_acquire().await.unwrap().unwrap();
    let _three = semaphore.try_acquire().await.unwrap().unwrap();
    assert!(semaphore.try_acquire().await.unwrap().is_none());
    assert!(alive.extend().await.unwrap());
}

pub async fn many_tasks_share_three_permits(bench: Bench) {
    let (inside, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let (semaphore, inside, most) = (three(&bench), inside.clone(), most.clone());
            tokio::spawn(async move {
                for _ in 0..5 {
                    let permit = semaphore.acquire(SOON).await.unwrap();
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(now <= 3, "{now} at once");
                    most.fetch_max(now, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    permit.release().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(most.load(Ordering::SeqCst) > 1);
}
