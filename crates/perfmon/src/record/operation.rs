//! Work other than requests: queries, calls, cache reads, rendering.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde::Serialize;

use crate::figure::latency::{LatencySummary, rate};
use crate::figure::totals::Totals;
use crate::histogram::layout::Layout;
use crate::outcome::run::RunOutcome;
use crate::outcome::tally::{ABORTED, FAILED, FINISHED, PANICKED};
use crate::record::kind::Kind;
use crate::series::Series;
use crate::time::window::Window;

#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) series: Series,
    /// Figures that were no durations.
    pub(crate) rejected: AtomicU64,
}

/// One operation in one window.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OperationSnapshot {
    /// The kind of operation.
    pub kind: Kind,
    /// Its name.
    pub operation: String,
    /// Runs that came to an end, failed and panicked ones included.
    pub count: u64,
    /// Runs that ended with an error, if their caller reported it; see
    /// [`Registry::measure_result`](crate::Registry::measure_result).
    pub failed: u64,
    /// Runs that panicked.
    pub panicked: u64,
    /// Runs that were dropped before their end; not part of `count`.
    pub cancelled: u64,
    /// Runs above the warning threshold of the kind, exactly.
    pub slow: u64,
    /// Runs that came to an end, per second.
    pub rate: f64,
    /// The time these figures stand for.
    #[serde(rename = "covered_ms", serialize_with = "crate::figure::millis::required")]
    pub covered: Duration,
    /// Duration of the runs in `count`.
    #[serde(flatten)]
    pub latency: LatencySummary,
}

/// Figures of one measured operation since the start of the process.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OperationTotals {
    /// The kind of operation.
    pub kind: Kind,
    /// Its name.
    pub operation: String,
    /// Runs that ended with an error, if their caller reported it; see
    /// [`Registry::measure_result`](crate::Registry::measure_result).
    pub failed: u64,
    /// Runs that panicked.
    pub panicked: u64,
    /// Runs that were dropped before their end.
    pub cancelled: u64,
    /// The duration of the runs that came to an end, failed and panicked ones included.
    pub latency: Totals,
}

impl Operation {
    pub(crate) fn new(kind: Kind, name: &str, layout: Arc<Layout>, elapsed: Duration) -> Self {
        Self { kind, name: name.to_owned(), series: Series::new(layout, elapsed), rejected: AtomicU64::new(0) }
    }

    pub(crate) fn ended(&self, outcome: RunOutcome, duration: Duration) {
        match outcome {
            RunOutcome::Finished => self.series.record(FINISHED, duration),
            RunOutcome::Failed => self.series.record(FAILED, duration),
            RunOutcome::Panicked => self.series.record(PANICKED, duration),
            RunOutcome::Cancelled => self.series.count(ABORTED),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.series.bytes()
    }

    pub(crate) fn snapshot(&self, window: Window, slow: Duration, thresholds: &[Duration]) -> OperationSnapshot {
        let interval = self.series.window(window);
        OperationSnapshot {
            kind: self.kind,
            operation: self.name.clone(),
            count: interval.latency.count(),
            failed: interval.tallies[FAILED],
            panicked: interval.tallies[PANICKED],
            cancelled: interval.tallies[ABORTED],
            slow: interval.latency.over(slow),
            rate: rate(interval.latency.count(), interval.covered),
            covered: interval.covered,
            latency: LatencySummary::of(&interval.latency, thresholds),
        }
    }

    pub(crate) fn totals(&self) -> OperationTotals {
        let total = self.series.total();
        OperationTotals {
            kind: self.kind,
            operation: self.name.clone(),
            failed: total.tallies[FAILED],
            panicked: total.tallies[PANICKED],
            cancelled: total.tallies[ABORTED],
            latency: total.latency(),
        }
    }
}
