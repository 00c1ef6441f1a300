//! How long a batch waits, and how many permits it takes.

use std::convert::Infallible;
use std::time::Duration;

use tidegate_cache::{Fill, Key, LoadError, ManualClock, TieredCache, TtlClass, TypedCache};

use crate::{CLASS, Store, key, keys};

#[tokio::test(start_paused = true)]
async fn a_batch_obeys_the_timeouts_of_its_class_and_its_load_continues() {
    let class = CLASS.hard_timeout(Duration::from_millis(100));
    let things: TypedCache<u32> = TieredCache::builder().build().typed(class);
    let store = Store::gated();
    things.put(&key(3), 3).await;
    let loading = store.clone();
    let reads = things.fetch_many(keys([1, 2, 3]), |keys| loading.load(keys)).await;
    assert!(matches!(reads[..2], [Err(LoadError::TimedOut), Err(LoadError::TimedOut)]));
    assert_eq!(*reads[2].as_ref().unwrap().as_ref().unwrap().value, 3);
    store.open();
    assert_eq!(store.read(&things, &keys([1, 2])).await, [Some(10), Some(20)]);
    assert_eq!(store.asked().len(), 1);
}

#[tokio::test]
async fn within_the_soft_timeout_a_batch_gets_fresh_values() {
    let clock = ManualClock::new();
    let class = CLASS.soft_timeout(Duration::from_secs(20));
    let things: TypedCache<u32> = TieredCache::builder().clock(clock.clone()).build().typed(class);
    things.put_many([(key(1), 1), (key(2), 2)]).await;
    clock.advance(Duration::from_secs(61));
    let store = Store::default();
    assert_eq!(store.read(&things, &keys([1, 2])).await, [Some(10), Some(20)]);
    assert_eq!(store.asked(), [vec![1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_takes_one_permit_and_is_refused_as_a_whole_without_one() {
    let cache = TieredCache::builder().max_loads(1, Duration::from_secs(1)).build();
    let things: TypedCache<u32> = cache.typed(CLASS);
    let store = Store::gated();
    let first = tokio::spawn({
        let (things, store) = (things.clone(), store.clone());
        async move { store.read(&things, &keys([1, 2])).await }
    });
    store.started.notified().await;
    let other = Store::default();
    let loading = other.clone();
    let reads = things.fetch_many(keys([3, 4]), |keys| loading.load(keys)).await;
    assert!(reads.iter().all(|read| matches!(read, Err(LoadError::Refused))), "{reads:?}");
    assert!(other.asked().is_empty());
    store.open();
    assert_eq!(first.await.unwrap(), [Some(10), Some(20)]);
    assert_eq!(other.read(&things, &keys([3, 4])).await, [Some(30), Some(40)]);
}

#[tokio::test]
async fn a_load_that_takes_too_long_is_cut_off_for_the_whole_batch() {
    let things: TypedCache<u32> = TieredCache::builder().build().typed(CLASS.load_limit(Duration::from_millis(50)));
    let store = Store::gated();
    let loading = store.clone();
    let load = things.fetch_many(keys([1, 2]), |keys| loading.load(keys));
    let reads = tokio::time::timeout(Duration::from_secs(20), load).await.unwrap();
    assert!(reads.iter().all(|read| matches!(read, Err(LoadError::CutOff))), "{reads:?}");
    assert_eq!(Store::default().read(&things, &keys([1, 2])).await, [Some(10), Some(20)]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_no_longer_than_one_read_and_fills_the_cache() {
    let class = CLASS.hard_timeout(Duration::from_millis(10));
    let things = TieredCache::builder().build().typed::<u32>(class);
    let store = Store::gated();
    let loading = store.clone();
    let reads = things.fetch_many(keys(1..4), move |keys| loading.load(keys)).await;
    assert!(reads.iter().all(|read| matches!(read, Err(LoadError::TimedOut))), "{reads:?}");
    store.open();
    // A reader of a load that continues.
    let read = things.fetch(&key(2), async || Ok::<_, Infallible>(Fill::new(0))).await.unwrap();
    assert_eq!((*read.value, things.peek(&key(3)).into_value().as_deref()), (20, Some(&30)));
}

#[tokio::test]
async fn a_batch_takes_one_permit_and_none_if_a_load_with_a_permit_waits_for_it() {
    let cache = TieredCache::builder().max_loads(1, Duration::from_secs(3600)).build();
    let (things, sums) = (cache.typed::<u32>(CLASS), cache.typed::<u32>(TtlClass::DEFAULT));
    let load = async move || {
        let reads = things.fetch_many(keys(1..4), move |keys| Store::default().load(keys)).await;
        Ok::<_, Infallible>(Fill::new(reads.into_iter().map(|read| *read.unwrap().unwrap().value).sum::<u32>()))
    };
    let key = Key::builder("sum").build().unwrap();
    assert_eq!(*sums.fetch(&key, load).await.unwrap().value, 60);
}

#[tokio::test]
async fn a_batch_has_the_longest_timeouts_of_its_keys() {
    let class = CLASS.soft_timeout(Duration::MAX).hard_timeout(Duration::MAX);
    let things = TieredCache::builder().build().typed::<u32>(class);
    for _ in 0..2 {
        let reads = things.fetch_many(keys(1..3), |keys| Store::default().load(keys)).await;
        assert!(reads.into_iter().all(|read| read.unwrap().is_some()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_a_loader_does_not_wait_for_the_permit_of_its_loader() {
    let cache = TieredCache::builder().max_loads(1, Duration::from_millis(50)).build();
    let (things, sums) = (cache.typed::<u32>(CLASS), cache.typed::<u32>(TtlClass::DEFAULT));
    let slow = things.clone();
    let load = async move || {
        // Another caller's load, which takes longer than any caller waits for a permit.
        let others = tokio::spawn(async move {
            let load = async || {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok::<_, Infallible>(Fill::new(10))
            };
            slow.fetch(&key(1), load).await.map(|read| *read.value)
        });
        tokio::task::yield_now().await;
        let reads = things.fetch_many(keys(1..3), move |keys| Store::default().load(keys)).await;
        let sum = reads.into_iter().map(|read| *read.unwrap().unwrap().value).sum::<u32>();
        assert_eq!(others.await.unwrap().unwrap(), 10);
        Ok::<_, Infallible>(Fill::new(sum))
    };
    let key = Key::builder("sum").build().unwrap();
    assert_eq!(*sums.fetch(&key, load).await.unwrap().value, 30);
}
