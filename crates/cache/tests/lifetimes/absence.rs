//! Lifetimes of absence: how long a cache remembers that there is no value.

use std::convert::Infallible;
use std::sync::Arc;

use tidegate_cache::{Fill, Lookup, ManualClock, TieredCache, TtlClass, TypedCache};

use crate::{HOUR, key, now, seconds};

#[tokio::test]
async fn absence_has_its_own_shorter_lifetime() {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build();
    let pages = cache.typed::<Option<u32>>(HOUR);
    let shorter = cache.typed::<Option<u32>>(TtlClass::new("short", seconds(60)).negative_ttl(seconds(90)));
    let ttl = async |pages: &TypedCache<Option<u32>>, fill: Fill<Option<u32>>| {
        now(cache.clear()).unwrap();
        let read = pages.fetch(&key(1), async move || Ok::<_, Infallible>(fill)).await.unwrap();
        let loaded = read.fresh_for;
        now(pages.put(&key(1), if read.value.is_none() { Fill::absent() } else { Fill::new(Some(1)) }));
        (*read.value, loaded)
    };
    assert_eq!(ttl(&pages, Fill::absent()).await, (None, seconds(300)));
    assert_eq!(pages.ttl(&key(1)), Some(seconds(300)), "as with `put`");
    assert_eq!(ttl(&pages, Fill::found(None)).await, (None, seconds(300)));
    assert_eq!(ttl(&pages, Fill::found(Some(1))).await, (Some(1), seconds(3600)));
    assert_eq!(ttl(&pages, Fill::absent().ttl(seconds(7))).await, (None, seconds(7)));
    assert_eq!(ttl(&pages, Fill::new(Some(404)).negative()).await, (Some(404), seconds(300)));
    assert_eq!(ttl(&shorter, Fill::absent()).await, (None, seconds(60)), "never longer than the class");

    ttl(&pages, Fill::absent()).await;
    clock.advance(seconds(299));
    assert_eq!(pages.peek(&key(1)), Lookup::Fresh(Arc::new(None)));
    clock.advance(seconds(1));
    assert_eq!(pages.peek(&key(1)), Lookup::Miss);
}

#[test]
fn absence_is_served_stale_no_longer_than_its_negative_ttl() {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build();
    let class = HOUR.grace(seconds(3600)).negative_ttl(seconds(60));
    let pages = cache.typed::<Option<u32>>(class);
    now(pages.put(&key(1), Fill::absent()));
    now(pages.put(&key(2), Fill::new(Some(2)).ttl(seconds(60))));
    clock.advance(seconds(60));
    assert_eq!(pages.peek(&key(1)), Lookup::Stale(None.into()));
    clock.advance(seconds(60));
    assert_eq!(pages.peek(&key(1)), Lookup::Miss);
    assert_eq!(pages.peek(&key(2)), Lookup::Stale(Some(2).into()), "a value has the grace of its class");
}

#[test]
fn absence_is_served_stale_no_longer_than_its_own_lifetime() {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build();
    let pages = cache.typed::<Option<u32>>(TtlClass::new("brief", seconds(10)).grace(seconds(3600)));
    now(pages.put(&key(1), Fill::absent()));
    now(pages.put(&key(2), Fill::absent().ttl(seconds(20))));
    clock.advance(seconds(19));
    assert_eq!(pages.peek(&key(1)), Lookup::Stale(None.into()));
    assert_eq!(pages.peek(&key(2)), Lookup::Fresh(None.into()));
    clock.advance(seconds(1));
    assert_eq!(pages.peek(&key(1)), Lookup::Miss);
    clock.advance(seconds(19));
    assert_eq!(pages.peek(&key(2)), Lookup::Stale(None.into()));
    clock.advance(seconds(1));
    assert_eq!(pages.peek(&key(2)), Lookup::Miss);
}
