//! Values of loaders.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_cache::{Fill, Key, LoadError, Lookup, Source};
use tidegate_testkit::poll_until;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::ground::{Ground, SOON, Store, THINGS, key, keys};

pub(crate) async fn what_one_loads_all_find(ground: Ground) {
    let [one, other] = ground.things();
    let store = Store::holding(7);
    let read = store.through(&one, &key(1), &[]).await;
    assert_eq!((*read.value, read.source, read.stored), (7, Source::Loaded, true));
    store.row.store(8, Ordering::SeqCst);
    for node in [&one, &other, &one] {
        let read = store.through(node, &key(1), &[]).await;
        assert_eq!(*read.value, 7);
        assert!(matches!(read.source, Source::Hit | Source::Shared));
    }
    assert_eq!(store.reads(), 1);
}

pub(crate) async fn thousands_of_callers_make_one_load(ground: Ground) {
    let nodes = ground.things();
    let (loads, release) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let mut callers = JoinSet::new();
    for caller in 0..2_000 {
        let (node, loads, release) = (nodes[caller % 2].clone(), Arc::clone(&loads), Arc::clone(&release));
        callers.spawn(async move {
            let load = async move || {
                loads.fetch_add(1, Ordering::SeqCst);
                release.notified().await;
                Ok::<_, Infallible>(Fill::new(7))
            };
            *node.fetch(&key(1), load).await.unwrap().value
        });
    }
    poll_until(SOON, async || (loads.load(Ordering::SeqCst) == 1).then_some(())).await.unwrap();
    release.notify_one();
    assert!(callers.join_all().await.iter().all(|value| *value == 7));
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

pub(crate) async fn a_batch_asks_once_for_all_that_is_missing(ground: Ground) {
    let [one, other] = ground.things();
    one.put(&key(1), 10).await;
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let load = |asked: &Arc<std::sync::Mutex<Vec<Vec<Key>>>>| {
        let asked = Arc::clone(asked);
        async move |missing: Vec<Key>| {
            let filled = missing.iter().filter(|missing| **missing != key(3)).cloned().map(|key| (key, Fill::new(99)));
            let filled: Vec<_> = filled.collect();
            asked.lock().unwrap().push(missing);
            Ok::<_, Infallible>(filled)
        }
    };
    for node in [&other, &one] {
        let read = node.fetch_many(keys([2, 1, 3, 2]), load(&asked)).await;
        let values: Vec<_> = read.iter().map(|read| read.as_ref().unwrap().as_ref().map(|read| *read.value)).collect();
        assert_eq!(values, [Some(99), Some(10), None, Some(99)]);
    }
    let mut asked = asked.lock().unwrap().clone();
    asked[0].sort_by_key(ToString::to_string);
    // A key that a loader does not answer is requested again.
    assert_eq!(asked, [keys([2, 3]), keys([3])]);
}

pub(crate) async fn that_there_is_nothing_is_remembered(ground: Ground) {
    let loads = Arc::new(AtomicU32::new(0));
    for node in ground.both::<Option<u32>>(THINGS) {
        let loads = Arc::clone(&loads);
        let load = async move || {
            loads.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(Fill::absent())
        };
        assert_eq!(*node.fetch(&key(1), load).await.unwrap().value, None);
        assert!(node.ttl(&key(1)).is_some_and(|left| left < THINGS.ttl()));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

pub(crate) async fn an_error_stores_nothing(ground: Ground) {
    for node in ground.things() {
        let failed = node.fetch(&key(1), async || Err::<Fill<u32>, _>("no")).await;
        assert!(matches!(failed, Err(LoadError::Loader(error)) if *error == "no"));
        assert_eq!(node.peek(&key(1)), Lookup::Miss);
    }
    let store = Store::holding(7);
    for node in ground.things() {
        assert_eq!(*store.through(&node, &key(1), &[]).await.value, 7);
    }
    assert_eq!(store.reads(), 1);
}

pub(crate) async fn a_caller_that_leaves_stops_no_load(ground: Ground) {
    let [one, other] = ground.things();
    let (started, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let caller = tokio::spawn({
        let (one, started, release) = (one.clone(), Arc::clone(&started), Arc::clone(&release));
        async move {
            let load = async move || {
                started.notify_one();
                release.notified().await;
                Ok::<_, Infallible>(Fill::new(7))
            };
            one.fetch(&key(1), load).await.unwrap().value
        }
    });
    started.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    release.notify_one();
    let store = Store::default();
    for node in [one, other] {
        assert_eq!(*store.through(&node, &key(1), &[]).await.value, 7);
    }
    assert_eq!(store.reads(), 0);
}

pub(crate) async fn what_was_set_during_a_load_stays(ground: Ground) {
    let [one, other] = ground.things();
    let load = {
        let other = other.clone();
        async move || {
            other.put(&key(1), 8).await;
            Ok::<_, Infallible>(Fill::new(7))
        }
    };
    one.fetch(&key(1), load).await.unwrap();
    let store = Store::default();
    for node in [one, other] {
        store.until_read(&node, &key(1), 8).await;
    }
    assert_eq!(store.reads(), 0);
}
