//! `POST /api/cache?action=warmup`: a warm-up on demand.

use axum::body::HttpBody;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_cache::{WarmUpProgress, WarmUpState};

use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;
use tidegate_web::warm_up::{CLASSES, NotBegun};

/// Number of keys if the request does not name it.
const DEFAULT_LIMIT: usize = 1_000;
const MAX_LIMIT: usize = 100_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct ActionQuery {
    action: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(rename = "type")]
    class: Option<String>,
    limit: Option<usize>,
}

/// Begins it, and returns its progress. `GET /api/cache` shows the rest.
pub(in crate::routes) async fn start(
    State(app): State<App>,
    Query(ActionQuery { action }): Query<ActionQuery>,
    request: Request,
) -> Result<(StatusCode, axum::Json<Value>), Problem> {
    if action.as_deref() != Some("warmup") {
        return Err(Problem::bad_request("bad-query", "`?action=warmup` is the only action"));
    }
    let Json(wanted) = if request.body().is_end_stream() {
        Json(Wanted::default())
    } else {
        Json::from_request(request, &app).await?
    };
    let begun = begin(&app, wanted.class.as_deref(), wanted.limit).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(json!({"warm_up": shown(&begun)}))))
}

/// Begins to load at most `limit` keys, of `class` if it is set. `all` is every class.
pub(crate) async fn begin(app: &App, class: Option<&str>, limit: Option<usize>) -> Result<WarmUpProgress, Problem> {
    let class = class.filter(|class| *class != "all");
    if let Some(class) = class.filter(|class| !CLASSES.contains(class)) {
        let shown: String = class.chars().take(64).collect();
        let detail =
            format!("`type`: nothing of a class `{shown}` is loaded ahead; there are {} and all", CLASSES.join(", "));
        return Err(Problem::unprocessable("bad-selection", detail));
    }
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::unprocessable("bad-limit", format!("`limit` is a number from 1 to {MAX_LIMIT}")));
    }
    // Values loaded before the latest commits are known would be dropped again.
    app.catch_up().await?;
    app.warming().again(&app.node().store, class, limit).await.map_err(|error| match &error {
        NotBegun::Running(progress) => {
            Problem::conflict("warm-up-runs", error.to_string()).with("warm_up", shown(progress))
        }
        NotBegun::Store(error) => Problem::internal(error),
    })
}

pub(super) fn shown(progress: &WarmUpProgress) -> Value {
    let state = match progress.state {
        WarmUpState::Running => "running",
        WarmUpState::Done => "done",
        WarmUpState::Cancelled => "cancelled",
    };
    json!({
        "state": state,
        "total": progress.total,
        "loaded": progress.loaded,
        "present": progress.present,
        "failed": progress.failed,
        "unknown": progress.unknown,
        "elapsed_ms": u64::try_from(progress.elapsed.as_millis()).unwrap_or(u64::MAX),
    })
}
