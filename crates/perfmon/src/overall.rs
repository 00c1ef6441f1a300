//! All endpoints together.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::endpoint::StatusClass;
use crate::latency::{LatencySummary, rate, share};
use crate::registry::Registry;
use crate::snapshot::Snapshot;
use crate::window::Window;

/// All endpoints together in one window.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Overall {
    /// Responses.
    pub count: u64,
    /// Responses with a 5xx status, failed handlers included.
    pub errors: u64,
    /// Share of `errors` among the responses, 0 to 1.
    pub error_rate: f64,
    /// Requests whose client left before a response; not part of `count`.
    pub aborted: u64,
    /// Responses per second.
    pub rate: f64,
    /// The time these figures stand for; less than the window while the process is young.
    #[serde(rename = "covered_ms", serialize_with = "crate::millis::required")]
    pub covered: Duration,
    /// Latency of the responses.
    #[serde(flatten)]
    pub latency: LatencySummary,
}

impl Registry {
    /// All endpoints together in a window. Percentiles are those of all responses, not means of the endpoints'.
    ///
    /// Costs a pass over the window of every endpoint.
    pub fn overall(&self, window: Window) -> Overall {
        let inner = self.inner();
        let mut latency = Snapshot::empty(Arc::clone(&inner.layout));
        let (mut count, mut errors, mut aborted, mut covered) = (0, 0, 0, Duration::ZERO);
        for endpoint in inner.endpoints.all() {
            let interval = endpoint.series().window(window);
            latency.merge(&interval.latency);
            count += interval.tallies[..=StatusClass::ServerError as usize].iter().sum::<u64>();
            errors += interval.tallies[StatusClass::ServerError as usize];
            aborted += interval.tallies[crate::series::ABORTED];
            covered = covered.max(interval.covered);
        }
        Overall {
            count,
            errors,
            error_rate: share(errors, count),
            aborted,
            rate: rate(count, covered),
            covered,
            latency: LatencySummary::of(&latency, &inner.thresholds),
        }
    }
}
