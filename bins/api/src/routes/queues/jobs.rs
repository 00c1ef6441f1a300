//! `/api/queue/{queue}/jobs`: jobs that are there.

use std::borrow::Cow;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_perfmon::mask;
use tidegate_queue::{Change, Cursor, JobId, JobRecord, Page, State as JobState};

use super::{known, short};
use crate::app::App;
use crate::path::Path;
use crate::problem::Problem;
use crate::query::Query;

const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobsQuery {
    state: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

pub(super) async fn list(
    State(app): State<App>,
    Path(queue): Path<String>,
    Query(query): Query<JobsQuery>,
) -> Result<axum::Json<Page>, Problem> {
    let queue = known(&queue)?;
    let bad =
        |field: &str, error: &dyn std::fmt::Display| Problem::unprocessable("bad-query", format!("`{field}`: {error}"));
    let state = query.state.as_deref().unwrap_or("ready");
    let state: JobState = state.parse().map_err(|error| bad("state", &error))?;
    let cursor = query.cursor.map(|text| text.parse::<Cursor>()).transpose().map_err(|error| bad("cursor", &error))?;
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(bad("limit", &format!("a number from 1 to {MAX_PAGE}")));
    }
    let mut page = app.node().broker.list(queue, state, cursor, limit).await?;
    page.items.iter_mut().for_each(hide_errors);
    Ok(axum::Json(page))
}

pub(super) async fn show(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<axum::Json<JobRecord>, Problem> {
    let (queue, id) = (known(&queue)?, job_id(&id)?);
    record(&app, queue, &id).await.map(axum::Json)
}

/// What the runs of a job wrote: its last lines, oldest first.
pub(super) async fn logs(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<axum::Json<Value>, Problem> {
    let (queue, id) = (known(&queue)?, job_id(&id)?);
    let mut lines = app.node().broker.logs(queue, &id).await?;
    lines.iter_mut().for_each(|line| hide(&mut line.text));
    if lines.is_empty() {
        record(&app, queue, &id).await?;
    }
    Ok(axum::Json(json!({"items": lines, "next_cursor": null})))
}

/// Cancels a waiting job; 202 where it runs, since its worker is only asked to stop.
pub(super) async fn cancel(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (queue, id) = (known(&queue)?, job_id(&id)?);
    let change = app.node().broker.cancel(queue, &id).await?;
    answer(change, &id, "cancelled")
}

/// Makes a dead, cancelled or delayed job ready at once.
pub(super) async fn retry(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (queue, id) = (known(&queue)?, job_id(&id)?);
    let change = app.node().broker.retry(queue, &id).await?;
    answer(change, &id, "tried again")
}

/// Makes a delayed job ready at once, and no other.
pub(super) async fn promote(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (queue, id) = (known(&queue)?, job_id(&id)?);
    // A job that runs and dies between these two is tried again: it was wanted at once, and is wanted still.
    let change = match record(&app, queue, &id).await?.state {
        JobState::Delayed => app.node().broker.retry(queue, &id).await?,
        other => Change::Refused(other),
    };
    answer(change, &id, "promoted")
}

async fn record(app: &App, queue: &str, id: &JobId) -> Result<JobRecord, Problem> {
    let mut record = app.node().broker.job(queue, id).await?.ok_or_else(|| no_job(id.as_str()))?;
    hide_errors(&mut record);
    Ok(record)
}

/// Errors of a job may quote what it was given.
fn hide_errors(record: &mut JobRecord) {
    record.attempts.iter_mut().filter_map(|attempt| attempt.error.as_mut()).for_each(hide);
}

/// Takes out of a text what looks like a secret.
fn hide(text: &mut String) {
    if let Cow::Owned(masked) = mask(text) {
        *text = masked;
    }
}

fn answer(change: Change, id: &JobId, what: &str) -> Result<StatusCode, Problem> {
    match change {
        Change::Applied => Ok(StatusCode::NO_CONTENT),
        Change::Requested => Ok(StatusCode::ACCEPTED),
        Change::NotFound => Err(no_job(id.as_str())),
        Change::Refused(state) => {
            Err(Problem::conflict("wrong-state", format!("a job that is {state} can't be {what}")))
        }
    }
}

fn job_id(text: &str) -> Result<JobId, Problem> {
    JobId::new(text).map_err(|_| no_job(&short(text)))
}

fn no_job(id: &str) -> Problem {
    Problem::not_found(format!("there is no job `{id}`"))
}
