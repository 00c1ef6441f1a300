//! Durations of jobs, from microseconds to a day.

use std::time::Duration;

use tidegate_perfmon::{Grain, Meter, MeterWindow, Registry, Totals, Window};

/// Window of [`Stopwatch::recent`], at least.
pub(super) const PERIOD: Duration = Duration::from_secs(5 * 60);
const RECENT: Window = Window::Minutes(5);

/// Upper bounds of the exposed buckets, in milliseconds.
const BOUNDS_MS: [u64; 16] =
    [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000, 300_000, 1_800_000, 7_200_000];

/// Durations since the start of the process, and of the last minutes. It is a meter with
/// microseconds: jobs may run for a day, and nanoseconds are not needed.
#[derive(Debug)]
pub(super) struct Stopwatch(Meter);

impl Stopwatch {
    /// Makes a stopwatch with that name, whose windows `registry` keeps.
    pub(super) fn new(registry: &Registry, name: String) -> Self {
        let meter = Meter::new(name, Grain::Microsecond, BOUNDS_MS.map(Duration::from_millis));
        registry.adopt(&meter);
        Self(meter)
    }

    pub(super) fn record(&self, time: Duration) {
        self.0.record(time);
    }

    /// Returns the durations of the last minutes.
    pub(super) fn recent(&self) -> MeterWindow {
        self.0.window(RECENT)
    }

    /// Returns all durations since the start.
    pub(super) fn total(&self) -> Totals {
        self.0.totals()
    }
}

#[cfg(test)]
mod tests {

    use tidegate_perfmon::ManualClock;

    use super::*;

    fn watch() -> (ManualClock, Registry, Stopwatch) {
        let clock = ManualClock::new();
        let registry = Registry::builder().clock(clock.clone()).build();
        let watch = Stopwatch::new(&registry, "jobs".to_owned());
        (clock, registry, watch)
    }

    #[test]
    fn hours_and_days_are_distinguished_and_bounds_are_exact() {
        let (_, registry, watch) = watch();
        for ms in [0, 1, 5, 6, 3_600_000, 86_400_000] {
            watch.record(Duration::from_millis(ms));
        }
        let total = watch.total();
        assert_eq!((total.count, total.sum_seconds.trunc()), (6, 90_000.0));
        assert_eq!(total.buckets[..3], [(0.001, 2), (0.005, 3), (0.01, 4)]);
        assert_eq!(total.buckets.last(), Some(&(7_200.0, 5)));
        registry.tick(registry.now());
        let longest = watch.recent().quantile(1.0).unwrap().as_secs_f64();
        assert!((86_400.0..86_400.0 * 1.016).contains(&longest), "{longest}");
    }

    #[test]
    fn recent_times_are_forgotten_after_two_periods() {
        let (clock, registry, watch) = watch();
        let pass = |time: Duration| {
            for _ in 0..time.as_secs() {
                clock.advance(Duration::from_secs(1));
                registry.tick(registry.now());
            }
        };
        watch.record(Duration::from_secs(1));
        pass(PERIOD);
        assert_eq!(watch.recent().count(), 1);
        watch.record(Duration::from_secs(2));
        pass(PERIOD);
        assert_eq!(watch.recent().count(), 1);
        pass(2 * PERIOD);
        assert_eq!((watch.recent().count(), watch.total().count), (0, 2));
    }
}
