//! Increments: they add up, each once, whatever the sink does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cache::WriteBehindError;
use tidegate_testkit::poll_until;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::ground::{Place, SOON, Store, key, options};

#[tokio::test]
async fn increments_of_one_key_are_added_up() {
    for place in Place::all().await {
        let store = Store::default();
        let views = place.increments(&store, options()).await;
        for by in [1, 2, -4, 10] {
            views.add(&key(1), by).await.unwrap();
        }
        let pending = views.pending(&key(1)).await.unwrap();
        assert_eq!((pending.waiting, pending.under_way, pending.total()), (9, None, 9));
        views.flush(SOON).await.unwrap();
        assert_eq!((store.total(1), store.batches.lock().unwrap().clone()), (9, vec![1]));
        assert_eq!(views.pending(&key(1)).await.unwrap().total(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_add_up_exactly_while_the_sink_fails_before_and_after_its_commit() {
    for place in Place::all().await {
        let store = Store::default();
        let fast = options().every(Duration::from_millis(10)).count(7);
        let (one, other) = match &place {
            Place::Memory => {
                let one = place.increments(&store, fast.clone()).await;
                (one.clone(), one)
            }
            #[cfg(feature = "json")]
            Place::Redis(_) => (place.increments(&store, fast.clone()).await, place.increments(&store, fast).await),
        };
        let mut tasks = JoinSet::new();
        for task in 0..8 {
            let (views, store) = (if task % 2 == 0 { one.clone() } else { other.clone() }, store.clone());
            tasks.spawn(async move {
                for index in 0..100 {
                    views.add(&key(index % 20), 1).await.unwrap();
                    match (task, index % 10) {
                        (0, 3) => store.failing.store(1, Ordering::SeqCst),
                        (0, 7) => store.forgetful.store(true, Ordering::SeqCst),
                        _ => {}
                    }
                }
            });
        }
        tasks.join_all().await;
        one.flush(SOON).await.unwrap();
        other.flush(SOON).await.unwrap();
        let totals: Vec<i64> = (0..20).map(|index| store.total(index)).collect();
        assert_eq!(totals, [40; 20]);
        assert_eq!(one.status().await.waiting, Some(0));
    }
}

#[tokio::test]
async fn a_batch_in_progress_is_reported_separately() {
    for place in Place::all().await {
        let store = Store::default();
        let views = place.increments(&store, options()).await;
        views.add(&key(1), 3).await.unwrap();
        store.failing.store(usize::MAX, Ordering::SeqCst);
        let _ = views.flush(Duration::from_millis(50)).await.unwrap_err();
        views.add(&key(1), 4).await.unwrap();
        views.add(&key(2), 5).await.unwrap();
        let pending = views.pending(&key(1)).await.unwrap();
        let (number, by) = pending.under_way.unwrap();
        assert_eq!((pending.waiting, by, pending.total()), (4, 3, 7));
        assert_eq!((pending.total_after(number - 1), pending.total_after(number)), (7, 4));
        assert_eq!(views.pending(&key(2)).await.unwrap().under_way, None);
        assert_eq!(views.status().await.waiting, Some(3));
        store.failing.store(0, Ordering::SeqCst);
        // The failed batch is unchanged, and later increments follow.
        views.flush(SOON).await.unwrap();
        assert_eq!((store.total(1), store.total(2)), (7, 5));
        assert_eq!(store.batches.lock().unwrap().last(), Some(&2));
        assert!(store.number("test") >= number || matches!(place, Place::Memory));
    }
}

#[tokio::test]
async fn full_overflow_and_closed_are_errors_that_take_nothing() {
    for place in Place::all().await {
        let store = Store::default();
        let views = place.increments(&store, options().limit(2)).await;
        views.add(&key(1), i64::MAX - 1).await.unwrap();
        views.add(&key(2), i64::MIN).await.unwrap();
        assert!(matches!(views.add(&key(3), 1).await, Err(WriteBehindError::Full { waiting: 2, limit: 2 })));
        assert!(matches!(views.add(&key(1), 2).await, Err(WriteBehindError::Overflow { .. })));
        assert!(matches!(views.add(&key(2), -1).await, Err(WriteBehindError::Overflow { .. })));
        views.shut_down(SOON).await.unwrap();
        assert!(matches!(views.add(&key(1), 1).await, Err(WriteBehindError::Closed)));
        assert_eq!((store.total(1), store.total(2), store.total(3)), (i64::MAX - 1, i64::MIN, 0));
    }
}

#[tokio::test]
async fn enough_keys_are_flushed_at_once() {
    for place in Place::all().await {
        let store = Store::default();
        let views = place.increments(&store, options().count(5)).await;
        for index in 0..5 {
            views.add(&key(index), 1).await.unwrap();
        }
        poll_until(SOON, async || (store.total(4) == 1).then_some(())).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_with_constant_increments_does_not_delay_the_others() {
    for place in Place::all().await {
        let store = Store::default();
        let gates: [Arc<Semaphore>; 4] = std::array::from_fn(|_| Arc::new(Semaphore::new(0)));
        let close = |nth: usize| *store.gate.lock().unwrap() = Some(gates[nth].clone());
        close(0);
        let views = place.increments(&store, options().count(1)).await;
        views.add(&key(1), 1).await.unwrap();
        for (nth, gate) in gates.iter().enumerate() {
            let sent = async || (store.batches.lock().unwrap().len() == nth + 1).then_some(());
            poll_until(SOON, sent).await.unwrap();
            views.add(&key(1), 1).await.unwrap();
            if nth == 0 {
                views.add(&key(2), 1).await.unwrap();
            }
            if nth < 3 {
                close(nth + 1);
                gate.add_permits(1);
            }
        }
        assert_eq!(store.total(2), 1, "it was in one of three batches");
        gates[3].add_permits(1);
        views.flush(SOON).await.unwrap();
        assert_eq!((store.total(1), store.total(2)), (5, 1));
    }
}

#[tokio::test]
async fn keys_that_add_up_to_nothing_do_not_end_a_flush() {
    for place in Place::all().await {
        let store = Store::default();
        let gate = Arc::new(Semaphore::new(0));
        *store.gate.lock().unwrap() = Some(gate.clone());
        let views = place.increments(&store, options().count(1)).await;
        views.add(&key(1), 1).await.unwrap();
        let sent = async || (store.batches.lock().unwrap().len() == 1).then_some(());
        poll_until(SOON, sent).await.unwrap();
        for (index, by) in [(2, 1), (2, -1), (3, 1)] {
            views.add(&key(index), by).await.unwrap();
        }
        let release = async { gate.add_permits(1) };
        let (flushed, ()) = tokio::join!(views.flush(SOON), release);
        flushed.unwrap();
        assert_eq!((store.total(1), store.total(2), store.total(3)), (1, 0, 1));
    }
}
