//! One method on one route.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::figure::latency::{LatencySummary, rate, share};
use crate::figure::totals::Totals;
use crate::histogram::layout::Layout;
use crate::outcome::status::{StatusClass, StatusCounts};
use crate::outcome::tally::{ABORTED, REFUSED};
use crate::request::under_way::UnderWay;
use crate::series::Series;
use crate::series::total::Total;
use crate::time::window::Window;

/// The recorder of one method and route. Get it from
/// [`Registry::endpoint`](crate::Registry::endpoint) and keep it.
#[derive(Debug)]
pub struct Endpoint {
    method: &'static str,
    route: String,
    is_judged: bool,
    series: Series,
    under_way: UnderWay,
}

/// One endpoint in one window.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EndpointSnapshot {
    /// The HTTP method, `_OTHER` for an uncommon one.
    pub method: &'static str,
    /// The route template, or one of the reserved names.
    pub route: String,
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
    /// Responses by class of their status.
    pub classes: StatusCounts,
    /// Responses per second.
    pub rate: f64,
    /// The time these figures stand for; less than the window while the process is young.
    #[serde(rename = "covered_ms", serialize_with = "crate::figure::millis::required")]
    pub covered: Duration,
    /// Latency of the responses.
    #[serde(flatten)]
    pub latency: LatencySummary,
}

/// Figures of one endpoint since the start of the process.
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
    /// Requests that were [refused](crate::CallOutcome::is_refusal); neither in the classes nor in
    /// the latency.
    pub refused: u64,
    /// The latency of responses.
    pub latency: Totals,
}

impl Endpoint {
    pub(crate) fn new(
        method: &'static str,
        route: &str,
        is_judged: bool,
        layout: Arc<Layout>,
        elapsed: Duration,
    ) -> Self {
        let series = Series::new(layout, elapsed);
        Self { method, route: route.to_owned(), is_judged, series, under_way: UnderWay::new() }
    }

    /// Whether health and budgets go by it.
    pub(crate) fn is_judged(&self) -> bool {
        self.is_judged
    }

    /// The HTTP method, `_OTHER` for an uncommon one.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// The route template, or one of the reserved names.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// Counts a response and its latency with four additions. They are locked only on threads
    /// without counters of their own (see [`Histogram`](crate::Histogram)).
    #[inline]
    pub fn record(&self, class: StatusClass, latency: Duration) {
        self.series.record(class as usize, latency);
    }

    /// Counts a request whose client left before the response.
    pub fn aborted(&self) {
        self.series.count(ABORTED);
    }

    /// Counts a request that was [turned away](crate::CallOutcome::is_refusal), without a latency.
    pub fn refused(&self) {
        self.series.count(REFUSED);
    }

    pub(crate) fn series(&self) -> &Series {
        &self.series
    }

    pub(crate) fn under_way(&self) -> &UnderWay {
        &self.under_way
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.route.len() + self.series.bytes() + self.under_way.bytes()
    }

    pub(crate) fn snapshot(&self, window: Window, thresholds: &[Duration]) -> EndpointSnapshot {
        let interval = self.series.window(window);
        let classes = StatusCounts::of(&interval.tallies);
        EndpointSnapshot {
            method: self.method,
            route: self.route.clone(),
            count: interval.latency.count(),
            errors: classes.server_error,
            error_rate: share(classes.server_error, classes.total()),
            aborted: interval.tallies[ABORTED],
            refused: interval.tallies[REFUSED],
            classes,
            rate: rate(interval.latency.count(), interval.covered),
            covered: interval.covered,
            latency: LatencySummary::of(&interval.latency, thresholds),
        }
    }

    /// Everything since the start, what no tick has read yet included.
    pub(crate) fn total(&self) -> Total {
        self.series.total()
    }

    pub(crate) fn totals(&self) -> EndpointTotals {
        let total = self.total();
        EndpointTotals {
            method: self.method,
            route: self.route.clone(),
            classes: StatusCounts::of(&total.tallies),
            aborted: total.tallies[ABORTED],
            refused: total.tallies[REFUSED],
            latency: total.latency(),
        }
    }
}
