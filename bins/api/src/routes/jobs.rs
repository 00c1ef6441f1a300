//! `/api/queue/{queue}/jobs`: single jobs.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use tidegate_queue::{Change, Cursor, JobId, JobRecord, Page, State as JobState};

use super::queues::known;
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
    Ok(axum::Json(app.node().broker.list(queue, state, cursor, limit).await?))
}

pub(super) async fn show(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<axum::Json<JobRecord>, Problem> {
    let (queue, id) = (known(&queue)?, job_id(&id)?);
    let job = app.node().broker.job(queue, &id).await?;
    job.map(axum::Json).ok_or_else(|| no_job(id.as_str()))
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
    JobId::new(text).map_err(|_| no_job(&text.chars().take(64).collect::<String>()))
}

fn no_job(id: &str) -> Problem {
    Problem::not_found(format!("there is no job `{id}`"))
}
