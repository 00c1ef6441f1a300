//! Windows unit by unit.

use std::time::Duration;

use tidegate_perfmon::{ManualClock, Registry, Slot, StatusClass, Window};

const MS: Duration = Duration::from_millis(1);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn registry() -> Registry {
    Registry::builder().clock(ManualClock::new()).build()
}

fn counts(slots: &[Slot]) -> Vec<u64> {
    slots.iter().map(|slot| slot.count).collect()
}

#[test]
fn each_second_has_its_own_slot_and_the_running_one_is_last() {
    let registry = registry();
    let endpoint = registry.endpoint("GET", "/a");
    for second in 1..=4 {
        for _ in 0..second {
            endpoint.record(StatusClass::Success, MS);
        }
        registry.tick(secs(second));
    }
    endpoint.record(StatusClass::ServerError, MS);
    registry.tick(secs(6));
    assert_eq!(counts(&registry.slots(Some(&endpoint), Window::Seconds(4))), [3, 4, 0, 1]);
    let slots = registry.slots(Some(&endpoint), Window::Seconds(60));
    assert_eq!(slots.len(), 60);
    assert_eq!(counts(&slots)[54..], [1, 2, 3, 4, 0, 1]);
    assert_eq!((slots[59].errors, slots[57].errors), (1, 0));
    assert_eq!((slots[0].covered, slots[54].covered, slots[59].covered), (Duration::ZERO, secs(1), secs(2)));
}

#[test]
fn latencies_fall_between_the_bounds() {
    let registry = registry();
    let endpoint = registry.endpoint("GET", "/a");
    for bound in Slot::BOUNDS {
        endpoint.record(StatusClass::Success, bound);
        endpoint.record(StatusClass::Success, bound + Duration::from_nanos(1));
    }
    endpoint.record(StatusClass::Success, secs(3600));
    registry.tick(secs(1));
    let minutes = |registry: &Registry| registry.slots(None, Window::Minutes(60));
    let expected = [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2];
    assert_eq!(minutes(&registry)[59].buckets, expected);
    // The same once the minute is over and sealed.
    registry.tick(secs(61));
    assert_eq!(minutes(&registry)[58].buckets, expected);
    assert_eq!(minutes(&registry)[59].buckets, [0; Slot::BUCKETS]);
}

#[test]
fn all_endpoints_together_are_the_sum_of_each() {
    let registry = registry();
    let (a, b) = (registry.endpoint("GET", "/a"), registry.endpoint("GET", "/b"));
    for second in 1..=70 {
        a.record(StatusClass::Success, MS);
        b.record(StatusClass::ServerError, 30 * MS);
        b.aborted();
        registry.tick(secs(second));
    }
    let all = registry.slots(None, Window::Seconds(60));
    assert_eq!(counts(&all), [2; 60]);
    assert!(all.iter().all(|slot| slot.errors == 1 && slot.buckets.iter().sum::<u64>() == 2));
    for (sum, (a, b)) in all.iter().zip(
        registry.slots(Some(&a), Window::Seconds(60)).iter().zip(registry.slots(Some(&b), Window::Seconds(60)).iter()),
    ) {
        assert_eq!((sum.count, sum.errors), (a.count + b.count, a.errors + b.errors));
        assert_eq!(sum.covered, secs(1));
    }
}

#[test]
fn a_window_out_of_range_is_clamped_and_a_long_silence_leaves_empty_slots() {
    let registry = registry();
    registry.endpoint("GET", "/a").record(StatusClass::Success, MS);
    registry.tick(secs(1));
    for (window, slots) in [(Window::Seconds(0), 1), (Window::Minutes(255), 60), (Window::Hours(99), 24)] {
        assert_eq!(registry.slots(None, window).len(), slots);
    }
    registry.tick(secs(1_000_000));
    for window in [Window::Seconds(60), Window::Minutes(60), Window::Hours(24)] {
        assert_eq!(counts(&registry.slots(None, window)).iter().sum::<u64>(), 0);
    }
}
