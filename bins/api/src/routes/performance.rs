//! `/api/performance`: how fast the routes are, and the verdict.

pub(super) mod silences;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_perfmon::{EndpointTotals, Window};

use crate::app::App;
use crate::problem::Problem;
use crate::query::Query;

const DEFAULT_LIMIT: usize = 10;
const MAX_LIMIT: usize = 100;
/// What the figures of the windows look back on.
const WINDOW_MINUTES: u8 = 5;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PerformanceQuery {
    #[serde(rename = "type")]
    what: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn show(State(app): State<App>, Query(query): Query<PerformanceQuery>) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::unprocessable("bad-limit", format!("`limit` is a number from 1 to {MAX_LIMIT}")));
    }
    let telemetry = &app.node().telemetry;
    let registry = telemetry.registry();
    match query.what.as_deref() {
        None => Ok(axum::Json(json!({
            "health": telemetry.health(),
            "window_seconds": u32::from(WINDOW_MINUTES) * 60,
            "window": registry.endpoints(Window::Minutes(WINDOW_MINUTES)),
            "totals": registry.totals().iter().map(total).collect::<Vec<_>>(),
            "slow_apis": registry.slow_calls(limit),
            "redis": telemetry.redis(),
        }))
        .into_response()),
        Some("health") => Ok(axum::Json(telemetry.health()).into_response()),
        Some("slow-apis") => Ok(axum::Json(json!({"items": registry.slow_calls(limit)})).into_response()),
        Some(other) => {
            let sections = telemetry.board().sections();
            if let Some(section) = sections.iter().find(|section| section.name() == other) {
                return Ok(axum::Json(section.json(limit)).into_response());
            }
            let shown: String = other.chars().take(64).collect();
            let known: Vec<_> = sections.iter().map(|section| format!("`{}`", section.name())).collect();
            let known = known.join(", ");
            Err(Problem::unprocessable("bad-type", format!("`type` is `health`, `slow-apis`, {known}; not `{shown}`")))
        }
    }
}

/// What one endpoint has served since the start.
fn total(endpoint: &EndpointTotals) -> Value {
    json!({
        "method": endpoint.method,
        "route": endpoint.route,
        "count": endpoint.latency.count,
        "classes": endpoint.classes,
        "aborted": endpoint.aborted,
        "seconds": endpoint.latency.sum_seconds,
    })
}
