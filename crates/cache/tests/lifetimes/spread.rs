//! Jitter, which spreads the ends of lifetimes.

use std::time::Duration;

use tidegate_cache::{Fill, ManualClock, TieredCache};

use crate::{HOUR, key, now, seconds};

#[test]
fn jitter_shortens_lifetimes_evenly_and_repeatably() {
    let lifetimes = |seed: u64, ttl: Option<u64>| -> Vec<Duration> {
        let cache = TieredCache::builder().clock(ManualClock::new()).seed(seed).build();
        let numbers = cache.typed::<u32>(HOUR.jitter(10));
        let set = |index| {
            let fill = ttl.into_iter().fold(Fill::new(index), |fill, ttl| fill.ttl(seconds(ttl)));
            now(numbers.put(&key(index), fill));
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
fn lifetimes_cut_by_the_cap_of_a_tier_have_jitter_too() {
    let cache = TieredCache::builder().clock(ManualClock::new()).build();
    let numbers = cache.typed::<u32>(HOUR.jitter(10).l1_ttl(seconds(600)));
    let lifetimes: Vec<_> = (0..1000)
        .map(|index| {
            now(numbers.put(&key(index), index));
            numbers.ttl(&key(index)).unwrap()
        })
        .collect();
    assert!(lifetimes.iter().all(|ttl| (seconds(540)..=seconds(600)).contains(ttl)));
    let early = lifetimes.iter().filter(|ttl| **ttl < seconds(570)).count();
    assert!((400..600).contains(&early), "half of them in the earlier half: {early}");
}
