//! Meters: times with the windows of a registry.

use std::time::Duration;

use tidegate_perfmon::{EXPOSITION_BOUNDS, Grain, ManualClock, Meter, OTHER, Registry, Window};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn manual() -> (ManualClock, Registry) {
    let clock = ManualClock::new();
    (clock.clone(), Registry::builder().clock(clock).meters(3).build())
}

#[test]
fn its_windows_are_those_of_the_endpoints() {
    let (clock, registry) = manual();
    let (meter, endpoint) = (registry.meter("wait"), registry.endpoint("GET", "/"));
    for second in 1..=400u32 {
        meter.record(MS * second);
        endpoint.record(tidegate_perfmon::StatusClass::Success, MS * second);
        clock.advance(SECOND);
        registry.tick(registry.now());
    }
    for window in [Window::Seconds(1), Window::Seconds(60), Window::Minutes(5), Window::Hours(1)] {
        let (mine, theirs) = (meter.window(window), registry.overall(window));
        assert_eq!((mine.count(), mine.covered()), (theirs.count, theirs.covered), "{window:?}");
        assert_eq!(
            (mine.mean(), mine.quantile(0.99), mine.max()),
            (theirs.latency.mean, theirs.latency.p99, theirs.latency.max)
        );
    }
}

#[test]
fn totals_are_exact_between_ticks_and_at_bounds_of_its_own() {
    let (_, registry) = manual();
    let bounds = [5, 1, 3_600_000].map(|ms| MS * ms);
    let meter = Meter::new("jobs", Grain::Microsecond, bounds);
    assert!(registry.adopt(&meter));
    let mut expected = [0, 0, 0, 0];
    for round in 0..50 {
        for (place, nanos) in
            [1_000_000, 1_000_001, 5_000_000, 3_600_000_000_000, 3_600_000_000_001, 90_000_000_000_000u64]
                .into_iter()
                .enumerate()
        {
            meter.record(Duration::from_nanos(nanos));
            expected[[0, 1, 1, 2, 3, 3][place]] += 1;
        }
        if round % 7 == 0 {
            registry.tick(registry.now() + SECOND * round);
        }
        let totals = meter.totals();
        let up_to = |place: usize| expected[..=place].iter().sum::<u64>();
        assert_eq!(totals.buckets, [(0.001, up_to(0)), (0.005, up_to(1)), (3_600.0, up_to(2))]);
        assert_eq!(totals.count, up_to(3));
    }
    registry.tick(registry.now() + SECOND * 60);
    let hour = meter.window(Window::Hours(1));
    assert_eq!((hour.count(), hour.over(MS), hour.over(MS * 3_600_000)), (300, 250, 100));
    let longest = hour.max().unwrap().as_secs_f64();
    assert!((90_000.0..90_000.0 * 1.016).contains(&longest), "{longest}");
}

#[test]
fn records_from_before_the_adoption_are_not_lost() {
    let (clock, registry) = manual();
    let meter = Meter::new("pool", Grain::Nanosecond, EXPOSITION_BOUNDS);
    meter.record(MS);
    clock.advance(100 * SECOND);
    registry.tick(registry.now());
    assert_eq!((meter.totals().count, meter.window(Window::Hours(1)).count()), (1, 0));
    assert!(registry.adopt(&meter) && registry.adopt(&meter));
    meter.record(MS);
    clock.advance(SECOND);
    registry.tick(registry.now());
    let window = meter.window(Window::Minutes(5));
    assert_eq!((window.count(), window.covered()), (2, SECOND), "it stands for the time since it was adopted");
    assert_eq!(registry.meters().iter().map(Meter::name).collect::<Vec<_>>(), ["pool"]);
}

#[test]
fn one_registry_ticks_it_and_their_number_is_bounded() {
    let (_, registry) = manual();
    let (_, another) = manual();
    let meter = registry.meter("a");
    meter.record(MS);
    assert!(!another.adopt(&meter), "another registry ticks it");
    registry.tick(SECOND);
    another.tick(SECOND);
    assert_eq!((meter.window(Window::Minutes(1)).count(), meter.totals().count), (1, 1));

    assert!(!registry.adopt(&Meter::new("a", Grain::Nanosecond, [])), "there is another of that name");
    let names: Vec<_> = (0..1_000).map(|n| registry.meter(&format!("name-{n}")).name().to_owned()).collect();
    assert_eq!(names[..3], ["name-0", "name-1", OTHER]);
    assert_eq!((registry.meters().len(), registry.dropped_meters()), (4, 998));
    let late = Meter::new("late", Grain::Nanosecond, []);
    assert!(!registry.adopt(&late));
    late.record(MS);
    assert_eq!(late.totals().count, 1, "it counts by itself");
    let before = registry.overhead().bytes;
    registry.meter("name-0").record(MS);
    assert!(registry.overhead().bytes > before);
}
