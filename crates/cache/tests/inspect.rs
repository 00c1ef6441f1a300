//! The part of L1 that an operator may see.

#![allow(clippy::unwrap_used, reason = "in a test a panic is an answer")]

use std::time::Duration;

use tidegate_cache::{Key, ManualClock, Pattern, TieredCache, TtlClass, TypedCache};

const CLASS: TtlClass = TtlClass::new("things", Duration::from_secs(60)).grace(Duration::from_secs(60));

fn key(index: u32) -> Key {
    Key::builder("thing").part("t1").part(format!("{index:03}")).build().unwrap()
}

async fn filled(count: u32) -> (TieredCache, TypedCache<u32>, ManualClock) {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build();
    let things = cache.typed::<u32>(CLASS);
    for index in 0..count {
        things.put(&key(index), index).await;
    }
    (cache, things, clock)
}

#[tokio::test]
async fn an_inspected_entry_shows_its_class_and_remaining_lifetime() {
    let (cache, _, clock) = filled(1).await;
    clock.advance(Duration::from_secs(10));
    let seen = cache.inspect(&key(0)).unwrap();
    assert_eq!((seen.class, seen.fresh_for, seen.weight), ("things", Some(Duration::from_secs(50)), 1));
    clock.advance(Duration::from_secs(50));
    assert_eq!(cache.inspect(&key(0)).unwrap().fresh_for, None);
    clock.advance(Duration::from_secs(60));
    assert_eq!(cache.inspect(&key(0)), None);
    assert_eq!(cache.inspect(&key(1)), None);
}

#[tokio::test]
async fn an_inspection_does_not_count_as_a_lookup() {
    let (cache, ..) = filled(3).await;
    cache.inspect(&key(0));
    cache.inspect(&key(9));
    cache.inspect_matching(&"*".parse().unwrap(), None, 10);
    let class = cache.stats().classes.remove(0);
    assert_eq!((class.hits, class.misses), (0, 0));
}

#[tokio::test]
async fn pages_contain_each_matching_entry_once_in_order() {
    let (cache, things, _) = filled(25).await;
    things.remove(&key(7)).await.unwrap();
    let other = Key::builder("other").part(1).build().unwrap();
    things.put(&other, 1).await;
    let pattern: Pattern = Key::builder("thing").part("t1").below().unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = cache.inspect_matching(&pattern, after.as_ref(), 10);
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        seen.extend(page.into_iter().map(|entry| entry.key));
    }
    let expected: Vec<_> = (0..25).filter(|index| *index != 7).map(key).collect();
    assert_eq!(seen, expected);
    assert!(cache.inspect_matching(&pattern, None, 0).is_empty());
}
