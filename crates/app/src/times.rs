//! Times of something that happens often, counted for as long as the process lives.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_perfmon::{EXPOSITION_BOUNDS, Totals};

/// Counts at the bounds that `/metrics` shows, with a sum and a maximum. Counters are wide enough never to wrap.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// How many took at most the bound of the same place, and more than the one before; last those above all bounds.
    buckets: [AtomicU64; EXPOSITION_BOUNDS.len() + 1],
    sum_nanos: AtomicU64,
    longest_nanos: AtomicU64,
}

impl Times {
    /// Counts one.
    pub(crate) fn record(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let place = EXPOSITION_BOUNDS.partition_point(|bound| *bound < time);
        self.buckets[place].fetch_add(1, Ordering::Relaxed);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.longest_nanos.fetch_max(nanos, Ordering::Relaxed);
    }

    /// As Prometheus has it.
    pub(crate) fn totals(&self) -> Totals {
        let mut count = 0;
        let cumulative = self.buckets.each_ref().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let buckets = EXPOSITION_BOUNDS.iter().map(Duration::as_secs_f64).zip(cumulative).collect();
        let sum = Duration::from_nanos(self.sum_nanos.load(Ordering::Relaxed));
        Totals { buckets, count, sum_seconds: sum.as_secs_f64() }
    }

    /// The longest.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest_nanos.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_at_each_bound_that_it_does_not_exceed() {
        let times = Times::default();
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
