//! Ten million operations on a full cache whose keys come again and again: its memory stays within
//! its capacity.
//!
//! The test counts the bytes that are allocated and not freed, because the pages of the process
//! also contain gaps. All work, including the sweeps, runs on one thread, because the count is per
//! thread.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use allocation_counter::measure;
use tidegate_cache::{Capacity, Fill, Key, Known, ManualClock, Tag, TieredCache, TtlClass, TypedCache};
use tidegate_testkit::scale;

/// Parts of the run after each of which the bytes are counted.
const PARTS: usize = 20;

/// Counts how many of its kind are alive.
struct Counted {
    alive: Arc<AtomicUsize>,
    _bytes: Vec<u8>,
}

impl Counted {
    fn new(alive: &Arc<AtomicUsize>, size: usize) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self { alive: Arc::clone(alive), _bytes: vec![1; size] }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Churn {
    entries: usize,
    clock: ManualClock,
    alive: Arc<AtomicUsize>,
    cache: TieredCache,
    handles: [TypedCache<Counted>; 3],
    random: u64,
    nth: usize,
}

impl Churn {
    fn new(entries: usize) -> Self {
        let clock = ManualClock::new();
        let cache = TieredCache::builder().clock(clock.clone()).capacity(Capacity::Entries(entries as u64));
        let cache = cache.sweep_every(Duration::from_hours(24)).seed(1).build();
        // Lifetimes at which some entries are evicted, some expire, some are refreshed ahead and
        // some are extended.
        let ttl = Duration::from_micros(1000 * entries as u64);
        let plain = cache.typed(TtlClass::new("plain", ttl * 4).grace(ttl).jitter(20));
        let ahead = cache.typed(TtlClass::new("ahead", ttl * 2).refresh_ahead(ttl).early_refresh(100));
        let sliding = cache.typed(TtlClass::new("sliding", ttl).sliding(ttl * 8));
        let handles = [plain, ahead, sliding];
        Self { entries, clock, alive: Arc::default(), cache, handles, random: 1, nth: 0 }
    }

    async fn step(&mut self) {
        self.nth += 1;
        self.clock.advance(Duration::from_micros(100));
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = usize::try_from(self.random >> 33).unwrap();
        // Four times the capacity; the handle depends on the key.
        let index = draw % (4 * self.entries);
        let (key, values) = (Key::builder("k").part(index).build().unwrap(), &self.handles[index % 3]);
        let (new, nth) = (Counted::new(&self.alive, 64 + draw % 256), self.nth);
        match draw / 100_000 % 16 {
            0..6 => {
                values.put(&key, Fill::new(new).tag(Tag::new(draw % 1000))).await;
            }
            6..12 => {
                // A tag that no other entry ever carries, and one that all of them do.
                let load = async move |known: Option<Known<Counted>>| {
                    let anew = || Fill::new(new).tag(Tag::new(nth));
                    Ok::<_, Infallible>(known.map_or_else(anew, Known::still_holds).tag(Tag::new("all")))
                };
                values.fetch_or_revalidate(&key, load).await.unwrap();
            }
            12 => drop(values.remove(&key).await.unwrap()),
            13 => self.cache.invalidate_tag(&Tag::new(draw % 1000)).await.unwrap(),
            _ => drop(values.peek(&key)),
        }
        if nth.is_multiple_of(self.entries) {
            self.cache.sweep();
        }
        // Some are on their way in or out.
        assert!(self.alive.load(Ordering::Relaxed) <= self.entries + 16, "{nth}: {:?}", self.alive);
    }
}

#[test]
fn memory_is_bounded_under_key_reuse_at_capacity() {
    let (entries, operations) = (scale(2_000, 10_000), scale(60_000, 10_000_000));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut churn = Churn::new(entries);
    let mut held: Vec<i64> = Vec::new();
    for _ in 0..PARTS {
        let counted = measure(|| {
            runtime.block_on(async {
                for _ in 0..operations / PARTS {
                    churn.step().await;
                }
            });
        });
        held.push(held.last().unwrap_or(&0) + counted.bytes_current);
    }
    let l1 = churn.cache.stats().tiers.remove(0);
    assert!(l1.evictions > Some(0) && l1.entries <= Some(entries as u64), "{l1:?}");
    // Full after a quarter of the run: a tenth more than then would be a leak.
    let (settled, most) = (held[PARTS / 4], held[PARTS / 4..].iter().max().unwrap());
    assert!(settled > 100 * i64::try_from(entries).unwrap(), "it was full: {held:?}");
    assert!(*most <= settled * 110 / 100, "{held:?}");
    println!("bytes held after each {} operations: {held:?}", operations / PARTS);
}
