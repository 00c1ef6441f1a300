//! Refreshes before the end of a lifetime, at a fixed time or at random.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_cache::{Fill, Lookup, ManualClock, Source, TieredCache};
use tokio::sync::Notify;

use crate::{HOUR, Scene, key, let_others_run, now, seconds};

#[tokio::test]
async fn a_read_near_the_end_of_a_lifetime_refreshes_in_the_background() {
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
async fn unread_values_are_not_refreshed_and_short_lived_ones_not_constantly() {
    let scene = Scene::new(HOUR.refresh_ahead(seconds(300)));
    now(scene.cache.put(&key(1), Fill::new(0).ttl(seconds(100))));
    scene.advance(49);
    assert_eq!(scene.read().await, (0, Source::Hit));
    assert_eq!(scene.loads.load(Ordering::SeqCst), 0);
    scene.advance(1);
    scene.read().await;
    assert_eq!(scene.loads.load(Ordering::SeqCst), 1);
    scene.advance(3600);
    assert_eq!(scene.cache.peek(&key(1)), Lookup::Miss);
}

#[tokio::test]
async fn a_thousand_readers_ahead_make_one_load_and_a_failed_one_is_repeated_after_a_second() {
    let scene = Scene::new(HOUR.refresh_ahead(seconds(300)));
    now(scene.cache.put(&key(1), 0));
    scene.advance(3500);
    let (gate, starts) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    for _ in 0..1000 {
        let (gate, starts) = (Arc::clone(&gate), Arc::clone(&starts));
        let load = async move || {
            starts.fetch_add(1, Ordering::SeqCst);
            gate.notified().await;
            Err::<Fill<u32>, _>("down")
        };
        let read = scene.cache.fetch(&key(1), load).await.unwrap();
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
async fn early_refresh_refreshes_expensive_values_sooner() {
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
            let fresh_for = cache.fetch(&key(1), load).await.unwrap().fresh_for;
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
async fn without_a_load_time_there_is_no_early_refresh() {
    let scene = Scene::new(HOUR.early_refresh(100));
    now(scene.cache.put(&key(1), 0));
    for _ in 0..3599 {
        scene.advance(1);
        assert_eq!(scene.read().await, (0, Source::Hit));
    }
    assert_eq!(scene.loads.load(Ordering::SeqCst), 0);
}
