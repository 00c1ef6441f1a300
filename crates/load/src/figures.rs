//! Latencies by operation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::lock::lock;

/// Latencies in microseconds: three digits, up to ten minutes.
const HIGHEST: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// Collects latencies and errors of all requests of one run. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<BTreeMap<&'static str, Operation>>>);

#[derive(Debug)]
struct Operation {
    latencies: Histogram<u64>,
    errors: u64,
    /// The first one, as an example.
    error: Option<String>,
}

/// Figures of one operation in one run. Latencies are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The operation.
    pub operation: &'static str,
    /// Answered requests.
    pub count: u64,
    /// Requests that failed.
    pub errors: u64,
    /// The first failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Answered requests in one second.
    pub per_second: f64,
    /// Mean latency.
    pub mean_ms: f64,
    /// Half of the requests took at most this.
    pub p50_ms: f64,
    /// 95 % of the requests took at most this.
    pub p95_ms: f64,
    /// 99 % of the requests took at most this.
    pub p99_ms: f64,
    /// The slowest one.
    pub max_ms: f64,
}

impl Recorder {
    /// Records the outcome of one request.
    pub fn record<T>(&self, operation: &'static str, latency: Duration, outcome: &anyhow::Result<T>) {
        let mut operations = lock(&self.0);
        let entry = operations.entry(operation).or_default();
        match outcome {
            Ok(_) => entry.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)),
            Err(error) => {
                entry.errors += 1;
                entry.error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    /// Answered requests so far.
    pub fn count(&self) -> u64 {
        lock(&self.0).values().map(|operation| operation.latencies.len()).sum()
    }

    /// The figures of a run that took `elapsed`.
    pub fn figures(&self, elapsed: Duration) -> Vec<Figures> {
        lock(&self.0).iter().map(|(name, operation)| operation.figures(name, elapsed)).collect()
    }
}

impl Default for Operation {
    fn default() -> Self {
        let latencies = Histogram::new_with_bounds(1, HIGHEST, DIGITS).expect("valid bounds");
        Self { latencies, errors: 0, error: None }
    }
}

impl Operation {
    #[expect(clippy::cast_precision_loss, reason = "counts and microseconds of a run are far below 2^52")]
    fn figures(&self, operation: &'static str, elapsed: Duration) -> Figures {
        let quantile = |q| self.latencies.value_at_quantile(q) as f64 / 1_000.0;
        Figures {
            operation,
            count: self.latencies.len(),
            errors: self.errors,
            error: self.error.clone(),
            per_second: self.latencies.len() as f64 / elapsed.as_secs_f64(),
            mean_ms: self.latencies.mean() / 1_000.0,
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            max_ms: self.latencies.max() as f64 / 1_000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Recorder;

    #[test]
    fn figures_are_of_answered_requests_and_errors_are_counted_apart() {
        let recorder = Recorder::default();
        for ms in 1..=100 {
            recorder.record("order", Duration::from_millis(ms), &Ok(()));
        }
        recorder.record::<()>("order", Duration::from_secs(9), &Err(anyhow::anyhow!("refused")));

        let figures = recorder.figures(Duration::from_secs(10));
        let order = &figures[0];
        assert_eq!((order.count, order.errors, order.error.as_deref()), (100, 1, Some("refused")));
        assert!((order.mean_ms - 50.5).abs() < 0.1, "{order:?}");
        assert!((order.p95_ms - 95.0).abs() < 0.1 && (order.max_ms - 100.0).abs() < 0.2, "{order:?}");
        assert!((order.per_second - 10.0).abs() < f64::EPSILON);
    }
}
