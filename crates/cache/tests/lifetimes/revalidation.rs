//! Values that a loader confirms, so that they are fresh again.

use std::sync::Arc;

use tidegate_cache::{Fill, Known, LoadError, Lookup, ManualClock, Source, Tag, TieredCache, TypedCache};
use tokio::sync::Notify;

use crate::{HOUR, key, let_others_run, now, seconds};

fn revalidating() -> (ManualClock, TypedCache<u32>) {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build().typed(HOUR.grace(seconds(3600)));
    (clock, cache)
}

/// Confirms the known value, if there is one. Otherwise returns 1 with a tag.
async fn unchanged(known: Option<Known<u32>>) -> Result<Fill<u32>, &'static str> {
    Ok(known.map_or_else(|| Fill::new(1).tag(Tag::new("t")), Known::still_holds))
}

#[tokio::test]
async fn a_confirmed_value_is_fresh_again_and_the_same() {
    let (clock, cache) = revalidating();
    let first = cache.fetch_or_revalidate(&key(1), unchanged).await.unwrap();
    assert_eq!(first.source, Source::Loaded);
    for _ in 0..3 {
        clock.advance(seconds(3600));
        let stale = cache.fetch_or_revalidate(&key(1), unchanged).await.unwrap();
        assert_eq!((*stale.value, stale.source), (1, Source::Stale));
        let_others_run().await;
        let fresh = cache.fetch_or_revalidate(&key(1), unchanged).await.unwrap();
        assert!(Arc::ptr_eq(&first.value, &fresh.value));
        assert_eq!((fresh.source, fresh.fresh_for), (Source::Hit, seconds(3600)));
    }
    assert_eq!(cache.cache().stats().tiers[0].entries, Some(1));
    now(cache.cache().invalidate_tag(&Tag::new("t"))).unwrap();
    assert_eq!(cache.peek(&key(1)), Lookup::Miss, "it keeps its tags");
}

#[tokio::test]
async fn an_invalidated_or_dead_value_is_not_passed_for_revalidation() {
    let (clock, cache) = revalidating();
    let nothing_known = async |known: Option<Known<u32>>| {
        assert!(known.is_none());
        Ok::<_, &str>(Fill::new(2).tag(Tag::new("t")))
    };
    cache.fetch_or_revalidate(&key(1), nothing_known).await.unwrap();
    now(cache.cache().invalidate_tag(&Tag::new("t"))).unwrap();
    let read = cache.fetch_or_revalidate(&key(1), nothing_known).await.unwrap();
    assert_eq!(read.source, Source::Loaded);
    clock.advance(seconds(7200));
    let read = cache.fetch_or_revalidate(&key(1), nothing_known).await.unwrap();
    assert_eq!(read.source, Source::Loaded);
}

#[tokio::test]
async fn a_revalidation_overtaken_by_an_invalidation_revives_nothing() {
    for by_tag in [false, true] {
        let (clock, cache) = revalidating();
        cache.fetch_or_revalidate(&key(1), unchanged).await.unwrap();
        clock.advance(seconds(3600));
        let (started, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begun, resume) = (Arc::clone(&started), Arc::clone(&gate));
        let slow = async move |known: Option<Known<u32>>| {
            begun.notify_one();
            resume.notified().await;
            Ok::<_, &str>(known.unwrap().still_holds())
        };
        cache.fetch_or_revalidate(&key(1), slow).await.unwrap();
        started.notified().await;
        if by_tag {
            now(cache.cache().invalidate_tag(&Tag::new("t"))).unwrap();
        } else {
            now(cache.remove(&key(1))).unwrap();
        }
        gate.notify_one();
        let_others_run().await;
        assert_eq!(cache.peek(&key(1)), Lookup::Miss, "by tag: {by_tag}");
    }
}

#[tokio::test]
async fn a_failed_revalidation_leaves_the_stale_value() {
    let (clock, cache) = revalidating();
    cache.fetch_or_revalidate(&key(1), unchanged).await.unwrap();
    clock.advance(seconds(3600));
    let fails = async |_: Option<Known<u32>>| Err::<Fill<u32>, _>("down");
    assert_eq!(cache.fetch_or_revalidate(&key(1), fails).await.unwrap().source, Source::Stale);
    let_others_run().await;
    assert_eq!(cache.peek(&key(1)), Lookup::Stale(Arc::new(1)));
    clock.advance(seconds(3600));
    assert!(matches!(cache.fetch_or_revalidate(&key(1), fails).await, Err(LoadError::Loader(_))));
}
