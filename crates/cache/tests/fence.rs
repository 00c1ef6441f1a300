//! A load that started before an invalidation and ended after it never leaves the old value
//! readable. No caller that comes after the invalidation gets it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use futures_util::FutureExt;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_cache::{Fill, Key, Lookup, Pattern, Read, Source, Tag, TieredCache, Touched, TtlClass, TypedCache};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const SCHEDULE: TtlClass = TtlClass::new("schedule", Duration::from_hours(2));

/// With L1 alone, no call waits.
fn now<T>(done: impl Future<Output = T>) -> T {
    done.now_or_never().expect("nothing to wait for")
}

/// A store with one row, and a cache in front of it.
#[derive(Clone)]
struct Scene {
    cache: TypedCache<u32>,
    row: Arc<AtomicU32>,
    read: Arc<Notify>,
    resume: Arc<Notify>,
}

impl Scene {
    fn new() -> Self {
        let cache = TieredCache::builder().build().typed(SCHEDULE);
        Self { cache, row: Arc::new(AtomicU32::new(1)), read: Arc::default(), resume: Arc::default() }
    }

    fn key() -> Key {
        Key::builder("schedule").part("t1").part(42).build().unwrap()
    }

    fn tag() -> Tag {
        Tag::of(["tenant", "t1"])
    }

    /// Reads the row at once, then waits for the signal.
    fn slow_read(&self) -> JoinHandle<Read<u32>> {
        let scene = self.clone();
        tokio::spawn(async move {
            let Scene { cache, row, read, resume } = scene;
            let load = async move || {
                let value = row.load(Ordering::SeqCst);
                read.notify_one();
                resume.notified().await;
                Ok::<_, Infallible>(Fill::new(value).tag(Self::tag()))
            };
            cache.fetch(&Self::key(), load).await.unwrap()
        })
    }

    async fn quick_read(&self) -> Read<u32> {
        let row = Arc::clone(&self.row);
        let load = async move || Ok::<_, Infallible>(Fill::new(row.load(Ordering::SeqCst)).tag(Self::tag()));
        self.cache.fetch(&Self::key(), load).await.unwrap()
    }
}

/// The race of a slow load with `invalidate`, in both orders that matter to a later reader.
async fn race(invalidate: fn(&TieredCache)) {
    // The old load ends before the next reader comes.
    let scene = Scene::new();
    let slow = scene.slow_read();
    scene.read.notified().await;
    scene.row.store(2, Ordering::SeqCst);
    invalidate(scene.cache.cache());
    scene.resume.notify_one();
    let old = slow.await.unwrap();
    assert_eq!((*old.value, old.stored, old.fresh_for.is_zero()), (1, false, true));
    assert_eq!(scene.cache.peek(&Scene::key()), Lookup::Miss);
    let new = scene.quick_read().await;
    assert_eq!((*new.value, new.source, new.stored), (2, Source::Loaded, true));

    // The next reader comes while the old load is still in progress.
    let scene = Scene::new();
    let slow = scene.slow_read();
    scene.read.notified().await;
    scene.row.store(2, Ordering::SeqCst);
    invalidate(scene.cache.cache());
    let next = scene.clone();
    let next = tokio::spawn(async move { next.quick_read().await });
    // One thread: the next reader has gone as far as it can without the old load.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    scene.resume.notify_one();
    assert_eq!(*slow.await.unwrap().value, 1);
    assert_eq!(*next.await.unwrap().value, 2);
    assert_eq!(scene.cache.peek(&Scene::key()), Lookup::Fresh(Arc::new(2)));
}

#[tokio::test]
async fn by_key() {
    race(|cache| assert!(!now(cache.remove(&Scene::key())).unwrap())).await;
}

#[tokio::test]
async fn by_several_keys() {
    race(|cache| assert_eq!(now(cache.remove_many([&Scene::key()])).unwrap(), 0)).await;
}

#[tokio::test]
async fn by_tag() {
    race(|cache| now(cache.invalidate_tag(&Scene::tag())).unwrap()).await;
}

#[tokio::test]
async fn by_pattern() {
    race(|cache| assert_eq!(now(cache.invalidate_pattern(&Pattern::parse("schedule:t1:*").unwrap())).unwrap(), 0))
        .await;
}

#[tokio::test]
async fn by_pattern_within_a_class() {
    fn pattern() -> Pattern {
        Pattern::parse("schedule:*").unwrap()
    }
    race(|cache| assert_eq!(now(cache.invalidate_pattern_of("schedule", &pattern())).unwrap(), 0)).await;

    let cache = TieredCache::builder().build();
    let (schedules, answers) = (cache.typed::<u32>(SCHEDULE), cache.typed::<u32>(TtlClass::API));
    let other = Key::builder("schedule").part("list").build().unwrap();
    now(schedules.put(&Scene::key(), 1));
    now(answers.put(&other, 2));
    assert_eq!(now(cache.invalidate_pattern_of("unknown", &pattern())).unwrap(), 0);
    assert_eq!(now(cache.invalidate_pattern_of("schedule", &pattern())).unwrap(), 1);
    assert_eq!(schedules.peek(&Scene::key()), Lookup::Miss);
    assert_eq!(answers.peek(&other), Lookup::Fresh(Arc::new(2)));
}

#[tokio::test]
async fn by_class() {
    race(|cache| assert!(now(cache.invalidate_class("schedule")).unwrap())).await;
}

/// Two handles may read one key in two classes. The class that the load fills is the one that
/// counts.
#[tokio::test]
async fn by_class_while_the_key_is_read_in_another() {
    let scene = Scene::new();
    let slow = scene.slow_read();
    scene.read.notified().await;
    scene.row.store(2, Ordering::SeqCst);
    let answers = Scene { cache: scene.cache.cache().typed(TtlClass::API), ..scene.clone() };
    assert!(now(scene.cache.cache().invalidate_class("schedule")).unwrap());
    let next = tokio::spawn(async move { answers.quick_read().await });
    // One thread: the next reader has gone as far as it can without the old load.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    scene.resume.notify_one();
    assert_eq!((*slow.await.unwrap().value, *next.await.unwrap().value), (1, 2));

    // And the other way round: the class of the reader says nothing about the load.
    let scene = Scene::new();
    let slow = scene.slow_read();
    scene.read.notified().await;
    let answers = Scene { cache: scene.cache.cache().typed(TtlClass::API), ..scene.clone() };
    assert!(now(scene.cache.cache().invalidate_class("api")).unwrap());
    let next = tokio::spawn(async move { answers.quick_read().await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    scene.resume.notify_one();
    assert!(slow.await.unwrap().stored);
    assert_eq!(next.await.unwrap().source, Source::Collapsed);
}

/// A caller whose load was overtaken by a tag waits for a second one, and still counts as one miss
/// that waited.
#[tokio::test]
async fn a_caller_that_waits_twice_is_counted_once() {
    let scene = Scene::new();
    let slow = scene.slow_read();
    scene.read.notified().await;
    now(scene.cache.cache().invalidate_tag(&Scene::tag())).unwrap();
    let reads: Vec<_> = (0..10)
        .map(|_| {
            let scene = scene.clone();
            tokio::spawn(async move { scene.quick_read().await })
        })
        .collect();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    scene.resume.notify_one();
    slow.await.unwrap();
    for read in reads {
        assert!(read.await.unwrap().stored);
    }
    let stats = &scene.cache.cache().stats().classes[0];
    assert_eq!((stats.misses, stats.loads, stats.collapsed), (11, 2, 10));
}

#[tokio::test]
async fn by_clear() {
    race(|cache| now(cache.clear()).unwrap()).await;
}

#[tokio::test]
async fn by_touched() {
    race(|cache| now(cache.invalidate(&Touched::new().key(&Scene::key()))).unwrap()).await;
    race(|cache| now(cache.invalidate(&Touched::new().tag(&Scene::tag()))).unwrap()).await;
}

#[tokio::test]
async fn a_value_set_meanwhile_is_not_overwritten() {
    let scene = Scene::new();
    let slow = scene.slow_read();
    scene.read.notified().await;
    assert!(now(scene.cache.put(&Scene::key(), 5)));
    scene.resume.notify_one();
    assert!(!slow.await.unwrap().stored);
    assert_eq!(scene.cache.peek(&Scene::key()), Lookup::Fresh(Arc::new(5)));
}

/// Guards against a write-through that is refused and leaves the value it was to replace.
#[test]
fn a_set_overtaken_by_an_invalidation_removes_its_predecessor() {
    let cache = TieredCache::builder().build();
    let schedules = cache.typed::<u32>(SCHEDULE);
    assert!(now(cache.typed::<u32>(TtlClass::API).put(&Scene::key(), 1)));
    // The weighing runs between the moment from which the value counts and the moment at which it
    // is stored.
    thread_local!(static CACHE: std::cell::RefCell<Option<TieredCache>> = const { std::cell::RefCell::new(None) });
    CACHE.set(Some(cache));
    let overtaken = schedules.weigh(|_| {
        CACHE.with_borrow(|cache| {
            assert!(now(cache.as_ref().unwrap().invalidate_class("schedule")).unwrap());
            4
        })
    });
    assert!(!now(overtaken.put(&Scene::key(), 2)));
    assert_eq!(overtaken.peek(&Scene::key()), Lookup::Miss);
}

#[tokio::test]
async fn an_unrelated_invalidation_does_not_prevent_storage() {
    let scene = Scene::new();
    let slow = scene.slow_read();
    scene.read.notified().await;
    let other = Key::builder("schedule").part("t1").part(43).build().unwrap();
    now(scene.cache.cache().invalidate(&Touched::new().key(&other))).unwrap();
    now(scene.cache.cache().invalidate_pattern(&Pattern::parse("schedule:t2:*").unwrap())).unwrap();
    assert!(!now(scene.cache.cache().invalidate_class("session")).unwrap());
    scene.resume.notify_one();
    assert!(slow.await.unwrap().stored);
}

#[tokio::test]
async fn one_tag_of_several_is_enough_and_other_entries_stay() {
    let cache = TieredCache::builder().build();
    let numbers = cache.typed::<u32>(TtlClass::API);
    let key = |index: u32| Key::builder("k").part(index).build().unwrap();
    for index in 0..100 {
        let tags = [Tag::new(index), Tag::of(["parity", if index % 2 == 0 { "even" } else { "odd" }])];
        now(numbers.put(&key(index), Fill::new(index).tags(tags)));
    }
    now(cache.invalidate_tag(&Tag::of(["parity", "odd"]))).unwrap();
    now(cache.invalidate_tag(&Tag::new(4))).unwrap();
    for index in 0..100 {
        let expected = index % 2 == 0 && index != 4;
        assert_eq!(numbers.peek(&key(index)) != Lookup::Miss, expected, "{index}");
    }
}

/// Writers move the row and invalidate or set, in all ways. Readers in two classes must never see a
/// row older than the last finished write.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_many_writers_and_readers_no_read_returns_an_older_value() {
    fn invalidate(scene: &Scene, version: u32) {
        let (cache, pattern) = (scene.cache.cache(), Pattern::parse("schedule:*").unwrap());
        match version % 7 {
            0 => now(cache.invalidate_tag(&Scene::tag())).unwrap(),
            1 => now(cache.clear()).unwrap(),
            2 => drop(now(cache.invalidate_pattern(&pattern)).unwrap()),
            3 => drop(["schedule", "api"].map(|class| now(cache.invalidate_class(class)).unwrap())),
            4 => drop(["schedule", "api"].map(|class| now(cache.invalidate_pattern_of(class, &pattern)).unwrap())),
            5 => drop(now(scene.cache.put(&Scene::key(), Fill::new(version).tag(Scene::tag())))),
            _ => drop(now(cache.remove(&Scene::key())).unwrap()),
        }
    }
    let scene = Scene::new();
    let answers = scene.cache.cache().typed(TtlClass::API);
    let finished = Arc::new(AtomicU32::new(1));
    let writer = {
        let (scene, finished) = (scene.clone(), Arc::clone(&finished));
        tokio::spawn(async move {
            for version in 2..3000 {
                scene.row.store(version, Ordering::SeqCst);
                invalidate(&scene, version);
                finished.store(version, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        })
    };
    let readers: Vec<_> = (0..4)
        .map(|reader| {
            let (scene, finished) = (scene.clone(), Arc::clone(&finished));
            let cache = if reader % 2 == 0 { scene.cache.clone() } else { answers.clone() };
            tokio::spawn(async move {
                while finished.load(Ordering::SeqCst) < 2999 {
                    let least = finished.load(Ordering::SeqCst);
                    let row = Arc::clone(&scene.row);
                    let load = async move || {
                        let value = row.load(Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        Ok::<_, Infallible>(Fill::new(value).tag(Scene::tag()))
                    };
                    let read = cache.fetch(&Scene::key(), load).await.unwrap();
                    assert!(*read.value >= least, "read {} after write {least}", read.value);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    writer.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
}

/// Counted by pieces, not by time: what a task does between two turns of the others.
#[test]
fn a_pattern_over_many_entries_lets_others_run_and_is_carried_through() {
    use std::pin::pin;
    use std::task::{Context, Waker};

    let fill = || {
        let cache = TieredCache::builder().build();
        let values = cache.typed::<u32>(TtlClass::API);
        for index in 0..5_000_u32 {
            now(values.put(&Key::builder("k").part(index).part("a".repeat(100)).build().unwrap(), index));
        }
        cache
    };
    let entries = |cache: &TieredCache| cache.stats().tiers[0].entries.unwrap();
    let mut context = Context::from_waker(Waker::noop());
    // A cheap one takes many entries in a turn, a hostile one few.
    for (pattern, most) in
        [("k:*".to_owned(), 1_000), (format!("k:*{}a*", "*a".repeat(90)), 4), (format!("k:{}a", "*".repeat(900)), 1)]
    {
        let (cache, pattern) = (fill(), Pattern::parse(&pattern).unwrap());
        let held = entries(&cache);
        let mut walk = pin!(cache.invalidate_pattern(&pattern));
        let mut before = held;
        let removed = loop {
            let polled = walk.as_mut().poll(&mut context);
            let left = entries(&cache);
            assert!(before - left <= most, "{} in one turn", before - left);
            before = left;
            if let std::task::Poll::Ready(removed) = polled {
                break removed.unwrap();
            }
        };
        assert_eq!((removed as u64, entries(&cache)), (held, 0));
    }
    // A caller that leaves half-way leaves no partial result.
    let (cache, pattern) = (fill(), Pattern::parse("k:*").unwrap());
    {
        let mut walk = Box::pin(cache.invalidate_pattern(&pattern));
        assert!(walk.as_mut().poll(&mut context).is_pending());
        assert!(entries(&cache) > 0);
    }
    assert_eq!(entries(&cache), 0);
}

#[tokio::test]
async fn a_pattern_whose_caller_leaves_lets_others_run_to_its_end() {
    let cache = TieredCache::builder().build();
    let values = cache.typed::<u32>(TtlClass::API);
    for index in 0..5_000_u32 {
        now(values.put(&Key::builder("k").part(index).build().unwrap(), index));
    }
    let entries = || cache.stats().tiers[0].entries.unwrap();
    let pattern = Pattern::parse("k:*").unwrap();
    assert!(cache.invalidate_pattern(&pattern).now_or_never().is_none());
    let mut before = entries();
    assert!(before > 1_000, "{before} left: its caller walked on");
    while before > 0 {
        tokio::task::yield_now().await;
        let left = entries();
        assert!(left < before && before - left <= 1_000, "{} in one turn", before - left);
        before = left;
    }
}
