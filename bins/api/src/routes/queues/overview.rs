//! `/api/queue` and `/api/queue/{queue}`: the queues as wholes.

use axum::extract::State;
use serde_json::{Value, json};
use tidegate_app::jobs::{QUEUES, is_served_by};
use tidegate_app::telemetry::{Latency, Rates};
use tidegate_queue::{QueueCounts, QueueSettings, WorkerInfo};

use super::known;
use crate::app::App;
use crate::path::Path;
use crate::problem::Problem;

pub(super) async fn list(State(app): State<App>) -> Result<axum::Json<Value>, Problem> {
    let queues = all(&app).await?;
    let queues: Vec<_> = queues.iter().map(Overview::json).collect();
    Ok(axum::Json(json!({"items": queues, "next_cursor": null})))
}

pub(super) async fn show(State(app): State<App>, Path(queue): Path<String>) -> Result<axum::Json<Value>, Problem> {
    one(&app, &queue).await.map(|overview| axum::Json(overview.json()))
}

/// A queue as a whole.
pub(crate) struct Overview {
    pub(crate) queue: &'static str,
    pub(crate) counts: QueueCounts,
    /// None before they are known.
    pub(crate) rates: Option<Rates>,
    /// Times are known to the process that ran the job: where that is another, its `/metrics` has them.
    pub(crate) latency: Option<Latency>,
    pub(crate) settings: QueueSettings,
    /// Those that serve it.
    pub(crate) workers: Vec<WorkerInfo>,
}

impl Overview {
    fn json(&self) -> Value {
        let mut body = json!(self.counts);
        body["queue"] = self.queue.into();
        body["rates"] = json!(self.rates);
        body["latency"] = json!(self.latency);
        body["settings"] = json!(self.settings);
        body["workers"] = json!(self.workers);
        body
    }
}

/// All queues.
pub(crate) async fn all(app: &App) -> Result<Vec<Overview>, Problem> {
    let workers = app.node().broker.workers().await?;
    let mut queues = Vec::with_capacity(QUEUES.len());
    for queue in QUEUES {
        queues.push(describe(app, queue, &workers).await?);
    }
    Ok(queues)
}

/// The queue of that name.
pub(crate) async fn one(app: &App, queue: &str) -> Result<Overview, Problem> {
    let queue = known(queue)?;
    let workers = app.node().broker.workers().await?;
    describe(app, queue, &workers).await
}

async fn describe(app: &App, queue: &'static str, workers: &[WorkerInfo]) -> Result<Overview, Problem> {
    let node = app.node();
    let counts = node.broker.counts(queue).await?;
    Ok(Overview {
        queue,
        rates: node.telemetry.queue_rates(queue, &counts),
        latency: node.telemetry.job_watch().latency(queue),
        settings: node.broker.settings(queue).await?,
        workers: workers.iter().filter(|worker| is_served_by(queue, worker)).cloned().collect(),
        counts,
    })
}
