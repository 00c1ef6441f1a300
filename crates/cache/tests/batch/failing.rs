//! Loads that fail, outlive their batch, or are overtaken.

use std::convert::Infallible;
use std::sync::Arc;

use tidegate_cache::{Fill, Key, LoadError, Lookup, Tag, Touched};

use crate::{Store, key, keys, things};

#[tokio::test]
async fn an_error_reaches_every_key_of_the_loader() {
    let (things, _) = things();
    things.put(&key(1), 1).await;
    let load = async |_| Err::<Vec<(Key, Fill<u32>)>, _>("no store");
    let mut reads = things.fetch_many(keys([1, 2, 3]), load).await.into_iter();
    assert_eq!(*reads.next().unwrap().unwrap().unwrap().value, 1);
    for read in reads {
        assert!(matches!(read, Err(LoadError::Loader(error)) if *error == "no store"));
    }
    assert_eq!(things.cache().stats().classes[0].load_failures, 2);
}

#[tokio::test]
async fn a_panic_reaches_every_waiter_and_the_next_batch_loads_again() {
    let (things, _) = things();
    let load = async |_: Vec<Key>| -> Result<Vec<(Key, Fill<u32>)>, Infallible> { panic!("on purpose") };
    for read in things.fetch_many(keys([1, 2]), load).await {
        assert!(matches!(read, Err(LoadError::Panicked)));
    }
    assert_eq!(Store::default().read(&things, &keys([1, 2])).await, [Some(10), Some(20)]);
}

#[tokio::test]
async fn a_load_continues_after_its_batch_is_dropped() {
    let (things, _) = things();
    let store = Store::gated();
    let caller = tokio::spawn({
        let (things, store) = (things.clone(), store.clone());
        async move { store.read(&things, &keys([1, 2])).await }
    });
    store.started.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    let waiting = tokio::spawn({
        let (things, other) = (things.clone(), Store::default());
        async move { other.read(&things, &keys([1, 2])).await }
    });
    store.open();
    assert_eq!(waiting.await.unwrap(), [Some(10), Some(20)]);
    assert_eq!(store.asked().len(), 1);
    assert_eq!(things.peek(&key(2)), Lookup::Fresh(Arc::new(20)));
}

#[tokio::test]
async fn a_value_invalidated_while_a_batch_loads_is_not_cached() {
    for scope in ["key", "tag", "class", "all"] {
        let (things, _) = things();
        let store = Store::gated();
        let caller = tokio::spawn({
            let (things, store) = (things.clone(), store.clone());
            async move { store.read(&things, &keys([1, 2])).await }
        });
        store.started.notified().await;
        let cache = things.cache();
        match scope {
            "key" => cache.invalidate(&Touched::new().key(&key(1)).key(&key(2))).await.unwrap(),
            "tag" => cache.invalidate_tag(&Tag::new("all")).await.unwrap(),
            "class" => drop(cache.invalidate_class("things").await.unwrap()),
            _ => cache.clear().await.unwrap(),
        }
        // A caller from now on gets a load of its own, which started later. For a tag, that is so
        // once it is known to be a tag of the value.
        let later = Store::default();
        let read = tokio::spawn({
            let (things, later) = (things.clone(), later.clone());
            async move { later.read(&things, &keys([1])).await }
        });
        if scope == "tag" {
            tokio::task::yield_now().await;
            store.open();
        }
        assert_eq!(read.await.unwrap(), [Some(10)], "{scope}");
        assert_eq!(later.asked(), [vec![1]], "{scope}");
        store.open();
        assert_eq!(caller.await.unwrap(), [Some(10), Some(20)], "{scope}");
        assert_eq!(things.peek(&key(2)), Lookup::Miss, "{scope}");
    }
}

#[tokio::test]
async fn a_batch_that_fails_counts_a_load_for_each_of_its_keys() {
    let (things, _) = things();
    let reads = things.fetch_many(keys(1..4), async |_| Err::<Vec<(Key, Fill<u32>)>, _>("down")).await;
    assert!(reads.into_iter().all(|read| matches!(read, Err(LoadError::Loader(_)))));
    let stats = things.cache().stats().classes.remove(0);
    assert_eq!((stats.loads, stats.load_failures), (3, 3));
}
