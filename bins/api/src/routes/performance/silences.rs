//! `/api/performance/silences`: alerts that are not sent for a while.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_base::clock;
use tidegate_perfmon::Silence;
use tidegate_telemetry::SilenceFailure;

use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

/// Thirty days.
pub(crate) const MOST_MINUTES: i64 = 43_200;

/// Numbers are wider than their range, so that a number out of range has its own error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSilence {
    pub(crate) rule: String,
    #[serde(default)]
    pub(crate) subject: Option<String>,
    pub(crate) minutes: i64,
    pub(crate) reason: String,
}

pub(crate) async fn add(State(app): State<App>, Json(new): Json<NewSilence>) -> Result<axum::Json<Value>, Problem> {
    Ok(axum::Json(json!(silence(&app, new).await?)))
}

/// Silences a rule from now on, on all processes; one of the same rule and subject is replaced.
pub(crate) async fn silence(app: &App, new: NewSilence) -> Result<Silence, Problem> {
    let NewSilence { rule, subject, minutes, reason } = new;
    let bad = |detail: String| Problem::unprocessable("bad-silence", detail);
    if !(1..=MOST_MINUTES).contains(&minutes) {
        return Err(bad(format!("`minutes` is a number from 1 to {MOST_MINUTES}")));
    }
    if reason.trim().is_empty() {
        return Err(bad("`reason` says who silences the rule, and why".to_owned()));
    }
    let until = clock::now().timestamp_millis() + minutes * 60_000;
    let silence = Silence { rule, subject, until_unix_ms: u64::try_from(until).unwrap_or(0), reason };
    app.node().telemetry.alerts().silence(silence).await.map_err(|failure| match failure {
        SilenceFailure::Refused(error) => bad(error.to_string()),
        SilenceFailure::NotKept(error) => error.into(),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichSilence {
    rule: String,
    subject: Option<String>,
}

pub(crate) async fn lift(
    State(app): State<App>,
    Query(which): Query<WhichSilence>,
) -> Result<axum::Json<Value>, Problem> {
    let WhichSilence { rule, subject } = which;
    if app.node().telemetry.alerts().lift_silence(&rule, subject.as_deref()).await? {
        return Ok(axum::Json(json!({"lifted": rule})));
    }
    Err(Problem::not_found("there is no silence of this rule and subject"))
}
