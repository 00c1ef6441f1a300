//! Batches over L1: one loader call for what is missing, shared with whoever asks meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_cache::{
    Fill, Key, Known, LoadError, Lookup, ManualClock, Read, Source, Tag, TieredCache, Touched, TtlClass, TypedCache,
};
use tokio::sync::{Notify, Semaphore};

const CLASS: TtlClass = TtlClass::new("things", Duration::from_secs(60)).grace(Duration::from_secs(600));

fn key(index: u32) -> Key {
    Key::builder("thing").part(index).build().unwrap()
}

fn keys(indexes: impl IntoIterator<Item = u32>) -> Vec<Key> {
    indexes.into_iter().map(key).collect()
}

fn number_of(key: &Key) -> u32 {
    key.as_str().rsplit(':').next().unwrap().parse().unwrap()
}

fn things() -> (TypedCache<u32>, ManualClock) {
    let clock = ManualClock::new();
    (TieredCache::builder().clock(clock.clone()).build().typed(CLASS), clock)
}

/// Answers every key with ten times its number, below 100; remembers what it was asked for.
#[derive(Clone, Default)]
struct Store {
    asked: Arc<Mutex<Vec<Vec<u32>>>>,
    started: Arc<Notify>,
    /// Loads wait for it, when there is one.
    gate: Option<Arc<Semaphore>>,
}

impl Store {
    fn gated() -> Self {
        Self { gate: Some(Arc::new(Semaphore::new(0))), ..Self::default() }
    }

    fn open(&self) {
        self.gate.as_ref().unwrap().add_permits(1000);
    }

    async fn load(self, keys: Vec<Key>) -> Result<Vec<(Key, Fill<u32>)>, Infallible> {
        self.asked.lock().unwrap().push(keys.iter().map(number_of).collect());
        self.started.notify_one();
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let found = keys.into_iter().filter(|key| number_of(key) < 100);
        Ok(found.map(|key| (key.clone(), Fill::new(number_of(&key) * 10).tag(Tag::new("all")))).collect())
    }

    async fn read(&self, things: &TypedCache<u32>, keys: &[Key]) -> Vec<Option<u32>> {
        let store = self.clone();
        values(things.get_or_load_many(keys, |keys| store.load(keys)).await)
    }

    fn asked(&self) -> Vec<Vec<u32>> {
        self.asked.lock().unwrap().clone()
    }
}

fn values<E: std::fmt::Debug>(reads: Vec<Result<Option<Read<u32>>, LoadError<E>>>) -> Vec<Option<u32>> {
    reads.into_iter().map(|read| read.unwrap().map(|read| *read.value)).collect()
}

#[tokio::test]
async fn one_loader_call_brings_all_that_is_missing() {
    let (things, _) = things();
    let store = Store::default();
    things.set(&key(2), 7).await;
    assert_eq!(store.read(&things, &keys([1, 2, 3, 1])).await, [Some(10), Some(7), Some(30), Some(10)]);
    assert_eq!(store.asked(), [vec![1, 3]]);
    assert_eq!(store.read(&things, &keys([3, 2, 1])).await, [Some(30), Some(7), Some(10)]);
    assert_eq!(store.asked().len(), 1);
    let class = &things.cache().stats().classes[0];
    assert_eq!((class.loads, class.load_failures), (2, 0));
}

#[tokio::test]
async fn a_partial_answer_is_clear_and_not_remembered() {
    let (things, _) = things();
    let store = Store::default();
    assert_eq!(store.read(&things, &keys([1, 100, 2])).await, [Some(10), None, Some(20)]);
    assert_eq!(store.read(&things, &keys([100])).await, [None]);
    assert_eq!(store.asked(), [vec![1, 100, 2], vec![100]]);
    assert_eq!(things.get_many(keys([1, 100])).await, [Lookup::Fresh(Arc::new(10)), Lookup::Miss]);
    assert_eq!(things.cache().stats().classes[0].load_failures, 0);
}

#[tokio::test]
async fn no_keys_are_no_call() {
    let (things, _) = things();
    let store = Store::default();
    assert_eq!(store.read(&things, &[]).await, []);
    assert!(things.get_many([] as [&Key; 0]).await.is_empty());
    assert!(things.set_many([] as [(Key, u32); 0]).await.is_empty());
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
    assert_eq!(values(things.get_or_load_many(keys([1, 2]), load).await), [Some(1), Some(1)]);
    assert_eq!(things.get(&key(9)), Lookup::Miss, "nobody fenced what nobody asked for");
    let twice = async |_| Ok::<_, Infallible>(vec![(key(3), Fill::new(1)), (key(3), Fill::new(2))]);
    assert_eq!(values(things.get_or_load_many(keys([3]), twice).await), [Some(2)]);
}

#[tokio::test]
async fn a_batch_joins_the_loads_that_are_under_way() {
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
        tokio::spawn(async move {
            things.get_or_load(&key(index), async || Ok::<_, Infallible>(Fill::new(1))).await.unwrap()
        })
    };
    let (found, absent) = (alone(1), alone(100));
    tokio::task::yield_now().await;
    store.open();
    let (found, absent) = (found.await.unwrap(), absent.await.unwrap());
    assert_eq!((*found.value, found.source), (10, Source::Collapsed));
    // The batch's loader had nothing: that is no answer for one who has a loader.
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
                let reads = values(things.get_or_load_many(&wanted, load).await);
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
async fn an_error_reaches_every_key_that_was_left_to_the_loader() {
    let (things, _) = things();
    things.set(&key(1), 1).await;
    let load = async |_| Err::<Vec<(Key, Fill<u32>)>, _>("no store");
    let mut reads = things.get_or_load_many(keys([1, 2, 3]), load).await.into_iter();
    assert_eq!(*reads.next().unwrap().unwrap().unwrap().value, 1);
    for read in reads {
        assert!(matches!(read, Err(LoadError::Loader(error)) if *error == "no store"));
    }
    assert_eq!(things.cache().stats().classes[0].load_failures, 2);
}

#[tokio::test]
async fn a_panic_reaches_every_waiter_and_the_next_batch_loads_anew() {
    let (things, _) = things();
    let load = async |_: Vec<Key>| -> Result<Vec<(Key, Fill<u32>)>, Infallible> { panic!("on purpose") };
    for read in things.get_or_load_many(keys([1, 2]), load).await {
        assert!(matches!(read, Err(LoadError::Panicked)));
    }
    assert_eq!(Store::default().read(&things, &keys([1, 2])).await, [Some(10), Some(20)]);
}

#[tokio::test]
async fn a_load_outlives_the_batch_that_asked_for_it() {
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
    assert_eq!(things.get(&key(2)), Lookup::Fresh(Arc::new(20)));
}

#[tokio::test]
async fn what_is_invalidated_while_a_batch_loads_is_not_kept() {
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
        // Who asks now gets a load of its own, which started later; where it was a tag, once it is known to be one of the value's.
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
        assert_eq!(things.get(&key(2)), Lookup::Miss, "{scope}");
    }
}

#[tokio::test]
async fn stale_values_are_served_at_once_and_loaded_anew_by_one_call() {
    let (things, clock) = things();
    things.set_many([(key(1), 1), (key(2), 2), (key(100), 3)]).await;
    clock.advance(Duration::from_secs(61));
    let store = Store::default();
    assert_eq!(store.read(&things, &keys([1, 2, 100])).await, [Some(1), Some(2), Some(3)]);
    store.started.notified().await;
    tidegate_testkit::poll_until(Duration::from_secs(20), async || {
        let fresh = |index, value| things.get(&key(index)) == Lookup::Fresh(Arc::new(value));
        // The store has no 100 any more: the old value is not served on.
        (fresh(1, 10) && fresh(2, 20) && things.get(&key(100)) == Lookup::Miss).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(store.asked(), [vec![1, 2, 100]]);
}

#[tokio::test]
async fn many_are_stored_and_the_last_of_one_key_counts() {
    let (things, _) = things();
    let kept = things.set_many([(key(1), 1), (key(2), 2), (key(1), 3)]).await;
    assert_eq!(kept, [false, true, true]);
    let fill = |value| Fill::new(value).tag(Tag::new("tagged"));
    things.set_many([(&key(4), fill(4)), (&key(5), fill(5))]).await;
    let found = things.get_many(&keys([1, 2, 3, 4])).await;
    let values: Vec<_> = found.into_iter().map(|found| found.into_value().map(|value| *value)).collect();
    assert_eq!(values, [Some(3), Some(2), None, Some(4)]);
    things.cache().invalidate_tag(&Tag::new("tagged")).await.unwrap();
    assert_eq!(things.get(&key(5)), Lookup::Miss);
    assert_eq!(things.cache().invalidate_keys(&keys([1, 2, 3])).await.unwrap(), 2);
}

#[test]
fn without_a_runtime_what_is_held_is_answered() {
    use futures_util::FutureExt;
    let (things, clock) = things();
    things.set(&key(1), 1).now_or_never().unwrap();
    let load = async |_| Ok::<Vec<(Key, Fill<u32>)>, Infallible>(Vec::new());
    let mut reads = things.get_or_load_many(keys([1, 2]), load).now_or_never().unwrap().into_iter();
    assert_eq!(*reads.next().unwrap().unwrap().unwrap().value, 1);
    assert!(matches!(reads.next().unwrap(), Err(LoadError::NoRuntime)));
    clock.advance(Duration::from_secs(61));
    let reads = things.get_or_load_many(keys([1]), load).now_or_never().unwrap();
    assert_eq!(reads[0].as_ref().unwrap().as_ref().unwrap().source, Source::Stale);
    assert_eq!(things.get_many(keys([1, 2])).now_or_never().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_no_longer_than_the_class_says_and_its_load_goes_on() {
    let class = CLASS.hard_timeout(Duration::from_millis(100));
    let things: TypedCache<u32> = TieredCache::builder().build().typed(class);
    let store = Store::gated();
    things.set(&key(3), 3).await;
    let loading = store.clone();
    let reads = things.get_or_load_many(keys([1, 2, 3]), |keys| loading.load(keys)).await;
    assert!(matches!(reads[..2], [Err(LoadError::TimedOut), Err(LoadError::TimedOut)]));
    assert_eq!(*reads[2].as_ref().unwrap().as_ref().unwrap().value, 3);
    store.open();
    assert_eq!(store.read(&things, &keys([1, 2])).await, [Some(10), Some(20)]);
    assert_eq!(store.asked().len(), 1);
}

#[tokio::test]
async fn a_soft_time_out_spares_a_batch_the_stale_values() {
    let clock = ManualClock::new();
    let class = CLASS.soft_timeout(Duration::from_secs(20));
    let things: TypedCache<u32> = TieredCache::builder().clock(clock.clone()).build().typed(class);
    things.set_many([(key(1), 1), (key(2), 2)]).await;
    clock.advance(Duration::from_secs(61));
    let store = Store::default();
    assert_eq!(store.read(&things, &keys([1, 2])).await, [Some(10), Some(20)]);
    assert_eq!(store.asked(), [vec![1, 2]]);
}

#[tokio::test]
async fn what_soon_ends_is_loaded_ahead_by_one_call() {
    let clock = ManualClock::new();
    let class = CLASS.refresh_ahead(Duration::from_secs(20));
    let things: TypedCache<u32> = TieredCache::builder().clock(clock.clone()).build().typed(class);
    things.set_many([(key(1), 1), (key(2), 2)]).await;
    clock.advance(Duration::from_secs(50));
    let store = Store::default();
    let loading = store.clone();
    let reads = things.get_or_load_many(keys([1, 2, 3]), |keys| loading.load(keys)).await;
    let sources: Vec<_> = reads.into_iter().map(|read| read.unwrap().unwrap().source).collect();
    assert_eq!(sources, [Source::Hit, Source::Hit, Source::Loaded]);
    assert_eq!(store.asked(), [vec![1, 2, 3]]);
    tidegate_testkit::poll_until(Duration::from_secs(20), async || {
        (things.get(&key(2)) == Lookup::Fresh(Arc::new(20))).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_takes_one_place_and_is_refused_as_a_whole_where_there_is_none() {
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
    let reads = things.get_or_load_many(keys([3, 4]), |keys| loading.load(keys)).await;
    assert!(reads.iter().all(|read| matches!(read, Err(LoadError::Refused))), "{reads:?}");
    assert!(other.asked().is_empty());
    store.open();
    assert_eq!(first.await.unwrap(), [Some(10), Some(20)]);
    assert_eq!(other.read(&things, &keys([3, 4])).await, [Some(30), Some(40)]);
}

#[tokio::test]
async fn a_loader_of_a_batch_may_load_others_in_its_place_but_not_wait_for_itself() {
    let things: TypedCache<u32> = TieredCache::builder().max_loads(1, Duration::from_secs(3600)).build().typed(CLASS);
    let inner = things.clone();
    let load = async move |asked: Vec<Key>| {
        // In a batch with another one, and alone: the last key is not that under which the load was counted.
        let nested = Store::default();
        let reads = inner.get_or_load_many(keys([2, 5]), |keys| nested.load(keys)).await;
        assert!(matches!(reads[0], Err(LoadError::Circle)), "{reads:?}");
        assert_eq!(*reads[1].as_ref().unwrap().as_ref().unwrap().value, 50);
        let alone = inner.get_or_load(&key(3), async || Ok::<_, Infallible>(Fill::new(0))).await;
        assert!(matches!(alone, Err(LoadError::Circle)));
        Ok::<_, Infallible>(asked.into_iter().map(|key| (key, Fill::new(7))).collect::<Vec<_>>())
    };
    let load = things.get_or_load_many(keys([1, 2, 3]), load);
    let reads = tokio::time::timeout(Duration::from_secs(20), load).await.unwrap();
    assert_eq!(values(reads), [Some(7), Some(7), Some(7)]);
}

#[tokio::test]
async fn a_load_that_takes_too_long_is_cut_off_for_the_whole_batch() {
    let things: TypedCache<u32> = TieredCache::builder().build().typed(CLASS.load_limit(Duration::from_millis(50)));
    let store = Store::gated();
    let loading = store.clone();
    let load = things.get_or_load_many(keys([1, 2]), |keys| loading.load(keys));
    let reads = tokio::time::timeout(Duration::from_secs(20), load).await.unwrap();
    assert!(reads.iter().all(|read| matches!(read, Err(LoadError::CutOff))), "{reads:?}");
    assert_eq!(Store::default().read(&things, &keys([1, 2])).await, [Some(10), Some(20)]);
}

#[tokio::test]
async fn a_batch_that_would_wait_for_its_own_end_is_told() {
    let (things, _) = things();
    let again = things.clone();
    let load = async move |keys: Vec<Key>| {
        let nested = again.get_or_load(&key(2), async || Ok::<_, Infallible>(Fill::new(1))).await;
        assert!(matches!(nested, Err(LoadError::Circle)), "{nested:?}");
        Ok::<_, Infallible>(keys.into_iter().map(|key| (key.clone(), Fill::new(number_of(&key)))).collect::<Vec<_>>())
    };
    let reads = things.get_or_load_many(keys(1..4), load).await;
    assert!(reads.into_iter().all(|read| read.unwrap().is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_no_longer_than_one_read_and_fills_all_the_same() {
    let class = CLASS.hard_timeout(Duration::from_millis(10));
    let things = TieredCache::builder().build().typed::<u32>(class);
    let store = Store::gated();
    let loading = store.clone();
    let reads = things.get_or_load_many(keys(1..4), move |keys| loading.load(keys)).await;
    assert!(reads.iter().all(|read| matches!(read, Err(LoadError::TimedOut))), "{reads:?}");
    store.open();
    // A reader of a load that goes on.
    let read = things.get_or_load(&key(2), async || Ok::<_, Infallible>(Fill::new(0))).await.unwrap();
    assert_eq!((*read.value, things.get(&key(3)).into_value().as_deref()), (20, Some(&30)));
}

#[tokio::test]
async fn a_batch_takes_one_place_and_none_where_a_load_that_has_one_waits_for_it() {
    let cache = TieredCache::builder().max_loads(1, Duration::from_secs(3600)).build();
    let (things, sums) = (cache.typed::<u32>(CLASS), cache.typed::<u32>(TtlClass::DEFAULT));
    let load = async move || {
        let reads = things.get_or_load_many(keys(1..4), move |keys| Store::default().load(keys)).await;
        Ok::<_, Infallible>(Fill::new(reads.into_iter().map(|read| *read.unwrap().unwrap().value).sum::<u32>()))
    };
    let key = Key::builder("sum").build().unwrap();
    assert_eq!(*sums.get_or_load(&key, load).await.unwrap().value, 60);
}

#[tokio::test]
async fn values_of_a_batch_live_as_their_class_and_their_loader_say() {
    let clock = ManualClock::new();
    let class = TtlClass::new("found", Duration::from_secs(600)).negative_ttl(Duration::from_secs(5));
    let found = TieredCache::builder().clock(clock.clone()).build().typed::<Option<u32>>(class);
    let load = async |keys: Vec<Key>| {
        Ok::<_, Infallible>(vec![(keys[0].clone(), Fill::new(None).negative()), (keys[1].clone(), Fill::new(Some(1)))])
    };
    found.get_or_load_many(keys(1..3), load).await;
    let set = [(key(3), Fill::new(None).negative()), (key(4), Fill::new(Some(4)))];
    found.set_many(set).await;
    clock.advance(Duration::from_secs(6));
    let is_there = |index: u32| found.get(&key(index)).into_value().is_some();
    assert_eq!([1, 2, 3, 4].map(is_there), [false, true, false, true]);
}

#[tokio::test]
async fn a_batch_takes_the_longest_time_outs() {
    let class = CLASS.soft_timeout(Duration::MAX).hard_timeout(Duration::MAX);
    let things = TieredCache::builder().build().typed::<u32>(class);
    for _ in 0..2 {
        let reads = things.get_or_load_many(keys(1..3), |keys| Store::default().load(keys)).await;
        assert!(reads.into_iter().all(|read| read.unwrap().is_some()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_a_loader_waits_for_no_place_that_is_held_for_it() {
    let cache = TieredCache::builder().max_loads(1, Duration::from_millis(50)).build();
    let (things, sums) = (cache.typed::<u32>(CLASS), cache.typed::<u32>(TtlClass::DEFAULT));
    let slow = things.clone();
    let load = async move || {
        // Somebody else's, which takes longer than anybody waits for a place.
        let others = tokio::spawn(async move {
            let load = async || {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok::<_, Infallible>(Fill::new(10))
            };
            slow.get_or_load(&key(1), load).await.map(|read| *read.value)
        });
        tokio::task::yield_now().await;
        let reads = things.get_or_load_many(keys(1..3), move |keys| Store::default().load(keys)).await;
        let sum = reads.into_iter().map(|read| *read.unwrap().unwrap().value).sum::<u32>();
        assert_eq!(others.await.unwrap().unwrap(), 10);
        Ok::<_, Infallible>(Fill::new(sum))
    };
    let key = Key::builder("sum").build().unwrap();
    assert_eq!(*sums.get_or_load(&key, load).await.unwrap().value, 30);
}

#[tokio::test]
async fn a_batch_that_fails_counts_a_load_for_each_of_its_keys() {
    let (things, _) = things();
    let reads = things.get_or_load_many(keys(1..4), async |_| Err::<Vec<(Key, Fill<u32>)>, _>("down")).await;
    assert!(reads.into_iter().all(|read| matches!(read, Err(LoadError::Loader(_)))));
    let stats = things.cache().stats().classes.remove(0);
    assert_eq!((stats.loads, stats.load_failures), (3, 3));
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
            *things.get_or_load(&key(1), load).await.unwrap().value
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
    // With something else to load it loads this too, rather than wait for what may be too late.
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

#[tokio::test]
async fn a_batch_revalidates_what_l1_still_holds() {
    let (things, clock) = things();
    things.set_many([(key(1), 1), (key(2), 2)]).await;
    let before = things.get(&key(1)).into_value().unwrap();
    clock.advance(Duration::from_secs(61));
    let load = async |missing: Vec<(Key, Option<Known<u32>>)>| {
        let fill = |(key, known): (Key, Option<Known<u32>>)| match known {
            Some(known) if number_of(&key) == 1 => (key, known.still_holds()),
            known => (key, Fill::new(known.map_or(30, |known| **known.value() * 10))),
        };
        Ok::<_, Infallible>(missing.into_iter().map(fill).collect::<Vec<_>>())
    };
    let reads = things.get_or_revalidate_many(keys([1, 2, 3]), load).await;
    let values: Vec<_> = reads.into_iter().map(|read| *read.unwrap().unwrap().value).collect();
    assert_eq!(values, [1, 2, 30], "those that are stale are served at once");
    let found = things.get_many(keys([1, 2, 3])).await;
    assert_eq!(found, [1, 20, 30].map(|value| Lookup::Fresh(Arc::new(value))));
    assert!(Arc::ptr_eq(&before, &things.get(&key(1)).into_value().unwrap()), "not another copy");
}
