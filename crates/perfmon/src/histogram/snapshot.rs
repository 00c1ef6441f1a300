//! The reading side of a histogram.

use std::sync::Arc;
use std::time::Duration;

use crate::histogram::bounds::EXPOSITION_BOUNDS;
use crate::histogram::layout::Layout;

/// Bucket counts at one moment, or of one window.
#[derive(Debug, Clone)]
pub struct Snapshot {
    layout: Arc<Layout>,
    counts: Vec<u64>,
    count: u64,
    sum_nanos: u128,
}

impl Snapshot {
    pub(crate) fn new(layout: Arc<Layout>, counts: Vec<u64>, sum_nanos: u128) -> Self {
        let count = counts.iter().sum();
        Self { layout, counts, count, sum_nanos }
    }

    pub(crate) fn empty(layout: Arc<Layout>) -> Self {
        let counts = vec![0; layout.buckets()];
        Self { layout, counts, count: 0, sum_nanos: 0 }
    }

    pub(crate) fn add(&mut self, bucket: usize, count: u64) {
        self.counts[bucket] += count;
        self.count += count;
    }

    pub(crate) fn add_sum(&mut self, nanos: u128) {
        self.sum_nanos += nanos;
    }

    /// Adds a snapshot of the same layout.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum_nanos += other.sum_nanos;
    }

    /// The number of samples.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all samples, each taken as at most a day.
    pub fn sum(&self) -> Duration {
        duration(self.sum_nanos)
    }

    /// The arithmetic mean, exact to the nanosecond; `None` without samples.
    pub fn mean(&self) -> Option<Duration> {
        let mean = self.sum_nanos.checked_div(u128::from(self.count))?;
        Some(Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX)))
    }

    /// Returns the sample of nearest rank ⌈q·n⌉, as the upper end of its bucket: never below the
    /// true sample and at most 1.6 % above it. Samples past the range read as its end, 137.4 s. `q`
    /// is clamped to 0..=1; `None` without samples or for NaN. Costs one pass over the buckets.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        if self.count == 0 || q.is_nan() {
            return None;
        }
        let bucket = bucket_of(q, self.count, self.counts.iter().copied())?;
        Some(self.layout.upper(bucket))
    }

    /// The largest sample, as the upper end of its bucket, like [`quantile`](Self::quantile).
    pub fn max(&self) -> Option<Duration> {
        let bucket = self.counts.iter().rposition(|&count| count > 0)?;
        Some(self.layout.upper(bucket))
    }

    /// Returns how many samples took `bound` or less. It is exact if `bound` is an edge of the
    /// layout, or 137.4 s or more, where the range ends. Otherwise it leaves out the samples in the
    /// bucket that `bound` cuts.
    pub fn at_most(&self, bound: Duration) -> u64 {
        self.counts[..self.layout.buckets_up_to(bound)].iter().sum()
    }

    /// Returns how many samples took longer than `threshold`: the rest of
    /// [`at_most`](Self::at_most), equally exact.
    pub fn over(&self, threshold: Duration) -> u64 {
        self.count - self.at_most(threshold)
    }

    /// How many samples were at or past the end of the range, 137.4 s.
    pub fn clamped(&self) -> u64 {
        self.counts.last().copied().unwrap_or(0)
    }

    /// Returns cumulative counts for a Prometheus histogram:
    /// `(upper bound in seconds, samples at or below it)` for each of [`EXPOSITION_BOUNDS`]. The
    /// `+Inf` bucket is [`count`](Self::count). The counts are exact for every layout that has
    /// these bounds as edges: the default one and that of every registry.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        EXPOSITION_BOUNDS.iter().map(|&bound| (bound.as_secs_f64(), self.at_most(bound)))
    }
}

/// The bucket with the sample of a quantile, of `count` samples in all. `None` without samples.
pub(crate) fn bucket_of(q: f64, count: u64, mut counts: impl Iterator<Item = u64>) -> Option<usize> {
    if count == 0 {
        return None;
    }
    let rank = nearest_rank(q.clamp(0.0, 1.0), count);
    let mut seen = 0;
    counts.position(|count| {
        seen += count;
        seen >= rank
    })
}

pub(crate) fn duration(nanos: u128) -> Duration {
    const NANOS: u128 = 1_000_000_000;
    let secs = u64::try_from(nanos / NANOS).unwrap_or(u64::MAX);
    let nanos = u32::try_from(nanos % NANOS).unwrap_or(0);
    Duration::new(secs, nanos)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 ≤ rank ≤ count; past 2⁵³ samples a rank is off by less than 1 in 10¹⁵"
)]
fn nearest_rank(q: f64, count: u64) -> u64 {
    let exact = q * count as f64;
    // 0.07 × 100 is 7.000000000000001 in binary; without the allowance its rank would be 8.
    let rank = (exact - exact * 1e-12).ceil() as u64;
    rank.clamp(1, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Histogram;

    #[test]
    fn no_samples_have_no_quantile() {
        assert_eq!(bucket_of(0.99, 0, [0, 0].into_iter()), None);
        assert_eq!(bucket_of(0.99, 1, [0, 1].into_iter()), Some(1));
    }

    #[test]
    fn nothing_recorded_reads_as_nothing() {
        let empty = Histogram::default().snapshot();
        assert_eq!((empty.count(), empty.sum()), (0, Duration::ZERO));
        assert_eq!((empty.mean(), empty.max(), empty.quantile(0.5)), (None, None, None));
    }

    #[test]
    fn absurd_quantiles_are_clamped() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_nanos(10));
        histogram.record(Duration::from_nanos(20));
        let snapshot = histogram.snapshot();
        let at = |q| snapshot.quantile(q).map(|d| d.as_nanos());
        assert_eq!(at(f64::NAN), None);
        assert_eq!((at(-1.0), at(f64::NEG_INFINITY)), (Some(10), Some(10)));
        assert_eq!((at(2.0), at(f64::INFINITY)), (Some(20), Some(20)));
    }

    #[test]
    fn ranks_do_not_slip_on_binary_fractions() {
        for percent in 1..=100u32 {
            for hundreds in 1..50u64 {
                let rank = nearest_rank(f64::from(percent) / 100.0, hundreds * 100);
                assert_eq!(rank, u64::from(percent) * hundreds);
            }
        }
    }
}
