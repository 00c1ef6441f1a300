//! All endpoints together.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::figure::latency::{LatencySummary, rate, share};
use crate::histogram::snapshot::Snapshot;
use crate::outcome::tally::{ABORTED, REFUSED};
use crate::registry::Registry;
use crate::time::window::Window;

/// All endpoints that are judged together in one window.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Overall {
    /// Responses, without refused ones.
    pub count: u64,
    /// Responses with a 5xx status, failed handlers included.
    pub errors: u64,
    /// Share of `errors` among the responses, 0 to 1.
    pub error_rate: f64,
    /// Requests whose client left before a response; not part of `count`.
    pub aborted: u64,
    /// Requests that were [turned away](crate::CallOutcome::is_refusal); not part of `count`.
    pub refused: u64,
    /// Responses per second.
    pub rate: f64,
    /// The time these figures stand for; less than the window while the process is young.
    #[serde(rename = "covered_ms", serialize_with = "crate::figure::millis::required")]
    pub covered: Duration,
    /// Latency of the responses.
    #[serde(flatten)]
    pub latency: LatencySummary,
}

impl Registry {
    /// Returns all endpoints together in a window, like [`readings`](Self::readings): without
    /// [unjudged](crate::RegistryBuilder::unjudged) routes and without refusals. Percentiles are
    /// those of all responses, not means of the endpoints'.
    ///
    /// Costs a pass over the window of every endpoint.
    pub fn overall(&self, window: Window) -> Overall {
        let inner = self.inner();
        let mut latency = Snapshot::empty(Arc::clone(&inner.layout));
        let (mut count, mut errors, mut aborted, mut refused, mut covered) = (0, 0, 0, 0, Duration::ZERO);
        for endpoint in self.judged() {
            let interval = endpoint.series().window(window);
            latency.merge(&interval.latency);
            count += interval.responses();
            errors += interval.errors();
            aborted += interval.tallies[ABORTED];
            refused += interval.tallies[REFUSED];
            covered = covered.max(interval.covered);
        }
        Overall {
            count,
            errors,
            error_rate: share(errors, count),
            aborted,
            refused,
            rate: rate(count, covered),
            covered,
            latency: LatencySummary::of(&latency, &inner.thresholds),
        }
    }
}
