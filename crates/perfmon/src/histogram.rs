//! The recorder: buckets that only grow.

pub(crate) mod bounds;
pub(crate) mod layout;
pub(crate) mod slot;
pub(crate) mod snapshot;
pub(crate) mod stripe;

use std::sync::Arc;
use std::time::Duration;

use crate::histogram::layout::{EXPOSED, FIRST_FOUND, Layout, nanos};
use crate::histogram::snapshot::Snapshot;
use crate::histogram::stripe::{Stripes, TALLIES};

/// Shorter than the range of every layout, 137.4 s.
const WITHIN_RANGE_SECS: u64 = 137;
/// The most that one sample may add to a sum: a day. It keeps absurd durations from wrapping the
/// sum between two reads.
const LONGEST_ADDED_NANOS: u64 = 86_400 * 1_000_000_000;

/// An atomic log-linear histogram of durations.
///
/// Recording is wait-free: three additions. On threads that have counters of their own these are
/// not even locked. Nothing is ever reset; readers subtract. A sample is read back with an error of
/// at most 1.6 % (see [`Layout`]).
///
/// The first threads of the process that record get counters of their own: two more threads than
/// there are cores, eight at most. A thread that ends frees its counters for another. All other
/// threads share one set and pay for locked additions.
#[derive(Debug)]
pub struct Histogram {
    layout: Arc<Layout>,
    stripes: Stripes,
}

impl Histogram {
    /// Creates an empty histogram. It allocates 8.2 KiB at the first record of each thread that has
    /// counters of its own, and once for all other threads.
    pub fn new(layout: Arc<Layout>) -> Self {
        Self { layout, stripes: Stripes::default() }
    }

    /// Counts one sample.
    #[inline]
    pub fn record(&self, duration: Duration) {
        self.add(duration, None);
    }

    /// Counts one sample, and in a tally.
    #[inline(always)]
    pub(crate) fn record_in(&self, tally: usize, duration: Duration) {
        self.add(duration, Some(tally));
    }

    // Some 30 instructions without a call; a call would be a fifth of them.
    #[inline(always)]
    fn add(&self, duration: Duration, tally: Option<usize>) {
        // Whatever is within the range needs no care of its ends.
        if duration.as_secs() < WITHIN_RANGE_SECS {
            let nanos = duration.as_secs() * 1_000_000_000 + u64::from(duration.subsec_nanos());
            if nanos >= FIRST_FOUND && self.stripes.record_alone(self.layout.found(nanos), nanos, tally) {
                return;
            }
        }
        self.add_with_care(duration, tally);
    }

    /// Records very short and very long durations, durations near an edge, and durations from
    /// threads that share counters or record for the first time.
    #[cold]
    #[inline(never)]
    fn add_with_care(&self, duration: Duration, tally: Option<usize>) {
        let nanos = nanos(duration);
        let place = self.layout.place(nanos);
        self.stripes.record(&self.layout, place, nanos.min(LONGEST_ADDED_NANOS), tally);
    }

    /// Counts in a tally alone.
    pub(crate) fn count(&self, tally: usize) {
        self.stripes.count(&self.layout, tally);
    }

    /// Returns the tallies (modulo 2³²). A later [`read`](Self::read) finds the samples that they
    /// count.
    pub(crate) fn tallies(&self) -> [u32; TALLIES] {
        self.stripes.tallies()
    }

    /// Everything recorded so far. Bucket counts are 32 bits wide and wrap; a
    /// [`Registry`](crate::Registry) unwraps them at each tick, a histogram used alone doesn't.
    pub fn snapshot(&self) -> Snapshot {
        let mut counts = vec![0; self.layout.buckets()];
        self.read(0, &mut counts);
        let counts = counts.into_iter().map(u64::from).collect();
        Snapshot::new(Arc::clone(&self.layout), counts, u128::from(self.sum_nanos()))
    }

    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Writes the counts of some buckets, from `first` on (modulo 2³²).
    pub(crate) fn read(&self, first: usize, counts: &mut [u32]) {
        self.stripes.read(first, counts);
    }

    /// The samples between the exposed bounds (modulo 2³²).
    pub(crate) fn ranges(&self) -> [u32; EXPOSED + 1] {
        self.stripes.ranges()
    }

    /// The sum in nanoseconds (modulo 2⁶⁴).
    pub(crate) fn sum_nanos(&self) -> u64 {
        self.stripes.sum_nanos()
    }

    /// The memory that recorders have taken.
    pub(crate) fn bytes(&self) -> usize {
        self.stripes.bytes()
    }

    /// Sets one bucket near its wrap.
    #[cfg(test)]
    pub(crate) fn preset(&self, duration: Duration, count: u32) {
        self.record_in(0, duration);
        self.stripes.preset(self.layout.place(nanos(duration)), count);
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
        assert_eq!(snapshot.sum(), Duration::from_secs(86_400) + Duration::from_secs(200));
        assert_eq!(snapshot.quantile(0.0), Some(Duration::ZERO));
        assert_eq!(snapshot.max(), Some(Duration::from_nanos(1 << 37)));
    }
}
