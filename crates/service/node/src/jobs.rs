//! The jobs of the application: one file a queue, each with its job type and handler, and `queues`, which gives the handlers of each to a worker.

mod admission;
mod analytics;
#[cfg(test)]
mod analytics_tests;
mod backup;
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

use std::sync::Arc;
use std::time::Duration;

use tidegate_domain::files::Files;
use tidegate_domain::spool::Spool;
use tidegate_outgoing::webhook::Sender;
use tidegate_queue::{Broker, Concurrency, Outcome, QueueOptions, WorkerBuilder};
use tidegate_settings::Settings;
use tidegate_store::{Store, StoreError};

pub use admission::{NotAdmitted, Ticket};
pub use analytics::RollAnalytics;
#[cfg(test)]
pub(crate) use backup::BackupHandler;
pub use backup::MakeBackup;
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

/// How long a job waits for a database that can't be written now.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// What the handlers of a worker work on.
#[derive(Clone, Copy)]
pub(crate) struct JobContext<'a> {
    /// The settings in force.
    pub(crate) settings: &'a Settings,
    /// The tables.
    pub(crate) store: &'a Store,
    /// Exports, reports and backups.
    pub(crate) files: &'a Files,
    /// Uploads on their way to a job.
    pub(crate) spool: &'a Spool,
    /// The jobs.
    pub(crate) broker: &'a Arc<dyn Broker>,
    /// Who posts to tenants' webhooks.
    pub(crate) webhooks: &'a Sender,
}

/// Gives the worker a queue with all of its handlers.
pub(crate) fn join(
    worker: WorkerBuilder,
    served: &ServedQueue,
    concurrency: Concurrency,
    context: &JobContext<'_>,
) -> WorkerBuilder {
    let options = QueueOptions::new().adjustable(concurrency).timeout(served.timeout).retry((served.queue.retry)());
    queues::join(served.queue.name, worker.queue(served.queue.name, options), context)
}

/// Runs again. A disk that is full or a database that is busy is no fault of the job's and burns none of its attempts.
pub(crate) fn again(error: &StoreError) -> Outcome {
    if error.is_transient() { Outcome::snooze(STORE_PAUSE) } else { Outcome::retry(error) }
}
