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
/// What is asked for by `type` and hangs on no board.
const TYPES: [&str; 2] = ["health", "slow-apis"];
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
            let Some(section) = sections.iter().find(|section| section.name() == other) else {
                let known: Vec<_> = TYPES.into_iter().chain(sections.iter().map(|section| section.name())).collect();
                let shown: String = other.chars().take(64).collect();
                let detail = format!("`type` is one of `{}`, not `{shown}`", known.join("`, `"));
                return Err(Problem::unprocessable("bad-type", detail));
            };
            Ok(axum::Json(section.json(limit)).into_response())
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
