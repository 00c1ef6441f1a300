//! The response to a request that names no section.

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tidegate_perfmon::EndpointTotals;

use super::builtin::sorted;
use super::csv;
use super::query::{CheckedQuery, Format};
use super::sections::Sections;
use super::sort::Sort;
use tidegate_web::app::App;
use tidegate_web::problem::Problem;

/// Endpoints and operations are complete. The limit applies to the other lists.
pub(super) fn show(app: &App, query: &CheckedQuery, sections: &Sections) -> Result<Response, Problem> {
    if query.format == Format::Csv {
        return csv::answer_long(sections.tables(query.limit));
    }
    let telemetry = &app.node().telemetry;
    let (registry, window) = (telemetry.registry(), query.span.window());
    let sort = query.sort.unwrap_or(Sort::Route);
    Ok(axum::Json(json!({
        "health": telemetry.health(),
        "window_seconds": query.span.seconds(),
        "overall": registry.overall(window),
        "window": sorted(registry.endpoints(window), sort),
        "operations": sorted(registry.operations(window), sort),
        "in_flight": registry.in_flight(),
        "totals": registry.totals().iter().map(total).collect::<Vec<_>>(),
        "slow_apis": registry.slow_calls(query.limit),
        "redis": telemetry.redis(),
        "sections": telemetry.sources().sections().iter().map(|section| {
            (section.name().to_owned(), section.json(query.limit))
        }).collect::<serde_json::Map<_, _>>(),
    }))
    .into_response())
}

fn total(endpoint: &EndpointTotals) -> Value {
    json!({
        "method": endpoint.method,
        "route": endpoint.route,
        "count": endpoint.latency.count,
        "classes": endpoint.classes,
        "aborted": endpoint.aborted,
        "refused": endpoint.refused,
        "seconds": endpoint.latency.sum_seconds,
    })
}
