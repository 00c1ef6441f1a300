//! The jobs of the application. Each queue has a file with its job type and handler. `queues` gives
//! a worker the handlers of each queue.

mod admission;
mod again;
mod analytics;
#[cfg(test)]
mod analytics_tests;
mod backup;
mod context;
mod email;
mod export;
#[cfg(test)]
mod export_tests;
mod file_run;
mod file_run_admission;
mod import;
#[cfg(test)]
mod import_bucket_tests;
#[cfg(test)]
mod import_tests;
mod notification;
mod queues;
mod regular;
mod reindex;
mod report;
#[cfg(test)]
mod report_tests;
#[cfg(test)]
mod restore_tests;
mod schedule;
#[cfg(test)]
pub(crate) mod test_ground;

use tidegate_queue::{Concurrency, QueueOptions, WorkerBuilder};

pub use admission::{NotAdmitted, Ticket};
use again::{STORE_PAUSE, again};
pub use analytics::RollAnalytics;
#[cfg(test)]
pub(crate) use backup::BackupHandler;
pub use backup::MakeBackup;
pub(crate) use context::JobContext;
pub use email::SendEmail;
#[cfg(test)]
pub(crate) use export::ExportHandler;
pub use export::ExportSchedules;
pub use file_run::FileJob;
#[cfg(test)]
pub(crate) use file_run::FileRuns;
pub use file_run_admission::{FilePlace, FilesNotAdmitted};
pub use import::ImportSchedules;
#[cfg(test)]
pub(crate) use import::{ImportHandler, Pace};
pub use notification::{DeliverNotification, SendNotification, shown};
pub(crate) use regular::{Regular, keep_enqueueing};
pub use reindex::ReindexSchedules;
pub use report::MakeReport;
#[cfg(test)]
pub(crate) use report::ReportHandler;
pub use schedule::{ExpandSchedules, RemindOfSchedule};
pub use tidegate_model::queues::{AppQueue, QUEUES, ServedQueue, is_served_by, usual_kind};

/// Adds a queue with all of its handlers to the worker.
pub(crate) fn join(
    worker: WorkerBuilder,
    served: &ServedQueue,
    concurrency: Concurrency,
    context: &JobContext<'_>,
) -> WorkerBuilder {
    let options = QueueOptions::new().adjustable(concurrency).timeout(served.timeout).retry((served.queue.retry)());
    queues::join(served.queue.name, worker.queue(served.queue.name, options), context)
}
