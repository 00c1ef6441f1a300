//! `/api/queue/scans/{kind}`: the pause between two pages of scans.

use std::time::Duration;

use axum::extract::State;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tidegate_node::jobs::ReindexSchedules;
use tidegate_queue::{Job, ScanSettingsError, Scans};

use super::short;
use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

/// Longest pause: a day.
pub(super) const LONGEST_PAUSE_MS: i64 = 86_400_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pause {
    /// `None` if the field is absent. `Some(None)` for the worker's own setting.
    #[serde(default, deserialize_with = "named")]
    pause_ms: Option<Option<i64>>,
}

/// Distinguishes `null` from an absent field.
fn named<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<i64>>, D::Error> {
    Option::deserialize(value).map(Some)
}

pub(super) const KINDS: [&str; 1] = [ReindexSchedules::KIND];

pub(super) async fn show(State(app): State<App>, Path(kind): Path<String>) -> Result<axum::Json<Value>, Problem> {
    ensure_scan(&kind)?;
    told(&app, &kind).await
}

pub(super) async fn replace(
    State(app): State<App>,
    Path(kind): Path<String>,
    Json(Pause { pause_ms }): Json<Pause>,
) -> Result<axum::Json<Value>, Problem> {
    ensure_scan(&kind)?;
    let pause_ms = pause_ms.ok_or_else(|| {
        let detail = "`pause_ms` is missing: a number sets the pause, and `null` ends it";
        Problem::unprocessable("bad-pause", detail)
    })?;
    let pause = pause_ms.map(|ms| {
        let in_range = u64::try_from(ms).ok().filter(|_| ms <= LONGEST_PAUSE_MS);
        let detail = format!("`pause_ms` is 0 to {LONGEST_PAUSE_MS}");
        in_range.map(Duration::from_millis).ok_or_else(|| Problem::unprocessable("bad-pause", detail))
    });
    Scans::new(app.node().broker.clone())
        .set_pause(&kind, pause.transpose()?)
        .await
        .map_err(|error| refused(error, &kind))?;
    told(&app, &kind).await
}

async fn told(app: &App, kind: &str) -> Result<axum::Json<Value>, Problem> {
    let pause = Scans::new(app.node().broker.clone()).pause(kind).await.map_err(|error| refused(error, kind))?;
    Ok(axum::Json(json!({"kind": kind, "pause_ms": pause.map(|pause| pause.as_millis())})))
}

fn ensure_scan(kind: &str) -> Result<(), Problem> {
    if KINDS.contains(&kind) {
        return Ok(());
    }
    Err(Problem::not_found(format!("`{}` is not a kind of scan; there is {}", short(kind), KINDS.join(", "))))
}

fn refused(error: ScanSettingsError, kind: &str) -> Problem {
    match error {
        ScanSettingsError::Kind(_) => Problem::not_found(format!("`{}` is not a kind of jobs", short(kind))),
        ScanSettingsError::Contended => Problem::conflict("contended", error.to_string()).try_again_later(),
        ScanSettingsError::Broken(_) => Problem::conflict("unreadable", error.to_string()),
        ScanSettingsError::Broker(error) => Problem::from(error),
        other => Problem::internal(&other),
    }
}
