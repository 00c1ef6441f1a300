//! Lifetimes that reads extend, and reads that extend nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cache::{Fill, Lookup, ManualClock, Source, TieredCache, TtlClass};

use crate::{HOUR, Scene, key, now, seconds};

#[test]
fn reads_extend_a_sliding_lifetime_up_to_its_cap() {
    let scene = Scene::new(TtlClass::new("cart", seconds(160)).sliding(seconds(1000)));
    now(scene.cache.put(&key(1), 1));
    now(scene.cache.put(&key(2), 2));
    for round in 1..=9 {
        scene.advance(100);
        assert_eq!(scene.cache.peek(&key(1)), Lookup::Fresh(Arc::new(1)));
        assert_eq!(scene.cache.contains(&key(2)), round == 1, "a value without readers");
    }
    assert_eq!(scene.cache.ttl(&key(1)), Some(seconds(100)), "the cap is nearer than the idle time");
    scene.advance(99);
    assert!(scene.cache.contains(&key(1)));
    scene.advance(1);
    assert!(!scene.cache.contains(&key(1)));
}

#[test]
fn absence_does_not_slide() {
    let clock = ManualClock::new();
    let class = TtlClass::new("cart", seconds(160)).sliding(seconds(1000)).negative_ttl(seconds(60));
    let carts = TieredCache::builder().clock(clock.clone()).build().typed::<Option<u32>>(class);
    now(carts.put(&key(1), Fill::absent()));
    now(carts.put(&key(2), Fill::found(Some(1))));
    for _ in 0..3 {
        assert_eq!(carts.peek(&key(1)), Lookup::Fresh(Arc::new(None)));
        clock.advance(seconds(20));
    }
    assert_eq!(carts.peek(&key(1)), Lookup::Miss);
    assert!(carts.contains(&key(2)));
}

#[test]
fn an_idle_life_ends_in_time_and_no_more_than_a_sixteenth_early() {
    for gap in 0..160 {
        let scene = Scene::new(TtlClass::new("cart", seconds(160)).sliding(seconds(10_000)).grace(seconds(5)));
        now(scene.cache.put(&key(1), 1));
        scene.advance(gap);
        assert_eq!(scene.cache.peek(&key(1)), Lookup::Fresh(Arc::new(1)));
        let left = scene.cache.ttl(&key(1)).unwrap();
        assert!(left <= seconds(160) && left >= seconds(150), "{gap}: {left:?}");
        scene.clock.advance(left);
        assert_eq!(scene.cache.peek(&key(1)), Lookup::Stale(Arc::new(1)));
        scene.advance(5);
        assert_eq!(scene.cache.peek(&key(1)), Lookup::Miss);
    }
}

#[tokio::test]
async fn a_stale_sliding_value_is_loaded_again() {
    let scene = Scene::new(TtlClass::new("cart", seconds(160)).sliding(seconds(10_000)).grace(seconds(50)));
    assert_eq!(scene.read().await, (1, Source::Loaded));
    scene.advance(160);
    assert_eq!(scene.read().await, (1, Source::Stale));
    assert_eq!(scene.read().await, (2, Source::Hit));
}

#[tokio::test]
async fn refresh_ahead_of_a_sliding_value_counts_from_its_cap() {
    let scene = Scene::new(TtlClass::new("cart", seconds(160)).sliding(seconds(1000)).refresh_ahead(seconds(200)));
    scene.read().await;
    for _ in 0..7 {
        scene.advance(100);
        assert_eq!(scene.read().await, (1, Source::Hit));
    }
    assert_eq!(scene.loads.load(Ordering::SeqCst), 1);
    scene.advance(100);
    assert_eq!(scene.read().await, (1, Source::Hit));
    assert_eq!(scene.read().await, (2, Source::Hit));
}

#[test]
fn contains_and_ttl_extend_no_lifetime_and_count_no_lookup() {
    let scene = Scene::new(TtlClass::new("cart", seconds(160)).sliding(seconds(1000)).grace(seconds(10)));
    assert_eq!((scene.cache.contains(&key(1)), scene.cache.ttl(&key(1))), (false, None));
    now(scene.cache.put(&key(1), 1));
    scene.advance(100);
    assert_eq!((scene.cache.contains(&key(1)), scene.cache.ttl(&key(1))), (true, Some(seconds(60))));
    scene.advance(60);
    assert_eq!((scene.cache.contains(&key(1)), scene.cache.ttl(&key(1))), (true, Some(Duration::ZERO)));
    let texts = scene.cache.cache().typed::<String>(HOUR);
    assert!(!texts.contains(&key(1)), "of another type");
    scene.advance(10);
    assert_eq!((scene.cache.contains(&key(1)), scene.cache.ttl(&key(1))), (false, None));
    let stats = &scene.cache.cache().stats().classes[0];
    assert_eq!((stats.hits, stats.misses, stats.type_mismatches), (0, 0, 0));
}
