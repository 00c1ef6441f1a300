//! Changes of a queue as a whole.

use std::time::Duration;

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_queue::{BrokerError, CleanableState, State as JobState};
use tokio::time::Instant;

use super::{known, short};
use crate::app::App;
use crate::json::Json;
use crate::path::Path;
use crate::problem::Problem;

/// Jobs of one step: others wait for the store while it is made.
const STEP: usize = 500;
/// A request ends after so long at most, and says that there is more.
const BUDGET: Duration = Duration::from_secs(5);

pub(super) async fn pause(State(app): State<App>, Path(queue): Path<String>) -> Result<axum::Json<Value>, Problem> {
    app.node().broker.pause(known(&queue)?).await?;
    Ok(axum::Json(json!({"queue": queue, "paused": true})))
}

pub(super) async fn resume(State(app): State<App>, Path(queue): Path<String>) -> Result<axum::Json<Value>, Problem> {
    app.node().broker.resume(known(&queue)?).await?;
    Ok(axum::Json(json!({"queue": queue, "paused": false})))
}

/// Cancels all jobs that have not started.
pub(super) async fn drain(State(app): State<App>, Path(queue): Path<String>) -> Result<axum::Json<Value>, Problem> {
    let queue = known(&queue)?;
    let (moved, more) = steps(&app, usize::MAX, |limit| app.node().broker.drain(queue, limit)).await?;
    Ok(axum::Json(json!({"queue": queue, "moved": moved, "more": more})))
}

/// Makes all dead jobs ready, with fresh attempts.
pub(super) async fn retry_dead(
    State(app): State<App>,
    Path(queue): Path<String>,
) -> Result<axum::Json<Value>, Problem> {
    let queue = known(&queue)?;
    // Those that are dead now: some may die again at once, and would else be revived without end.
    let dead = usize::try_from(app.node().broker.counts(queue).await?.dead).unwrap_or(usize::MAX);
    let (moved, more) = steps(&app, dead, |limit| app.node().broker.retry_dead(queue, limit)).await?;
    Ok(axum::Json(json!({"queue": queue, "moved": moved, "more": more})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clean {
    state: String,
    older_than_s: i64,
}

impl Clean {
    fn check(&self) -> Result<(CleanableState, Duration), Problem> {
        let state = self.state.parse::<JobState>().ok().and_then(|state| CleanableState::try_from(state).ok());
        let state = state.ok_or_else(|| {
            let detail = format!("`state` is done, dead or cancelled, not `{}`", short(&self.state));
            Problem::unprocessable("bad-state", detail)
        })?;
        let older_than = u64::try_from(self.older_than_s).map(Duration::from_secs);
        let older_than =
            older_than.map_err(|_| Problem::unprocessable("bad-age", "`older_than_s` is a number from 0 on"))?;
        Ok((state, older_than))
    }
}

/// Removes finished jobs that ended long enough ago.
pub(super) async fn clean(
    State(app): State<App>,
    Path(queue): Path<String>,
    Json(clean): Json<Clean>,
) -> Result<axum::Json<Value>, Problem> {
    let queue = known(&queue)?;
    let (state, older_than) = clean.check()?;
    let (removed, more) =
        steps(&app, usize::MAX, |limit| app.node().broker.clean(queue, state, older_than, limit)).await?;
    Ok(axum::Json(json!({"queue": queue, "removed": removed, "more": more})))
}

/// Goes on step by step until nothing is left, or `most` jobs are done, or the time is over. Returns how many jobs it was,
/// and whether there may be more.
async fn steps<F>(app: &App, most: usize, step: impl Fn(usize) -> F) -> Result<(usize, bool), Problem>
where
    F: Future<Output = Result<usize, BrokerError>>,
{
    // Well before the request is ended from outside, and nobody knows how far it came.
    let end = Instant::now() + BUDGET.min(app.settings().http.request_timeout / 2);
    let mut total = 0;
    loop {
        let count = step(STEP.min(most - total)).await?;
        total += count;
        if count == 0 || total >= most {
            return Ok((total, false));
        }
        if Instant::now() >= end {
            return Ok((total, true));
        }
    }
}
