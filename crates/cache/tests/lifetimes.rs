//! Lifetimes: spread, refreshed ahead or randomly, extended by reads, absent, confirmed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tidegate_cache::{
    Fill, Key, Known, LoadError, Lookup, ManualClock, Read, Source, Tag, TieredCache, TtlClass, TypedCache,
};
use tokio::sync::Notify;

/// With L1 alone, no call waits.
fn now<T>(done: impl Future<Output = T>) -> T {
    done.now_or_never().expect("nothing to wait for")
}

const HOUR: TtlClass = TtlClass::new("hour", Duration::from_secs(3600));

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn key(index: u32) -> Key {
    Key::builder("k").part(index).build().unwrap()
}

/// One thread: a load behind the answer ends when its task gets its turn.
async fn let_others_run() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

struct Scene {
    clock: ManualClock,
    cache: TypedCache<u32>,
    loads: Arc<AtomicU32>,
}

impl Scene {
    fn new(class: TtlClass) -> Self {
        let clock = ManualClock::new();
        let cache = TieredCache::builder().clock(clock.clone()).seed(1).build().typed(class);
        Self { clock, cache, loads: Arc::default() }
    }

    /// Reads key 1. A load takes `cost` and returns the number of loads so far.
    async fn read_at_cost(&self, cost: Duration) -> Read<u32> {
        let (loads, clock) = (Arc::clone(&self.loads), self.clock.clone());
        let load = async move || {
            clock.advance(cost);
            Ok::<_, Infallible>(Fill::new(loads.fetch_add(1, Ordering::SeqCst) + 1))
        };
        let read = self.cache.get_or_load(&key(1), load).await.unwrap();
        let_others_run().await;
        read
    }

    async fn read(&self) -> (u32, Source) {
        let read = self.read_at_cost(Duration::ZERO).await;
        (*read.value, read.source)
    }

    fn advance(&self, by: u64) {
        self.clock.advance(seconds(by));
    }
}

#[test]
fn jitter_shortens_lifetimes_evenly_and_repeatably() {
    let lifetimes = |seed: u64, ttl: Option<u64>| -> Vec<Duration> {
        let cache = TieredCache::builder().clock(ManualClock::new()).seed(seed).build();
        let numbers = cache.typed::<u32>(HOUR.jitter(10));
        let set = |index| {
            let fill = ttl.into_iter().fold(Fill::new(index), |fill, ttl| fill.ttl(seconds(ttl)));
            now(numbers.set(&key(index), fill));
            numbers.ttl(&key(index)).unwrap()
        };
        (0..1000).map(set).collect()
    };
    let one = lifetimes(1, None);
    assert!(one.iter().all(|ttl| (seconds(3240)..=seconds(3600)).contains(ttl)));
    let early = one.iter().filter(|ttl| **ttl < seconds(3420)).count();
    assert!((400..600).contains(&early), "half of them in the earlier half: {early}");
    assert_eq!(one, lifetimes(1, None));
    assert_ne!(one, lifetimes(2, None));
    assert!(lifetimes(1, Some(100)).iter().all(|ttl| (seconds(90)..=seconds(100)).contains(ttl)));
}

#[test]
fn what_the_cap_of_a_tier_cuts_off_is_spread_too() {
    let cache = TieredCache::builder().clock(ManualClock::new()).build();
    let numbers = cache.typed::<u32>(HOUR.jitter(10).l1_ttl(seconds(600)));
    let lifetimes: Vec<_> = (0..1000)
        .map(|index| {
            now(numbers.set(&key(index), index));
            numbers.ttl(&key(index)).unwrap()
        })
        .collect();
    assert!(lifetimes.iter().all(|ttl| (seconds(540)..=seconds(600)).contains(ttl)));
    let early = lifetimes.iter().filter(|ttl| **ttl < seconds(570)).count();
    assert!((400..600).contains(&early), "half of them in the earlier half: {early}");
}

#[tokio::test]
async fn a_read_in_the_last_part_of_a_life_refreshes_behind() {
    let scene = Scene::new(HOUR.refresh_ahead(seconds(300)));
    assert_eq!(scene.read().await, (1, Source::Loaded));
    scene.advance(3299);
    assert_eq!(scene.read().await, (1, Source::Hit));
    assert_eq!(scene.loads.load(Ordering::SeqCst), 1);
    scene.advance(1);
    let ahead = scene.read_at_cost(Duration::ZERO).await;
    assert_eq!((*ahead.value, ahead.source, ahead.fresh_for), (1, Source::Hit, seconds(300)));
    assert_eq!(scene.read().await, (2, Source::Hit));
    scene.advance(3299);
    assert_eq!(scene.read().await, (2, Source::Hit));
    assert_eq!(scene.cache.cache().stats().classes[0].misses, 1);
}

#[tokio::test]
async fn what_nobody_reads_is_not_refreshed_and_what_is_short_lived_not_all_the_time() {
    let scene = Scene::new(HOUR.refresh_ahead(seconds(300)));
    now(scene.cache.set(&key(1), Fill::new(0).ttl(seconds(100))));
    scene.advance(49);
    assert_eq!(scene.read().await, (0, Source::Hit));
    assert_eq!(scene.loads.load(Ordering::SeqCst), 0);
    scene.advance(1);
    scene.read().await;
    assert_eq!(scene.loads.load(Ordering::SeqCst), 1);
    scene.advance(3600);
    assert_eq!(scene.cache.get_local(&key(1)), Lookup::Miss);
}

#[tokio::test]
async fn a_thousand_readers_ahead_make_one_load_and_a_failed_one_is_repeated_after_a_second() {
    let scene = Scene::new(HOUR.refresh_ahead(seconds(300)));
    now(scene.cache.set(&key(1), 0));
    scene.advance(3500);
    let (gate, starts) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    for _ in 0..1000 {
        let (gate, starts) = (Arc::clone(&gate), Arc::clone(&starts));
        let load = async move || {
            starts.fetch_add(1, Ordering::SeqCst);
            gate.notified().await;
            Err::<Fill<u32>, _>("down")
        };
        let read = scene.cache.get_or_load(&key(1), load).await.unwrap();
        assert_eq!((*read.value, read.source), (0, Source::Hit));
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    let_others_run().await;
    assert_eq!(scene.read().await, (0, Source::Hit));
    assert_eq!((starts.load(Ordering::SeqCst), scene.loads.load(Ordering::SeqCst)), (1, 0));
    scene.advance(1);
    scene.read().await;
    assert_eq!(scene.read().await, (1, Source::Hit));
}

#[tokio::test]
async fn chance_refreshes_costly_values_sooner() {
    // How long before the end the refresh came, read once a second.
    async fn lead(beta: u16, cost: u64, seed: u64) -> u64 {
        let clock = ManualClock::new();
        let cache = TieredCache::builder().clock(clock.clone()).seed(seed).build().typed(HOUR.early_refresh(beta));
        let loads = Arc::new(AtomicU32::new(0));
        for _ in 0..4000 {
            let (clock_, counted) = (clock.clone(), Arc::clone(&loads));
            let load = async move || {
                clock_.advance(seconds(cost));
                Ok::<_, Infallible>(Fill::new(counted.fetch_add(1, Ordering::SeqCst)))
            };
            let fresh_for = cache.get_or_load(&key(1), load).await.unwrap().fresh_for;
            tokio::task::yield_now().await;
            if loads.load(Ordering::SeqCst) == 2 {
                return fresh_for.as_secs();
            }
            clock.advance(seconds(1));
        }
        panic!("never loaded anew");
    }
    let mut mean = [0.0; 3];
    for (mean, (beta, cost)) in mean.iter_mut().zip([(100, 5), (100, 50), (300, 50)]) {
        for seed in 0..30 {
            let lead = lead(beta, cost, seed).await;
            assert!(lead <= 16 * cost * u64::from(beta) / 100, "no read before may draw: {lead}");
            *mean += f64::from(u32::try_from(lead).unwrap()) / 30.0;
        }
    }
    // With a draw per second, the first success is at about β · δ · ln(β · δ) before the end.
    assert!((3.0..20.0).contains(&mean[0]), "{mean:?}");
    assert!((120.0..350.0).contains(&mean[1]), "{mean:?}");
    assert!((500.0..1300.0).contains(&mean[2]), "{mean:?}");
}

#[tokio::test]
async fn without_a_load_time_chance_has_no_say() {
    let scene = Scene::new(HOUR.early_refresh(100));
    now(scene.cache.set(&key(1), 0));
    for _ in 0..3599 {
        scene.advance(1);
        assert_eq!(scene.read().await, (0, Source::Hit));
    }
    assert_eq!(scene.loads.load(Ordering::SeqCst), 0);
}

#[test]
fn a_sliding_life_is_prolonged_by_reading_up_to_its_cap() {
    let scene = Scene::new(TtlClass::new("cart", seconds(160)).sliding(seconds(1000)));
    now(scene.cache.set(&key(1), 1));
    now(scene.cache.set(&key(2), 2));
    for round in 1..=9 {
        scene.advance(100);
        assert_eq!(scene.cache.get_local(&key(1)), Lookup::Fresh(Arc::new(1)));
        assert_eq!(scene.cache.contains(&key(2)), round == 1, "nobody reads it");
    }
    assert_eq!(scene.cache.ttl(&key(1)), Some(seconds(100)), "the cap is nearer than the idle time");
    scene.advance(99);
    assert!(scene.cache.contains(&key(1)));
    scene.advance(1);
    assert!(!scene.cache.contains(&key(1)));
}

#[test]
fn that_there_is_nothing_does_not_slide() {
    let clock = ManualClock::new();
    let class = TtlClass::new("cart", seconds(160)).sliding(seconds(1000)).negative_ttl(seconds(60));
    let carts = TieredCache::builder().clock(clock.clone()).build().typed::<Option<u32>>(class);
    now(carts.set(&key(1), Fill::absent()));
    now(carts.set(&key(2), Fill::found(Some(1))));
    for _ in 0..3 {
        assert_eq!(carts.get_local(&key(1)), Lookup::Fresh(Arc::new(None)));
        clock.advance(seconds(20));
    }
    assert_eq!(carts.get_local(&key(1)), Lookup::Miss);
    assert!(carts.contains(&key(2)));
}

#[test]
fn an_idle_life_ends_in_time_and_no_more_than_a_sixteenth_early() {
    for gap in 0..160 {
        let scene = Scene::new(TtlClass::new("cart", seconds(160)).sliding(seconds(10_000)).grace(seconds(5)));
        now(scene.cache.set(&key(1), 1));
        scene.advance(gap);
        assert_eq!(scene.cache.get_local(&key(1)), Lookup::Fresh(Arc::new(1)));
        let left = scene.cache.ttl(&key(1)).unwrap();
        assert!(left <= seconds(160) && left >= seconds(150), "{gap}: {left:?}");
        scene.clock.advance(left);
        assert_eq!(scene.cache.get_local(&key(1)), Lookup::Stale(Arc::new(1)));
        scene.advance(5);
        assert_eq!(scene.cache.get_local(&key(1)), Lookup::Miss);
    }
}

#[tokio::test]
async fn a_sliding_value_that_went_stale_is_loaded_anew() {
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
fn contains_and_ttl_prolong_nothing_and_count_nothing() {
    let scene = Scene::new(TtlClass::new("cart", seconds(160)).sliding(seconds(1000)).grace(seconds(10)));
    assert_eq!((scene.cache.contains(&key(1)), scene.cache.ttl(&key(1))), (false, None));
    now(scene.cache.set(&key(1), 1));
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

#[tokio::test]
async fn absence_lives_for_its_own_shorter_time() {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build();
    let pages = cache.typed::<Option<u32>>(HOUR);
    let shorter = cache.typed::<Option<u32>>(TtlClass::new("short", seconds(60)).negative_ttl(seconds(90)));
    let ttl = async |pages: &TypedCache<Option<u32>>, fill: Fill<Option<u32>>| {
        now(cache.clear()).unwrap();
        let read = pages.get_or_load(&key(1), async move || Ok::<_, Infallible>(fill)).await.unwrap();
        let loaded = read.fresh_for;
        now(pages.set(&key(1), if read.value.is_none() { Fill::absent() } else { Fill::new(Some(1)) }));
        (*read.value, loaded)
    };
    assert_eq!(ttl(&pages, Fill::absent()).await, (None, seconds(300)));
    assert_eq!(pages.ttl(&key(1)), Some(seconds(300)), "as with `set`");
    assert_eq!(ttl(&pages, Fill::found(None)).await, (None, seconds(300)));
    assert_eq!(ttl(&pages, Fill::found(Some(1))).await, (Some(1), seconds(3600)));
    assert_eq!(ttl(&pages, Fill::absent().ttl(seconds(7))).await, (None, seconds(7)));
    assert_eq!(ttl(&pages, Fill::new(Some(404)).negative()).await, (Some(404), seconds(300)));
    assert_eq!(ttl(&shorter, Fill::absent()).await, (None, seconds(60)), "never longer than the class");

    ttl(&pages, Fill::absent()).await;
    clock.advance(seconds(299));
    assert_eq!(pages.get_local(&key(1)), Lookup::Fresh(Arc::new(None)));
    clock.advance(seconds(1));
    assert_eq!(pages.get_local(&key(1)), Lookup::Miss);
}

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
async fn a_value_found_to_hold_still_is_fresh_again_and_the_same() {
    let (clock, cache) = revalidating();
    let first = cache.get_or_revalidate(&key(1), unchanged).await.unwrap();
    assert_eq!(first.source, Source::Loaded);
    for _ in 0..3 {
        clock.advance(seconds(3600));
        let stale = cache.get_or_revalidate(&key(1), unchanged).await.unwrap();
        assert_eq!((*stale.value, stale.source), (1, Source::Stale));
        let_others_run().await;
        let fresh = cache.get_or_revalidate(&key(1), unchanged).await.unwrap();
        assert!(Arc::ptr_eq(&first.value, &fresh.value));
        assert_eq!((fresh.source, fresh.fresh_for), (Source::Hit, seconds(3600)));
    }
    assert_eq!(cache.cache().stats().tiers[0].entries, Some(1));
    now(cache.cache().invalidate_tag(&Tag::new("t"))).unwrap();
    assert_eq!(cache.get_local(&key(1)), Lookup::Miss, "it keeps its tags");
}

#[tokio::test]
async fn what_was_invalidated_or_is_dead_is_not_offered_for_revalidation() {
    let (clock, cache) = revalidating();
    let nothing_known = async |known: Option<Known<u32>>| {
        assert!(known.is_none());
        Ok::<_, &str>(Fill::new(2).tag(Tag::new("t")))
    };
    cache.get_or_revalidate(&key(1), nothing_known).await.unwrap();
    now(cache.cache().invalidate_tag(&Tag::new("t"))).unwrap();
    let read = cache.get_or_revalidate(&key(1), nothing_known).await.unwrap();
    assert_eq!(read.source, Source::Loaded);
    clock.advance(seconds(7200));
    let read = cache.get_or_revalidate(&key(1), nothing_known).await.unwrap();
    assert_eq!(read.source, Source::Loaded);
}

#[tokio::test]
async fn a_revalidation_that_an_invalidation_overtook_revives_nothing() {
    for by_tag in [false, true] {
        let (clock, cache) = revalidating();
        cache.get_or_revalidate(&key(1), unchanged).await.unwrap();
        clock.advance(seconds(3600));
        let (started, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begun, resume) = (Arc::clone(&started), Arc::clone(&gate));
        let slow = async move |known: Option<Known<u32>>| {
            begun.notify_one();
            resume.notified().await;
            Ok::<_, &str>(known.unwrap().still_holds())
        };
        cache.get_or_revalidate(&key(1), slow).await.unwrap();
        started.notified().await;
        if by_tag {
            now(cache.cache().invalidate_tag(&Tag::new("t"))).unwrap();
        } else {
            now(cache.remove(&key(1))).unwrap();
        }
        gate.notify_one();
        let_others_run().await;
        assert_eq!(cache.get_local(&key(1)), Lookup::Miss, "by tag: {by_tag}");
    }
}

#[tokio::test]
async fn a_failed_revalidation_leaves_the_stale_value() {
    let (clock, cache) = revalidating();
    cache.get_or_revalidate(&key(1), unchanged).await.unwrap();
    clock.advance(seconds(3600));
    let fails = async |_: Option<Known<u32>>| Err::<Fill<u32>, _>("down");
    assert_eq!(cache.get_or_revalidate(&key(1), fails).await.unwrap().source, Source::Stale);
    let_others_run().await;
    assert_eq!(cache.get_local(&key(1)), Lookup::Stale(Arc::new(1)));
    clock.advance(seconds(3600));
    assert!(matches!(cache.get_or_revalidate(&key(1), fails).await, Err(LoadError::Loader(_))));
}

#[test]
fn that_there_is_nothing_is_served_stale_no_longer_than_it_is_believed() {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build();
    let class = HOUR.grace(seconds(3600)).negative_ttl(seconds(60));
    let pages = cache.typed::<Option<u32>>(class);
    now(pages.set(&key(1), Fill::absent()));
    now(pages.set(&key(2), Fill::new(Some(2)).ttl(seconds(60))));
    clock.advance(seconds(60));
    assert_eq!(pages.get_local(&key(1)), Lookup::Stale(None.into()));
    clock.advance(seconds(60));
    assert_eq!(pages.get_local(&key(1)), Lookup::Miss);
    assert_eq!(pages.get_local(&key(2)), Lookup::Stale(Some(2).into()), "a value has the grace of its class");
}

#[test]
fn that_there_is_nothing_is_served_stale_no_longer_than_its_own_lifetime() {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).build();
    let pages = cache.typed::<Option<u32>>(TtlClass::new("brief", seconds(10)).grace(seconds(3600)));
    now(pages.set(&key(1), Fill::absent()));
    now(pages.set(&key(2), Fill::absent().ttl(seconds(20))));
    clock.advance(seconds(19));
    assert_eq!(pages.get_local(&key(1)), Lookup::Stale(None.into()));
    assert_eq!(pages.get_local(&key(2)), Lookup::Fresh(None.into()));
    clock.advance(seconds(1));
    assert_eq!(pages.get_local(&key(1)), Lookup::Miss);
    clock.advance(seconds(19));
    assert_eq!(pages.get_local(&key(2)), Lookup::Stale(None.into()));
    clock.advance(seconds(1));
    assert_eq!(pages.get_local(&key(2)), Lookup::Miss);
}
