//! The figures a page shows for one series.

use std::time::Duration;

use serde::Serialize;

use crate::figure::millis;
use crate::histogram::snapshot::Snapshot;

/// Latencies of one window; in JSON milliseconds, `null` without samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LatencySummary {
    /// Arithmetic mean, exact.
    #[serde(rename = "mean_ms", serialize_with = "millis::optional")]
    pub mean: Option<Duration>,
    /// Median, at most 1.6 % above the true sample and never below it, as the other quantiles.
    #[serde(rename = "p50_ms", serialize_with = "millis::optional")]
    pub p50: Option<Duration>,
    /// 95th percentile.
    #[serde(rename = "p95_ms", serialize_with = "millis::optional")]
    pub p95: Option<Duration>,
    /// 99th percentile.
    #[serde(rename = "p99_ms", serialize_with = "millis::optional")]
    pub p99: Option<Duration>,
    /// Largest sample, with the error of the quantiles.
    #[serde(rename = "max_ms", serialize_with = "millis::optional")]
    pub max: Option<Duration>,
    /// How many samples exceeded each threshold, exactly.
    pub over: Vec<OverThreshold>,
}

/// An exact count above a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OverThreshold {
    /// The threshold; a sample equal to it does not exceed it.
    #[serde(rename = "threshold_ms", serialize_with = "millis::required")]
    pub threshold: Duration,
    /// Samples above it.
    pub count: u64,
}

impl LatencySummary {
    pub(crate) fn of(snapshot: &Snapshot, thresholds: &[Duration]) -> Self {
        Self {
            mean: snapshot.mean(),
            p50: snapshot.quantile(0.50),
            p95: snapshot.quantile(0.95),
            p99: snapshot.quantile(0.99),
            max: snapshot.max(),
            over: thresholds
                .iter()
                .map(|&threshold| OverThreshold { threshold, count: snapshot.over(threshold) })
                .collect(),
        }
    }
}

/// Events per second over the time that the figures stand for; 0 when no time has passed.
#[expect(clippy::cast_precision_loss, reason = "a rate is shown, not counted")]
pub(crate) fn rate(count: u64, covered: Duration) -> f64 {
    if covered.is_zero() { 0.0 } else { count as f64 / covered.as_secs_f64() }
}

/// `part` of `whole`, within 0..=1; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "a share is compared with thresholds far coarser than 2⁻⁵³")]
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64).min(1.0) }
}
