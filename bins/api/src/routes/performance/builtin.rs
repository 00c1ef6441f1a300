//! The parts that the API itself knows how to tell: the recorder's figures, health, Redis.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tidegate_app::telemetry::{Section, Table, Telemetry, cell};
use tidegate_perfmon::HealthReport;

use super::asked::Asked;
use super::sort::{Sort, Sortable};
use super::span::Span;

/// Figures of one endpoint, beside its names; the same words as in JSON.
const ENDPOINTS: &[&str] = &[
    "method",
    "route",
    "count",
    "errors",
    "error_rate",
    "aborted",
    "refused",
    "1xx",
    "2xx",
    "3xx",
    "4xx",
    "5xx",
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
const SLOW_OPERATIONS: &[&str] = &["kind", "operation", "elapsed_ms", "threshold_ms", "at_unix_ms"];
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
const HEALTH: &[&str] = &["check", "status", "score", "observed", "unit", "threshold", "samples", "critical", "reason"];

/// All of them, in the order in which they are listed.
pub(super) fn sections(telemetry: &Arc<Telemetry>, asked: &Asked) -> Vec<Arc<dyn Section>> {
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
    let (span, sort) = (asked.span, asked.sort.unwrap_or(Sort::P99));
    let part = |what| Arc::new(Part { what, telemetry: Arc::clone(telemetry), span, sort }) as Arc<dyn Section>;
    all.map(part).to_vec()
}

/// A list in that order.
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
            What::Health => health(self.telemetry.health().as_ref()),
            What::Overall => rows(OVERALL, std::slice::from_ref(&told()["overall"])),
            What::InFlight => rows(IN_FLIGHT, items(&told()["items"])),
            What::SlowCalls => slow(&told()),
            What::Endpoints => rows(ENDPOINTS, items(&told()["items"])),
            What::Operations => rows(OPERATIONS, items(&told()["items"])),
            What::SlowOperations => rows(SLOW_OPERATIONS, items(&told()["items"])),
            What::Redis => return None,
        })
    }
}

impl Part {
    /// `dropped` is how often there was no room for a series of its own.
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

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// A row for each item, whose cells are its members of those names. Taken from the JSON, so that both tell the same.
fn rows(columns: &'static [&'static str], items: &[Value]) -> Table {
    let find = |item: &Value, column: &str| match &item[column] {
        Value::Null => cell(&item["classes"][column]),
        value => cell(value),
    };
    Table {
        columns,
        rows: items.iter().map(|item| columns.iter().map(|column| find(item, column)).collect()).collect(),
    }
}

/// Both lists, each row with the name of its own.
fn slow(told: &Value) -> Table {
    let named = |list: &str, name: &str| {
        let mut table = rows(SLOW, items(&told[list]));
        table.rows.iter_mut().for_each(|row| name.clone_into(&mut row[0]));
        table.rows
    };
    Table { columns: SLOW, rows: [named("items", "slow"), named("failed", "failed")].concat() }
}

/// The verdict, then each check with what there is to say about it.
fn health(report: Option<&HealthReport>) -> Table {
    let Some(report) = report else { return Table { columns: HEALTH, rows: Vec::new() } };
    let reason = |component: Option<&str>| {
        let told = report.reasons.iter().filter(|reason| component.is_none_or(|name| reason.component == name));
        told.map(|reason| reason.message.as_str()).collect::<Vec<_>>().join("; ")
    };
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let mut rows = vec![vec![String::new(); HEALTH.len()]];
    rows[0][0] = "overall".to_owned();
    rows[0][1] = report.status.check_status().to_owned();
    rows[0][2] = report.score.map(|score| score.to_string()).unwrap_or_default();
    rows[0][8] = reason(None);
    rows.extend(report.components.iter().map(|component| {
        vec![
            component.name.to_string(),
            component.state.check_status().to_owned(),
            component.score.map(|score| score.to_string()).unwrap_or_default(),
            number(component.observed),
            component.unit.unwrap_or_default().to_owned(),
            number(component.threshold),
            component.samples.map(|samples| samples.to_string()).unwrap_or_default(),
            component.critical.to_string(),
            reason(Some(&component.name)),
        ]
    }));
    Table { columns: HEALTH, rows }
}
