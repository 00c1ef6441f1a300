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
pub(super) mod operations;
pub(crate) mod overview;
mod remove;
mod route;
mod scans;
mod settings;

pub(crate) use idempotency::Stem;
use tidegate_node::jobs::QUEUES;

use tidegate_web::problem::Problem;

/// Returns the queue with that name.
pub(crate) fn known(queue: &str) -> Result<&'static str, Problem> {
    let found = QUEUES.iter().copied().find(|known| *known == queue);
    found.ok_or_else(|| {
        Problem::not_found(format!("there is no queue `{}`; there is {}", short(queue), QUEUES.join(", ")))
    })
}

/// Returns a client's text, cut short enough to repeat.
fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
