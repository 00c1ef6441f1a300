//! The room that the cache takes stays within its bound, and the dead give theirs back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use futures_util::FutureExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tidegate_cache::{Capacity, Fill, Key, Lookup, ManualClock, Tag, TierStats, TieredCache, TtlClass};

/// With L1 alone, no call waits.
fn now<T>(done: impl Future<Output = T>) -> T {
    done.now_or_never().expect("nothing to wait for")
}

fn key(index: usize) -> Key {
    Key::builder("k").part(index).build().unwrap()
}

fn l1(cache: &TieredCache) -> TierStats {
    cache.stats().tiers.remove(0)
}

/// Counts how many of its kind are alive.
struct Counted(Arc<AtomicI64>);

impl Counted {
    fn new(alive: &Arc<AtomicI64>) -> Self {
        alive.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(alive))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn entries_never_exceed_the_capacity_and_all_memory_is_freed() {
    let alive = Arc::new(AtomicI64::new(0));
    for capacity in [0, 1, 2, 31, 500, 1000] {
        let cache = TieredCache::builder().capacity(Capacity::Entries(capacity)).build();
        let values = cache.typed::<Counted>(TtlClass::API);
        for index in 0..5000 {
            now(values.put(&key(index), Counted::new(&alive)));
            assert!(l1(&cache).entries.unwrap() <= capacity.max(1));
        }
        assert!(alive.load(Ordering::SeqCst) <= i64::try_from(capacity.max(1)).unwrap());
        assert!(l1(&cache).evictions.unwrap() >= 5000 - capacity.max(1));
        drop((cache, values));
        // The sweeper may hold the cache for one walk more.
        while alive.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_capacity_changes_while_entries_are_cached() {
    let alive = Arc::new(AtomicI64::new(0));
    let cache = TieredCache::builder().capacity(Capacity::Entries(1000)).build();
    let values = cache.typed::<Counted>(TtlClass::API);
    let fill = || (0..5000).for_each(|index| _ = now(values.put(&key(index), Counted::new(&alive))));
    fill();
    let held = |alive: &AtomicI64| u64::try_from(alive.load(Ordering::SeqCst)).unwrap();
    assert!((900..=1000).contains(&held(&alive)));

    let before = l1(&cache);
    cache.set_l1_capacity(100);
    let after = l1(&cache);
    assert!(held(&alive) <= 100 && after.entries == Some(held(&alive)));
    assert_eq!(after.evictions.unwrap() - before.evictions.unwrap(), before.entries.unwrap() - held(&alive));
    fill();
    assert!(held(&alive) <= 100);

    cache.set_l1_capacity(2000);
    fill();
    assert!((1800..=2000).contains(&held(&alive)), "{}", held(&alive));
    assert!((1900..=2000).contains(&l1(&cache).capacity.unwrap()));
    // A capacity of zero is not possible: each shard keeps room for one.
    cache.set_l1_capacity(0);
    assert!(l1(&cache).capacity.unwrap() > 0);
}

#[test]
fn reusing_one_key_holds_one_value() {
    let alive = Arc::new(AtomicI64::new(0));
    let cache = TieredCache::builder().build();
    let values = cache.typed::<Counted>(TtlClass::API);
    for version in 0..10_000 {
        now(values.put(&key(1), Fill::new(Counted::new(&alive)).tag(Tag::new(version))));
        assert_eq!(alive.load(Ordering::SeqCst), 1);
    }
    assert_eq!((l1(&cache).entries.unwrap(), l1(&cache).weight.unwrap(), l1(&cache).evictions.unwrap()), (1, 1, 0));
}

proptest! {
    #[test]
    fn bytes_never_exceed_the_capacity(sizes in prop::collection::vec((0..40usize, 0..60_000usize), 1..200)) {
        let cache = TieredCache::builder().capacity(Capacity::Bytes(200_000)).build();
        let texts = cache.typed::<Vec<u8>>(TtlClass::API).weigh(Vec::len);
        for (index, size) in sizes {
            let stored = now(texts.put(&key(index), vec![0; size]));
            prop_assert!(stored);
            prop_assert_eq!(texts.peek(&key(index)).into_value().map(|value| value.len()), Some(size));
            let l1 = l1(&cache);
            prop_assert!(l1.weight <= l1.capacity && l1.capacity <= Some(200_000));
            prop_assert!(l1.weight >= Some(size as u64));
        }
    }
}

#[test]
fn a_value_that_is_too_big_is_refused_and_removes_its_predecessor() {
    let cache = TieredCache::builder().capacity(Capacity::Bytes(100_000)).build();
    let texts = cache.typed::<Vec<u8>>(TtlClass::API).weigh(Vec::len);
    assert!(now(texts.put(&key(1), vec![1; 10])));
    assert!(!now(texts.put(&key(1), vec![2; 200_000])));
    assert_eq!(texts.peek(&key(1)), Lookup::Miss);
    assert_eq!(l1(&cache).weight.unwrap(), 0);
}

#[test]
fn a_sweep_removes_only_expired_and_invalidated_entries() {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build();
    let (api, schedule) = (cache.typed::<u32>(TtlClass::API), cache.typed::<u32>(TtlClass::COMPUTATION));
    now(api.put(&key(0), 0));
    now(schedule.put(&key(1), Fill::new(1).tag(Tag::new("t"))));
    now(schedule.put(&key(2), 2));
    assert_eq!(cache.sweep(), 0);
    clock.advance(Duration::from_secs(300));
    assert_eq!((cache.sweep(), l1(&cache).entries.unwrap()), (1, 2));
    now(cache.invalidate_tag(&Tag::new("t"))).unwrap();
    assert_eq!((cache.sweep(), l1(&cache).entries.unwrap()), (1, 1));
    assert_eq!(schedule.peek(&key(2)), Lookup::Fresh(Arc::new(2)));
}

#[test]
fn a_read_that_finds_a_dead_entry_removes_it() {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build();
    let api = cache.typed::<u32>(TtlClass::API);
    now(api.put(&key(0), 0));
    clock.advance(Duration::from_secs(300));
    assert_eq!((api.peek(&key(0)), l1(&cache).entries.unwrap()), (Lookup::Miss, 0));
}

#[test]
fn the_sweeper_frees_space_without_a_call() {
    // Woken by `clear`, not by its interval, which is longer than the test may last.
    let cache = TieredCache::builder().sweep_every(Duration::from_secs(3600)).build();
    let api = cache.typed::<u32>(TtlClass::API);
    for index in 0..100 {
        now(api.put(&key(index), 0));
    }
    now(cache.clear()).unwrap();
    while l1(&cache).entries.unwrap() > 0 {
        std::thread::yield_now();
    }
    // And by its interval.
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).sweep_every(Duration::ZERO).build();
    now(cache.typed::<u32>(TtlClass::API).put(&key(0), 0));
    clock.advance(Duration::from_secs(300));
    while l1(&cache).entries.unwrap() > 0 {
        std::thread::yield_now();
    }
}
