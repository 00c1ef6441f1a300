//! `/api/queue` and `/api/queue/{queue}`: the queues as wholes.

use axum::extract::State;
use serde_json::{Value, json};
use tidegate_app::jobs::{QUEUES, is_served_by};
use tidegate_queue::WorkerInfo;

use super::known;
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

async fn describe(app: &App, queue: &str, workers: &[WorkerInfo]) -> Result<Value, Problem> {
    let node = app.node();
    let counts = node.broker.counts(queue).await?;
    let settings = node.broker.settings(queue).await?;
    let workers: Vec<_> = workers.iter().filter(|worker| is_served_by(queue, worker)).collect();
    let mut body = json!(counts);
    body["queue"] = queue.into();
    body["rates"] = json!(node.telemetry.queue_rates(queue, &counts));
    // Times are known to the process that ran the job: where that is another, its `/metrics` has them.
    body["latency"] = json!(node.telemetry.job_watch().latency(queue));
    body["settings"] = json!(settings);
    body["workers"] = json!(workers);
    Ok(body)
}
