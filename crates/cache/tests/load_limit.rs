//! The bound on loads that run at once: kept, fair, and no trap for loads that wait for loads.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_cache::{
    Event, Fill, Key, LoadError, LoadResult, Lookup, Observer, Source, TieredCache, TtlClass, TypedCache,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;

const LONG: Duration = Duration::from_secs(3600);

fn key(index: usize) -> Key {
    Key::builder("k").part(index).build().unwrap()
}

fn cache(places: u32, wait: Duration) -> TypedCache<usize> {
    TieredCache::builder().max_loads(places, wait).build().typed(TtlClass::DEFAULT)
}

async fn value(value: usize) -> Result<Fill<usize>, Infallible> {
    Ok(Fill::new(value))
}

/// Counts who is inside, and how many were at most.
#[derive(Default)]
struct Crowd {
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Crowd {
    async fn visit(&self) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_loads_are_limited_and_all_of_them_run() {
    let bound = |class: Option<u32>, all: Option<u32>| {
        let builder = TieredCache::builder();
        let cache = all.into_iter().fold(builder, |builder, count| builder.max_loads(count, LONG)).build();
        cache.typed::<usize>(class.into_iter().fold(TtlClass::DEFAULT, |class, count| class.max_loads(count, LONG)))
    };
    for (cache, places) in [(bound(None, Some(3)), 3), (bound(Some(2), None), 2), (bound(Some(2), Some(5)), 2)] {
        let (crowd, mut callers) = (Arc::new(Crowd::default()), JoinSet::new());
        for index in 0..300 {
            let (cache, crowd) = (cache.clone(), Arc::clone(&crowd));
            callers.spawn(async move {
                let load = async move || {
                    crowd.visit().await;
                    value(index).await
                };
                assert_eq!(*cache.fetch(&key(index), load).await.unwrap().value, index);
            });
        }
        callers.join_all().await;
        assert_eq!(crowd.most.load(Ordering::SeqCst), places);
        let stats = &cache.cache().stats().classes[0];
        assert!(stats.queued_loads > 0 && stats.refused_loads == 0 && stats.loads == 300);
    }
}

#[tokio::test]
async fn waiting_loads_run_in_the_order_of_their_requests() {
    let (cache, order) = (cache(1, LONG), Arc::new(Mutex::new(Vec::new())));
    let mut callers = JoinSet::new();
    for index in 0..50 {
        let (cache, order) = (cache.clone(), Arc::clone(&order));
        callers.spawn(async move {
            let load = async move || {
                tokio::task::yield_now().await;
                order.lock().unwrap().push(index);
                value(index).await
            };
            cache.fetch(&key(index), load).await.unwrap();
        });
    }
    callers.join_all().await;
    assert!(order.lock().unwrap().iter().copied().eq(0..50));
}

#[derive(Default)]
struct Listener(Mutex<Vec<String>>);

impl Observer for Listener {
    fn on(&self, event: &Event<'_>) {
        let mut heard = self.0.lock().unwrap();
        match event {
            Event::LoadQueued { class, key } => heard.push(format!("{class} {key} queued")),
            Event::Loaded { key, result: LoadResult::Refused, .. } => heard.push(format!("{key} refused")),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_gets_no_permit_in_time_is_refused_and_reported() {
    let listener = Arc::new(Listener::default());
    let builder = TieredCache::builder().observer(listener.clone()).max_loads(1, Duration::from_millis(100));
    let cache = builder.build().typed::<usize>(TtlClass::DEFAULT);
    let (gate, holder) = (Arc::new(Notify::new()), cache.clone());
    let open = Arc::clone(&gate);
    let holder = tokio::spawn(async move {
        let load = async move || {
            open.notified().await;
            value(0).await
        };
        holder.fetch(&key(0), load).await
    });
    tokio::task::yield_now().await;
    let (one, other) = (key(1), key(1));
    let (one, other) = tokio::join!(cache.fetch(&one, || value(1)), cache.fetch(&other, || value(2)));
    assert!(matches!((one, other), (Err(LoadError::Refused), Err(LoadError::Refused))));
    assert_eq!(*listener.0.lock().unwrap(), ["default k:1 queued", "k:1 refused"]);
    gate.notify_one();
    holder.await.unwrap().unwrap();
    assert_eq!(*cache.fetch(&key(1), || value(3)).await.unwrap().value, 3);
    let stats = &cache.cache().stats().classes[0];
    assert_eq!((stats.queued_loads, stats.refused_loads, stats.loads), (1, 1, 2));
}

#[tokio::test]
async fn a_loader_that_fails_returns_its_permit() {
    let cache = cache(1, LONG);
    let limited = TtlClass::new("limited", LONG).load_limit(Duration::from_millis(50));
    let limited = cache.cache().typed::<usize>(limited);
    let panics = async || -> Result<Fill<usize>, Infallible> { panic!("in a loader") };
    assert!(matches!(cache.fetch(&key(1), panics).await, Err(LoadError::Panicked)));
    assert!(cache.fetch(&key(2), async || Err::<Fill<usize>, _>("down")).await.is_err());
    let hangs = || std::future::pending::<Result<Fill<usize>, Infallible>>();
    assert!(matches!(limited.fetch(&key(3), hangs).await, Err(LoadError::CutOff)));
    assert_eq!(*cache.fetch(&key(4), || value(4)).await.unwrap().value, 4);
}

/// Loads key `depth` by loading the one below it.
fn tower(cache: TypedCache<usize>, depth: usize) -> futures_util::future::BoxFuture<'static, usize> {
    Box::pin(async move {
        let inner = cache.clone();
        let load = async move || {
            let below = if depth == 0 { 0 } else { tower(inner, depth - 1).await };
            value(below + 1).await
        };
        *cache.fetch(&key(depth), load).await.unwrap().value
    })
}

#[tokio::test(start_paused = true)]
async fn nested_loads_need_no_permit_of_their_own() {
    let cache = cache(1, LONG);
    assert_eq!(tower(cache.clone(), 20).await, 21);
    assert_eq!(cache.cache().stats().classes[0].queued_loads, 0);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_load_runs_at_once_when_the_holder_of_the_permit_waits_for_it() {
    let cache = cache(1, LONG);
    let (outer, inner) = (cache.clone(), cache.clone());
    let (started, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begun, open) = (Arc::clone(&started), Arc::clone(&gate));
    let holder = tokio::spawn(async move {
        let load = async move || {
            begun.notify_one();
            open.notified().await;
            // By now another caller's load of this key is in line for the permit that this one
            // holds.
            let read = inner.fetch(&key(2), || value(99)).await.unwrap();
            assert_eq!(read.source, Source::Collapsed);
            value(*read.value + 1).await
        };
        *outer.fetch(&key(1), load).await.unwrap().value
    });
    started.notified().await;
    let waiting = cache.clone();
    let in_line = tokio::spawn(async move { *waiting.fetch(&key(2), || value(1)).await.unwrap().value });
    while cache.cache().stats().classes[0].queued_loads == 0 {
        tokio::task::yield_now().await;
    }
    let started = tokio::time::Instant::now();
    gate.notify_one();
    assert_eq!((holder.await.unwrap(), in_line.await.unwrap()), (2, 1));
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nested_loads_over_the_same_keys_all_complete_with_few_permits() {
    for _ in 0..20 {
        let (cache, mut callers) = (cache(2, LONG), JoinSet::new());
        for index in 0..64 {
            callers.spawn(tower(cache.clone(), index % 16));
        }
        let heights = callers.join_all().await;
        assert!(heights.iter().all(|height| (1..=16).contains(height)));
        assert_eq!(cache.cache().stats().classes[0].loads, 16);
    }
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_waits_for_its_own_task_is_refused_in_the_end() {
    let cache = cache(1, Duration::from_secs(5));
    let inner = cache.clone();
    let load = async move || {
        let hidden = tokio::spawn(async move { inner.fetch(&key(2), || value(2)).await });
        assert!(matches!(hidden.await.unwrap(), Err(LoadError::Refused)));
        value(1).await
    };
    assert_eq!(*cache.fetch(&key(1), load).await.unwrap().value, 1);
}

#[tokio::test]
async fn a_loader_that_reads_its_own_key_gets_an_error() {
    let cache = cache(1, LONG);
    let inner = cache.clone();
    let load = async move || {
        assert!(matches!(inner.fetch(&key(1), || value(2)).await, Err(LoadError::Cycle)));
        value(1).await
    };
    assert_eq!(*cache.fetch(&key(1), load).await.unwrap().value, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_that_wait_for_each_other_get_an_error() {
    // Each loads the next one around, all at once: the load that closes the cycle is refused, and
    // all others get an answer.
    for _ in 0..50 {
        let cache = TieredCache::builder().build().typed::<usize>(TtlClass::DEFAULT);
        let (mut callers, barrier) = (JoinSet::new(), Arc::new(tokio::sync::Barrier::new(4)));
        for index in 0..4 {
            let (cache, barrier) = (cache.clone(), Arc::clone(&barrier));
            callers.spawn(async move {
                let inner = cache.clone();
                let load = async move || {
                    barrier.wait().await;
                    match inner.fetch(&key((index + 1) % 4), || value(9)).await {
                        Ok(next) => value(*next.value + 1).await,
                        Err(LoadError::Cycle) => value(0).await,
                        Err(other) => panic!("{other}"),
                    }
                };
                *cache.fetch(&key(index), load).await.unwrap().value
            });
        }
        let mut heights = callers.join_all().await;
        heights.sort_unstable();
        assert_eq!(heights, [0, 1, 2, 3]);
    }
}

#[tokio::test]
async fn a_hit_needs_no_permit() {
    let cache = cache(1, Duration::ZERO);
    cache.put(&key(2), 2).await;
    let inner = cache.clone();
    let load = async move || {
        assert_eq!(inner.peek(&key(2)), Lookup::Fresh(Arc::new(2)));
        tokio::spawn(async move { inner.fetch(&key(2), || value(9)).await.unwrap() }).await.unwrap();
        value(1).await
    };
    assert_eq!(*cache.fetch(&key(1), load).await.unwrap().value, 1);
}

#[tokio::test]
async fn handles_with_the_same_limit_of_loads_share_it() {
    let cache = TieredCache::builder().build();
    let bound = |count| TtlClass::new("bound", LONG).max_loads(count, Duration::from_millis(1));
    let [first, _, third] = [1, 2, 1].map(|count| cache.typed::<usize>(bound(count)));
    let begun = Arc::new(Notify::new());
    let started = Arc::clone(&begun);
    let holder = tokio::spawn(async move {
        let hold = async move || {
            started.notify_one();
            std::future::pending::<Result<Fill<usize>, Infallible>>().await
        };
        first.fetch(&key(1), hold).await.map(|read| read.value)
    });
    begun.notified().await;
    assert!(matches!(third.fetch(&key(2), || value(2)).await, Err(LoadError::Refused)));
    holder.abort();
}
