//! The recorder: buckets that only grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::layout::{Layout, nanos};
use crate::snapshot::Snapshot;
use crate::stripe::Striped;

/// What one sample may add to a sum; it keeps absurd durations from wrapping the sum between two readings.
pub(crate) const LONGEST_ADDED: Duration = Duration::from_secs(86_400);

/// An atomic log-linear histogram of durations.
///
/// Recording is wait-free: two relaxed additions in memory that at most a few threads share. Nothing is ever
/// reset; readers subtract. A sample is found again with an error of at most 1.6 % (see [`Layout`]).
#[derive(Debug)]
pub struct Histogram {
    layout: Arc<Layout>,
    stripes: Striped<Stripe>,
}

#[derive(Debug)]
struct Stripe {
    sum_nanos: AtomicU64,
    buckets: Box<[AtomicU32]>,
}

impl Histogram {
    /// An empty histogram. It allocates about 8 KiB at the first record of each of at most four thread groups.
    pub fn new(layout: Arc<Layout>) -> Self {
        Self { layout, stripes: Striped::new() }
    }

    /// Counts one sample.
    pub fn record(&self, duration: Duration) {
        let stripe = self.stripes.local(|| Stripe {
            sum_nanos: AtomicU64::new(0),
            buckets: (0..self.layout.buckets()).map(|_| AtomicU32::new(0)).collect(),
        });
        stripe.buckets[self.layout.index(nanos(duration))].fetch_add(1, Ordering::Relaxed);
        stripe.sum_nanos.fetch_add(nanos(duration.min(LONGEST_ADDED)), Ordering::Relaxed);
    }

    /// Everything recorded so far. Bucket counts are 32 bits wide and wrap; a
    /// [`Registry`](crate::Registry) unwraps them at each tick, a histogram used alone doesn't.
    pub fn snapshot(&self) -> Snapshot {
        let mut counts = vec![0; self.layout.buckets()];
        let sum = self.read(&mut counts);
        let counts = counts.into_iter().map(u64::from).collect();
        Snapshot::new(Arc::clone(&self.layout), counts, u128::from(sum))
    }

    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Writes the bucket counts (modulo 2³²) and returns the sum in nanoseconds (modulo 2⁶⁴).
    pub(crate) fn read(&self, counts: &mut [u32]) -> u64 {
        counts.fill(0);
        let mut sum: u64 = 0;
        for stripe in self.stripes.built() {
            for (count, bucket) in counts.iter_mut().zip(&stripe.buckets) {
                *count = count.wrapping_add(bucket.load(Ordering::Relaxed));
            }
            sum = sum.wrapping_add(stripe.sum_nanos.load(Ordering::Relaxed));
        }
        sum
    }

    /// Sets one bucket near its wrap.
    #[cfg(test)]
    pub(crate) fn preset(&self, duration: Duration, count: u32) {
        self.record(duration);
        let index = self.layout.index(nanos(duration));
        for stripe in self.stripes.built() {
            stripe.buckets[index].store(count, Ordering::Relaxed);
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new(Arc::new(Layout::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_lose_nothing() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let histogram = &histogram;
                scope.spawn(move || {
                    for i in 0..10_000 {
                        histogram.record(Duration::from_micros(thread * 100 + i % 50));
                    }
                });
            }
        });
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.count(), 80_000);
        // 10,000 × (Σ thread × 100 µs + 24.5 µs)
        assert_eq!(snapshot.sum(), Duration::from_micros(10_000 * 2_800 + 8 * 245_000));
    }

    #[test]
    fn absurd_durations_are_clamped_and_counted() {
        let histogram = Histogram::default();
        histogram.record(Duration::MAX);
        histogram.record(Duration::from_secs(200));
        histogram.record(Duration::ZERO);
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count(), snapshot.clamped()), (3, 2));
        assert_eq!(snapshot.sum(), LONGEST_ADDED + Duration::from_secs(200));
        assert_eq!(snapshot.quantile(0.0), Some(Duration::ZERO));
        assert_eq!(snapshot.max(), Some(Duration::from_nanos(1 << 37)));
    }
}
