//! The sections of the API itself: the recorder's figures, health, Redis.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tidegate_telemetry::{Section, Table, Telemetry};

use super::query::CheckedQuery;
use super::sort::{Sort, Sortable};
use super::span::Span;

/// Columns of an endpoint's figures after its names, with the same names as in JSON.
const ENDPOINTS: &[&str] = &[
    "method",
    "route",
    "count",
    "errors",
    "error_rate",
    "aborted",
    "refused",
    "classes.1xx",
    "classes.2xx",
    "classes.3xx",
    "classes.4xx",
    "classes.5xx",
    "rate",
    "mean_ms",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "max_ms",
    "over",
    "covered_ms",
];
const OPERATIONS: &[&str] = &[
    "kind",
    "operation",
    "count",
    "failed",
    "panicked",
    "cancelled",
    "slow",
    "rate",
    "mean_ms",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "max_ms",
    "over",
    "covered_ms",
];
const SLOW_OPERATIONS: &[&str] = &["kind", "operation", "outcome", "elapsed_ms", "threshold_ms", "at_unix_ms"];
const OVERALL: &[&str] = &[
    "count",
    "errors",
    "error_rate",
    "aborted",
    "refused",
    "rate",
    "mean_ms",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "max_ms",
    "over",
    "covered_ms",
];
const IN_FLIGHT: &[&str] = &["method", "route", "count", "oldest_ms"];
const SLOW: &[&str] = &["list", "method", "route", "status", "elapsed_ms", "at_unix_ms", "request_id", "trace_id"];
const SLOW_LISTS: &[&str] = &["items", "failed"];
/// Columns of the verdict, of a check and of a reason.
const HEALTH: &[&str] = &[
    "list",
    "check",
    "status",
    "health",
    "score",
    "observedValue",
    "observedUnit",
    "threshold",
    "samples",
    "critical",
    "output",
    "component",
    "message",
    "observed",
];
const HEALTH_LISTS: &[&str] = &["verdict", "checks", "reasons"];

/// Returns all of them, in the order in which they are listed.
pub(super) fn sections(telemetry: &Arc<Telemetry>, query: &CheckedQuery) -> Vec<Arc<dyn Section>> {
    let all = [
        What::Health,
        What::Overall,
        What::InFlight,
        What::SlowCalls,
        What::Endpoints,
        What::Operations,
        What::SlowOperations,
        What::Redis,
    ];
    let (span, sort) = (query.span, query.sort.unwrap_or(Sort::P99));
    let part = |what| Arc::new(Part { what, telemetry: Arc::clone(telemetry), span, sort }) as Arc<dyn Section>;
    all.map(part).to_vec()
}

/// Returns a list in that order.
pub(super) fn sorted<T: Sortable>(mut list: Vec<T>, sort: Sort) -> Vec<T> {
    sort.sort(&mut list);
    list
}

#[derive(Debug, Clone, Copy)]
enum What {
    Health,
    Overall,
    InFlight,
    SlowCalls,
    Endpoints,
    Operations,
    SlowOperations,
    Redis,
}

struct Part {
    what: What,
    telemetry: Arc<Telemetry>,
    span: Span,
    sort: Sort,
}

impl Section for Part {
    fn name(&self) -> &'static str {
        match self.what {
            What::Health => "health",
            What::Overall => "overall",
            What::InFlight => "in-flight",
            What::SlowCalls => "slow-apis",
            What::Endpoints => "endpoints",
            What::Operations => "operations",
            What::SlowOperations => "slow-operations",
            What::Redis => "redis",
        }
    }

    fn json(&self, limit: usize) -> Value {
        let registry = self.telemetry.registry();
        let window = self.span.window();
        match self.what {
            What::Health => json!(self.telemetry.health()),
            What::Overall => json!({"window_seconds": self.span.seconds(), "overall": registry.overall(window)}),
            What::InFlight => json!({"items": first(registry.in_flight(), limit)}),
            What::SlowCalls => {
                json!({"items": registry.slow_calls(limit), "failed": registry.failed_calls(limit)})
            }
            What::Endpoints => self.list(registry.endpoints(window), registry.dropped_endpoints(), limit),
            What::Operations => self.list(registry.operations(window), registry.dropped_operations(), limit),
            What::SlowOperations => json!({"items": registry.slow_operations(limit)}),
            What::Redis => json!(self.telemetry.redis()),
        }
    }

    fn table(&self, limit: usize) -> Option<Table> {
        let told = || self.json(limit);
        Some(match self.what {
            What::Health => Table::of_lists(HEALTH, HEALTH_LISTS, &in_lists(told())),
            What::Overall => Table::of(OVERALL, &json!([told()["overall"]])),
            What::InFlight => Table::of(IN_FLIGHT, &told()["items"]),
            What::SlowCalls => Table::of_lists(SLOW, SLOW_LISTS, &told()),
            What::Endpoints => Table::of(ENDPOINTS, &told()["items"]),
            What::Operations => Table::of(OPERATIONS, &told()["items"]),
            What::SlowOperations => Table::of(SLOW_OPERATIONS, &told()["items"]),
            What::Redis => return None,
        })
    }
}

impl Part {
    /// `dropped` is how often there was no room for a separate series.
    fn list<T: Sortable + Serialize>(&self, list: Vec<T>, dropped: u64, limit: usize) -> Value {
        json!({
            "window_seconds": self.span.seconds(),
            "sort": self.sort.word(),
            "dropped": dropped,
            "items": first(sorted(list, self.sort), limit),
        })
    }
}

fn first<T>(mut list: Vec<T>, limit: usize) -> Vec<T> {
    list.truncate(limit);
    list
}

/// Converts a verdict to lists: itself, its checks with their names, and its reasons.
fn in_lists(mut verdict: Value) -> Value {
    if verdict.is_null() {
        return verdict;
    }
    let (checks, reasons) = (verdict["checks"].take(), verdict["reasons"].take());
    let mut list = Vec::new();
    for (name, found) in checks.as_object().into_iter().flatten() {
        for check in found.as_array().into_iter().flatten() {
            let mut check = check.clone();
            check["check"] = json!(name);
            list.push(check);
        }
    }
    json!({"verdict": [verdict], "checks": list, "reasons": reasons})
}
