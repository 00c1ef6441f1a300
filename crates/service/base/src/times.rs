//! Durations of a frequent event, counted over the life of the process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_perfmon::{EXPOSITION_BOUNDS, Grain, Meter, Registry, Totals};

/// A timer that may exist before the registry, and the longest duration.
#[derive(Debug)]
pub struct Times {
    meter: Meter,
    longest_nanos: AtomicU64,
}

impl Times {
    /// Creates an empty timer with that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { meter: Meter::new(name, Grain::Nanosecond, EXPOSITION_BOUNDS), longest_nanos: AtomicU64::new(0) }
    }

    /// Files the durations into the windows of that registry from now on. Only the first registry
    /// of a process does so.
    pub fn file_by(&self, registry: &Registry) {
        registry.adopt(&self.meter);
    }

    /// Records one duration.
    pub fn record(&self, time: Duration) {
        self.meter.record(time);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.longest_nanos.fetch_max(nanos, Ordering::Relaxed);
    }

    /// Returns the totals as Prometheus expects them.
    pub fn totals(&self) -> Totals {
        self.meter.totals()
    }

    /// Returns the longest duration.
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest_nanos.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_at_each_bound_that_it_does_not_exceed() {
        let times = Times::new("times");
        for millis in [0, 1, 2, 11_000] {
            times.record(Duration::from_millis(millis));
        }
        let totals = times.totals();
        assert_eq!(totals.buckets[..3], [(0.001, 2), (0.0025, 3), (0.005, 3)]);
        assert_eq!((totals.buckets[12], totals.count), ((10.0, 3), 4));
        assert!((totals.sum_seconds - 11.003).abs() < 1e-9);
        assert_eq!(times.longest(), Duration::from_secs(11));
    }
}
