//! Queue `import`: reads an uploaded file of schedules into the table.
//!
//! The file is read in chunks. A chunk's rows, its rejected lines and the position after it are
//! written in one transaction. If a worker dies, the next one continues from that position. So each
//! row is in the table once and each rejected line is reported once, however often the job is
//! started.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_base::LogThrottle;
use tidegate_domain::files::FilesError;
use tidegate_domain::import::{Format, ImportError, Position, Rows};
use tidegate_domain::spool::{Spool, Upload, UploadReader, UploadedFile};
use tidegate_model::tenant::TenantId;
use tidegate_queue::{Context, Handler, Job, Outcome, WorkerBuilder};
use tidegate_store::{Advanced, ImportFailure, ImportProgress, Store, StoreError};

use super::{JobContext, STORE_PAUSE, again};

/// Maximum number of rejected lines in the job's result. The rejects file has all.
const REJECTS_IN_RESULT: u32 = 1000;
/// Interval of log lines about imports that wait for their bucket.
const WAITS_LOGGED: Duration = Duration::from_secs(60);

/// Imports the upload of the job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportSchedules {
    /// The tenant that gets the schedules.
    pub tenant: TenantId,
    /// Format of the file.
    pub format: Format,
    /// Size in bytes, for the progress.
    pub bytes: u64,
    /// The upload in the bucket. `None` if it is in the data directory, under the job's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<UploadedFile>,
}

impl Job for ImportSchedules {
    const KIND: &'static str = "schedule.import";
    const QUEUE: &'static str = "import";
}

/// Pace of an import, which leaves capacity for other work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Maximum number of lines in one transaction.
    pub(crate) chunk: usize,
    /// Pause between two transactions.
    pub(crate) pause: Duration,
}

/// Runs [`ImportSchedules`].
#[derive(Debug, Clone)]
pub(crate) struct ImportHandler {
    /// Destination of the rows.
    pub(crate) store: Store,
    /// Location of the file.
    pub(crate) spool: Spool,
    /// Pace of the import.
    pub(crate) pace: Pace,
    /// Maximum number of rejected lines of an import.
    pub(crate) max_rejects: u64,
    /// Limits the log lines of runs that wait for their bucket.
    pub(crate) waits: Arc<LogThrottle>,
}

/// Adds the handler of imports to the worker.
pub(super) fn join(worker: WorkerBuilder, context: &JobContext<'_>) -> WorkerBuilder {
    let queue = &context.settings.queue;
    worker.handler::<ImportSchedules, _>(ImportHandler {
        store: context.store.clone(),
        spool: context.spool.clone(),
        pace: Pace { chunk: queue.import_chunk, pause: queue.import_pause },
        max_rejects: queue.import_max_rejects,
        waits: Arc::new(LogThrottle::new(WAITS_LOGGED)),
    })
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the uploaded file is gone")]
    Gone,
    #[error("the uploaded file can't be read: {0}")]
    Unreadable(io::Error),
    /// The bucket is unreachable or busy. The job waits for it without a limit.
    #[error("the uploaded file can't be read now: {0}")]
    Away(FilesError),
    /// The position belongs to another content.
    #[error("the uploaded file was replaced while it was read")]
    Replaced,
    #[error(transparent)]
    Refused(ImportError),
    #[error(
        "stopped: {rejected} lines are bad, more than the {most} that an import may have; {imported} were imported"
    )]
    TooManyRejects { imported: u64, rejected: u64, most: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another worker has the job now, or it was cancelled. The outcome of this run is ignored.
    #[error("stopped before the end")]
    Stopped,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|below| below.downcast_ref()) {
            Some(away @ FilesError::Away { .. }) => Self::Away(away.clone()),
            Some(FilesError::Replaced { .. }) => Self::Replaced,
            _ if error.kind() == io::ErrorKind::NotFound => Self::Gone,
            _ => Self::Unreadable(error),
        }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Io(error) => error.into(),
            other => Self::Refused(other),
        }
    }
}

impl Failure {
    /// Returns why the import must be given up. `None` if another run may succeed.
    fn for_good(&self) -> Option<ImportFailure> {
        match self {
            Self::Gone => Some(ImportFailure::UploadGone),
            Self::Refused(_) | Self::Replaced => Some(ImportFailure::Unreadable),
            Self::TooManyRejects { .. } => Some(ImportFailure::TooManyRejects),
            Self::Unreadable(_) | Self::Away(_) | Self::Store(_) | Self::Stopped => None,
        }
    }
}

#[async_trait::async_trait]
impl Handler<ImportSchedules> for ImportHandler {
    async fn run(&self, job: ImportSchedules, context: &Context) -> Outcome {
        let id = context.id().as_str();
        let upload = Upload::of(context.id().clone(), job.file.as_ref());
        match self.import(&upload, &job, context).await {
            Ok(progress) => match self.result(id, progress).await {
                Ok(result) => {
                    // Only now: until the result is stored, another run may need the file to find
                    // its end.
                    self.remove_upload(&upload).await;
                    Outcome::done(result)
                }
                Err(error) => again(&error),
            },
            Err(Failure::Store(error)) => again(&error),
            Err(error @ Failure::Away(_)) => {
                if let Some(unlogged) = self.waits.count() {
                    tracing::warn!(%error, job = id, unlogged, "an import waits for the bucket of its upload");
                }
                Outcome::Snooze { delay: STORE_PAUSE, note: Some(error.to_string()) }
            }
            Err(error) => match error.for_good() {
                Some(failure) => self.give_up(&upload, failure, &error).await,
                None => Outcome::retry(error),
            },
        }
    }
}

impl ImportHandler {
    async fn import(
        &self,
        upload: &Upload,
        job: &ImportSchedules,
        context: &Context,
    ) -> Result<ImportProgress, Failure> {
        let id = upload.job().as_str();
        let mut progress = self.store.open_import(id, &job.tenant, Position::START).await?;
        self.check_rejects(progress)?;
        if progress.is_finished {
            report(context, job, progress).await?;
            return Ok(progress);
        }
        let mut rows = self.open(upload, job.format, progress.next).await?;
        loop {
            if context.cancelled().is_cancelled() {
                return Err(Failure::Stopped);
            }
            let chunk_size = self.pace.chunk;
            let (reader, chunk) = blocking(move || {
                let chunk = rows.next_chunk(chunk_size);
                (rows, chunk)
            })
            .await?;
            rows = reader;
            progress = match self.store.advance_import(id, &job.tenant, progress, &chunk?).await? {
                Advanced::To(progress) => progress,
                Advanced::Overtaken => {
                    // Only one of the two workers has the lease. If it is this one, the other
                    // worker's late step counts as a step of this one, and the import continues
                    // after it.
                    progress = self.store.open_import(id, &job.tenant, Position::START).await?;
                    report(context, job, progress).await?;
                    self.check_rejects(progress)?;
                    if progress.is_finished {
                        return Ok(progress);
                    }
                    rows = self.open(upload, job.format, progress.next).await?;
                    continue;
                }
            };
            report(context, job, progress).await?;
            self.check_rejects(progress)?;
            if progress.is_finished {
                return Ok(progress);
            }
            tokio::time::sleep(self.pace.pause).await;
        }
    }

    async fn open(&self, upload: &Upload, format: Format, from: Position) -> Result<Rows<UploadReader>, Failure> {
        let reader = self.spool.read(upload).await?;
        Ok(blocking(move || Rows::open(reader, format, from)).await??)
    }

    /// A limit, since a file of mostly invalid lines takes more space as rejects than as a file.
    fn check_rejects(&self, progress: ImportProgress) -> Result<(), Failure> {
        let ImportProgress { imported, rejected, .. } = progress;
        let most = self.max_rejects;
        if rejected > most { Err(Failure::TooManyRejects { imported, rejected, most }) } else { Ok(()) }
    }

    async fn give_up(&self, upload: &Upload, failure: ImportFailure, error: &Failure) -> Outcome {
        if let Err(error) = self.store.close_import(upload.job().as_str(), Some(failure)).await {
            return again(&error);
        }
        if failure == ImportFailure::TooManyRejects {
            // No further run would read it: it would find the same number of rejects first.
            self.remove_upload(upload).await;
        }
        Outcome::bury(error)
    }

    async fn remove_upload(&self, upload: &Upload) {
        if let Err(error) = self.spool.remove(upload).await {
            tracing::warn!(%error, job = %upload.job(), "the upload can't be removed yet");
        }
    }

    async fn result(&self, id: &str, progress: ImportProgress) -> Result<serde_json::Value, StoreError> {
        let rejects = self.store.rejected_lines(id, 0, REJECTS_IN_RESULT).await?;
        Ok(json!({
            "lines": progress.imported + progress.rejected,
            "imported": progress.imported,
            "rejected": progress.rejected,
            "rejects": rejects,
            "rejects_truncated": progress.rejected > u64::from(REJECTS_IN_RESULT),
        }))
    }
}

async fn report(context: &Context, job: &ImportSchedules, progress: ImportProgress) -> Result<(), Failure> {
    let read = (progress.next.byte.min(job.bytes) * 100).checked_div(job.bytes).unwrap_or(100);
    // The position stays after the last row, and blank lines may follow it.
    let percent = if progress.is_finished { 100 } else { read };
    let message = format!("{} imported, {} rejected", progress.imported, progress.rejected);
    let percent = u8::try_from(percent).unwrap_or(100);
    context.progress(percent, message).await.map_err(|_| Failure::Stopped)
}

/// Runs file operations outside of the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
