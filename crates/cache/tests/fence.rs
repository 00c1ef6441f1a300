//! A load that started before an invalidation and ended after it never leaves the old value readable, and nobody who
//! comes after the invalidation is given it.

#![allow(clippy::unwrap_used, clippy::panic)] // In a test a panic is an answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_cache::{Fill, Key, Lookup, Pattern, Read, Source, Tag, TieredCache, Touched, TtlClass, TypedCache};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

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
        let cache = TieredCache::builder().build().typed(TtlClass::SCHEDULE);
        Self { cache, row: Arc::new(AtomicU32::new(1)), read: Arc::default(), resume: Arc::default() }
    }

    fn key() -> Key {
        Key::builder("schedule").part("t1").part(42).build().unwrap()
    }

    fn tag() -> Tag {
        Tag::of(["tenant", "t1"])
    }

    /// Reads the row at once, then dawdles until told.
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
            cache.get_or_load(&Self::key(), load).await.unwrap()
        })
    }

    async fn quick_read(&self) -> Read<u32> {
        let row = Arc::clone(&self.row);
        let load = async move || Ok::<_, Infallible>(Fill::new(row.load(Ordering::SeqCst)).tag(Self::tag()));
        self.cache.get_or_load(&Self::key(), load).await.unwrap()
    }
}

/// The race of a slow load with `invalidate`, in both orders that matter to the reader who comes after.
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
    assert_eq!(scene.cache.get(&Scene::key()), Lookup::Miss);
    let new = scene.quick_read().await;
    assert_eq!((*new.value, new.source, new.stored), (2, Source::Loaded, true));

    // The next reader comes while the old load is still under way.
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
    assert_eq!(scene.cache.get(&Scene::key()), Lookup::Fresh(Arc::new(2)));
}

#[tokio::test]
async fn by_key() {
    race(|cache| assert!(!cache.invalidate_key(&Scene::key()))).await;
}

#[tokio::test]
async fn by_several_keys() {
    race(|cache| assert_eq!(cache.invalidate_keys([&Scene::key()]), 0)).await;
}

#[tokio::test]
async fn by_tag() {
    race(|cache| cache.invalidate_tag(&Scene::tag())).await;
}

#[tokio::test]
async fn by_pattern() {
    race(|cache| assert_eq!(cache.invalidate_pattern(&Pattern::parse("schedule:t1:*").unwrap()), 0)).await;
}

#[tokio::test]
async fn by_pattern_within_a_class() {
    fn pattern() -> Pattern {
        Pattern::parse("schedule:*").unwrap()
    }
    race(|cache| assert_eq!(cache.invalidate_pattern_of("schedule", &pattern()), 0)).await;

    let cache = TieredCache::builder().build();
    let (schedules, answers) = (cache.typed::<u32>(TtlClass::SCHEDULE), cache.typed::<u32>(TtlClass::API));
    let other = Key::builder("schedule").part("list").build().unwrap();
    schedules.set(&Scene::key(), 1);
    answers.set(&other, 2);
    assert_eq!(cache.invalidate_pattern_of("unknown", &pattern()), 0);
    assert_eq!(cache.invalidate_pattern_of("schedule", &pattern()), 1);
    assert_eq!(schedules.get(&Scene::key()), Lookup::Miss);
    assert_eq!(answers.get(&other), Lookup::Fresh(Arc::new(2)));
}

#[tokio::test]
async fn by_class() {
    race(|cache| assert!(cache.invalidate_class("schedule"))).await;
}

#[tokio::test]
async fn by_clear() {
    race(TieredCache::clear).await;
}

#[tokio::test]
async fn by_what_a_write_touched() {
    race(|cache| cache.invalidate(&Touched::new().key(&Scene::key()))).await;
    race(|cache| cache.invalidate(&Touched::new().tag(&Scene::tag()))).await;
}

#[tokio::test]
async fn a_value_set_meanwhile_is_not_overwritten() {
    let scene = Scene::new();
    let slow = scene.slow_read();
    scene.read.notified().await;
    assert!(scene.cache.set(&Scene::key(), 5));
    scene.resume.notify_one();
    assert!(!slow.await.unwrap().stored);
    assert_eq!(scene.cache.get(&Scene::key()), Lookup::Fresh(Arc::new(5)));
}

#[tokio::test]
async fn what_was_not_invalidated_is_stored() {
    let scene = Scene::new();
    let slow = scene.slow_read();
    scene.read.notified().await;
    let other = Key::builder("schedule").part("t1").part(43).build().unwrap();
    scene.cache.cache().invalidate(&Touched::new().key(&other));
    scene.cache.cache().invalidate_pattern(&Pattern::parse("schedule:t2:*").unwrap());
    assert!(!scene.cache.cache().invalidate_class("session"));
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
        numbers.set(&key(index), Fill::new(index).tags(tags));
    }
    cache.invalidate_tag(&Tag::of(["parity", "odd"]));
    cache.invalidate_tag(&Tag::new(4));
    for index in 0..100 {
        let expected = index % 2 == 0 && index != 4;
        assert_eq!(numbers.get(&key(index)) != Lookup::Miss, expected, "{index}");
    }
}

/// Writers move the row and invalidate, readers must never see a row older than the last finished write.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_many_writers_and_readers_no_read_goes_back() {
    let scene = Scene::new();
    let finished = Arc::new(AtomicU32::new(1));
    let writer = {
        let (scene, finished) = (scene.clone(), Arc::clone(&finished));
        tokio::spawn(async move {
            for version in 2..3000 {
                scene.row.store(version, Ordering::SeqCst);
                let cache = scene.cache.cache();
                match version % 5 {
                    0 => cache.invalidate_tag(&Scene::tag()),
                    1 => cache.clear(),
                    2 => drop(cache.invalidate_pattern(&Pattern::parse("schedule:*").unwrap())),
                    3 => drop(cache.invalidate_class("schedule")),
                    _ => drop(cache.invalidate_key(&Scene::key())),
                }
                finished.store(version, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        })
    };
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (scene, finished) = (scene.clone(), Arc::clone(&finished));
            tokio::spawn(async move {
                while finished.load(Ordering::SeqCst) < 2999 {
                    let least = finished.load(Ordering::SeqCst);
                    let row = Arc::clone(&scene.row);
                    let load = async move || {
                        let value = row.load(Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        Ok::<_, Infallible>(Fill::new(value).tag(Scene::tag()))
                    };
                    let read = scene.cache.get_or_load(&Scene::key(), load).await.unwrap();
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
