//! Values: the last one counts, and is read before the store.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cache::{Fill, LoadError, Tag, WriteBehind, WriteBehindError, WriteBehindReadError};
use tidegate_testkit::poll_until;

use crate::ground::{NEVER, Place, SOON, Store, key, options};

async fn read(rows: &WriteBehind<u64>, index: usize, store: &Store) -> u64 {
    let store = store.clone();
    let load = async move || Ok::<_, Infallible>(Fill::new(store.row(index).unwrap_or_default()));
    *rows.fetch(&key(index), load).await.unwrap().value
}

#[tokio::test]
async fn pending_writes_are_read_before_the_store() {
    for place in Place::all().await {
        let store = Store::default();
        let rows = place.values(&store, options()).await;
        assert_eq!(read(&rows, 1, &store).await, 0);
        rows.write(&key(1), 7).await.unwrap();
        assert_eq!((store.row(1), read(&rows, 1, &store).await), (None, 7));
        rows.write(&key(1), 8).await.unwrap();
        assert_eq!((rows.pending(&key(1)).await.unwrap(), read(&rows, 1, &store).await), (Some(8), 8));
        rows.flush(SOON).await.unwrap();
        assert_eq!((store.row(1), rows.pending(&key(1)).await.unwrap()), (Some(8), None));
        rows.values().cache().clear().await.unwrap();
        assert_eq!(read(&rows, 1, &store).await, 8);
    }
}

#[tokio::test]
async fn writes_of_one_key_are_one_and_batches_are_bounded() {
    for place in Place::all().await {
        let store = Store::default();
        let rows = place.values(&store, options().count(100)).await;
        let mut versions = Vec::new();
        for value in 0..90 {
            versions.push(rows.write(&key(0), value).await.unwrap().version);
        }
        assert!(versions.is_sorted_by(|a, b| a < b));
        rows.flush(SOON).await.unwrap();
        assert_eq!((store.batches.lock().unwrap().clone(), store.row(0)), (vec![1], Some(89)));

        store.failing.store(usize::MAX, Ordering::SeqCst);
        for index in 0..250 {
            rows.write(&key(index), 1).await.unwrap();
        }
        store.failing.store(0, Ordering::SeqCst);
        rows.flush(SOON).await.unwrap();
        let sizes = store.batches.lock().unwrap().clone();
        assert!(sizes.iter().all(|size| *size <= 100), "{sizes:?}");
        assert!((0..250).all(|index| store.row(index) == Some(1)));
        let status = rows.status().await;
        assert_eq!((status.waiting, status.written, status.last_error), (Some(0), 251, None));
    }
}

#[tokio::test]
async fn enough_writes_are_flushed_at_once_and_few_after_the_interval() {
    for place in Place::all().await {
        let store = Store::default();
        let rows = place.values(&store, options().count(10)).await;
        for index in 0..10 {
            rows.write(&key(index), 1).await.unwrap();
        }
        poll_until(SOON, async || store.row(9)).await.unwrap();
        rows.shut_down(SOON).await.unwrap();

        let rows = place.values(&store, options().every(Duration::from_millis(20))).await;
        rows.write(&key(50), 1).await.unwrap();
        poll_until(SOON, async || store.row(50)).await.unwrap();
    }
}

#[tokio::test]
async fn a_sink_that_fails_panics_or_hangs_gets_the_batch_again() {
    for place in Place::all().await {
        let store = Store::default();
        let fast = options().every(Duration::from_millis(10)).sink_timeout(Duration::from_millis(200));
        let rows = place.values(&store, fast).await;
        store.failing.store(3, Ordering::SeqCst);
        rows.write(&key(1), 1).await.unwrap();
        poll_until(SOON, async || store.row(1)).await.unwrap();
        for flag in [&store.panics, &store.hangs, &store.forgetful] {
            flag.store(true, Ordering::SeqCst);
            let before = store.batches.lock().unwrap().len();
            rows.write(&key(1), 2).await.unwrap();
            rows.flush(SOON).await.unwrap();
            assert_eq!(rows.pending(&key(1)).await.unwrap(), None);
            assert_eq!(store.batches.lock().unwrap().len(), before + 2);
        }
        let status = rows.status().await;
        assert_eq!((store.row(1), status.failures, status.last_error), (Some(2), 6, None));
    }
}

#[tokio::test]
async fn a_write_during_a_flush_stays_pending() {
    for place in Place::all().await {
        let store = Store::default();
        let rows = place.values(&store, options()).await;
        rows.write(&key(1), 1).await.unwrap();
        let flushing = rows.clone();
        store.hangs.store(true, Ordering::SeqCst);
        let flush = tokio::spawn(async move { flushing.flush(Duration::from_millis(300)).await });
        poll_until(SOON, async || (!store.batches.lock().unwrap().is_empty()).then_some(())).await.unwrap();
        rows.write(&key(1), 2).await.unwrap();
        assert!(flush.await.unwrap().is_err(), "its sink hangs");
        assert_eq!(rows.pending(&key(1)).await.unwrap(), Some(2));
    }
}

#[tokio::test]
async fn a_new_key_beyond_the_limit_is_an_error_and_a_write_to_a_pending_key_is_not() {
    for place in Place::all().await {
        let store = Store::default();
        let rows = place.values(&store, options().limit(3)).await;
        for index in 0..3 {
            rows.write(&key(index), 1).await.unwrap();
        }
        let refused = rows.write(&key(3), 1).await;
        assert!(matches!(refused, Err(WriteBehindError::Full { waiting: 3, limit: 3 })), "{refused:?}");
        rows.write(&key(0), 2).await.unwrap();
        rows.flush(SOON).await.unwrap();
        rows.write(&key(3), 1).await.unwrap();
        assert_eq!((store.row(0), store.row(3)), (Some(2), None));
    }
}

#[tokio::test]
async fn a_shutdown_flushes_and_refuses_further_writes() {
    for place in Place::all().await {
        let store = Store::default();
        let rows = place.values(&store, options()).await;
        rows.write(&key(1), 1).await.unwrap();
        store.failing.store(usize::MAX, Ordering::SeqCst);
        let failed = rows.shut_down(Duration::from_millis(100)).await.unwrap_err();
        assert_eq!((failed.waiting, failed.reason.unwrap().to_string()), (Some(1), "the store is away".to_owned()));
        assert!(matches!(rows.write(&key(2), 1).await, Err(WriteBehindError::Closed)));
        store.failing.store(0, Ordering::SeqCst);
        rows.shut_down(SOON).await.unwrap();
        assert_eq!((store.row(1), store.row(2)), (Some(1), None));
    }
}

#[tokio::test]
async fn the_last_handle_flushes_when_it_is_dropped() {
    for place in Place::all().await {
        let store = Store::default();
        let rows = place.values(&store, options()).await;
        rows.write(&key(1), 1).await.unwrap();
        drop(rows);
        poll_until(SOON, async || store.row(1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_waiting_value_is_cached_with_its_tags() {
    let store = Store::default();
    let tag = Tag::of(["tenant", "7"]);
    let tags = { move |_: &_, _: &u64| vec![Tag::of(["tenant", "7"])] };
    let rows = Place::Memory.values(&store, options().every(NEVER)).await.tags(tags);
    rows.write(&key(1), 7).await.unwrap();
    read(&rows, 1, &store).await;
    assert!(rows.values().peek(&key(1)).into_value().is_some());
    rows.values().cache().invalidate_tag(&tag).await.unwrap();
    assert!(rows.values().peek(&key(1)).into_value().is_none());
}

#[tokio::test]
async fn a_failed_loader_and_unreadable_pending_writes_are_different_errors() {
    let store = Store::default();
    let rows = Place::Memory.values(&store, options()).await;
    match rows.fetch(&key(1), async || Err::<Fill<u64>, _>("no such row")).await {
        Err(LoadError::Loader(error)) => assert!(matches!(*error, WriteBehindReadError::Loader("no such row"))),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_write_accepted_during_a_shutdown_is_lost() {
    for _ in 0..300 {
        let store = Store::default();
        let rows = Place::Memory.values(&store, options()).await;
        let views = Place::Memory.increments(&store, options()).await;
        let (writing, adding) = (rows.clone(), views.clone());
        let written = tokio::spawn(async move { writing.write(&key(1), 1).await.is_ok() });
        let added = tokio::spawn(async move { adding.add(&key(1), 1).await.is_ok() });
        let (one, other) = tokio::join!(rows.shut_down(SOON), views.shut_down(SOON));
        one.and(other).unwrap();
        let kept = (store.row(1).is_some(), store.total(1) == 1);
        assert_eq!(kept, (written.await.unwrap(), added.await.unwrap()));
    }
}

#[tokio::test]
async fn pending_writes_and_batches_are_bounded_in_bytes() {
    for place in Place::all().await {
        let store = Store::default();
        // A number is 8 bytes in memory, and in Redis a version, its sign and up to 20 digits.
        let bytes = if matches!(place, Place::Memory) { 8 * 8 } else { 8 * 30 };
        let rows = place.values(&store, options().limit_bytes(bytes)).await;
        let mut taken = 0;
        let refused = loop {
            match rows.write(&key(taken), 1).await {
                Ok(_) => taken += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, WriteBehindError::TooManyBytes { limit, .. } if limit == bytes), "{refused:?}");
        assert!((8..=12).contains(&taken), "{taken}");
        rows.write(&key(0), 2).await.unwrap();
        rows.flush(SOON).await.unwrap();
        for index in 0..taken {
            rows.write(&key(index), 3).await.unwrap();
        }
        rows.flush(SOON).await.unwrap();
        assert_eq!(store.row(taken - 1), Some(3));
    }
}
