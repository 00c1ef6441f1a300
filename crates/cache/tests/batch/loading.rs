//! Values that one call loads and stores.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tidegate_cache::{
    Fill, Key, Known, LoadError, Lookup, ManualClock, Source, Tag, TieredCache, TtlClass, TypedCache,
};

use crate::{CLASS, Store, key, keys, number_of, things, values};

#[tokio::test]
async fn one_loader_call_loads_all_missing_keys() {
    let (things, _) = things();
    let store = Store::default();
    things.put(&key(2), 7).await;
    assert_eq!(store.read(&things, &keys([1, 2, 3, 1])).await, [Some(10), Some(7), Some(30), Some(10)]);
    assert_eq!(store.asked(), [vec![1, 3]]);
    assert_eq!(store.read(&things, &keys([3, 2, 1])).await, [Some(30), Some(7), Some(10)]);
    assert_eq!(store.asked().len(), 1);
    let class = &things.cache().stats().classes[0];
    assert_eq!((class.loads, class.load_failures), (2, 0));
}

#[tokio::test]
async fn keys_missing_from_an_answer_are_none_and_not_cached() {
    let (things, _) = things();
    let store = Store::default();
    assert_eq!(store.read(&things, &keys([1, 100, 2])).await, [Some(10), None, Some(20)]);
    assert_eq!(store.read(&things, &keys([100])).await, [None]);
    assert_eq!(store.asked(), [vec![1, 100, 2], vec![100]]);
    assert_eq!(things.get_many(keys([1, 100])).await, [Lookup::Fresh(Arc::new(10)), Lookup::Miss]);
    assert_eq!(things.cache().stats().classes[0].load_failures, 0);
}

#[tokio::test]
async fn a_batch_without_keys_calls_no_loader() {
    let (things, _) = things();
    let store = Store::default();
    assert_eq!(store.read(&things, &[]).await, []);
    assert!(things.get_many([] as [&Key; 0]).await.is_empty());
    assert!(things.put_many([] as [(Key, u32); 0]).await.is_empty());
    assert!(store.asked().is_empty());
}

#[tokio::test]
async fn a_loader_may_answer_with_a_map_with_too_much_and_twice() {
    let (things, _) = things();
    let load = async |asked: Vec<Key>| {
        let mut answer: HashMap<Key, Fill<u32>> = asked.into_iter().map(|key| (key, Fill::new(1))).collect();
        answer.insert(key(9), Fill::new(9));
        Ok::<_, Infallible>(answer)
    };
    assert_eq!(values(things.fetch_many(keys([1, 2]), load).await), [Some(1), Some(1)]);
    assert_eq!(things.peek(&key(9)), Lookup::Miss, "a key that no caller requested has no fence");
    let twice = async |_| Ok::<_, Infallible>(vec![(key(3), Fill::new(1)), (key(3), Fill::new(2))]);
    assert_eq!(values(things.fetch_many(keys([3]), twice).await), [Some(2)]);
}

#[tokio::test]
async fn stale_values_are_served_at_once_and_refreshed_by_one_call() {
    let (things, clock) = things();
    things.put_many([(key(1), 1), (key(2), 2), (key(100), 3)]).await;
    clock.advance(Duration::from_secs(61));
    let store = Store::default();
    assert_eq!(store.read(&things, &keys([1, 2, 100])).await, [Some(1), Some(2), Some(3)]);
    store.started.notified().await;
    tidegate_testkit::poll_until(Duration::from_secs(20), async || {
        let fresh = |index, value| things.peek(&key(index)) == Lookup::Fresh(Arc::new(value));
        // The store has no 100 any more: the old value is not served on.
        (fresh(1, 10) && fresh(2, 20) && things.peek(&key(100)) == Lookup::Miss).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(store.asked(), [vec![1, 2, 100]]);
}

#[tokio::test]
async fn many_are_stored_and_the_last_of_one_key_counts() {
    let (things, _) = things();
    let kept = things.put_many([(key(1), 1), (key(2), 2), (key(1), 3)]).await;
    assert_eq!(kept, [false, true, true]);
    let fill = |value| Fill::new(value).tag(Tag::new("tagged"));
    things.put_many([(&key(4), fill(4)), (&key(5), fill(5))]).await;
    let found = things.get_many(&keys([1, 2, 3, 4])).await;
    let values: Vec<_> = found.into_iter().map(|found| found.into_value().map(|value| *value)).collect();
    assert_eq!(values, [Some(3), Some(2), None, Some(4)]);
    things.cache().invalidate_tag(&Tag::new("tagged")).await.unwrap();
    assert_eq!(things.peek(&key(5)), Lookup::Miss);
    assert_eq!(things.cache().remove_many(&keys([1, 2, 3])).await.unwrap(), 2);
}

#[test]
fn without_a_runtime_cached_values_are_returned() {
    use futures_util::FutureExt;
    let (things, clock) = things();
    things.put(&key(1), 1).now_or_never().unwrap();
    let load = async |_| Ok::<Vec<(Key, Fill<u32>)>, Infallible>(Vec::new());
    let mut reads = things.fetch_many(keys([1, 2]), load).now_or_never().unwrap().into_iter();
    assert_eq!(*reads.next().unwrap().unwrap().unwrap().value, 1);
    assert!(matches!(reads.next().unwrap(), Err(LoadError::NoRuntime)));
    clock.advance(Duration::from_secs(61));
    let reads = things.fetch_many(keys([1]), load).now_or_never().unwrap();
    assert_eq!(reads[0].as_ref().unwrap().as_ref().unwrap().source, Source::Stale);
    assert_eq!(things.get_many(keys([1, 2])).now_or_never().unwrap().len(), 2);
}

#[tokio::test]
async fn values_near_their_end_are_refreshed_by_one_call() {
    let clock = ManualClock::new();
    let class = CLASS.refresh_ahead(Duration::from_secs(20));
    let things: TypedCache<u32> = TieredCache::builder().clock(clock.clone()).build().typed(class);
    things.put_many([(key(1), 1), (key(2), 2)]).await;
    clock.advance(Duration::from_secs(50));
    let store = Store::default();
    let loading = store.clone();
    let reads = things.fetch_many(keys([1, 2, 3]), |keys| loading.load(keys)).await;
    let sources: Vec<_> = reads.into_iter().map(|read| read.unwrap().unwrap().source).collect();
    assert_eq!(sources, [Source::Hit, Source::Hit, Source::Loaded]);
    assert_eq!(store.asked(), [vec![1, 2, 3]]);
    tidegate_testkit::poll_until(Duration::from_secs(20), async || {
        (things.peek(&key(2)) == Lookup::Fresh(Arc::new(20))).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn values_of_a_batch_live_as_their_class_and_their_loader_say() {
    let clock = ManualClock::new();
    let class = TtlClass::new("found", Duration::from_secs(600)).negative_ttl(Duration::from_secs(5));
    let found = TieredCache::builder().clock(clock.clone()).build().typed::<Option<u32>>(class);
    let load = async |keys: Vec<Key>| {
        Ok::<_, Infallible>(vec![(keys[0].clone(), Fill::new(None).negative()), (keys[1].clone(), Fill::new(Some(1)))])
    };
    found.fetch_many(keys(1..3), load).await;
    let set = [(key(3), Fill::new(None).negative()), (key(4), Fill::new(Some(4)))];
    found.put_many(set).await;
    clock.advance(Duration::from_secs(6));
    let is_there = |index: u32| found.peek(&key(index)).into_value().is_some();
    assert_eq!([1, 2, 3, 4].map(is_there), [false, true, false, true]);
}

#[tokio::test]
async fn a_batch_revalidates_values_that_l1_still_has() {
    let (things, clock) = things();
    things.put_many([(key(1), 1), (key(2), 2)]).await;
    let before = things.peek(&key(1)).into_value().unwrap();
    clock.advance(Duration::from_secs(61));
    let load = async |missing: Vec<(Key, Option<Known<u32>>)>| {
        let fill = |(key, known): (Key, Option<Known<u32>>)| match known {
            Some(known) if number_of(&key) == 1 => (key, known.still_holds()),
            known => (key, Fill::new(known.map_or(30, |known| **known.value() * 10))),
        };
        Ok::<_, Infallible>(missing.into_iter().map(fill).collect::<Vec<_>>())
    };
    let reads = things.fetch_or_revalidate_many(keys([1, 2, 3]), load).await;
    let values: Vec<_> = reads.into_iter().map(|read| *read.unwrap().unwrap().value).collect();
    assert_eq!(values, [1, 2, 30], "those that are stale are served at once");
    let found = things.get_many(keys([1, 2, 3])).await;
    assert_eq!(found, [1, 20, 30].map(|value| Lookup::Fresh(Arc::new(value))));
    assert!(Arc::ptr_eq(&before, &things.peek(&key(1)).into_value().unwrap()), "not another copy");
}
