//! Single flight: one load for all callers, whichever caller leaves, however the load ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use futures_util::FutureExt;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_cache::{Event, Fill, Key, LoadError, Lookup, Observer, Source, TieredCache, TtlClass, TypedCache};
use tokio::sync::{Barrier, Notify};
use tokio::task::JoinSet;

/// With L1 alone, no call waits.
fn now<T>(done: impl Future<Output = T>) -> T {
    done.now_or_never().expect("nothing to wait for")
}

fn cache() -> TypedCache<u32> {
    TieredCache::builder().build().typed(TtlClass::DEFAULT)
}

fn key() -> Key {
    Key::builder("k").part(1).build().unwrap()
}

/// A load that counts its starts and ends on a signal.
#[derive(Clone, Default)]
struct Gate {
    starts: Arc<AtomicUsize>,
    open: Arc<Notify>,
    started: Arc<Notify>,
}

impl Gate {
    async fn pass(self) {
        self.starts.fetch_add(1, Ordering::SeqCst);
        self.started.notify_one();
        self.open.notified().await;
    }

    fn starts(&self) -> usize {
        self.starts.load(Ordering::SeqCst)
    }
}

/// Waits until `count` callers have joined a load; the counter moves before a caller waits.
async fn joined(cache: &TypedCache<u32>, count: u64) {
    while cache.cache().stats().classes[0].collapsed < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_callers_on_a_cold_key_make_one_load() {
    let (cache, gate) = (cache(), Gate::default());
    let barrier = Arc::new(Barrier::new(10_000));
    let mut callers = JoinSet::new();
    for _ in 0..10_000 {
        let (cache, gate, barrier) = (cache.clone(), gate.clone(), Arc::clone(&barrier));
        callers.spawn(async move {
            barrier.wait().await;
            let load = async move || {
                gate.pass().await;
                Ok::<_, Infallible>(Fill::new(7))
            };
            cache.fetch(&key(), load).await.unwrap()
        });
    }
    joined(&cache, 9_999).await;
    gate.open.notify_one();
    let reads = callers.join_all().await;
    assert!(reads.iter().all(|read| *read.value == 7 && read.stored));
    assert_eq!(reads.iter().filter(|read| read.source == Source::Loaded).count(), 1);
    assert_eq!(gate.starts(), 1);
    let stats = &cache.cache().stats().classes[0];
    assert_eq!((stats.misses, stats.loads, stats.collapsed), (10_000, 1, 9_999));
}

#[tokio::test]
async fn the_first_caller_may_leave_and_all_others_are_served() {
    let (cache, gate) = (cache(), Gate::default());
    let call = |value: u32| {
        let (cache, gate) = (cache.clone(), gate.clone());
        tokio::spawn(async move {
            let load = async move || {
                gate.pass().await;
                Ok::<_, Infallible>(Fill::new(value))
            };
            cache.fetch(&key(), load).await
        })
    };
    let first = call(1);
    gate.started.notified().await;
    let others: Vec<_> = (2..50).map(call).collect();
    joined(&cache, 48).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.open.notify_one();
    for other in others {
        let read = other.await.unwrap().unwrap();
        assert_eq!((*read.value, read.source), (1, Source::Collapsed));
    }
    assert_eq!(gate.starts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_load_slower_than_every_caller_still_fills_the_cache() {
    let (cache, starts) = (cache(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..5 {
        let counted = Arc::clone(&starts);
        let load = async move || {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, Infallible>(Fill::new(7))
        };
        let (slow, limit) = (key(), Duration::from_millis(100));
        assert!(tokio::time::timeout(limit, cache.fetch(&slow, load)).await.is_err());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cache.peek(&key()), Lookup::Fresh(Arc::new(7)));
    assert_eq!(starts.load(Ordering::SeqCst), 1);
}

/// Two callers of a load that ends as `ending` says; both answers.
async fn two_callers(ending: fn() -> Result<Fill<u32>, &'static str>) -> [LoadError<&'static str>; 2] {
    let (cache, gate) = (cache(), Gate::default());
    let call = || {
        let (cache, gate) = (cache.clone(), gate.clone());
        tokio::spawn(async move {
            let load = async move || {
                gate.pass().await;
                ending()
            };
            cache.fetch(&key(), load).await.unwrap_err()
        })
    };
    let callers = [call(), call()];
    joined(&cache, 1).await;
    gate.open.notify_one();
    let [first, second] = callers;
    let answers = [first.await.unwrap(), second.await.unwrap()];

    // The failure is not remembered: the next caller loads.
    let read = cache.fetch(&key(), async || Ok::<_, &str>(Fill::new(3))).await.unwrap();
    assert_eq!((*read.value, read.source), (3, Source::Loaded));
    assert_eq!(cache.cache().stats().classes[0].load_failures, 1);
    answers
}

#[tokio::test]
async fn an_error_reaches_every_waiter() {
    let [LoadError::Loader(first), LoadError::Loader(second)] = two_callers(|| Err("no")).await else { panic!() };
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(*first, "no");
}

#[tokio::test]
async fn a_panic_wakes_every_waiter() {
    let answers = two_callers(|| panic!("in a loader")).await;
    assert!(answers.iter().all(|answer| matches!(answer, LoadError::Panicked)));
}

#[tokio::test]
async fn a_panic_in_the_call_of_the_loader_or_in_weighing_is_caught() {
    let cache = cache();
    let no_future = || -> std::future::Ready<Result<Fill<u32>, Infallible>> { panic!("before the first poll") };
    assert!(matches!(cache.fetch(&key(), no_future).await, Err(LoadError::Panicked)));
    let cache = cache.weigh(|_| panic!("in weighing"));
    let load = async || Ok::<_, Infallible>(Fill::new(1));
    assert!(matches!(cache.fetch(&key(), load).await, Err(LoadError::Panicked)));
}

#[test]
fn the_shutdown_of_the_loaders_runtime_wakes_waiters_on_other_runtimes() {
    let (cache, gate) = (cache(), Gate::default());
    let loading = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let waiting = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (remote, passed) = (cache.clone(), gate.clone());
    loading.spawn(async move {
        let load = async move || {
            passed.pass().await;
            Ok::<_, Infallible>(Fill::new(1))
        };
        remote.fetch(&key(), load).await
    });
    waiting.block_on(async {
        gate.started.notified().await;
        let (cache, watched, there) = (cache.clone(), cache.clone(), key());
        let waiter = tokio::spawn(async move { cache.fetch(&there, async || Ok::<_, Infallible>(Fill::new(2))).await });
        joined(&watched, 1).await;
        loading.shutdown_background();
        assert!(matches!(waiter.await.unwrap(), Err(LoadError::Aborted)));
    });
}

#[test]
fn without_a_runtime_hits_are_served_and_loads_are_refused() {
    use futures_util::FutureExt;
    let cache = cache();
    let load = async || Ok::<_, Infallible>(Fill::new(2));
    assert!(matches!(cache.fetch(&key(), load).now_or_never(), Some(Err(LoadError::NoRuntime))));
    now(cache.put(&key(), 1));
    let read = cache.fetch(&key(), load).now_or_never().unwrap().unwrap();
    assert_eq!((*read.value, read.source), (1, Source::Hit));
}

#[tokio::test]
async fn callers_with_different_error_types_load_side_by_side_and_each_kind_once() {
    let (cache, gate) = (cache(), Gate::default());
    let mut callers = JoinSet::new();
    for _ in 0..10 {
        let (of_text, of_number) = (cache.clone(), cache.clone());
        let (gate_a, gate_b) = (gate.clone(), gate.clone());
        callers.spawn(async move {
            let load = async move || {
                gate_a.pass().await;
                Ok::<_, String>(Fill::new(1))
            };
            *of_text.fetch(&key(), load).await.unwrap().value
        });
        callers.spawn(async move {
            let load = async move || {
                gate_b.pass().await;
                Ok::<_, u8>(Fill::new(1))
            };
            *of_number.fetch(&key(), load).await.unwrap().value
        });
    }
    joined(&cache, 18).await;
    // One thread: a loader that counted its start is waiting at the gate.
    while gate.starts() < 2 {
        tokio::task::yield_now().await;
    }
    gate.open.notify_waiters();
    assert_eq!(callers.join_all().await, [1; 20]);
    assert_eq!(gate.starts(), 2);
}

/// Fills the cache at the moment at which a reader has missed and not yet begun to load.
#[derive(Default)]
struct Meddler(OnceLock<TypedCache<u32>>);

impl Observer for Meddler {
    fn on(&self, event: &Event<'_>) {
        if let (Event::Lookup { .. }, Some(cache)) = (event, self.0.get()) {
            now(cache.put(&key(), 7));
        }
    }
}

#[tokio::test]
async fn a_value_stored_between_miss_and_load_makes_the_load_unnecessary() {
    let meddler = Arc::new(Meddler::default());
    let cache = TieredCache::builder().observer(meddler.clone()).build().typed::<u32>(TtlClass::DEFAULT);
    assert!(meddler.0.set(cache.clone()).is_ok());
    let read = cache.fetch(&key(), async || Ok::<_, Infallible>(Fill::new(1))).await.unwrap();
    assert_eq!((*read.value, read.source), (7, Source::Collapsed));
    assert_eq!(cache.cache().stats().classes[0].loads, 0);
}
