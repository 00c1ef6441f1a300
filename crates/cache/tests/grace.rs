//! Stale-while-revalidate.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use futures_util::FutureExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_cache::{Fill, Key, LoadError, Lookup, ManualClock, Read, Source, TieredCache, TtlClass, TypedCache};
use tokio::sync::Notify;

/// With L1 alone, no call waits.
fn now<T>(done: impl Future<Output = T>) -> T {
    done.now_or_never().expect("nothing to wait for")
}

const CLASS: TtlClass = TtlClass::new("reviews", Duration::from_secs(60)).grace(Duration::from_secs(30));

struct Scene {
    clock: ManualClock,
    cache: TypedCache<u32>,
    key: Key,
    loads: Arc<AtomicU32>,
}

impl Scene {
    /// A value of 1, a moment past its lifetime.
    fn stale() -> Self {
        let clock = ManualClock::new();
        let cache = TieredCache::builder().clock(clock.clone()).build().typed(CLASS);
        let key = Key::builder("reviews").part(1).build().unwrap();
        now(cache.put(&key, 1));
        clock.advance(Duration::from_secs(60));
        Self { clock, cache, key, loads: Arc::default() }
    }

    async fn read(&self, loaded: Result<u32, &'static str>) -> Result<Read<u32>, LoadError<&'static str>> {
        let loads = Arc::clone(&self.loads);
        let load = async move || {
            loads.fetch_add(1, Ordering::SeqCst);
            loaded.map(Fill::new)
        };
        let read = self.cache.fetch(&self.key, load).await;
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        read
    }

    fn loads(&self) -> u32 {
        self.loads.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_stale_value_is_served_at_once_and_refreshed_in_the_background() {
    let scene = Scene::stale();
    let read = scene.read(Ok(2)).await.unwrap();
    assert_eq!((*read.value, read.source, read.fresh_for, read.stored), (1, Source::Stale, Duration::ZERO, true));
    let read = scene.read(Ok(3)).await.unwrap();
    assert_eq!((*read.value, read.source, read.fresh_for), (2, Source::Hit, Duration::from_secs(60)));
    assert_eq!(scene.loads(), 1);
}

#[tokio::test]
async fn many_stale_readers_make_one_refresh_and_none_waits_for_it() {
    let scene = Scene::stale();
    let (gate, starts) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    for _ in 0..1000 {
        let (gate, starts) = (Arc::clone(&gate), Arc::clone(&starts));
        let load = async move || {
            starts.fetch_add(1, Ordering::SeqCst);
            gate.notified().await;
            Ok::<_, &str>(Fill::new(2))
        };
        let read = scene.cache.fetch(&scene.key, load).await.unwrap();
        assert_eq!((*read.value, read.source), (1, Source::Stale));
    }
    tokio::task::yield_now().await;
    gate.notify_one();
    while scene.cache.peek(&scene.key) != Lookup::Fresh(Arc::new(2)) {
        tokio::task::yield_now().await;
    }
    assert_eq!(starts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stale_value_is_served_while_the_loader_fails_and_the_loader_runs_once_a_second() {
    let scene = Scene::stale();
    for _ in 0..10 {
        assert_eq!(*scene.read(Err("down")).await.unwrap().value, 1);
    }
    assert_eq!(scene.loads(), 1);
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(*scene.read(Err("down")).await.unwrap().value, 1);
    assert_eq!(scene.loads(), 2);
    scene.clock.advance(Duration::from_secs(1));
    scene.read(Ok(2)).await.unwrap();
    assert_eq!(scene.cache.peek(&scene.key), Lookup::Fresh(Arc::new(2)));
    assert_eq!(scene.cache.cache().stats().classes[0].load_failures, 2);
}

#[tokio::test]
async fn grace_ends() {
    let scene = Scene::stale();
    scene.clock.advance(Duration::from_secs(29));
    assert_eq!(scene.cache.peek(&scene.key), Lookup::Stale(Arc::new(1)));
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(scene.cache.peek(&scene.key), Lookup::Miss);
    assert!(matches!(scene.read(Err("down")).await, Err(LoadError::Loader(error)) if *error == "down"));
}

#[tokio::test]
async fn an_invalidated_value_has_no_grace() {
    let scene = Scene::stale();
    now(scene.cache.cache().clear()).unwrap();
    assert!(matches!(scene.read(Err("down")).await, Err(LoadError::Loader(_))));
}

#[tokio::test]
async fn a_refresh_overtaken_by_an_invalidation_brings_nothing_back() {
    let scene = Scene::stale();
    let (gate, started) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (resume, begun) = (Arc::clone(&gate), Arc::clone(&started));
    let load = async move || {
        begun.notify_one();
        resume.notified().await;
        Ok::<_, &str>(Fill::new(2))
    };
    scene.cache.fetch(&scene.key, load).await.unwrap();
    started.notified().await;
    assert!(now(scene.cache.remove(&scene.key)).unwrap());
    gate.notify_one();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.cache.peek(&scene.key), Lookup::Miss);
}

#[tokio::test]
async fn without_a_grace_nothing_stale_is_served() {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build().typed::<u32>(TtlClass::API);
    let key = Key::builder("k").build().unwrap();
    now(cache.put(&key, 1));
    clock.advance(Duration::from_secs(300));
    assert_eq!(cache.peek(&key), Lookup::Miss);
}

#[test]
fn lifetimes_are_clamped_and_the_built_in_classes_are_as_promised() {
    let hour = Duration::from_secs(3600);
    assert_eq!(TtlClass::new("x", Duration::from_nanos(1)).ttl(), Duration::from_millis(1));
    assert_eq!(TtlClass::new("x", Duration::ZERO).ttl(), Duration::ZERO, "no lifetime at all");
    assert_eq!(TtlClass::new("x", Duration::MAX).ttl(), 365 * 24 * hour);
    let built_in = [
        (TtlClass::SESSION, "session", 24 * hour),
        (TtlClass::COMPUTATION, "computation", hour),
        (TtlClass::API, "api", hour / 12),
        (TtlClass::DEFAULT, "default", hour / 12),
    ];
    for (class, name, ttl) in built_in {
        assert_eq!((class.name(), class.ttl()), (name, ttl));
    }
}
