//! `/api/queue`: the queues as wholes.

use axum::extract::State;
use serde_json::{Value, json};
use tidegate_app::jobs::{QUEUES, is_served_by};
use tidegate_queue::WorkerInfo;

use crate::app::App;
use crate::path::Path;
use crate::problem::Problem;

pub(super) async fn list(State(app): State<App>) -> Result<axum::Json<Value>, Problem> {
    let workers = app.node().broker.workers().await?;
    let mut queues = Vec::with_capacity(QUEUES.len());
    for queue in QUEUES {
        queues.push(describe(&app, queue, &workers).await?);
    }
    Ok(axum::Json(json!({"items": queues, "next_cursor": null})))
}

pub(super) async fn show(State(app): State<App>, Path(queue): Path<String>) -> Result<axum::Json<Value>, Problem> {
    let queue = known(&queue)?;
    let workers = app.node().broker.workers().await?;
    describe(&app, queue, &workers).await.map(axum::Json)
}

pub(super) async fn pause(State(app): State<App>, Path(queue): Path<String>) -> Result<axum::Json<Value>, Problem> {
    app.node().broker.pause(known(&queue)?).await?;
    Ok(axum::Json(json!({"queue": queue, "paused": true})))
}

pub(super) async fn resume(State(app): State<App>, Path(queue): Path<String>) -> Result<axum::Json<Value>, Problem> {
    app.node().broker.resume(known(&queue)?).await?;
    Ok(axum::Json(json!({"queue": queue, "paused": false})))
}

async fn describe(app: &App, queue: &str, workers: &[WorkerInfo]) -> Result<Value, Problem> {
    let counts = app.node().broker.counts(queue).await?;
    let workers: Vec<_> = workers.iter().filter(|worker| is_served_by(queue, worker)).collect();
    let mut body = json!(counts);
    body["queue"] = queue.into();
    body["workers"] = json!(workers);
    Ok(body)
}

/// The queue of that name, as the application spells it.
pub(super) fn known(queue: &str) -> Result<&'static str, Problem> {
    let found = QUEUES.iter().copied().find(|known| *known == queue);
    found.ok_or_else(|| {
        let shown: String = queue.chars().take(64).collect();
        Problem::not_found(format!("there is no queue `{shown}`; there is {}", QUEUES.join(", ")))
    })
}
