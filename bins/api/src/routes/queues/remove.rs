//! `DELETE /api/queue/{queue}/jobs`: removes records of jobs that have ended.

use std::collections::HashSet;

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_queue::{Change, JobId};

use super::actions::{Changed, Clean, clean_at_most};
use super::{known, short};
use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

/// Maximum number of ids in one request: the job store does nothing else meanwhile.
pub(super) const MOST_IDS: usize = 500;
/// Maximum number of jobs that a request removes by state.
pub(super) const MOST: usize = 100_000;

/// Which jobs: those of `ids`, or the oldest `limit` in `state`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    ids: Option<Vec<String>>,
    state: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn remove(
    State(app): State<App>,
    Path(queue): Path<String>,
    Json(selection): Json<Selection>,
) -> Result<axum::Json<Value>, Problem> {
    let queue = known(&queue)?;
    match selection {
        Selection { ids: Some(ids), state: None, limit: None } => by_id(&app, queue, &ids).await,
        Selection { ids: None, state: Some(state), limit: Some(limit) } => by_state(&app, queue, state, limit).await,
        _ => Err(Problem::unprocessable("bad-selection", "the body has either `ids`, or `state` and `limit`")),
    }
    .map(axum::Json)
}

async fn by_id(app: &App, queue: &str, ids: &[String]) -> Result<Value, Problem> {
    if !(1..=MOST_IDS).contains(&ids.len()) {
        let detail = format!("`ids` are 1 to {MOST_IDS}, not {}", ids.len());
        return Err(Problem::unprocessable("bad-selection", detail).with("limit", MOST_IDS));
    }
    let read = |id: &String| {
        JobId::new(id).map_err(|error| {
            Problem::unprocessable("bad-selection", format!("`ids`: `{}` is not a job id: {error}", short(id)))
        })
    };
    // An id that is named twice counts once.
    let mut named = HashSet::with_capacity(ids.len());
    let ids = ids.iter().filter(|id| named.insert(id.as_str())).map(read).collect::<Result<Vec<_>, _>>()?;
    let changes = app.node().broker.remove(queue, &ids).await?;
    let (mut removed, mut missing, mut refused) = (0, Vec::new(), Vec::new());
    for (id, change) in ids.iter().zip(changes) {
        match change {
            Change::Applied | Change::Requested => removed += 1,
            Change::NotFound => missing.push(id),
            Change::Refused(state) => refused.push(json!({"id": id, "state": state})),
        }
    }
    Ok(json!({"queue": queue, "removed": removed, "missing": missing, "refused": refused, "more": false}))
}

async fn by_state(app: &App, queue: &str, state: String, limit: usize) -> Result<Value, Problem> {
    if !(1..=MOST).contains(&limit) {
        let detail = format!("`limit` is 1 to {MOST}, not {limit}");
        return Err(Problem::unprocessable("bad-selection", detail).with("limit", MOST));
    }
    let Changed { jobs, more } = clean_at_most(app, queue, &Clean { state, older_than_s: 0 }, limit).await?;
    Ok(json!({"queue": queue, "removed": jobs, "missing": [], "refused": [], "more": more}))
}
