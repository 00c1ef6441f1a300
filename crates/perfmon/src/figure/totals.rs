//! Cumulative figures, for an exposition that the application writes.

use std::time::Duration;

use crate::histogram::bounds::EXPOSITION_BOUNDS;
use crate::histogram::snapshot::duration;

/// A histogram since the start of the process, in the shape of a Prometheus histogram. It includes
/// what no tick has read yet. No figure ever decreases from one read to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Totals {
    /// `(upper bound in seconds, samples at or below it)`, ascending, without `+Inf`, which is
    /// `count`.
    pub buckets: Vec<(f64, u64)>,
    /// The number of samples.
    pub count: u64,
    /// The sum of all samples in seconds.
    pub sum_seconds: f64,
}

impl Totals {
    /// From the samples of each range between two bounds, those above the last one behind them.
    pub(crate) fn of(ranges: &[u64; EXPOSITION_BOUNDS.len() + 1], sum_nanos: u128) -> Self {
        let mut count = 0;
        let mut up_to = ranges.iter().map(|samples| {
            count += samples;
            count
        });
        let buckets = EXPOSITION_BOUNDS.iter().map(Duration::as_secs_f64).zip(&mut up_to).collect();
        let count = up_to.last().unwrap_or_default();
        Self { buckets, count, sum_seconds: duration(sum_nanos).as_secs_f64() }
    }
}
