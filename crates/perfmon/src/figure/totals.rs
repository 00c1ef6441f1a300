//! Cumulative figures, for an exposition that the application writes.

use std::time::Duration;

use crate::histogram::bounds::EXPOSITION_BOUNDS;
use crate::histogram::snapshot::duration;
use crate::outcome::status::StatusCounts;
use crate::record::operation::Kind;

/// A histogram since the start of the process, in the shape of a Prometheus histogram. It includes what no tick has
/// read yet, and no figure ever decreases from one reading to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Totals {
    /// `(upper bound in seconds, samples at or below it)`, ascending, without `+Inf`, which is `count`.
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

/// What one endpoint has served since the start of the process.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EndpointTotals {
    /// The HTTP method, `_OTHER` for an uncommon one.
    pub method: &'static str,
    /// The route template, or one of the reserved names.
    pub route: String,
    /// Responses by class of their status.
    pub classes: StatusCounts,
    /// Requests that ended without a response, because the client left.
    pub aborted: u64,
    /// Requests that were [turned away](crate::CallOutcome::is_refusal); not among the classes, nor in the latency.
    pub refused: u64,
    /// The latency of responses.
    pub latency: Totals,
}

/// What one measured operation has done since the start of the process.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OperationTotals {
    /// The kind of operation.
    pub kind: Kind,
    /// Its name.
    pub operation: String,
    /// Runs that ended with an error, where their caller said so; see [`Registry::measure_result`](crate::Registry::measure_result).
    pub failed: u64,
    /// Runs that panicked.
    pub panicked: u64,
    /// Runs that were dropped before their end.
    pub cancelled: u64,
    /// The duration of the runs that came to an end, failed and panicked ones included.
    pub latency: Totals,
}
