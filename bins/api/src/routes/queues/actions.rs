//! Changes of a queue as a whole.

use std::time::Duration;

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_queue::{BrokerError, CleanableState, JobState};
use tokio::time::Instant;

use super::{known, short};
use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

/// Number of jobs per step. Other users of the store wait during a step.
const STEP: usize = 500;
/// Maximum duration of a request, which then reports that there is more.
const BUDGET: Duration = Duration::from_secs(5);

pub(super) async fn pause(State(app): State<App>, Path(queue): Path<String>) -> Result<axum::Json<Value>, Problem> {
    set_paused(&app, &queue, true).await?;
    Ok(axum::Json(json!({"queue": queue, "paused": true})))
}

pub(super) async fn resume(State(app): State<App>, Path(queue): Path<String>) -> Result<axum::Json<Value>, Problem> {
    set_paused(&app, &queue, false).await?;
    Ok(axum::Json(json!({"queue": queue, "paused": false})))
}

/// Makes workers stop or resume taking its jobs.
pub(crate) async fn set_paused(app: &App, queue: &str, paused: bool) -> Result<(), Problem> {
    let (queue, broker) = (known(queue)?, &app.node().broker);
    if paused {
        broker.pause(queue).await?;
    } else {
        broker.resume(queue).await?;
    }
    Ok(())
}

pub(super) async fn drain(State(app): State<App>, Path(queue): Path<String>) -> Result<axum::Json<Value>, Problem> {
    let Changed { jobs, more } = drain_queue(&app, &queue).await?;
    Ok(axum::Json(json!({"queue": queue, "moved": jobs, "more": more})))
}

pub(crate) async fn drain_queue(app: &App, queue: &str) -> Result<Changed, Problem> {
    let queue = known(queue)?;
    steps(app, usize::MAX, |limit| app.node().broker.drain(queue, limit)).await
}

pub(super) async fn retry_dead(
    State(app): State<App>,
    Path(queue): Path<String>,
) -> Result<axum::Json<Value>, Problem> {
    let Changed { jobs, more } = revive(&app, &queue).await?;
    Ok(axum::Json(json!({"queue": queue, "moved": jobs, "more": more})))
}

/// Makes all dead jobs ready, with fresh attempts.
pub(crate) async fn revive(app: &App, queue: &str) -> Result<Changed, Problem> {
    let queue = known(queue)?;
    // The jobs that are dead now. Some may die again at once, and would otherwise be revived for
    // ever.
    let dead = usize::try_from(app.node().broker.counts(queue).await?.dead).unwrap_or(usize::MAX);
    steps(app, dead, |limit| app.node().broker.retry_dead(queue, limit)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clean {
    /// `done`, `dead` or `cancelled`.
    pub(crate) state: String,
    /// At least 0.
    pub(crate) older_than_s: i64,
}

impl Clean {
    pub(crate) fn check(&self) -> Result<(CleanableState, Duration), Problem> {
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

pub(super) async fn clean(
    State(app): State<App>,
    Path(queue): Path<String>,
    Json(clean): Json<Clean>,
) -> Result<axum::Json<Value>, Problem> {
    let Changed { jobs, more } = clean_queue(&app, &queue, &clean).await?;
    Ok(axum::Json(json!({"queue": queue, "removed": jobs, "more": more})))
}

/// Removes finished jobs that ended long enough ago.
pub(crate) async fn clean_queue(app: &App, queue: &str, clean: &Clean) -> Result<Changed, Problem> {
    clean_at_most(app, queue, clean, usize::MAX).await
}

/// Removes at most `most` finished jobs that ended long enough ago, the oldest first.
pub(super) async fn clean_at_most(app: &App, queue: &str, clean: &Clean, most: usize) -> Result<Changed, Problem> {
    let queue = known(queue)?;
    let (state, older_than) = clean.check()?;
    steps(app, most, |limit| app.node().broker.clean(queue, state, older_than, limit)).await
}

/// Result of a change of a queue that was made within the time of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changed {
    pub(crate) jobs: usize,
    pub(crate) more: bool,
}

/// Repeats the step until nothing is left, `most` jobs are done, or the time is over.
async fn steps<F>(app: &App, most: usize, step: impl Fn(usize) -> F) -> Result<Changed, Problem>
where
    F: Future<Output = Result<usize, BrokerError>>,
{
    let end = Instant::now() + budget(app);
    let mut total = 0;
    loop {
        let count = step(STEP.min(most - total)).await?;
        total += count;
        if count == 0 || total >= most {
            return Ok(Changed { jobs: total, more: false });
        }
        if Instant::now() >= end {
            return Ok(Changed { jobs: total, more: true });
        }
    }
}

/// Returns how long a request may work step by step. It must end before its timeout, or its
/// progress is lost.
pub(crate) fn budget(app: &App) -> Duration {
    BUDGET.min(app.settings().http.request_timeout / 2)
}
