//! `/api/log`: the log filter of this process, and how long it applies.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tidegate_telemetry::{LogFilter, LogFilterNow, log_filter};

use crate::openapi::derived::{of_request, of_response};
use crate::openapi::schema::named;
use crate::openapi::{Audience, Routes, delete, get, put};
use tidegate_web::json::Json;
use tidegate_web::problem::Problem;

/// A day, after which a forgotten filter ends by itself.
const MOST_MINUTES: i64 = 1_440;
const LONGEST_FILTER: usize = 1_000;

pub(super) fn add(routes: Routes) -> Routes {
    let body = of_request::<NewFilter>();
    let example = json!({"filter": "info,tidegate_queue=debug", "minutes": 10});
    let path = "/api/log";
    routes
        .schema("LogFilter", of_response::<LogFilterNow>())
        .add(get("showLogFilter", path, Audience::Reader, "What this process logs").ok(named("LogFilter")), show)
        .add(
            put("setLogFilter", path, Audience::Admin, "Changes what this process logs, for a while")
                .body(body, example)
                .ok(named("LogFilter")),
            set,
        )
        .add(
            delete("resetLogFilter", path, Audience::Admin, "Logs what the settings say again").ok(named("LogFilter")),
            reset,
        )
}

/// Numbers are wider than their range, so that a number out of range has its own error.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewFilter {
    #[schemars(length(min = 1, max = LONGEST_FILTER))]
    filter: String,
    #[schemars(range(min = 1, max = MOST_MINUTES))]
    minutes: i64,
}

async fn show() -> Result<axum::Json<LogFilterNow>, Problem> {
    Ok(axum::Json(of_process()?.now()))
}

async fn set(Json(new): Json<NewFilter>) -> Result<axum::Json<LogFilterNow>, Problem> {
    let bad = |detail: String| Problem::unprocessable("bad-log-filter", detail);
    let minutes = u64::try_from(new.minutes).ok().filter(|_| (1..=MOST_MINUTES).contains(&new.minutes));
    let minutes = minutes.ok_or_else(|| bad(format!("`minutes` is a number from 1 to {MOST_MINUTES}")))?;
    if !(1..=LONGEST_FILTER).contains(&new.filter.trim().len()) {
        return Err(bad(format!("`filter` has 1 to {LONGEST_FILTER} characters, such as `debug`")));
    }
    let now = of_process()?.set_for(&new.filter, Duration::from_secs(minutes * 60));
    Ok(axum::Json(now.map_err(|error| bad(error.to_string()))?))
}

async fn reset() -> Result<axum::Json<LogFilterNow>, Problem> {
    Ok(axum::Json(of_process()?.reset()))
}

fn of_process() -> Result<&'static LogFilter, Problem> {
    log_filter().ok_or_else(|| Problem::not_found("another program that runs this node has the log"))
}
