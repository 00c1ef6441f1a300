//! Whatever names arrive, memory stays bounded.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_perfmon::{Kind, OTHER, Registry, StatusClass, UNMATCHED, Window};

/// A scanner's path: deterministic, and different for every number.
fn path(n: u64) -> String {
    let scrambled = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("/{:x}/{:x}.php", scrambled >> 40, scrambled)
}

#[test]
fn a_hundred_thousand_paths_from_many_threads_make_512_endpoints_and_other() {
    let registry = Registry::builder().build();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let registry = &registry;
            scope.spawn(move || {
                for n in 0..25_000 {
                    let endpoint = registry.endpoint("GET", &path(thread * 25_000 + n));
                    endpoint.record(StatusClass::ClientError, Duration::from_millis(1));
                }
            });
        }
    });
    registry.tick(registry.now());
    let endpoints = registry.endpoints(Window::Seconds(60));
    assert_eq!(endpoints.len(), 512 + 1);
    assert_eq!(endpoints.iter().map(|endpoint| endpoint.count).sum::<u64>(), 100_000);
    let other = endpoints.iter().find(|endpoint| endpoint.route == OTHER).unwrap();
    assert_eq!(other.count, 100_000 - 512);
    assert_eq!(registry.dropped_endpoints(), 100_000 - 512);
}

#[test]
fn uncommon_methods_share_one_name() {
    let registry = Registry::builder().build();
    for n in 0..1_000 {
        registry.unmatched(&format!("M{n}"));
    }
    registry.unmatched("GET");
    registry.unmatched("get");
    let names: Vec<_> = registry.totals().into_iter().map(|totals| (totals.method, totals.route)).collect();
    assert_eq!(names, [("GET", UNMATCHED.to_owned()), ("_OTHER", UNMATCHED.to_owned())]);
}

#[test]
fn names_of_ten_kilobytes_take_no_room() {
    let registry = Registry::builder().build();
    let long = "é".repeat(5_000);
    let used = allocation_counter::measure(|| {
        for number in 0..1_000 {
            registry.endpoint(&long[number % 10 * 2..], &format!("{long}{number}")).aborted();
        }
    });
    let totals = registry.totals();
    assert_eq!(totals.iter().map(|totals| (totals.method, &*totals.route)).collect::<Vec<_>>(), [("_OTHER", OTHER)]);
    assert_eq!((totals[0].aborted, registry.dropped_endpoints()), (1_000, 1_000));
    assert!(used.bytes_current < 40_000, "{} bytes kept", used.bytes_current);
}

#[test]
fn settings_of_zero_are_accepted() {
    let registry = Registry::builder().cap(0).slow_entries(0).thresholds([]).slow_call(Duration::ZERO).build();
    assert_eq!(registry.endpoint("GET", "/").route(), OTHER);
    assert_eq!(registry.unmatched("GET").route(), UNMATCHED);
}

#[tokio::test]
async fn operations_are_capped_too() {
    let registry = Registry::builder().cap(3).build();
    for n in 0..100 {
        registry.measure(Kind::Cache, &format!("get {n}"), async {}).await;
    }
    let totals = registry.operation_totals();
    assert_eq!(totals.len(), 4);
    assert_eq!(totals.iter().map(|totals| totals.latency.count).sum::<u64>(), 100);
    assert_eq!(registry.dropped_operations(), 97);
}

proptest! {
    #[test]
    fn any_method_and_route_is_accepted(method in any::<String>(), route in any::<String>(), cap in 0usize..3) {
        let registry = Registry::builder().cap(cap).build();
        for _ in 0..3 {
            registry.endpoint(&method, &route).aborted();
            registry.endpoint("GET", &route).aborted();
        }
        let totals = registry.totals();
        prop_assert!(totals.len() <= 2);
        prop_assert_eq!(totals.iter().map(|totals| totals.aborted).sum::<u64>(), 6);
    }
}
