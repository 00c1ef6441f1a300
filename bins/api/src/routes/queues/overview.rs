//! `/api/queue` and `/api/queue/{queue}`: whole queues.

use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use tidegate_node::jobs::QUEUES;
use tidegate_queue::{QueueCounts, QueueOverview, QueueSettings, Timestamp, WorkerInfo};
use tidegate_telemetry::{Latency, Rates};

use super::known;
use tidegate_web::app::App;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

pub(super) async fn list(State(app): State<App>) -> Result<axum::Json<Value>, Problem> {
    let queues = all(&app, &workers(&app).await?).await?;
    let queues: Vec<_> = queues.iter().map(Overview::json).collect();
    Ok(axum::Json(json!({"items": queues, "next_cursor": null})))
}

pub(super) async fn show(State(app): State<App>, Path(queue): Path<String>) -> Result<axum::Json<Value>, Problem> {
    one(&app, &queue).await.map(|overview| axum::Json(overview.json()))
}

pub(crate) struct Overview {
    pub(crate) queue: &'static str,
    pub(crate) counts: QueueCounts,
    /// `None` before they are known.
    pub(crate) rates: Option<Rates>,
    /// Only the process that ran the jobs knows it. For others see their `/metrics`.
    pub(crate) latency: Option<Latency>,
    pub(crate) settings: QueueSettings,
    /// Workers that serve it, including lost ones.
    pub(crate) workers: Vec<SeenWorker>,
}

/// A worker that was seen within the last hour.
#[derive(Clone, Serialize)]
pub(crate) struct SeenWorker {
    #[serde(flatten)]
    pub(crate) info: WorkerInfo,
    /// Whether it has not announced itself for two leases.
    pub(crate) lost: bool,
}

impl SeenWorker {
    fn at(mut info: WorkerInfo, now: Timestamp) -> Self {
        let lost = info.is_lost(now);
        if lost {
            // Its jobs run again elsewhere once their leases have expired.
            info.running = 0;
        }
        Self { info, lost }
    }
}

impl Overview {
    /// Returns the number of workers that serve it now.
    pub(crate) fn live_workers(&self) -> usize {
        self.workers.iter().filter(|worker| !worker.lost).count()
    }

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

/// Workers that were seen within the last hour, of all queues.
pub(crate) async fn workers(app: &App) -> Result<Vec<SeenWorker>, Problem> {
    let broker = &app.node().broker;
    let (workers, now) = (broker.workers().await?, broker.now().await?);
    Ok(workers.into_iter().map(|worker| SeenWorker::at(worker, now)).collect())
}

/// All queues, with those of `workers` that serve them.
pub(crate) async fn all(app: &App, workers: &[SeenWorker]) -> Result<Vec<Overview>, Problem> {
    let overviews = app.node().broker.overviews(QUEUES).await?;
    Ok(QUEUES.iter().zip(overviews).map(|(queue, overview)| describe(app, queue, overview, workers)).collect())
}

pub(crate) async fn one(app: &App, queue: &str) -> Result<Overview, Problem> {
    let queue = known(queue)?;
    let workers = workers(app).await?;
    let overview = app.node().broker.overviews(&[queue]).await?.pop().unwrap_or_default();
    Ok(describe(app, queue, overview, &workers))
}

fn describe(app: &App, queue: &'static str, overview: QueueOverview, workers: &[SeenWorker]) -> Overview {
    let telemetry = &app.node().telemetry;
    let QueueOverview { counts, settings, .. } = overview;
    Overview {
        queue,
        rates: telemetry.queue_rates(queue, &counts),
        latency: telemetry.job_watch().latency(queue),
        settings,
        workers: workers
            .iter()
            .filter(|worker| worker.info.queues.iter().any(|served| served == queue))
            .cloned()
            .collect(),
        counts,
    }
}
