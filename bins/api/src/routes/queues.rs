//! `/api/queue`: the queues, their jobs, their schedules.

pub(crate) mod actions;
mod batches;
mod bulk;
mod create;
pub(crate) mod cron;
mod events;
mod idempotency;
pub(crate) mod jobs;
mod new_job;
pub(crate) mod overview;
mod route;
mod settings;

use axum::Router;
use axum::routing::{get, post};
use tidegate_app::jobs::QUEUES;

use crate::app::App;
use crate::problem::Problem;

/// All routes below `/api/queue`. The names `cron` and `batches` are no queues' here.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/queue", get(overview::list))
        .route("/api/queue/cron", get(cron::list).post(cron::create))
        .route("/api/queue/cron/{name}", get(cron::show).put(cron::replace).delete(cron::remove))
        .route("/api/queue/cron/{name}/pause", post(cron::pause))
        .route("/api/queue/cron/{name}/resume", post(cron::resume))
        .route("/api/queue/cron/{name}/trigger", post(cron::trigger))
        .route("/api/queue/batches/{id}", get(batches::show))
        .route("/api/queue/{queue}", get(overview::show))
        .route("/api/queue/{queue}/settings", get(settings::show).put(settings::replace))
        .route("/api/queue/{queue}/events", get(events::list))
        .route("/api/queue/{queue}/pause", post(actions::pause))
        .route("/api/queue/{queue}/resume", post(actions::resume))
        .route("/api/queue/{queue}/drain", post(actions::drain))
        .route("/api/queue/{queue}/retry-dead", post(actions::retry_dead))
        .route("/api/queue/{queue}/clean", post(actions::clean))
        .route("/api/queue/{queue}/jobs", get(jobs::list).post(create::create))
        .route("/api/queue/{queue}/jobs/bulk", post(bulk::create))
        .route("/api/queue/{queue}/jobs/{id}", get(jobs::show).delete(jobs::cancel))
        .route("/api/queue/{queue}/jobs/{id}/logs", get(jobs::logs))
        .route("/api/queue/{queue}/jobs/{id}/retry", post(jobs::retry))
        .route("/api/queue/{queue}/jobs/{id}/promote", post(jobs::promote))
}

/// The queue of that name, as the application spells it.
pub(crate) fn known(queue: &str) -> Result<&'static str, Problem> {
    let found = QUEUES.iter().copied().find(|known| *known == queue);
    found.ok_or_else(|| {
        Problem::not_found(format!("there is no queue `{}`; there is {}", short(queue), QUEUES.join(", ")))
    })
}

/// A client's own words, short enough to repeat.
fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
