//! `/api/queue/{queue}/jobs`: existing jobs.

use std::borrow::Cow;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_node::jobs::QUEUES;
use tidegate_perfmon::mask;
use tidegate_queue::{Change, Cursor, JobId, JobRecord, JobState, LogLine, Page};

use super::{known, short};
use tidegate_web::app::App;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobsQuery {
    /// Defaults to `ready`.
    pub(crate) state: Option<String>,
    /// From 1 to 200. Defaults to 50.
    pub(crate) limit: Option<usize>,
    /// End of the previous page.
    pub(crate) cursor: Option<String>,
}

pub(super) async fn list(
    State(app): State<App>,
    Path(queue): Path<String>,
    Query(query): Query<JobsQuery>,
) -> Result<axum::Json<Page>, Problem> {
    page(&app, &queue, query).await.map(axum::Json)
}

pub(crate) async fn page(app: &App, queue: &str, query: JobsQuery) -> Result<Page, Problem> {
    let queue = known(queue)?;
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
    Ok(page)
}

/// Jobs of all queues that run now, at most `limit` of each queue.
pub(crate) async fn running(app: &App, limit: usize) -> Result<Vec<JobRecord>, Problem> {
    let mut jobs = app.node().broker.running(QUEUES, limit).await?;
    jobs.iter_mut().for_each(hide_errors);
    Ok(jobs)
}

pub(super) async fn show(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<axum::Json<JobRecord>, Problem> {
    record(&app, &queue, &id).await.map(axum::Json)
}

pub(super) async fn logs(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<axum::Json<Value>, Problem> {
    let lines = lines(&app, &queue, &id).await?;
    if lines.is_empty() {
        record(&app, &queue, &id).await?;
    }
    Ok(axum::Json(json!({"items": lines, "next_cursor": null})))
}

/// Returns the last log lines of a job, oldest first. Empty if there is no such job.
pub(crate) async fn lines(app: &App, queue: &str, id: &str) -> Result<Vec<LogLine>, Problem> {
    let mut lines = app.node().broker.logs(known(queue)?, &job_id(id)?).await?;
    lines.iter_mut().for_each(|line| hide(&mut line.text));
    Ok(lines)
}

/// Cancels a job that has not ended, and removes one that has.
pub(super) async fn delete(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    act(&app, &queue, &id, Act::Delete).await.map(Done::status)
}

/// Cancels a job that has not ended. A cancelled job stays so: the request may be repeated.
pub(super) async fn cancel(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (queue, job) = (known(&queue)?, job_id(&id)?);
    let (status, state) = match app.node().broker.cancel(queue, &job).await? {
        Change::Applied | Change::Refused(JobState::Cancelled) => (StatusCode::OK, JobState::Cancelled),
        Change::Requested => (StatusCode::ACCEPTED, JobState::Leased),
        Change::NotFound => return Err(no_job(&id)),
        Change::Refused(state) => return Err(wrong_state(state, "cancelled")),
    };
    Ok((status, axum::Json(json!({"id": job, "state": state}))).into_response())
}

pub(super) async fn retry(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    act(&app, &queue, &id, Act::Retry).await.map(Done::status)
}

pub(super) async fn promote(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    act(&app, &queue, &id, Act::Promote).await.map(Done::status)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Makes a dead, cancelled or delayed job ready at once.
    Retry,
    /// Cancels a waiting job, and asks the worker of one that runs to stop.
    Cancel,
    /// Makes a delayed job ready at once, and no other.
    Promote,
    Remove,
    /// Cancels a job that has not ended, removes one that has.
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Now,
    /// The worker was notified.
    Asked,
}

impl Done {
    const fn status(self) -> StatusCode {
        match self {
            Self::Now => StatusCode::NO_CONTENT,
            Self::Asked => StatusCode::ACCEPTED,
        }
    }
}

/// Applies the action to one job.
///
/// # Errors
///
/// 404 if there is no such job, 409 if its state does not allow the action.
pub(crate) async fn act(app: &App, queue: &str, id: &str, act: Act) -> Result<Done, Problem> {
    let (broker, queue, job) = (&app.node().broker, known(queue)?, job_id(id)?);
    let change = match act {
        Act::Cancel => broker.cancel(queue, &job).await?,
        Act::Retry => broker.retry(queue, &job).await?,
        Act::Remove => removed(app, queue, &job).await?,
        Act::Delete => match broker.cancel(queue, &job).await? {
            Change::Refused(state) if state.is_finished() => removed(app, queue, &job).await?,
            change => change,
        },
        // A job that runs and dies between these two lines is retried: the client still wants it to
        // run at once.
        Act::Promote => match record(app, queue, id).await?.state {
            JobState::Delayed => broker.retry(queue, &job).await?,
            other => Change::Refused(other),
        },
    };
    match change {
        Change::Applied => Ok(Done::Now),
        Change::Requested => Ok(Done::Asked),
        Change::NotFound => Err(no_job(id)),
        Change::Refused(state) => {
            let what = match act {
                Act::Retry => "tried again",
                Act::Cancel | Act::Delete => "cancelled",
                Act::Remove => "removed",
                Act::Promote => "promoted",
            };
            Err(wrong_state(state, what))
        }
    }
}

fn wrong_state(state: JobState, what: &str) -> Problem {
    Problem::conflict("wrong-state", format!("a job that is {state} can't be {what}"))
}

async fn removed(app: &App, queue: &str, job: &JobId) -> Result<Change, Problem> {
    let changes = app.node().broker.remove(queue, std::slice::from_ref(job)).await?;
    Ok(changes.first().copied().unwrap_or(Change::NotFound))
}

/// Returns one job, without secrets that its errors may quote.
pub(crate) async fn record(app: &App, queue: &str, id: &str) -> Result<JobRecord, Problem> {
    let (queue, id) = (known(queue)?, job_id(id)?);
    let mut record = app.node().broker.job(queue, &id).await?.ok_or_else(|| no_job(id.as_str()))?;
    hide_errors(&mut record);
    Ok(record)
}

/// Errors of a job may quote its payload.
fn hide_errors(record: &mut JobRecord) {
    record.attempts.iter_mut().filter_map(|attempt| attempt.error.as_mut()).for_each(hide);
}

/// Removes from a text what looks like a secret.
fn hide(text: &mut String) {
    if let Cow::Owned(masked) = mask(text) {
        *text = masked;
    }
}

fn job_id(text: &str) -> Result<JobId, Problem> {
    JobId::new(text).map_err(|_| no_job(&short(text)))
}

fn no_job(id: &str) -> Problem {
    Problem::not_found(format!("there is no job `{id}`"))
}
