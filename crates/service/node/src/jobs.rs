//! The jobs of the application. Each queue has a file with its job type and handler. `queues` gives
//! a worker the handlers of each queue.

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

/// How long a job waits if the database can't be written now.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// The dependencies of a worker's handlers.
#[derive(Clone, Copy)]
pub(crate) struct JobContext<'a> {
    /// The active settings.
    pub(crate) settings: &'a Settings,
    /// The tables.
    pub(crate) store: &'a Store,
    /// Exports, reports and backups.
    pub(crate) files: &'a Files,
    /// Uploads that wait for a job.
    pub(crate) spool: &'a Spool,
    /// The job broker.
    pub(crate) broker: &'a Arc<dyn Broker>,
    /// Posts to tenants' webhooks.
    pub(crate) webhooks: &'a Sender,
}

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

/// Retries a job after a database error. A full disk or a busy database is not the job's fault and
/// does not count as an attempt.
pub(crate) fn again(error: &StoreError) -> Outcome {
    if error.is_transient() { Outcome::snooze(STORE_PAUSE) } else { Outcome::retry(error) }
}
