//! Windows under rotation, odd clocks and concurrent recorders.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use proptest::prelude::*;
use tidegate_perfmon::{ManualClock, Registry, StatusClass, Window};

const MS: Duration = Duration::from_millis(1);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn registry() -> Registry {
    Registry::builder().clock(ManualClock::new()).build()
}

fn count(registry: &Registry, window: Window) -> u64 {
    registry.endpoints(window).iter().map(|endpoint| endpoint.count).sum()
}

#[test]
fn windows_lose_nothing_while_threads_record() {
    const THREADS: usize = 4;
    const EACH: usize = 50_000;
    let registry = registry();
    let running = AtomicUsize::new(THREADS);
    let start = Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (registry, running, start) = (&registry, &running, &start);
            scope.spawn(move || {
                let endpoint = registry.endpoint("GET", if thread % 2 == 0 { "/even" } else { "/odd" });
                start.wait();
                for i in 0..EACH {
                    let class = if i % 10 == 0 { StatusClass::ServerError } else { StatusClass::Success };
                    endpoint.record(class, MS * (1 + u32::try_from(i % 100).unwrap()));
                    if i % 100 == 0 {
                        endpoint.aborted();
                    }
                }
                running.fetch_sub(1, Ordering::Release);
            });
        }
        start.wait();
        let mut now = secs(0);
        while running.load(Ordering::Acquire) > 0 {
            now = (now + secs(1)).min(secs(50));
            registry.tick(now);
        }
    });
    registry.tick(secs(51));
    for window in [Window::Seconds(60), Window::Minutes(60), Window::Hours(24)] {
        let endpoints = registry.endpoints(window);
        assert_eq!(endpoints.len(), 2);
        for endpoint in &endpoints {
            assert_eq!(endpoint.count, 100_000);
            assert_eq!(endpoint.errors, 10_000);
            assert_eq!(endpoint.classes.total(), 100_000);
            assert_eq!(endpoint.aborted, 1_000);
            // Every hundred samples sum up to 5,050 ms.
            assert_eq!(endpoint.latency.mean, Some(Duration::from_micros(50_500)));
        }
    }
    for endpoint in registry.totals() {
        assert_eq!(endpoint.latency.count, 100_000);
    }
}

/// Proof `perfmon-windows`.
#[test]
fn a_hundred_million_records_are_all_in_the_windows() {
    const THREADS: usize = 4;
    /// One round of latencies, from 1 µs to 2 ms in steps of 1 µs.
    const ROUND: usize = 2_000;
    let rounds = tidegate_testkit::scale(5_000_000, 100_000_000) / THREADS / ROUND;
    let registry = Registry::builder().thresholds([MS]).build();
    let endpoints = ["/even", "/odd"].map(|route| registry.endpoint("GET", route));
    let (ended, ticking) = mpsc::channel::<()>();
    let ticks = std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (endpoint, ended) = (&endpoints[thread % 2], ended.clone());
            scope.spawn(move || {
                for _ in 0..rounds {
                    for micros in 1..=ROUND {
                        let class = if micros % 10 == 0 { StatusClass::ServerError } else { StatusClass::Success };
                        endpoint.record(class, Duration::from_micros(u64::try_from(micros).unwrap()));
                    }
                }
                drop(ended);
            });
        }
        drop(ended);
        let mut ticks = 0;
        while ticking.recv_timeout(MS) == Err(RecvTimeoutError::Timeout) {
            registry.tick(registry.now());
            ticks += 1;
        }
        ticks
    });
    assert!(ticks > 10, "{ticks} ticks met recorders at work");
    registry.tick(registry.now());
    let records = u64::try_from(rounds * ROUND * THREADS / 2).unwrap();
    for window in [Window::Minutes(60), Window::Hours(24)] {
        for endpoint in &registry.endpoints(window) {
            assert_eq!((endpoint.count, endpoint.errors), (records, records / 10), "{} {window:?}", endpoint.route);
            assert_eq!(endpoint.classes.total(), records);
            assert_eq!(endpoint.latency.mean, Some(Duration::from_nanos(1_000_500)));
            // Exact, for 1 ms is a bound that the registry exposes.
            let over: Vec<u64> = endpoint.latency.over.iter().map(|over| over.count).collect();
            assert_eq!(over, [records / 2]);
        }
    }
    for endpoint in registry.totals() {
        assert_eq!(endpoint.latency.count, records);
        assert_eq!(endpoint.latency.buckets[0], (0.001, records / 2));
    }
}

#[test]
fn seconds_leave_the_window_one_by_one() {
    let registry = registry();
    let endpoint = registry.endpoint("GET", "/");
    for second in 1..=200 {
        for _ in 0..second {
            endpoint.record(StatusClass::Success, MS);
        }
        registry.tick(secs(second));
    }
    // The running second and the ten before it.
    assert_eq!(count(&registry, Window::Seconds(10)), (190..=200).sum::<u64>());
    assert_eq!(count(&registry, Window::Seconds(60)), (140..=200).sum::<u64>());
    // 180 to 200 are in the running minute, 120 to 179 in the one before.
    assert_eq!(count(&registry, Window::Minutes(1)), (120..=200).sum::<u64>());
    assert_eq!(count(&registry, Window::Hours(1)), (1..=200).sum::<u64>());
    let endpoint = &registry.endpoints(Window::Seconds(10))[0];
    assert_eq!(endpoint.covered, secs(11));
    assert!((endpoint.rate - 195.0).abs() < 1e-9);
}

#[test]
fn numbers_outside_what_is_kept_are_clamped() {
    let registry = registry();
    let endpoint = registry.endpoint("GET", "/");
    for second in 1..=100 {
        endpoint.record(StatusClass::Success, MS);
        registry.tick(secs(second));
    }
    assert_eq!(count(&registry, Window::Seconds(0)), 2);
    assert_eq!(count(&registry, Window::Seconds(255)), 61);
    assert_eq!(count(&registry, Window::Minutes(255)), 100);
}

#[test]
fn an_idle_gap_empties_the_windows_and_not_the_totals() {
    let registry = registry();
    let endpoint = registry.endpoint("GET", "/");
    endpoint.record(StatusClass::Success, MS);
    registry.tick(secs(1));
    registry.tick(secs(3 * 3600));
    assert_eq!(count(&registry, Window::Seconds(60)), 0);
    assert_eq!(count(&registry, Window::Minutes(60)), 0);
    assert_eq!(count(&registry, Window::Hours(24)), 1);
    registry.tick(secs(30 * 3600));
    assert_eq!(count(&registry, Window::Hours(24)), 0);
    assert_eq!(registry.totals()[0].latency.count, 1);
    // The same slot of the ring, a whole number of turns later.
    endpoint.record(StatusClass::Success, MS);
    registry.tick(secs(30 * 3600 + 61));
    assert_eq!(count(&registry, Window::Seconds(1)), 1);
}

#[test]
fn a_late_tick_keeps_its_records_with_the_time_they_cover() {
    let registry = registry();
    let endpoint = registry.endpoint("GET", "/");
    for _ in 0..600 {
        endpoint.record(StatusClass::Success, MS);
    }
    registry.tick(secs(600));
    let snapshot = &registry.endpoints(Window::Seconds(1))[0];
    assert_eq!((snapshot.count, snapshot.covered), (600, secs(600)));
    assert!((snapshot.rate - 1.0).abs() < 1e-9);
}

#[test]
fn without_a_tick_windows_stand_still_and_totals_go_on() {
    let registry = registry();
    let endpoint = registry.endpoint("GET", "/");
    endpoint.record(StatusClass::Success, MS);
    assert_eq!(count(&registry, Window::Seconds(60)), 0);
    assert_eq!(registry.endpoints(Window::Seconds(60))[0].rate, 0.0);
    assert_eq!(registry.totals()[0].latency.count, 1);
}

#[test]
fn an_endpoint_born_late_covers_its_own_life_only() {
    let registry = registry();
    registry.tick(secs(500));
    let endpoint = registry.endpoint("GET", "/");
    endpoint.record(StatusClass::Success, MS);
    registry.tick(secs(501));
    assert_eq!(registry.endpoints(Window::Hours(24))[0].covered, secs(1));
}

proptest! {
    // Each case is a trace of up to 150 ticks. 64 of them are enough to find a ring that is off by
    // one.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A clock that jumps anywhere loses no record, and after it calms down windows rotate as ever.
    #[test]
    fn clock_jumps_lose_nothing(readings in prop::collection::vec(any::<u64>(), 1..50)) {
        let registry = registry();
        let endpoint = registry.endpoint("GET", "/");
        let mut recorded = 0;
        for reading in readings.iter().copied().chain([u64::MAX, 0]) {
            endpoint.record(StatusClass::Success, MS);
            recorded += 1;
            registry.tick(Duration::from_nanos(reading));
            prop_assert!(count(&registry, Window::Seconds(60)) >= 1);
        }
        registry.tick(Duration::MAX);
        prop_assert_eq!(registry.totals()[0].latency.count, recorded);
        registry.tick(secs(0));
        for second in 1..=62 {
            registry.tick(secs(second));
        }
        prop_assert_eq!(count(&registry, Window::Seconds(60)), 0);
    }

    /// Rings against the plain list of ticks.
    #[test]
    fn any_rhythm_of_ticks_agrees_with_a_list(
        ticks in prop::collection::vec((0u64..100_000, 0u64..4), 1..150),
        units in 1u8..=60,
    ) {
        let registry = registry();
        let endpoint = registry.endpoint("GET", "/");
        let mut now = Duration::ZERO;
        let mut filed = Vec::new();
        for (step, records) in ticks {
            now += MS * u32::try_from(step).unwrap();
            for _ in 0..records {
                endpoint.record(StatusClass::Success, MS);
            }
            registry.tick(now);
            filed.push((now.as_secs(), records));
        }
        let expected = |unit: u64, units: u8| -> u64 {
            let first = (now.as_secs() / unit).saturating_sub(u64::from(units));
            filed.iter().filter(|(at, _)| at / unit >= first).map(|(_, records)| records).sum()
        };
        prop_assert_eq!(count(&registry, Window::Seconds(units)), expected(1, units));
        prop_assert_eq!(count(&registry, Window::Minutes(units)), expected(60, units));
        prop_assert_eq!(count(&registry, Window::Hours(units)), expected(3600, units.min(24)));
    }
}
