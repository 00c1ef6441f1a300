//! How long readers wait, how long a load may take, and that neither holds up the other.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures_util::FutureExt;
use tidegate_cache::{
    Event, Fill, Key, LoadError, LoadResult, Lookup, ManualClock, Observer, Pattern, Source, TieredCache, TtlClass,
    TypedCache,
};
use tokio::time::{Instant, sleep};

/// With L1 alone, no call waits.
fn now<T>(done: impl Future<Output = T>) -> T {
    done.now_or_never().expect("nothing to wait for")
}

const CLASS: TtlClass = TtlClass::new("prices", Duration::from_secs(60)).grace(Duration::from_secs(600));

fn key() -> Key {
    Key::builder("k").build().unwrap()
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn after(wait: Duration, value: u32) -> Result<Fill<u32>, &'static str> {
    sleep(wait).await;
    Ok(Fill::new(value))
}

/// A cache with a stale value of 1.
fn stale(class: TtlClass) -> (ManualClock, TypedCache<u32>) {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build().typed(class);
    now(cache.put(&key(), 1));
    clock.advance(Duration::from_secs(60));
    (clock, cache)
}

#[tokio::test(start_paused = true)]
async fn on_the_soft_timeout_stale_is_served_and_the_load_goes_on_and_fills() {
    let (_, cache) = stale(CLASS.soft_timeout(millis(50)));
    let started = Instant::now();
    let read = cache.fetch(&key(), || after(millis(100), 2)).await.unwrap();
    assert_eq!((*read.value, read.source, started.elapsed()), (1, Source::Stale, millis(50)));
    // The others need not wait at all, because a load is in progress.
    let read = cache.fetch(&key(), || after(millis(100), 3)).await.unwrap();
    assert_eq!((*read.value, read.source, started.elapsed()), (1, Source::Stale, millis(50)));
    sleep(millis(51)).await;
    assert_eq!(cache.peek(&key()), Lookup::Fresh(Arc::new(2)));
    assert_eq!(cache.cache().stats().classes[0].loads, 1);
}

#[tokio::test(start_paused = true)]
async fn within_the_soft_timeout_the_fresh_value_is_served() {
    let (_, cache) = stale(CLASS.soft_timeout(millis(50)));
    let read = cache.fetch(&key(), || after(millis(49), 2)).await.unwrap();
    assert_eq!((*read.value, read.source, read.fresh_for), (2, Source::Loaded, Duration::from_secs(60)));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_fails_within_the_soft_timeout_leaves_the_stale_value() {
    let (_, cache) = stale(CLASS.soft_timeout(millis(50)));
    let read = cache.fetch(&key(), async || Err::<Fill<u32>, _>("down")).await.unwrap();
    assert_eq!((*read.value, read.source), (1, Source::Stale));
}

#[tokio::test(start_paused = true)]
async fn a_value_invalidated_during_the_soft_timeout_is_not_replaced_by_an_older_one() {
    let (_, cache) = stale(CLASS.soft_timeout(millis(50)));
    let (reader, wanted) = (cache.clone(), key());
    let read = tokio::spawn(async move { reader.fetch(&wanted, || after(millis(100), 2)).await });
    sleep(millis(10)).await;
    now(cache.remove(&key())).unwrap();
    // It started before the invalidation, so it may have the old value. No later caller may.
    assert_eq!(*read.await.unwrap().unwrap().value, 1);
    sleep(millis(100)).await;
    assert_eq!(cache.peek(&key()), Lookup::Miss);
}

#[tokio::test(start_paused = true)]
async fn on_the_hard_timeout_the_caller_gets_an_error_and_the_load_fills() {
    let cache = TieredCache::builder().build().typed(CLASS.hard_timeout(millis(10)));
    let started = Instant::now();
    for round in 1..=5 {
        let read = cache.fetch(&key(), || after(millis(100), 7)).await;
        assert!(matches!(read, Err(LoadError::TimedOut)));
        assert_eq!(started.elapsed(), millis(10 * round));
    }
    sleep(millis(51)).await;
    assert_eq!(cache.peek(&key()), Lookup::Fresh(Arc::new(7)));
    let stats = &cache.cache().stats().classes[0];
    assert_eq!((stats.loads, stats.timeouts, stats.collapsed, stats.load_failures), (1, 5, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn callers_with_timeouts_of_10_ms_on_a_load_of_100_ms_and_the_cache_fills() {
    let cache = TieredCache::builder().build().typed::<u32>(CLASS);
    for _ in 0..9 {
        let asked = key();
        let read = cache.fetch(&asked, || after(millis(100), 7));
        assert!(tokio::time::timeout(millis(10), read).await.is_err());
    }
    sleep(millis(11)).await;
    assert_eq!(cache.peek(&key()), Lookup::Fresh(Arc::new(7)));
    assert_eq!(cache.cache().stats().classes[0].loads, 1);
}

/// How loads ended.
#[derive(Default)]
struct Endings(Mutex<Vec<LoadResult>>);

impl Observer for Endings {
    fn on(&self, event: &Event<'_>) {
        if let Event::Loaded { result, .. } = event {
            self.0.lock().unwrap().push(*result);
        }
    }
}

/// A class whose loads are cut off soon. Real time: the keeper is a thread.
const SHORT: TtlClass = CLASS.load_limit(Duration::from_millis(50));

#[tokio::test]
async fn a_hung_loader_is_cut_off_and_the_next_caller_loads() {
    let endings = Arc::new(Endings::default());
    let cache = TieredCache::builder().observer(endings.clone()).build().typed::<u32>(SHORT);
    let hung = || pending::<Result<Fill<u32>, &str>>();
    let (first, second) = (key(), key());
    let (first, second) = tokio::join!(cache.fetch(&first, hung), cache.fetch(&second, hung));
    assert!(matches!((first, second), (Err(LoadError::CutOff), Err(LoadError::CutOff))));
    while endings.0.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(*endings.0.lock().unwrap(), [LoadResult::CutOff]);
    let read = cache.fetch(&key(), async || Ok::<_, &str>(Fill::new(2))).await.unwrap();
    assert_eq!((*read.value, read.source), (2, Source::Loaded));
    assert_eq!(cache.cache().stats().classes[0].load_failures, 1);
}

#[tokio::test]
async fn a_hung_loader_that_an_invalidation_fenced_is_cut_off_too() {
    for how in ["key", "pattern", "write"] {
        let cache = TieredCache::builder().build().typed::<u32>(SHORT);
        let (caller, begun) = (cache.clone(), Arc::new(tokio::sync::Notify::new()));
        let started = Arc::clone(&begun);
        let hung = async move || {
            started.notify_one();
            pending::<Result<Fill<u32>, &str>>().await
        };
        let caller = tokio::spawn(async move { caller.fetch(&key(), hung).await });
        begun.notified().await;
        match how {
            "key" => drop(now(cache.remove(&key())).unwrap()),
            "pattern" => drop(now(cache.cache().invalidate_pattern(&Pattern::parse("*").unwrap())).unwrap()),
            _ => {
                let written = cache.write_through(&key(), async || Ok::<_, Infallible>(Fill::new(1))).await;
                assert!(written.unwrap().cached);
            }
        }
        assert!(matches!(caller.await.unwrap(), Err(LoadError::CutOff)), "fenced by {how}");
    }
}

#[test]
fn a_loader_that_blocks_its_thread_blocks_the_key_only_until_its_timeout() {
    let loading = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let waiting = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cache = TieredCache::builder().build().typed::<u32>(SHORT);
    let (release, blocked) = mpsc::channel::<()>();
    let there = cache.clone();
    let stuck = loading.spawn(async move {
        let load = async move || {
            blocked.recv().unwrap();
            Ok::<_, Infallible>(Fill::new(1))
        };
        there.fetch(&key(), load).await
    });
    while cache.cache().stats().classes[0].loads == 0 {
        std::thread::yield_now();
    }
    waiting.block_on(async {
        let wanted = key();
        let joined = cache.fetch(&wanted, async || Ok::<_, Infallible>(Fill::new(2))).await;
        assert!(joined.is_err_and(|error| matches!(error, LoadError::CutOff)));
        let own = cache.fetch(&wanted, async || Ok::<_, Infallible>(Fill::new(3))).await.unwrap();
        assert_eq!((*own.value, own.source), (3, Source::Loaded));
    });
    release.send(()).unwrap();
    assert!(waiting.block_on(stuck).unwrap().is_err());
    assert_eq!(cache.peek(&key()), Lookup::Fresh(Arc::new(3)), "the value of the late load reaches no caller");
}

#[tokio::test]
async fn a_refresh_that_hangs_leaves_the_stale_value_and_is_tried_again() {
    let (clock, cache) = stale(SHORT);
    let starts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&starts);
    let hung = async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        pending::<Result<Fill<u32>, &str>>().await
    };
    assert_eq!(cache.fetch(&key(), hung).await.unwrap().source, Source::Stale);
    while cache.cache().stats().classes[0].load_failures == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(starts.load(Ordering::SeqCst), 1);
    clock.advance(Duration::from_secs(1));
    let read = cache.fetch(&key(), async || Ok::<_, &str>(Fill::new(2))).await.unwrap();
    assert_eq!(read.source, Source::Stale);
    while cache.peek(&key()) != Lookup::Fresh(Arc::new(2)) {
        tokio::task::yield_now().await;
    }
}
