//! Batches and single callers that request the same keys.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_cache::{Fill, Key, LoadError, Source, Tag, TieredCache, TypedCache};

use crate::{CLASS, Store, key, keys, number_of, things, values};

#[tokio::test]
async fn a_batch_joins_loads_in_progress() {
    let (things, _) = things();
    let (single, batch) = (Store::gated(), Store::gated());
    let alone = tokio::spawn({
        let (things, single) = (things.clone(), single.clone());
        async move { single.read(&things, &keys([1])).await }
    });
    single.started.notified().await;
    let many = tokio::spawn({
        let (things, batch) = (things.clone(), batch.clone());
        async move { batch.read(&things, &keys([1, 2])).await }
    });
    batch.started.notified().await;
    single.open();
    batch.open();
    assert_eq!(alone.await.unwrap(), [Some(10)]);
    assert_eq!(many.await.unwrap(), [Some(10), Some(20)]);
    assert_eq!((single.asked(), batch.asked()), (vec![vec![1]], vec![vec![2]]));
    assert_eq!(things.cache().stats().classes[0].collapsed, 1);
}

#[tokio::test]
async fn single_callers_join_the_load_of_a_batch() {
    let (things, _) = things();
    let store = Store::gated();
    let many = tokio::spawn({
        let (things, store) = (things.clone(), store.clone());
        async move { store.read(&things, &keys([1, 100])).await }
    });
    store.started.notified().await;
    let alone = |index| {
        let things = things.clone();
        // Whether its own loader ran shows in the value.
        tokio::spawn(
            async move { things.fetch(&key(index), async || Ok::<_, Infallible>(Fill::new(1))).await.unwrap() },
        )
    };
    let (found, absent) = (alone(1), alone(100));
    tokio::task::yield_now().await;
    store.open();
    let (found, absent) = (found.await.unwrap(), absent.await.unwrap());
    assert_eq!((*found.value, found.source), (10, Source::Collapsed));
    // The batch's loader had no value. That is not an answer for a caller with a loader of its own.
    assert_eq!((*absent.value, absent.source), (1, Source::Loaded));
    assert_eq!(many.await.unwrap(), [Some(10), None]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_overlapping_batches_load_each_key_once() {
    let (things, _) = things();
    let loads: Arc<Vec<AtomicUsize>> = Arc::new((0..50).map(|_| AtomicUsize::new(0)).collect());
    let callers: Vec<_> = (0..1000_u32)
        .map(|caller| {
            let (things, loads) = (things.clone(), Arc::clone(&loads));
            tokio::spawn(async move {
                let wanted = keys((0..10).map(|step| (caller + step * 7) % 50));
                let load = move |keys: Vec<Key>| async move {
                    tokio::task::yield_now().await;
                    for key in &keys {
                        loads[number_of(key) as usize].fetch_add(1, Ordering::SeqCst);
                    }
                    Ok::<_, Infallible>(
                        keys.into_iter().map(|key| (key.clone(), Fill::new(number_of(&key)))).collect::<Vec<_>>(),
                    )
                };
                let reads = values(things.fetch_many(&wanted, load).await);
                assert!(reads.iter().zip(&wanted).all(|(read, key)| *read == Some(number_of(key))));
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(loads.iter().all(|loads| loads.load(Ordering::SeqCst) == 1), "{loads:?}");
}

#[tokio::test]
async fn a_loader_of_a_batch_may_load_other_keys_on_its_permit_but_not_wait_for_itself() {
    let things: TypedCache<u32> = TieredCache::builder().max_loads(1, Duration::from_secs(3600)).build().typed(CLASS);
    let inner = things.clone();
    let load = async move |asked: Vec<Key>| {
        // In a batch with another key, and alone: the last key is not the one under which the load
        // was counted.
        let nested = Store::default();
        let reads = inner.fetch_many(keys([2, 5]), |keys| nested.load(keys)).await;
        assert!(matches!(reads[0], Err(LoadError::Cycle)), "{reads:?}");
        assert_eq!(*reads[1].as_ref().unwrap().as_ref().unwrap().value, 50);
        let alone = inner.fetch(&key(3), async || Ok::<_, Infallible>(Fill::new(0))).await;
        assert!(matches!(alone, Err(LoadError::Cycle)));
        Ok::<_, Infallible>(asked.into_iter().map(|key| (key, Fill::new(7))).collect::<Vec<_>>())
    };
    let load = things.fetch_many(keys([1, 2, 3]), load);
    let reads = tokio::time::timeout(Duration::from_secs(20), load).await.unwrap();
    assert_eq!(values(reads), [Some(7), Some(7), Some(7)]);
}

#[tokio::test]
async fn a_batch_that_would_wait_for_itself_gets_an_error() {
    let (things, _) = things();
    let again = things.clone();
    let load = async move |keys: Vec<Key>| {
        let nested = again.fetch(&key(2), async || Ok::<_, Infallible>(Fill::new(1))).await;
        assert!(matches!(nested, Err(LoadError::Cycle)), "{nested:?}");
        Ok::<_, Infallible>(keys.into_iter().map(|key| (key.clone(), Fill::new(number_of(&key)))).collect::<Vec<_>>())
    };
    let reads = things.fetch_many(keys(1..4), load).await;
    assert!(reads.into_iter().all(|read| read.unwrap().is_some()));
}

/// A hot key and invalidations of other things: batches wait for its load as single reads do.
#[tokio::test]
async fn a_batch_joins_a_load_that_began_before_an_invalidation_of_something_else() {
    let (things, _) = things();
    let store = Store::gated();
    let single = tokio::spawn({
        let (things, store) = (things.clone(), store.clone());
        async move {
            let load = async move || {
                let loaded = store.load(keys([1])).await;
                loaded.map(|mut loaded| loaded.remove(0).1)
            };
            *things.fetch(&key(1), load).await.unwrap().value
        }
    });
    store.started.notified().await;
    let other = Store::default();
    let batches: Vec<_> = (0..20)
        .map(|_| {
            let (things, other) = (things.clone(), other.clone());
            tokio::spawn(async move { other.read(&things, &keys([1])).await })
        })
        .collect();
    // Some have joined, some come later.
    for _ in 0..3 {
        things.cache().invalidate_tag(&Tag::new("unrelated")).await.unwrap();
        tokio::task::yield_now().await;
    }
    // If it has another key to load, it loads this one too, rather than wait for a load that may be
    // too old.
    let busy = Store::default();
    assert_eq!(busy.read(&things, &keys([1, 2])).await, [Some(10), Some(20)]);
    let mut asked = busy.asked().concat();
    asked.sort_unstable();
    assert_eq!(asked, [1, 2]);
    store.open();
    assert_eq!(single.await.unwrap(), 10);
    for batch in batches {
        assert_eq!(batch.await.unwrap(), [Some(10)]);
    }
    assert!(other.asked().is_empty());
}
