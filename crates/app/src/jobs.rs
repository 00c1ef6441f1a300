//! The jobs of the application: one file a queue, each with its job type and handler, and `queues` with a row for each.

mod admission;
mod analytics;
#[cfg(test)]
mod analytics_tests;
mod backup;
mod export;
mod export_admission;
#[cfg(test)]
mod export_tests;
mod import;
#[cfg(test)]
mod import_tests;
mod queues;
#[cfg(test)]
pub(crate) mod test_ground;

use tidegate_queue::{Concurrency, QueueOptions, WorkerBuilder, WorkerInfo};

pub use admission::{NotAdmitted, Ticket};
pub use analytics::RollAnalytics;
pub(crate) use analytics::keep_rolling;
#[cfg(test)]
pub(crate) use backup::BackupHandler;
pub use backup::MakeBackup;
#[cfg(test)]
pub(crate) use export::ExportHandler;
pub use export::ExportSchedules;
pub use export_admission::{ExportNotAdmitted, ExportPlace};
pub use import::ImportSchedules;
#[cfg(test)]
pub(crate) use import::{ImportHandler, Pace};
pub(crate) use queues::{ALL, is_known};
pub use queues::{AppQueue, QUEUES, ServedQueue, usual_kind};

use crate::node::Node;

/// Whether the worker takes jobs of that queue.
pub fn is_served_by(queue: &str, worker: &WorkerInfo) -> bool {
    worker.queues.iter().any(|served| served == queue)
}

/// Gives the worker a queue with all of its handlers.
pub(crate) fn join(
    worker: WorkerBuilder,
    served: &ServedQueue,
    concurrency: Concurrency,
    node: &Node,
) -> WorkerBuilder {
    let options = QueueOptions::new().adjustable(concurrency).timeout(served.timeout);
    (served.queue.join)(worker.queue(served.queue.name, options), node)
}
